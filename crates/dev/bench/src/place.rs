//! A database for one run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tally_requests::store::{self, Store};
use tally_store::postgres::Settings;
use tally_store::{Database, DatabaseUrl};
use tally_testkit::{Cluster, Options, TestDatabase, Watched};

use crate::arguments::{Arguments, Backend};
use crate::usage;

/// The settings of Postgres that the times depend on most.
const SHOWN: [&str; 8] = [
    "server_version",
    "shared_buffers",
    "work_mem",
    "max_wal_size",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "max_parallel_workers_per_gather",
];

/// Where databases of one kind are made.
pub(crate) struct Host {
    backend: Backend,
    /// The temporary Postgres.
    server: Option<Arc<Cluster>>,
    /// A database on which others are created; empty for SQLite.
    server_url: String,
}

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
        _server: Option<Arc<Cluster>>,
    },
}

// === impl Host ===

impl Host {
    pub(crate) async fn start(backend: Backend, arguments: &Arguments) -> anyhow::Result<Self> {
        let (mut server, mut server_url) = (None, String::new());
        match (&arguments.database_url, backend) {
            (_, Backend::Sqlite) => {}
            (Some(url), Backend::Postgres) => {
                // Places are made by the test kit, which panics if there is no server.
                let parsed: DatabaseUrl = url.parse().context("--database-url")?;
                let is_postgres = matches!(parsed, DatabaseUrl::Postgres(_));
                anyhow::ensure!(is_postgres, "--database-url is not that of a Postgres");
                Database::open(&parsed, Settings::default()).await.context("--database-url")?;
                server_url.clone_from(url);
            }
            (None, Backend::Postgres) => {
                // As a server in production has them, unlike one for tests.
                let safe = if arguments.quick { "off" } else { "on" };
                let safe = ["fsync", "full_page_writes"].map(|name| (name.into(), safe.into()));
                let settings = safe.into_iter().chain(arguments.postgres.clone()).collect();
                let cluster = Cluster::start(Options { settings, ..Options::default() })?;
                server_url = cluster.url("postgres");
                server = Some(Arc::new(cluster));
            }
        }
        Ok(Self { backend, server, server_url })
    }

    /// An empty database.
    pub(crate) fn place(&self) -> anyhow::Result<Place> {
        if self.backend == Backend::Sqlite {
            let folder = Watched::create("tally-bench-")?;
            let url = format!("sqlite:{}", folder.path().join("tally.db").display());
            return Ok(Place { url, held: Held::Sqlite(folder) });
        }
        let database = TestDatabase::create_on(&self.server_url, "bench");
        let server = self.server.clone();
        Ok(Place { url: database.url(), held: Held::Postgres { database, _server: server } })
    }

    /// The CPU time of the temporary Postgres so far; `None` if there is none.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        usage::cpu_of_family(self.server.as_ref()?.pid()?)
    }
}

// === impl Place ===

impl Place {
    pub(crate) async fn create(backend: Backend, arguments: &Arguments) -> anyhow::Result<Self> {
        Host::start(backend, arguments).await?.place()
    }

    /// The store, with its tables, for those that need no server.
    pub(crate) async fn open(&self) -> anyhow::Result<(Database, Arc<Store>)> {
        let url: DatabaseUrl = self.url.parse()?;
        let database = Database::open(&url, Settings::default()).await?;
        tally_producers::MIGRATIONS.run(&database).await?;
        tally_requests::MIGRATIONS.run(&database).await?;
        let store = store::open(&database);
        Ok((database, store))
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

    /// The settings that the times depend on most, in words.
    pub(crate) async fn settings(&self) -> anyhow::Result<String> {
        let Some(client) = self.postgres().await else { return Ok(String::new()) };
        let mut line = Vec::new();
        for name in SHOWN {
            let value: String = client.query_one(&format!("SHOW {name}"), &[]).await?.get(0);
            line.push(format!("{name} {value}"));
        }
        Ok(line.join(", "))
    }

    /// Prints the same.
    pub(crate) async fn print_settings(&self) -> anyhow::Result<()> {
        let settings = self.settings().await?;
        if !settings.is_empty() {
            println!("{settings}");
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backend = match self.held {
            Held::Sqlite(_) => Backend::Sqlite,
            Held::Postgres { .. } => Backend::Postgres,
        };
        backend.fmt(f)
    }
}

/// Bytes as people read them.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
