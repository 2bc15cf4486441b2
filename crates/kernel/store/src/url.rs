//! Reading a database URL, and printing it without its password.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::Dialect;
use crate::postgres::TlsSettings;

/// Where CockroachDB listens unless told otherwise.
const COCKROACH_PORT: u16 = 26257;

/// A database, as a user names it.
///
/// | scheme | database |
/// |---|---|
/// | `sqlite:path` | a SQLite file, made when it is missing; `?size_bytes_max=N` bounds it |
/// | `postgres://`, `postgresql://` | Postgres, with libpq's parameters |
/// | `cockroachdb://` | CockroachDB, with the same parameters |
#[derive(Clone)]
pub enum DatabaseUrl {
    /// Postgres or CockroachDB.
    Postgres(Box<PostgresUrl>),
    /// SQLite.
    Sqlite(SqliteUrl),
}

/// What `MIGRATION_DRIVER` may say, in the words of the Go server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// `pgx`: Postgres.
    Pgx,
    /// `cockroachdb`.
    Cockroachdb,
}

/// A Postgres or CockroachDB server and how to reach it.
#[derive(Clone)]
pub struct PostgresUrl {
    pub(crate) config: tokio_postgres::Config,
    pub(crate) tls: TlsSettings,
    pub(crate) dialect: Dialect,
    shown: String,
}

/// A SQLite file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteUrl {
    pub(crate) path: PathBuf,
    pub(crate) size_bytes_max: Option<u64>,
}

/// The URL does not name a database that Tally knows.
#[derive(Debug, thiserror::Error)]
pub enum InvalidUrl {
    /// No or another scheme.
    #[error(
        "{0} is not a database URL that Tally knows: \
         use sqlite:PATH, postgres://USER@HOST/DATABASE or cockroachdb://USER@HOST/DATABASE"
    )]
    Scheme(String),
    /// `sqlite:` without a file.
    #[error("sqlite: names no file: write sqlite:tally.db or sqlite:/var/lib/tally/tally.db")]
    NoPath,
    /// SQLite's special name for a database without a file.
    #[error("sqlite::memory: would lose every count when the server stops: name a file")]
    Memory,
    /// A parameter that is not known.
    #[error("{scheme} URLs have no parameter \u{201c}{name}\u{201d}")]
    Parameter {
        /// The URL's scheme.
        scheme: &'static str,
        /// The unknown parameter.
        name: String,
    },
    /// A parameter's value is wrong.
    #[error("{name}: \u{201c}{value}\u{201d} {reason}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The Postgres driver does not understand it.
    #[error("the database URL is wrong")]
    Postgres(#[source] tokio_postgres::Error),
}

// === impl DatabaseUrl ===

impl DatabaseUrl {
    /// The same URL, with the kind of database that `MIGRATION_DRIVER` names.
    #[must_use]
    pub fn with_driver(mut self, driver: Driver) -> Self {
        if let Self::Postgres(url) = &mut self {
            url.dialect = match driver {
                Driver::Pgx => url.dialect,
                Driver::Cockroachdb => Dialect::Cockroach,
            };
        }
        self
    }
}

impl FromStr for DatabaseUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        match scheme {
            "sqlite" => SqliteUrl::parse(rest).map(Self::Sqlite),
            "postgres" | "postgresql" if rest.starts_with("//") => {
                PostgresUrl::parse(rest, Dialect::Postgres).map(Box::new).map(Self::Postgres)
            }
            "cockroachdb" | "cockroach" if rest.starts_with("//") => {
                PostgresUrl::parse(rest, Dialect::Cockroach).map(Box::new).map(Self::Postgres)
            }
            // The text may hold a password: name the scheme only.
            _ if text.contains("://") => Err(InvalidUrl::Scheme(format!("{scheme}://…"))),
            _ => Err(InvalidUrl::Scheme("the text given".into())),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(url) => url.fmt(f),
            Self::Sqlite(url) => url.fmt(f),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Driver ===

impl FromStr for Driver {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            // Empty, as env files often have it, says nothing; nor does `pgx`.
            "" | "pgx" | "postgres" | "postgresql" => Ok(Self::Pgx),
            "cockroachdb" | "cockroach" => Ok(Self::Cockroachdb),
            _ => Err("is neither `pgx` nor `cockroachdb`"),
        }
    }
}

// === impl PostgresUrl ===

impl PostgresUrl {
    /// Which SQL the database understands, as far as the URL says.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Which database it is, as far as the URL says: another number for every other host, port,
    /// database, user or option. It says nothing of the password.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let config = &self.config;
        let mut hasher = DefaultHasher::new();
        let hosts = (format!("{:?}", config.get_hosts()), config.get_hostaddrs());
        (hosts, config.get_ports(), config.get_dbname(), config.get_user(), config.get_options())
            .hash(&mut hasher);
        hasher.finish()
    }

    /// The parameters that the driver does not know (libpq's `ssl…`) are taken out; the
    /// driver reads the rest.
    fn parse(rest: &str, dialect: Dialect) -> Result<Self, InvalidUrl> {
        let (address, query) = split_query(rest);
        let mut tls = TlsSettings::default();
        let mut kept = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !tls.take(name, percent_decoded(value))? {
                // The driver takes any other @ for the end of the login.
                kept.push(pair.replace('@', "%40"));
            }
        }
        let mut url = format!("postgresql:{address}");
        if !kept.is_empty() {
            url = format!("{url}?{}", kept.join("&"));
        }
        let mut config: tokio_postgres::Config = url.parse().map_err(InvalidUrl::Postgres)?;
        if dialect == Dialect::Cockroach && config.get_ports().is_empty() {
            config.port(COCKROACH_PORT);
        }
        if config.get_application_name().is_none() {
            config.application_name("tally");
        }
        config.ssl_mode(tls.mode.driver_mode());
        let shown =
            shown(if dialect == Dialect::Cockroach { "cockroachdb" } else { "postgres" }, address);
        Ok(Self { config, tls, dialect, shown })
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

// === impl SqliteUrl ===

impl SqliteUrl {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn parse(rest: &str) -> Result<Self, InvalidUrl> {
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut size_bytes_max = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if name != "size_bytes_max" {
                return Err(InvalidUrl::Parameter { scheme: "sqlite", name: name.to_owned() });
            }
            size_bytes_max = Some(value.parse().map_err(|_| InvalidUrl::Value {
                name: "size_bytes_max",
                value: value.to_owned(),
                reason: "is not a number of bytes",
            })?);
        }
        match path {
            "" => Err(InvalidUrl::NoPath),
            ":memory:" => Err(InvalidUrl::Memory),
            path => Ok(Self { path: percent_decoded(path).into(), size_bytes_max }),
        }
    }
}

impl fmt::Display for SqliteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sqlite:{}", self.path.display())
    }
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

/// `//user:secret@host/db` as `postgres://user@host/db`: no password, no parameters, since
/// a password can stand there too.
fn shown(scheme: &str, address: &str) -> String {
    let address = address.trim_start_matches('/');
    let Some((login, host)) = address.rsplit_once('@') else {
        return format!("{scheme}://{address}");
    };
    let user = login.split_once(':').map_or(login, |(user, _)| user);
    format!("{scheme}://{user}@{host}")
}

/// Percent-decoding (RFC 3986); what is not a valid escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        if let Some(byte) = escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests;
