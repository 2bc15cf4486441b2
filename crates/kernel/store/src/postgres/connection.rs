//! A connection of the pool, and transactions that know whether they happened.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool_postgres::Object;
use futures_util::stream::{BoxStream, StreamExt as _};
use tally_runtime::Tasks;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{CancelToken, Row};
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
    may_cancel: bool,
}

/// A transaction, which is rolled back unless it is committed. One that is dropped takes its
/// connection with it.
pub struct Transaction<'a>(Held<'a>);

#[expect(clippy::large_enum_variant, reason = "there are few, and none is kept in a collection")]
enum Held<'a> {
    /// It goes back to the pool with the end of the transaction.
    Own(Connection),
    Lent(&'a mut Connection),
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
        Self { object: Some(object), tls, may_cancel: false }
    }

    /// Begins a transaction, after which the connection goes on.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn begin(&mut self, isolation: Isolation) -> Result<Transaction<'_>, Error> {
        self.start(isolation).await?;
        Ok(Transaction(Held::Lent(self)))
    }

    /// Begins a transaction, at whose end the connection goes back to the pool.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn transaction(
        mut self,
        isolation: Isolation,
    ) -> Result<Transaction<'static>, Error> {
        self.start(isolation).await?;
        Ok(Transaction(Held::Own(self)))
    }

    async fn start(&mut self, isolation: Isolation) -> Result<(), Error> {
        self.may_cancel = true;
        let sql = match isolation {
            Isolation::Default => include_str!("begin.sql"),
            Isolation::Snapshot => include_str!("begin_snapshot.sql"),
        };
        self.script("begin a transaction", sql).await
    }

    /// The rows of a statement, which is prepared once for each connection.
    ///
    /// # Errors
    /// When it fails, under the name of the step. Before a COMMIT it certainly did not happen.
    pub async fn rows(
        &self,
        step: &'static str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let statement = self.prepare_cached(sql).await.step(step)?;
        self.query(&statement, values).await.step(step)
    }

    /// The one row of such a statement.
    ///
    /// # Errors
    /// When it fails, or has another number of rows.
    pub async fn row(
        &self,
        step: &'static str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, Error> {
        let statement = self.prepare_cached(sql).await.step(step)?;
        self.query_one(&statement, values).await.step(step)
    }

    /// How many rows such a statement has changed.
    ///
    /// # Errors
    /// When it fails.
    pub async fn write(
        &self,
        step: &'static str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        let statement = self.prepare_cached(sql).await.step(step)?;
        self.execute(&statement, values).await.step(step)
    }

    /// The rows of such a statement one by one, for an answer that is not held as a whole.
    ///
    /// # Errors
    /// When the statement fails, at its beginning or in the middle of its rows.
    pub async fn stream(
        &self,
        step: &'static str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<BoxStream<'static, Result<Row, Error>>, Error> {
        let statement = self.prepare_cached(sql).await.step(step)?;
        let rows = self.query_raw(&statement, values.iter().copied()).await.step(step)?;
        Ok(rows.map(move |row| row.step(step)).boxed())
    }

    /// Runs statements without values and without an answer, in one round trip.
    ///
    /// # Errors
    /// When one fails.
    pub async fn script(&self, step: &'static str, sql: &str) -> Result<(), Error> {
        self.batch_execute(sql).await.step(step)
    }

    /// Gives the connection back to the pool. One whose transaction was dropped is closed.
    pub fn release(mut self) {
        if !self.may_cancel {
            drop(self.object.take());
        }
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
        let cancel = self.may_cancel.then(|| (object.cancel_token(), self.tls.clone()));
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
    pub async fn commit(mut self) -> Result<(), Error> {
        super::faults::fail(&**self).await?;
        self.0.may_cancel = false;
        let done = self.batch_execute(include_str!("commit.sql")).await;
        done.map_err(|error| error::commit("commit", error))?;
        self.0.release();
        Ok(())
    }

    /// Runs a statement and takes it back, to know whether it could be done. The transaction goes
    /// on, and its COMMIT is a real one.
    ///
    /// # Errors
    /// Why it cannot be done.
    pub async fn try_out(&self, sql: &str) -> Result<(), Error> {
        let step = "try a statement out";
        self.script(step, include_str!("savepoint.sql")).await?;
        self.script(step, sql).await?;
        self.script(step, include_str!("rollback_to_savepoint.sql")).await
    }

    /// Rolls back at once.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn rollback(mut self) -> Result<(), Error> {
        self.0.may_cancel = false;
        self.script("roll back", include_str!("rollback.sql")).await?;
        self.0.release();
        Ok(())
    }

    /// Ends it after this error. If the database refused a lock, the connection goes back to the
    /// pool, because callers come back soon and a new connection costs more than the wait did.
    pub async fn failed(self, error: Error) -> Error {
        if error.sqlstate() == Some(SqlState::LOCK_NOT_AVAILABLE.code()) {
            // Unless this succeeds, the connection is closed.
            let _ = self.rollback().await;
        }
        error
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

// === impl Held ===

impl Held<'_> {
    fn release(self) {
        if let Self::Own(connection) = self {
            connection.release();
        }
    }
}

impl Deref for Held<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self {
            Self::Own(connection) => connection,
            Self::Lent(connection) => connection,
        }
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        match self {
            Self::Own(connection) => connection,
            Self::Lent(connection) => connection,
        }
    }
}

/// The error of a statement that commits by itself.
pub fn commits_itself<T>(
    step: &'static str,
    result: Result<T, tokio_postgres::Error>,
) -> Result<T, Error> {
    result.map_err(|error| error::commit(step, error))
}
