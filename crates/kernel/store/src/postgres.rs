//! Postgres and CockroachDB: the pools, and transactions that know whether they happened.
//!
//! | file | what it owns |
//! |---|---|
//! | `age.rs` | when a connection to CockroachDB is replaced |
//! | `connection.rs` | a connection, its transactions, and what becomes of it when it is given up |
//! | `examine.rs` | looking at what answers |
//! | `faults.rs` | transactions that fail on purpose |
//! | `metrics.rs` | what a scrape is told of the pools |
//! | `migrate.rs` | running migrations under a lock |
//! | `tls.rs` | TLS with libpq's parameters |

mod age;
mod connection;
mod examine;
mod faults;
mod metrics;
pub(crate) mod migrate;
mod tls;

use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime,
    TimeoutType,
};
use tally_runtime::{Kind, Tasks, chain};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use tokio_postgres_rustls::MakeRustlsConnect;

pub use self::connection::{Connection, Isolation, Transaction, commits_itself};
pub use self::faults::fail;
#[cfg(test)]
pub(crate) use self::tls::TlsMode;
pub(crate) use self::tls::TlsSettings;
use crate::error::{self, Step as _};
use crate::url::PostgresUrl;
use crate::{Dialect, Error, Outcome};

/// How long one attempt to connect may take, unless the URL says `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Where Postgres listens, unless the URL says it.
const PORT_DEFAULT: u16 = 5432;
/// How long the network may be silent before a connection counts as lost. An abandoned one keeps its
/// place in the pool until then.
const NETWORK_SILENCE_MAX: Duration = Duration::from_secs(15);
/// When and how often an idle connection is probed, and how many probes may fail.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);
/// How long a write waits for a connection: there is one for each concurrent write, unless the
/// database does not answer.
const WRITER_WAIT: Duration = Duration::from_secs(2);
/// The health check's one connection is in use only when the database does not answer.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// The driver's words.
const NO_PASSWORD: &str = "password missing";

/// What clients are told when there is no connection.
const CONNECT_FOR_CLIENTS: &str = "the database cannot be reached; the server's log says why";

/// What a pool is made with.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many connections there are at most, including one for the health check.
    pub connections_max: usize,
    /// How many of them write: while the database takes no writes, the others still read.
    pub writers_max: usize,
    /// How long a writer's statement may take before Postgres ends it.
    pub write_max: Duration,
    /// How long an operation waits for a connection that does not write.
    pub connection_wait: Duration,
}

/// Connections to one database.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    writers: Pool,
    probe: Pool,
    tls: MakeRustlsConnect,
    url: Arc<PostgresUrl>,
    dialect: Dialect,
    /// How long a new connection may take, including the login.
    login_max: Duration,
    /// How many connections the pool of writers has made.
    writers_made: Arc<AtomicU64>,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_max: 8,
            writers_max: 2,
            write_max: Duration::from_secs(10),
            connection_wait: Duration::from_secs(10),
        }
    }
}

// === impl Database ===

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Database {
    pub(crate) async fn open(url: &PostgresUrl, settings: Settings) -> Result<Self, Error> {
        let mut url = url.clone();
        let login_max = login_max(&url.config);
        complete(&mut url.config);
        let tls = url.tls.connector()?;
        let others = settings.connections_max.saturating_sub(settings.writers_max + 1).max(1);
        let writers_made = Arc::<AtomicU64>::default();
        let pool = |size, wait, of| {
            pool(&url.config, &tls, size, (wait, login_max), None, of, Arc::default())
        };
        let writers = |limit, of| {
            let made = Arc::clone(&writers_made);
            let waits = (WRITER_WAIT, login_max);
            self::pool(&url.config, &tls, settings.writers_max, waits, limit, of, made)
        };
        let mut database = Self {
            pool: pool(others, settings.connection_wait, url.dialect)?,
            writers: writers(Some(settings.write_max), url.dialect)?,
            probe: pool(1, PROBE_WAIT, url.dialect)?,
            tls: tls.clone(),
            dialect: url.dialect,
            url: Arc::new(url.clone()),
            login_max,
            writers_made: Arc::clone(&writers_made),
        };
        database.dialect = examine::examine(&database).await?;
        if database.dialect == Dialect::Cockroach {
            // Its limit may come in the middle of a commit.
            database.writers = writers(None, Dialect::Cockroach)?;
            database.pool = pool(others, settings.connection_wait, Dialect::Cockroach)?;
        }
        // The first one that stores finds a connection.
        database.writer().await?.release();
        Ok(database)
    }

    /// Which SQL it understands.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// How many writers it has made. A new one may talk to a server that was restored, lost its last
    /// commits in a crash, or was a standby that lagged behind: earlier commits may be missing there.
    pub fn writers_made(&self) -> u64 {
        self.writers_made.load(Ordering::Acquire)
    }

    /// A connection that reads, or does slow work; waits for one if all are in use.
    pub async fn connection(&self) -> Result<Connection, Error> {
        self.of(&self.pool).await
    }

    /// A connection that stores what a caller waits for. Postgres ends a statement on it that takes
    /// too long, so that it certainly did not happen.
    pub async fn writer(&self) -> Result<Connection, Error> {
        self.of(&self.writers).await
    }

    /// The health check's own connection.
    pub async fn probe(&self) -> Result<Connection, Error> {
        self.of(&self.probe).await
    }

    /// A transaction on a [`Self::connection`].
    pub async fn begin(&self, isolation: Isolation) -> Result<Transaction, Error> {
        self.connection().await?.transaction(isolation).await
    }

    /// The rows of one statement that only reads.
    pub async fn rows(
        &self,
        step: &'static str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let connection = self.connection().await?;
        let rows = connection.rows(step, sql, values).await?;
        connection.release();
        Ok(rows)
    }

    /// The rows of one statement that commits by itself. Its error says whether it did.
    pub async fn commit_rows(
        &self,
        step: &'static str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let connection = self.connection().await?;
        let statement = connection.prepare_cached(sql).await.step(step)?;
        let rows = commits_itself(step, connection.query(&statement, values).await)?;
        connection.release();
        Ok(rows)
    }

    async fn of(&self, pool: &Pool) -> Result<Connection, Error> {
        self.take_from(pool).await.map_err(|error| error.for_clients(CONNECT_FOR_CLIENTS))
    }

    async fn take_from(&self, pool: &Pool) -> Result<Connection, Error> {
        use deadpool_postgres::PoolError;
        let step = || format!("connect to {}", self.url);
        match pool.get().await {
            Ok(object) => Ok(Connection::new(object, self.tls.clone())),
            Err(PoolError::Backend(error)) if chain(&error).contains(NO_PASSWORD) => {
                let advice = "it requires a password: set it in the URL, PGPASSWORD or the \
                              password file (PGPASSFILE or ~/.pgpass)";
                Err(Error::permanent(step(), Kind::FailedPrecondition).because(advice))
            }
            Err(
                PoolError::PostCreateHook(HookError::Backend(error)) | PoolError::Backend(error),
            ) => Err(error::statement(step(), error)),
            Err(PoolError::Timeout(TimeoutType::Wait)) => {
                let busy =
                    format!("all {} connections for this are in use", pool.status().max_size);
                Err(Error::transient(step(), Outcome::Determinate).because(busy))
            }
            Err(PoolError::Timeout(TimeoutType::Create)) => Err(self.silent()),
            Err(error @ (PoolError::Timeout(_) | PoolError::PostCreateHook(_))) => {
                Err(Error::transient(step(), Outcome::Determinate).because(error))
            }
            Err(error) => Err(Error::permanent(step(), Kind::Internal).because(error)),
        }
    }

    pub(crate) async fn ping(&self) -> Result<(), Error> {
        let connection = self.probe().await?;
        let step = "ask the database whether it takes writes";
        let row = connection.row(step, include_str!("postgres/is_read_only.sql"), &[]).await?;
        connection.release();
        if row.get::<_, String>(0) == "on" {
            return Err(Error::transient("write: the database is read-only", Outcome::Determinate));
        }
        Ok(())
    }

    /// A connection outside the pool, for a migration: it holds a session lock.
    async fn private_connection(&self) -> Result<tokio_postgres::Client, Error> {
        let step = || format!("connect to {}", self.url);
        let tls = self.tls.clone();
        let connecting = tokio::time::timeout(self.login_max, self.url.config.connect(tls));
        let (client, connection) = connecting
            .await
            .map_err(|_| self.silent())?
            .map_err(|error| error::statement(step(), error))?;
        Tasks::detach("migration connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = chain(&error), "migration connection ended");
            }
        });
        Ok(client)
    }

    /// The port is open, but nothing there answers.
    fn silent(&self) -> Error {
        let (peers, seconds) = (peers(&self.url.config), self.login_max.as_secs());
        Error::transient(format!("connect to {}", self.url), Outcome::Determinate)
            .because(format!("no answer from {peers} within {seconds} s"))
    }
}

/// How long a connection may take, including the login: `connect_timeout` is for each host.
fn login_max(config: &tokio_postgres::Config) -> Duration {
    let hosts = config.get_hosts().len().max(config.get_hostaddrs().len()).max(1);
    let hosts = u32::try_from(hosts).unwrap_or(u32::MAX);
    match config.get_connect_timeout() {
        Some(one) => one.saturating_mul(hosts),
        None => CONNECT_TIMEOUT * 2,
    }
}

fn peers(config: &tokio_postgres::Config) -> String {
    use tokio_postgres::config::Host;
    let ports = config.get_ports();
    let name = |(at, host): (usize, &Host)| {
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(PORT_DEFAULT);
        match host {
            Host::Tcp(host) if host.contains(':') => format!("[{host}]:{port}"),
            Host::Tcp(host) => format!("{host}:{port}"),
            #[cfg(unix)]
            Host::Unix(folder) => folder.display().to_string(),
        }
    };
    config.get_hosts().iter().enumerate().map(name).collect::<Vec<_>>().join(", ")
}

/// Adds what the URL does not say.
fn complete(config: &mut tokio_postgres::Config) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        config.host("localhost");
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(NETWORK_SILENCE_MAX);
    }
    if config.get_keepalives_interval().is_none() && config.get_keepalives_retries().is_none() {
        let (idle, interval, retries) = KEEPALIVE;
        let idle = config.get_keepalives_idle().min(idle);
        config.keepalives_idle(idle).keepalives_interval(interval).keepalives_retries(retries);
    }
}

fn pool(
    config: &tokio_postgres::Config,
    tls: &MakeRustlsConnect,
    size: usize,
    (wait, login_max): (Duration, Duration),
    statement_max: Option<Duration>,
    dialect: Dialect,
    made: Arc<AtomicU64>,
) -> Result<Pool, Error> {
    let jitter = RandomState::new();
    let manager = Manager::from_config(
        config.clone(),
        tls.clone(),
        ManagerConfig { recycling_method: RecyclingMethod::Fast },
    );
    Pool::builder(manager)
        .max_size(size)
        .wait_timeout(Some(wait))
        .create_timeout(Some(login_max))
        .runtime(Runtime::Tokio1)
        .post_create(Hook::async_fn(move |client, _| {
            made.fetch_add(1, Ordering::AcqRel);
            Box::pin(prepare_session(client, statement_max, dialect))
        }))
        .pre_recycle(Hook::sync_fn(move |_, metrics| {
            if dialect == Dialect::Cockroach && age::is_old(metrics, &jitter) {
                return Err(HookError::message("it is old enough"));
            }
            Ok(())
        }))
        .build()
        .map_err(|error| {
            Error::permanent("make the connection pool", Kind::Internal).because(error)
        })
}

/// What every connection of a pool begins with.
async fn prepare_session(
    client: &ClientWrapper,
    statement_max: Option<Duration>,
    dialect: Dialect,
) -> Result<(), HookError> {
    let statements = async {
        client.batch_execute(include_str!("postgres/session.sql")).await?;
        client.batch_execute(include_str!("postgres/session_idle.sql")).await?;
        if dialect == Dialect::Postgres {
            client.batch_execute(include_str!("postgres/session_isolation.sql")).await?;
        }
        if let Some(max) = statement_max {
            let ms = max.as_millis().to_string();
            let sql = include_str!("postgres/session_write.sql").replace(":limit_ms", &ms);
            client.batch_execute(&sql).await?;
        }
        Ok(())
    };
    tokio::time::timeout(CONNECT_TIMEOUT, statements)
        .await
        .map_err(|_| HookError::message("the database does not answer after the login"))?
        .map_err(HookError::Backend)
}
