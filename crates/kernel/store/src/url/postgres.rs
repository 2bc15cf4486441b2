//! `postgres://` and `cockroachdb://` URLs.

use std::fmt;

use super::environment::Environment;
use super::parameters::Parameters;
use super::text::{percent_decoded, percent_encoded};
use super::{InvalidUrl, parameters};
use crate::Dialect;
use crate::postgres::TlsSettings;

/// A Postgres or CockroachDB server and how to reach it.
#[derive(Clone)]
pub struct PostgresUrl {
    pub(crate) config: tokio_postgres::Config,
    pub(crate) tls: TlsSettings,
    pub(crate) dialect: Dialect,
    parameters: Parameters,
    notes: Vec<String>,
}

// === impl PostgresUrl ===

impl PostgresUrl {
    /// Which SQL the database understands, according to the URL.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// A number for the host, port, database, user and options of the URL, without the password.
    pub fn fingerprint(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let config = &self.config;
        let mut hasher = DefaultHasher::new();
        let hosts = (format!("{:?}", config.get_hosts()), config.get_hostaddrs());
        (hosts, config.get_ports(), config.get_dbname(), config.get_user(), config.get_options())
            .hash(&mut hasher);
        hasher.finish()
    }

    /// Notes for people about what was read besides the URL, such as an ignored file.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The URL without its parameters and its password.
    pub fn address(&self) -> String {
        let scheme = if self.dialect == Dialect::Cockroach { "cockroachdb" } else { "postgres" };
        let get = |name| self.parameters.get(name);
        let user = get("user").map(|user| format!("{}@", percent_encoded(user)));
        let hosts = get("host").unwrap_or_default().split(',').map(|host| match host {
            // A folder is a parameter.
            folder if folder.starts_with('/') => String::new(),
            v6 if v6.contains(':') => format!("[{v6}]"),
            name => percent_encoded(name),
        });
        let mut ports = get("port").unwrap_or_default().split(',').cycle();
        let hosts = hosts.map(|host| match ports.next() {
            Some(port) if !port.is_empty() => format!("{host}:{port}"),
            _ => host,
        });
        let hosts = hosts.collect::<Vec<_>>().join(",");
        let database = get("dbname").map(|name| format!("/{}", percent_encoded(name)));
        format!("{scheme}://{}{hosts}{}", user.unwrap_or_default(), database.unwrap_or_default())
    }

    pub(super) fn parse(rest: &str, dialect: Dialect) -> Result<Self, InvalidUrl> {
        let (address, query) = split_query(rest);
        let mut parameters = Parameters::default();
        read_address(address, &mut parameters)?;
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (pair, percent_decoded(name), value)
        });
        let pairs: Vec<_> = pairs.collect();
        // Any of them may be a part of a password, so this comes before errors that repeat one.
        if pairs.iter().any(|(pair, name, _)| pair.contains('@') && !parameters::is_known(name)) {
            return Err(InvalidUrl::At);
        }
        for (pair, name, value) in pairs {
            if !pair.contains('=') || !parameters::is_name(&name) {
                return Err(InvalidUrl::Form(name));
            }
            if parameters::is_secret(&name) {
                return Err(InvalidUrl::Secret(name));
            }
            parameters.set(name, percent_decoded(value));
        }
        Self::of(parameters, dialect, Vec::new())
    }

    pub(super) fn completed(self, environment: &Environment) -> Result<Self, InvalidUrl> {
        let (mut parameters, mut notes) = (self.parameters, self.notes);
        environment.complete(&mut parameters, self.dialect, &mut notes)?;
        Self::of(parameters, self.dialect, notes)
    }

    fn of(
        parameters: Parameters,
        dialect: Dialect,
        notes: Vec<String>,
    ) -> Result<Self, InvalidUrl> {
        let (config, tls) = parameters.settings(dialect)?;
        Ok(Self { config, tls, dialect, parameters, notes })
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PostgresUrl {
    /// Everything but passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address())?;
        let is_shown = |name: &str, value: &str| match name {
            "user" | "password" | "dbname" | "port" => false,
            "host" => value.starts_with('/'),
            _ => true,
        };
        let shown = self.parameters.iter().filter(|(name, value)| is_shown(name, value));
        for (at, (name, value)) in shown.enumerate() {
            let mark = if at == 0 { '?' } else { '&' };
            write!(f, "{mark}{}={}", percent_encoded(name), percent_encoded(value))?;
        }
        Ok(())
    }
}

/// Reads `//user:password@host:port,host:port/database`.
fn read_address(address: &str, parameters: &mut Parameters) -> Result<(), InvalidUrl> {
    let body = address.strip_prefix("//").unwrap_or(address);
    let (authority, database) = body.split_once('/').unwrap_or((body, ""));
    // A slash in a password: what stands before it is taken for the hosts.
    if database.contains('@') {
        return Err(InvalidUrl::Login);
    }
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    parameters.set_if_some("user", user);
    parameters.set_if_some("password", password);
    parameters.set_if_some("dbname", database);
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        let (name, port) = match host.strip_prefix('[') {
            Some(v6) => v6.split_once(']').ok_or(InvalidUrl::Host)?,
            None => host.find(':').map_or((host, ""), |colon| host.split_at(colon)),
        };
        let port = match port.strip_prefix(':') {
            Some(port) if port.contains(':') => return Err(InvalidUrl::Host),
            Some(port) => port,
            None if port.is_empty() => "",
            None => return Err(InvalidUrl::Host),
        };
        // It may be a part of a password, so it is not repeated.
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidUrl::Login);
        }
        names.push(name);
        ports.push(port);
    }
    parameters.set_if_some("host", &names.join(","));
    if ports.iter().any(|port| !port.is_empty()) {
        parameters.set("port".to_owned(), ports.join(","));
    }
    Ok(())
}

/// Cuts the parameters off. A password may contain a question mark, as in
/// `//user:a?b@host/db?x=y`, and a parameter may contain an @, as in `//host/db?x=a@b`.
fn split_query(rest: &str) -> (&str, &str) {
    let body = rest.trim_start_matches('/');
    let authority = &body[..body.find('/').unwrap_or(body.len())];
    let login = authority.rfind('@').map_or("", |at| &authority[..at]);
    let is_login = match (login.find(':'), login.find('?')) {
        // What stands between a host and its parameters is a port.
        (Some(colon), Some(mark)) if colon < mark => {
            !login[colon + 1..mark].bytes().all(|byte| byte.is_ascii_digit())
        }
        (_, mark) => mark.is_none(),
    };
    let from = rest.len() - body.len() + if is_login { login.len() } else { 0 };
    match rest[from..].find('?') {
        Some(at) => (&rest[..from + at], &rest[from + at + 1..]),
        None => (rest, ""),
    }
}
