//! Postgres and CockroachDB: the pool, and transactions that know whether they happened.
//!
//! | file | what it owns |
//! |---|---|
//! | `migrate.rs` | running migrations under a lock |
//! | `tls.rs` | TLS with libpq's parameters |

pub(crate) mod migrate;
mod tls;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub use deadpool_postgres::GenericClient;
use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime,
};
use tally_runtime::{Kind, Tasks};
use tokio_postgres_rustls::MakeRustlsConnect;

#[cfg(test)]
pub(crate) use self::tls::TlsMode;
pub(crate) use self::tls::TlsSettings;
use crate::error::Step as _;
use crate::url::PostgresUrl;
use crate::{Dialect, Error, Outcome};

/// The oldest Postgres that Tally is tested with, as `server_version_num` counts.
const SERVER_VERSION_MIN: i64 = 140_000;
/// How long one attempt to connect may take, unless the URL says `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a pool is made with.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many connections it opens at most.
    pub connections_max: usize,
    /// How long an operation waits for a connection of the pool.
    pub connection_wait: Duration,
}

/// A pool of connections to one database.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    tls: MakeRustlsConnect,
    url: Arc<PostgresUrl>,
    dialect: Dialect,
    /// How many connections the pool has made.
    connections_made: Arc<AtomicU64>,
}

/// A connection of the pool. It goes back when [`Connection::release`] says that all is well
/// with it; otherwise it is closed, so that no half-done work waits for the next one.
pub struct Connection {
    object: Option<Object>,
    tls: MakeRustlsConnect,
    /// Whether a transaction is open that has not begun to commit. Only such a one may be
    /// cancelled: to cancel a COMMIT can make it succeed before a standby has it.
    may_cancel: Arc<AtomicBool>,
}

/// A transaction, which is rolled back unless it is committed.
pub struct Transaction<'a> {
    inner: deadpool_postgres::Transaction<'a>,
    may_cancel: Arc<AtomicBool>,
}

/// How a transaction sees the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// The database's default: READ COMMITTED in Postgres, SERIALIZABLE in CockroachDB.
    Default,
    /// One snapshot for all statements, and no writes.
    Snapshot,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self { connections_max: 8, connection_wait: Duration::from_secs(10) }
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
        let mut config = url.config.clone();
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host("localhost");
        }
        let mut url = url.clone();
        url.config = config;
        let tls = url.tls.connector()?;
        let manager = Manager::from_config(
            url.config.clone(),
            tls.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let connections_made = Arc::<AtomicU64>::default();
        let made = Arc::clone(&connections_made);
        let pool = Pool::builder(manager)
            .max_size(settings.connections_max)
            .wait_timeout(Some(settings.connection_wait))
            .create_timeout(Some(CONNECT_TIMEOUT * 2))
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(move |client, _| {
                made.fetch_add(1, Ordering::AcqRel);
                Box::pin(prepare_session(client))
            }))
            .build()
            .map_err(|error| {
                Error::permanent("make the connection pool", Kind::Internal).because(error)
            })?;
        let dialect = url.dialect;
        let mut database = Self { pool, tls, url: Arc::new(url), dialect, connections_made };
        database.examine().await?;
        Ok(database)
    }

    /// Which SQL it understands.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// How many connections it has made. A new one may be to a server that was restored, has lost
    /// its last commits in a crash, or was a standby that lagged behind: what was committed
    /// through an earlier one need not be there.
    #[must_use]
    pub fn connections_made(&self) -> u64 {
        self.connections_made.load(Ordering::Acquire)
    }

    /// A connection, waiting for one if all are in use.
    ///
    /// # Errors
    /// When none can be had in time.
    pub async fn connection(&self) -> Result<Connection, Error> {
        use deadpool_postgres::PoolError;
        let step = || format!("connect to {}", self.url);
        match self.pool.get().await {
            Ok(object) => Ok(Connection {
                object: Some(object),
                tls: self.tls.clone(),
                may_cancel: Arc::default(),
            }),
            Err(
                PoolError::PostCreateHook(HookError::Backend(error)) | PoolError::Backend(error),
            ) => Err(Error::statement(step(), error)),
            Err(error @ (PoolError::Timeout(_) | PoolError::PostCreateHook(_))) => {
                Err(Error::transient(step(), Outcome::Determinate).because(error))
            }
            Err(error) => Err(Error::permanent(step(), Kind::Internal).because(error)),
        }
    }

    pub(crate) async fn ping(&self) -> Result<(), Error> {
        let connection = self.connection().await?;
        let row = connection
            .query_one(include_str!("is_read_only.sql"), &[])
            .await
            .step("ask the database whether it takes writes")?;
        connection.release();
        if row.get::<_, String>(0) == "on" {
            return Err(Error::transient("write: the database is read-only", Outcome::Determinate));
        }
        Ok(())
    }

    /// Looks at what answers: which database, how old, how it commits.
    async fn examine(&mut self) -> Result<(), Error> {
        let step = "ask the database for its version";
        let connection = self.connection().await?;
        let row = connection.query_one(include_str!("version.sql"), &[]).await.step(step)?;
        if row.get::<_, String>(0).contains("CockroachDB") {
            self.dialect = Dialect::Cockroach;
            connection.release();
            return Ok(());
        }
        let (number, text, sync) =
            (row.get::<_, String>(1), row.get::<_, String>(2), row.get::<_, String>(3));
        if number.parse().unwrap_or(0) < SERVER_VERSION_MIN {
            return Err(Error::permanent(
                format!("use {}: it is Postgres {text}, and Tally needs 14 or newer", self.url),
                Kind::FailedPrecondition,
            ));
        }
        let encoding: String = row.get(4);
        if encoding != "UTF8" {
            return Err(Error::permanent(
                format!("use {}: its encoding is {encoding}, and paths need UTF8", self.url),
                Kind::FailedPrecondition,
            ));
        }
        if sync == "off" {
            tracing::warn!(
                "the database has synchronous_commit = off: a crash of it can lose the last \
                 moments of what Tally acknowledged"
            );
        }
        connection.release();
        Ok(())
    }

    /// A connection outside the pool, for a migration: it holds a session lock.
    async fn private_connection(&self) -> Result<tokio_postgres::Client, Error> {
        let step = || format!("connect to {}", self.url);
        let tls = self.tls.clone();
        let (client, connection) =
            self.url.config.connect(tls).await.map_err(|error| Error::statement(step(), error))?;
        Tasks::new().spawn("migration connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = tally_runtime::chain(&error), "migration connection ended");
            }
        });
        Ok(client)
    }
}

// === impl Connection ===

impl Connection {
    /// Begins a transaction.
    ///
    /// # Errors
    /// When the connection is gone.
    #[allow(clippy::disallowed_methods, reason = "the one place that begins transactions")]
    pub async fn begin(&mut self, isolation: Isolation) -> Result<Transaction<'_>, Error> {
        let object =
            self.object.as_mut().expect("a connection is taken out only when it is dropped");
        let mut builder = object.build_transaction();
        if isolation == Isolation::Snapshot {
            builder = builder
                .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
                .read_only(true);
        }
        self.may_cancel.store(true, Ordering::Relaxed);
        let inner = builder.start().await.step("begin a transaction")?;
        Ok(Transaction { inner, may_cancel: Arc::clone(&self.may_cancel) })
    }

    /// Gives the connection back to the pool.
    pub fn release(mut self) {
        drop(self.object.take());
    }
}

impl Deref for Connection {
    type Target = deadpool_postgres::Client;

    fn deref(&self) -> &Self::Target {
        self.object.as_ref().expect("a connection is taken out only when it is dropped")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        // The server would go on with what nobody waits for, and keep its locks.
        let (token, tls) = (object.cancel_token(), self.tls.clone());
        drop(Object::take(object));
        let may_cancel = self.may_cancel.load(Ordering::Relaxed);
        if may_cancel && tokio::runtime::Handle::try_current().is_ok() {
            Tasks::new().spawn("cancel a query", async move {
                let _ = tokio::time::timeout(CONNECT_TIMEOUT, token.cancel_query(tls)).await;
            });
        }
    }
}

// === impl Transaction ===

impl Transaction<'_> {
    /// Commits. After an [`Outcome::Indeterminate`] error nobody knows whether it did.
    ///
    /// # Errors
    /// When the database does not confirm it.
    pub async fn commit(self) -> Result<(), Error> {
        crate::faults::fail(&self.inner).await?;
        self.may_cancel.store(false, Ordering::Relaxed);
        self.inner.commit().await.map_err(|error| Error::commit("commit", error))
    }

    /// Rolls back at once.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn rollback(self) -> Result<(), Error> {
        self.may_cancel.store(false, Ordering::Relaxed);
        self.inner.rollback().await.step("roll back")
    }
}

impl<'a> Deref for Transaction<'a> {
    type Target = deadpool_postgres::Transaction<'a>;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

/// What every connection of the pool begins with.
async fn prepare_session(client: &ClientWrapper) -> Result<(), HookError> {
    let statements = async {
        client.batch_execute(include_str!("session.sql")).await?;
        client.batch_execute(include_str!("session_idle.sql")).await
    };
    tokio::time::timeout(CONNECT_TIMEOUT, statements)
        .await
        .map_err(|_| HookError::message("the database does not answer after the login"))?
        .map_err(HookError::Backend)
}

/// The error of a statement that commits by itself.
pub fn commits_itself<T>(
    step: &'static str,
    result: Result<T, tokio_postgres::Error>,
) -> Result<T, Error> {
    result.map_err(|error| Error::commit(step, error))
}
