//! From a database URL to something that can be asked: connections, retries, migrations.
//!
//! It knows Postgres, CockroachDB and SQLite, but no table except those of leases and watches: each domain has
//! SQL of its own for each [`Dialect`]. What returns an [`Error`] fails when the database does.
//!
//! | file | what it owns |
//! |---|---|
//! | `copy.rs`, `copy/` | copying everything from one database into another |
//! | `error.rs` | classifying what the drivers report: did it happen, is it worth repeating? |
//! | `lease.rs`, `lease/` | which server does what one does for all |
//! | `migrate.rs` | bringing a set of tables up to date |
//! | `postgres/` | Postgres and CockroachDB: pool, TLS, transactions, migration lock |
//! | `retry.rs` | the one loop that repeats a failed operation |
//! | `sqlite/` | SQLite: its threads, its files, the lock on them |
//! | `url.rs`, `url/` | reading a database URL, and printing it without its password |
//! | `watch.rs`, `watch/` | since when something is looked at without a gap |

pub mod copy;
pub mod error;
mod lease;
mod migrate;
pub mod postgres;
pub mod retry;
pub mod sqlite;
mod url;
pub mod watch;

pub use error::is_locked;
pub use lease::Lease;
pub use migrate::{Migrations, Schema};
use tally_runtime::metrics::Scrape;
pub use tally_runtime::{Error, Outcome};
pub use url::{DatabaseUrl, Driver, Environment, InvalidUrl, PostgresUrl, SqliteUrl};
pub use watch::Watch;

/// Which SQL a database understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL 14 or newer.
    Postgres,
    /// CockroachDB.
    Cockroach,
    /// SQLite 3, which is built in.
    Sqlite,
}

/// How large a database is, as far as can be told.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// All of it, with what else is in the same database.
    pub bytes: Option<u64>,
    /// How much room its disk has, if this machine can see it.
    pub free_bytes: Option<u64>,
}

/// A database that is open.
#[derive(Debug, Clone)]
pub enum Database {
    /// Postgres or CockroachDB, over the network.
    Postgres(postgres::Database),
    /// A file.
    Sqlite(sqlite::Database),
}

// === impl Dialect ===

impl Dialect {
    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "Postgres",
            Self::Cockroach => "CockroachDB",
            Self::Sqlite => "SQLite",
        }
    }
}

// === impl Database ===

impl Database {
    /// Opens the database and checks that it answers. A SQLite file that another server uses is
    /// refused, and so is a Postgres that is too old.
    pub async fn open(url: &DatabaseUrl, settings: postgres::Settings) -> Result<Self, Error> {
        match url {
            DatabaseUrl::Postgres(url) => {
                Ok(Self::Postgres(postgres::Database::open(url, settings).await?))
            }
            DatabaseUrl::Sqlite(url) => Ok(Self::Sqlite(sqlite::Database::open(url).await?)),
        }
    }

    /// The same for a short command, which may use a SQLite file while a server has it. Whether one has
    /// it is the second part of the answer: it brings the tables up to date then.
    pub async fn open_beside(
        url: &DatabaseUrl,
        settings: postgres::Settings,
    ) -> Result<(Self, bool), Error> {
        match url {
            DatabaseUrl::Postgres(_) => Ok((Self::open(url, settings).await?, false)),
            DatabaseUrl::Sqlite(url) => {
                let (database, is_served) = sqlite::Database::open_beside(url).await?;
                Ok((Self::Sqlite(database), is_served))
            }
        }
    }

    /// Which SQL it understands.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(database) => database.dialect(),
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Asks whether the database answers, and takes writes.
    pub async fn ping(&self) -> Result<(), Error> {
        match self {
            Self::Postgres(database) => database.ping().await,
            Self::Sqlite(database) => database.ping().await,
        }
    }

    /// Tells a scrape of the connections, if it has any.
    pub fn measure(&self, scrape: &mut Scrape) {
        match self {
            Self::Postgres(database) => database.measure(scrape),
            Self::Sqlite(_) => {}
        }
    }

    /// How large it is. CockroachDB tells only its administrators.
    pub async fn size(&self) -> Result<Size, Error> {
        match self {
            Self::Postgres(database) if database.dialect() == Dialect::Cockroach => {
                Ok(Size::default())
            }
            Self::Postgres(database) => {
                let (step, sql) = ("measure the database", include_str!("postgres/size.sql"));
                let rows = database.rows(step, sql, &[]).await?;
                let bytes = rows.first().and_then(|row| u64::try_from(row.get::<_, i64>(0)).ok());
                Ok(Size { bytes, free_bytes: None })
            }
            Self::Sqlite(database) => database.size().await,
        }
    }

    /// Fails at the end of a server whose SQLite file was removed or replaced.
    pub fn check_at_end(&self) -> Result<(), Error> {
        match self {
            Self::Postgres(_) => Ok(()),
            Self::Sqlite(database) => database.check_at_end(),
        }
    }

    /// Closes the database. A SQLite database is then one file, which can be copied; if this fails,
    /// part of it stays in the write-ahead log, where the next server finds it.
    pub async fn close(&self) -> Result<(), Error> {
        match self {
            Self::Postgres(_) => Ok(()),
            Self::Sqlite(database) => database.close().await,
        }
    }
}
