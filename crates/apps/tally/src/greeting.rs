//! What a server says at its start, to people and to programs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tally_runtime::telemetry;
use tally_serve::{Domain, Listener, Tls};
use tally_store::DatabaseUrl;

use crate::client::SERVER_DEFAULT;
use crate::output::say;

/// Prints the first lines that a new user sees.
pub(crate) fn greet(
    listener: &Listener,
    tls: Option<&Tls>,
    url: &DatabaseUrl,
    domains: &[Domain],
    access: &[String],
) {
    let address = listener.address();
    let version = env!("CARGO_PKG_VERSION");
    say(format_args!("tally {version} listens on {}://{address} (gRPC and HTTP)", scheme(tls)));
    say(format_args!("database: {url}"));
    if let Some(tls) = tls {
        say(format_args!("certificate: expires {:.0}", tls.expires_at()));
    }
    access.iter().for_each(say);
    // A collector of logs counts nothing.
    if !telemetry::is_json() {
        hints(domains, tls, address).lines().for_each(say);
    }
    tracing::debug!(%address, database = %url, "listening");
}

/// The first line at `/`.
pub(crate) fn about<'a>(domains: impl Iterator<Item = &'a Domain>) -> String {
    let names: Vec<_> = domains.map(|domain| domain.name).collect();
    format!("Tally {} keeps exact books of {}.", env!("CARGO_PKG_VERSION"), names.join(", "))
}

/// What a new user can do with these domains, one line each.
pub(crate) fn hints<'a>(
    domains: impl IntoIterator<Item = &'a Domain>,
    tls: Option<&Tls>,
    address: SocketAddr,
) -> String {
    let hints: Vec<_> = domains.into_iter().flat_map(|domain| domain.hints).collect();
    let width = hints.iter().map(|(words, _)| words.len() + 1).max().unwrap_or(0);
    let scheme = scheme(tls);
    let server = server_flag(scheme, address);
    let line = |hint: &&(&str, &str)| {
        let words = format!("{}:", hint.0);
        format!("{words:<width$} {}{server}\n", hint.1)
    };
    let browser = format!("{:<width$} {}\n", "in a browser:", url(scheme, address));
    hints.iter().map(line).chain([browser]).collect()
}

/// What a service manager is told.
pub(crate) fn status(listener: &Listener, tls: Option<&Tls>, url: &DatabaseUrl) -> String {
    format!("listens on {}://{}; database: {url}", scheme(tls), listener.address())
}

fn scheme(tls: Option<&Tls>) -> &'static str {
    if tls.is_some() { "https" } else { "http" }
}

/// The flag that a command on this machine needs to reach this address.
fn server_flag(scheme: &str, address: SocketAddr) -> String {
    let url = url(scheme, address);
    if url == SERVER_DEFAULT { String::new() } else { format!(" --server {url}") }
}

/// Where programs on this machine reach it.
fn url(scheme: &str, mut address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("{scheme}://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_where_the_server_is() {
        let flag = |address: &str| server_flag("http", address.parse().expect("an address"));
        assert_eq!(flag("127.0.0.1:7777"), "");
        assert_eq!(flag("0.0.0.0:7777"), "");
        assert_eq!(flag("0.0.0.0:7790"), " --server http://127.0.0.1:7790");
        assert_eq!(flag("127.0.0.2:7777"), " --server http://127.0.0.2:7777");
        assert_eq!(flag("[::1]:7790"), " --server http://[::1]:7790");
        assert_eq!(flag("[::]:7777"), " --server http://[::1]:7777");
        let secured = server_flag("https", "127.0.0.1:7777".parse().expect("an address"));
        assert_eq!(secured, " --server https://127.0.0.1:7777");
        let browser = url("http", "0.0.0.0:7777".parse().expect("an address"));
        assert_eq!(browser, "http://127.0.0.1:7777");
    }
}
