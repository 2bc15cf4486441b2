//! Reading a database URL, and printing it without its password.
//!
//! | file | what it owns |
//! |---|---|
//! | `environment.rs` | what libpq reads besides the URL: `PG…` variables, `.pgpass`, `root.crt` |
//! | `parameters.rs` | a URL's parts under libpq's names, and the driver's settings made of them |
//! | `postgres.rs` | `postgres://` and `cockroachdb://` |
//! | `sqlite.rs` | `sqlite:` |
//! | `text.rs` | percent-encoding |

mod environment;
mod parameters;
mod postgres;
mod sqlite;
mod text;

use std::fmt;
use std::str::FromStr;

pub use self::environment::Environment;
pub use self::postgres::PostgresUrl;
pub use self::sqlite::SqliteUrl;
use crate::Dialect;

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

/// The URL does not name a database that Tally knows. No message repeats a password.
#[derive(Debug, thiserror::Error)]
pub enum InvalidUrl {
    /// No or another scheme.
    #[error(
        "{0} is not a database URL that Tally knows: \
         use sqlite:PATH, postgres://USER@HOST/DATABASE or cockroachdb://USER@HOST/DATABASE"
    )]
    Scheme(String),
    /// The text begins with a quote.
    #[error(
        "the value has quotes in it: write it without them, because some readers (docker's \
         --env-file) keep them"
    )]
    Quotes,
    /// `sqlite:` without a file.
    #[error("sqlite: names no file: write sqlite:tally.db or sqlite:/var/lib/tally/tally.db")]
    NoPath,
    /// SQLite's special name for a database without a file.
    #[error("sqlite::memory: would lose every count when the server stops: name a file")]
    Memory,
    /// The login, the host and the port cannot be told apart.
    #[error(
        "what stands between postgres:// and the database's name is not USER:PASSWORD@HOST:PORT. \
         In a user name and a password write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and \
         % as %25"
    )]
    Login,
    /// An @ among the parameters, which may be the one before the host.
    #[error(
        "an @ comes after the first ?: in a user name and a password write ? as %3F, and in a \
         parameter write @ as %40"
    )]
    At,
    /// A setting of the session whose name sounds like a secret.
    #[error(
        "{0} would be a setting of the session, which is no secret: write a password as \
         USER:PASSWORD@HOST, or into the parameter password"
    )]
    Secret(String),
    /// The password file has more than one password for the hosts.
    #[error(
        "the password file {0} does not have the same password for all of the hosts, and a \
         connection takes only one: name one host, or give its lines the same password"
    )]
    Passwords(String),
    /// An IPv6 address without brackets, or something that is not a host.
    #[error("a host is not a name or an address: write an IPv6 address as [::1]")]
    Host,
    /// Neither one port nor one for each host.
    #[error("{hosts} hosts have {ports} ports: give one for all, or one for each")]
    Ports {
        /// How many hosts there are.
        hosts: usize,
        /// How many ports.
        ports: usize,
    },
    /// A parameter without a value, or with a name that no parameter can have.
    #[error("\u{201c}{0}\u{201d} is not a parameter: write ?NAME=VALUE&NAME=VALUE")]
    Form(String),
    /// A parameter of a `sqlite:` URL that is not known.
    #[error("sqlite URLs have no parameter \u{201c}{0}\u{201d}")]
    Parameter(String),
    /// A parameter of libpq that Tally does not have.
    #[error("{0}: libpq has this parameter, but Tally does not: leave it out")]
    Unsupported(String),
    /// A parameter's value is wrong.
    #[error("{name}: \u{201c}{value}\u{201d} {reason}")]
    Value {
        /// The parameter, or the variable that it comes from.
        name: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

// === impl DatabaseUrl ===

impl DatabaseUrl {
    /// The same URL, with the kind of database that `MIGRATION_DRIVER` names.
    #[must_use]
    pub fn with_driver(mut self, driver: Driver) -> Self {
        if let (Self::Postgres(url), Driver::Cockroachdb) = (&mut self, driver) {
            url.dialect = Dialect::Cockroach;
        }
        self
    }

    /// The same URL, completed with what libpq would read besides it.
    pub fn completed(self, environment: &Environment) -> Result<Self, InvalidUrl> {
        match self {
            Self::Postgres(url) => url.completed(environment).map(Box::new).map(Self::Postgres),
            sqlite @ Self::Sqlite(_) => Ok(sqlite),
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if text.starts_with(['"', '\'']) {
            return Err(InvalidUrl::Quotes);
        }
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
            _ if text.contains("://")
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                Err(InvalidUrl::Scheme(format!("{scheme}://…")))
            }
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

#[cfg(test)]
mod tests;
