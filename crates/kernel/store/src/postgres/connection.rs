//! A connection of the pool, and transactions that know whether they happened.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::Object;
use tally_runtime::Tasks;
use tokio::time::timeout;
use tokio_postgres::CancelToken;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::CONNECT_TIMEOUT;
use crate::Error;
use crate::error::{self, Step as _};

/// How long a connection that was given up is one of the pool's, if the database does not end what
/// it is doing. So a server that hangs gets a few connections more in this time, and one that hangs
/// for good does not hold up another that has taken its place for longer.
const ABANDONED_MAX: Duration = Duration::from_secs(5 * 60);

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

// === impl Connection ===

impl Connection {
    pub(super) fn new(object: Object, tls: MakeRustlsConnect) -> Self {
        Self { object: Some(object), tls, may_cancel: Arc::default() }
    }

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
        if tokio::runtime::Handle::try_current().is_err() {
            return drop(Object::take(object));
        }
        let may_cancel = self.may_cancel.load(Ordering::Relaxed);
        let cancel = may_cancel.then(|| (object.cancel_token(), self.tls.clone()));
        Tasks::detach("let a connection go", let_go(object, cancel));
    }
}

/// The server would go on with what no caller waits for, and keep its locks. A COMMIT it must go on
/// with. Until it has ended, the pool makes no other connection in place of this one: they would
/// pile up in the server.
async fn let_go(object: Object, cancel: Option<(CancelToken, MakeRustlsConnect)>) {
    if let Some((token, tls)) = cancel {
        let _ = timeout(CONNECT_TIMEOUT, token.cancel_query(tls)).await;
    }
    // The answer to this comes after everything that was asked for before.
    let _ = timeout(ABANDONED_MAX, object.check_connection()).await;
    drop(Object::take(object));
}

// === impl Transaction ===

impl Transaction<'_> {
    /// Commits. After an [`Outcome::Indeterminate`](crate::Outcome::Indeterminate) error it may or
    /// may not have.
    ///
    /// # Errors
    /// When the database does not confirm it.
    pub async fn commit(self) -> Result<(), Error> {
        super::faults::fail(&self.inner).await?;
        self.may_cancel.store(false, Ordering::Relaxed);
        self.inner.commit().await.map_err(|error| error::commit("commit", error))
    }

    /// Runs a statement and takes it back, to know whether it could be done. The transaction goes
    /// on, and its COMMIT is a real one.
    ///
    /// # Errors
    /// Why it cannot be done.
    pub async fn try_out(&mut self, sql: &str) -> Result<(), Error> {
        let step = "try a statement out";
        let savepoint = self.inner.savepoint("before").await.step(step)?;
        savepoint.batch_execute(sql).await.step(step)?;
        savepoint.rollback().await.step(step)
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

/// The error of a statement that commits by itself.
pub fn commits_itself<T>(
    step: &'static str,
    result: Result<T, tokio_postgres::Error>,
) -> Result<T, Error> {
    result.map_err(|error| error::commit(step, error))
}
