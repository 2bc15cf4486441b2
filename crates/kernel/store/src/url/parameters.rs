//! A URL's parts under libpq's names, and the driver's settings made of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{
    ChannelBinding, LoadBalanceHosts, SslNegotiation, TargetSessionAttrs,
};

use super::InvalidUrl;
use crate::Dialect;
use crate::postgres::TlsSettings;

/// Parameters of libpq for what Tally does not have. Any other name is a setting of the session,
/// which the database knows or refuses.
const UNSUPPORTED: [&str; 24] = [
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslpassword",
];

/// Names and values, each with its variable if it is not from the URL.
#[derive(Clone, Default)]
pub(super) struct Parameters(BTreeMap<String, (String, Option<&'static str>)>);

// === impl Parameters ===

impl Parameters {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|(value, _)| value.as_str())
    }

    pub(super) fn set(&mut self, name: String, value: String) {
        self.0.insert(name, (value, None));
    }

    /// Takes a part of the URL's address, which is encoded and may be left out.
    pub(super) fn set_if_some(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.set(name.to_owned(), super::text::percent_decoded(value));
        }
    }

    /// Takes what a variable says, unless the URL says something else. Empty says nothing.
    pub(super) fn add_variable(&mut self, name: &str, value: &str, variable: &'static str) {
        if !value.is_empty() && self.get(name).is_none_or(str::is_empty) {
            self.0.insert(name.to_owned(), (value.to_owned(), Some(variable)));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, (value, _))| (name.as_str(), value.as_str()))
    }

    /// What the driver is told.
    pub(super) fn settings(&self, dialect: Dialect) -> Result<(Config, TlsSettings), InvalidUrl> {
        let (mut config, mut tls) = (Config::new(), TlsSettings::default());
        let mut session = String::new();
        for (name, (value, variable)) in &self.0 {
            let wrong = |reason| InvalidUrl::Value {
                name: variable.unwrap_or(name).to_owned(),
                value: value.clone(),
                reason,
            };
            if tls.take(name, value).map_err(wrong)? || value.is_empty() && name != "options" {
                continue;
            }
            if UNSUPPORTED.contains(&name.as_str()) {
                return Err(InvalidUrl::Unsupported(name.clone()));
            }
            if !take(&mut config, dialect, name, value).map_err(wrong)? {
                // A backslash keeps a space from ending the value.
                let value = value.replace('\\', "\\\\").replace(' ', "\\ ");
                let _ = write!(session, " -c {name}={value}");
            }
        }
        let options = format!("{}{session}", self.get("options").unwrap_or_default());
        if !options.trim().is_empty() {
            config.options(options.trim());
        }
        let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
        let ports = config.get_ports().len();
        if ports > 1 && ports != hosts {
            return Err(InvalidUrl::Ports { hosts, ports });
        }
        if ports == 0 {
            config.port(default_port(dialect));
        }
        if config.get_application_name().is_none() {
            config.application_name("tally");
        }
        config.ssl_mode(tls.mode.driver_mode());
        Ok((config, tls))
    }
}

/// Where a database listens unless told otherwise.
pub(super) fn default_port(dialect: Dialect) -> u16 {
    if dialect == Dialect::Cockroach { 26257 } else { 5432 }
}

/// Whether a parameter, or a setting of the session, can have this name.
pub(super) fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    !name.is_empty() && name.bytes().all(is_part)
}

/// Whether it is a parameter of libpq, and no setting of the session.
pub(super) fn is_known(name: &str) -> bool {
    let is_taken = |taken: Result<bool, &str>| taken.unwrap_or(true);
    UNSUPPORTED.contains(&name)
        || is_taken(TlsSettings::default().take(name, ""))
        || is_taken(take(&mut Config::new(), Dialect::Postgres, name, ""))
}

/// Whether a setting of the session, which everything shows, is called like a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let lower = name.to_lowercase();
    ["pass", "pwd", "secret", "token"].iter().any(|word| lower.contains(word)) && !is_known(name)
}

/// Takes a parameter that the driver has; says whether it does, or what is wrong with the value.
fn take(
    config: &mut Config,
    dialect: Dialect,
    name: &str,
    value: &str,
) -> Result<bool, &'static str> {
    let _: &mut Config = match name {
        "user" => config.user(value),
        "password" => config.password(value),
        "dbname" => config.dbname(value),
        "application_name" => config.application_name(value),
        // Put together with the settings of the session.
        "options" | "passfile" => config,
        "host" if value.split(',').any(str::is_empty) => return Err("has an empty host"),
        "host" => value.split(',').fold(config, Config::host),
        "hostaddr" => value.split(',').try_fold(config, |config, address| {
            let address = address.parse().map_err(|_| "is not an IP address")?;
            Ok::<_, &str>(config.hostaddr(address))
        })?,
        "port" => value.split(',').try_fold(config, |config, port| {
            let port = match port {
                "" => Some(default_port(dialect)),
                port => port.parse().ok().filter(|port| *port > 0),
            };
            Ok::<_, &str>(config.port(port.ok_or("is not a port from 1 to 65535")?))
        })?,
        "client_encoding" if !["auto", "utf8", "utf-8"].contains(&&*value.to_lowercase()) => {
            return Err("is not UTF8, which paths need");
        }
        "client_encoding" => config,
        _ => return Ok(take_time(config, name, value)? || take_choice(config, name, value)?),
    };
    Ok(true)
}

/// The same for limits of time, and for what keeps a silent connection alive. 0 is no limit.
fn take_time(config: &mut Config, name: &str, value: &str) -> Result<bool, &'static str> {
    let whole = |reason| value.parse::<u64>().map_err(|_| reason);
    let seconds = || whole("is not a number of seconds").map(Duration::from_secs);
    match name {
        "keepalives" => {
            config.keepalives(whole("is neither 0 nor 1")? != 0);
        }
        "keepalives_count" => {
            let reason = "is not a number of attempts";
            config.keepalives_retries(u32::try_from(whole(reason)?).map_err(|_| reason)?);
        }
        "tcp_user_timeout" => {
            let limit = Duration::from_millis(whole("is not a number of milliseconds")?);
            set(config, Config::tcp_user_timeout, limit);
        }
        "connect_timeout" => set(config, Config::connect_timeout, seconds()?),
        "keepalives_idle" => set(config, Config::keepalives_idle, seconds()?),
        "keepalives_interval" => set(config, Config::keepalives_interval, seconds()?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn set(config: &mut Config, setter: fn(&mut Config, Duration) -> &mut Config, limit: Duration) {
    if !limit.is_zero() {
        setter(config, limit);
    }
}

/// The same for parameters that are one of a few words.
fn take_choice(config: &mut Config, name: &str, value: &str) -> Result<bool, &'static str> {
    let _: &mut Config = match (name, value) {
        ("sslnegotiation", "postgres") => config.ssl_negotiation(SslNegotiation::Postgres),
        ("sslnegotiation", "direct") => config.ssl_negotiation(SslNegotiation::Direct),
        ("sslnegotiation", _) => return Err("is neither postgres nor direct"),
        ("target_session_attrs", "any") => config.target_session_attrs(TargetSessionAttrs::Any),
        ("target_session_attrs", "read-write" | "primary") => {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite)
        }
        ("target_session_attrs", _) => {
            return Err("is none of any, read-write and primary: Tally writes");
        }
        ("channel_binding", "disable") => config.channel_binding(ChannelBinding::Disable),
        ("channel_binding", "prefer") => config.channel_binding(ChannelBinding::Prefer),
        ("channel_binding", "require") => config.channel_binding(ChannelBinding::Require),
        ("channel_binding", _) => return Err("is none of disable, prefer, require"),
        ("load_balance_hosts", "disable") => config.load_balance_hosts(LoadBalanceHosts::Disable),
        ("load_balance_hosts", "random") => config.load_balance_hosts(LoadBalanceHosts::Random),
        ("load_balance_hosts", _) => return Err("is neither disable nor random"),
        // By the name of the host, always.
        ("sslsni", "1") => config,
        ("sslsni", _) => return Err("is not 1"),
        _ => return Ok(false),
    };
    Ok(true)
}
