//! A database for one run.

use std::fmt;

use anyhow::Context as _;
use tally_testkit::{Cluster, Options, TestDatabase, Watched};

use crate::arguments::{Arguments, Backend};

/// The settings of Postgres that the times depend on most.
const SHOWN: [&str; 6] = [
    "server_version",
    "shared_buffers",
    "work_mem",
    "max_wal_size",
    "fsync",
    "max_parallel_workers_per_gather",
];

/// An empty database, which is removed with this value.
pub(crate) struct Place {
    pub(crate) url: String,
    held: Held,
}

enum Held {
    Sqlite(Watched),
    /// Dropped in this order: the database, then its server.
    Postgres {
        database: TestDatabase,
        _server: Option<Box<Cluster>>,
    },
}

// === impl Place ===

impl Place {
    pub(crate) fn create(backend: Backend, arguments: &Arguments) -> anyhow::Result<Self> {
        if backend == Backend::Sqlite {
            let folder = Watched::create("tally-bench-")?;
            let url = format!("sqlite:{}", folder.path().join("tally.db").display());
            return Ok(Self { url, held: Held::Sqlite(folder) });
        }
        let (server, server_url) = match &arguments.database_url {
            Some(url) => (None, url.clone()),
            None => {
                // As a server in production has them, unlike one for tests.
                let safe = ["fsync", "full_page_writes"].map(|name| (name.into(), "on".into()));
                let settings = safe.into_iter().chain(arguments.postgres.clone()).collect();
                let cluster = Cluster::start(Options { settings, ..Options::default() })?;
                let url = cluster.url("postgres");
                (Some(Box::new(cluster)), url)
            }
        };
        let database = TestDatabase::create_on(&server_url, "bench");
        Ok(Self { url: database.url(), held: Held::Postgres { database, _server: server } })
    }

    /// A connection to Postgres; `None` on SQLite.
    pub(crate) async fn postgres(&self) -> Option<tokio_postgres::Client> {
        match &self.held {
            Held::Sqlite(_) => None,
            Held::Postgres { database, .. } => Some(database.connect().await),
        }
    }

    /// The file of SQLite.
    pub(crate) fn file(&self) -> Option<std::path::PathBuf> {
        match &self.held {
            Held::Sqlite(folder) => Some(folder.path().join("tally.db")),
            Held::Postgres { .. } => None,
        }
    }

    /// How much of the disk it takes, in bytes, without Postgres's log.
    pub(crate) async fn bytes(&self) -> anyhow::Result<u64> {
        if let Some(client) = self.postgres().await {
            let size = client.query_one("SELECT pg_database_size(current_database())", &[]);
            return Ok(size.await?.get::<_, i64>(0).unsigned_abs());
        }
        let file = self.file().context("a file")?;
        let log = file.with_extension("db-wal");
        let length = |path| std::fs::metadata(path).map_or(0, |file| file.len());
        Ok(length(file) + length(log))
    }

    /// Prints the settings that the times depend on most.
    pub(crate) async fn print_settings(&self) -> anyhow::Result<()> {
        let Some(client) = self.postgres().await else { return Ok(()) };
        let mut line = Vec::new();
        for name in SHOWN {
            let value: String = client.query_one(&format!("SHOW {name}"), &[]).await?.get(0);
            line.push(format!("{name} {value}"));
        }
        println!("{}", line.join(", "));
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.held {
            Held::Sqlite(_) => "SQLite",
            Held::Postgres { .. } => "Postgres",
        })
    }
}

/// Bytes as people read them.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
