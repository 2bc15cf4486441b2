//! A connection of the pool, and transactions that know whether they happened.

use std::ops::Deref;

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

/// A connection of the pool. [`Connection::release`] puts it back; dropping it closes it, so that the
/// next caller does not inherit half-done work.
pub struct Connection {
    object: Option<Object>,
    tls: MakeRustlsConnect,
    /// Whether a transaction is open that has not begun to commit. Only that may be cancelled:
    /// cancelling a COMMIT can make it succeed before a standby has it.
    may_cancel: bool,
}

/// A transaction. Dropping it rolls it back and closes its connection.
pub struct Transaction(Connection);

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

    /// Begins a transaction.
    pub async fn transaction(mut self, isolation: Isolation) -> Result<Transaction, Error> {
        self.may_cancel = true;
        let sql = match isolation {
            Isolation::Default => include_str!("begin.sql"),
            Isolation::Snapshot => include_str!("begin_snapshot.sql"),
        };
        self.script("begin a transaction", sql).await?;
        Ok(Transaction(self))
    }

    /// The rows of a statement, which is prepared once for each connection. An error before COMMIT
    /// means that it certainly did not happen.
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
    pub async fn script(&self, step: &'static str, sql: &str) -> Result<(), Error> {
        self.batch_execute(sql).await.step(step)
    }

    /// Puts the connection back into the pool.
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
        let cancel = self.may_cancel.then(|| (object.cancel_token(), self.tls.clone()));
        Tasks::detach("let a connection go", let_go(object, cancel));
    }
}

/// Cancels what no caller waits for, which would keep its locks; a COMMIT must go on. Until that has
/// ended, however long it takes, the pool does not replace this connection: connections would pile up in the
/// server. If the server is gone, the network says so.
async fn let_go(object: Object, cancel: Option<(CancelToken, MakeRustlsConnect)>) {
    if let Some((token, tls)) = cancel {
        let _ = timeout(CONNECT_TIMEOUT, token.cancel_query(tls)).await;
    }
    // The answer to this comes after everything before it.
    let _ = object.check_connection().await;
    drop(Object::take(object));
}

// === impl Transaction ===

impl Transaction {
    /// Commits. [`Outcome::Indeterminate`](crate::Outcome::Indeterminate) means that it may have
    /// happened.
    pub async fn commit(mut self) -> Result<(), Error> {
        super::faults::fail(&self).await?;
        self.0.may_cancel = false;
        let done = self.batch_execute(include_str!("commit.sql")).await;
        done.map_err(|error| error::commit("commit", error))?;
        self.0.release();
        Ok(())
    }

    /// Runs a statement and takes it back, to see whether it works. The transaction goes on.
    pub async fn try_out(&self, sql: &str) -> Result<(), Error> {
        let step = "try a statement out";
        self.script(step, include_str!("savepoint.sql")).await?;
        self.script(step, sql).await?;
        self.script(step, include_str!("rollback_to_savepoint.sql")).await
    }

    /// Rolls back at once. The connection can go on.
    pub async fn rollback(mut self) -> Result<Connection, Error> {
        self.0.may_cancel = false;
        self.script("roll back", include_str!("rollback.sql")).await?;
        Ok(self.0)
    }

    /// Rolls back, and puts the connection back into the pool.
    pub async fn abandon(self) -> Result<(), Error> {
        self.rollback().await?.release();
        Ok(())
    }

    /// Ends it after this error. If the database refused a lock, or the caller itself refuses to go on,
    /// the connection goes back to the pool: it still works, and a new one costs more.
    pub async fn failed(self, error: Error) -> Error {
        let is_refused_lock = error.sqlstate() == Some(SqlState::LOCK_NOT_AVAILABLE.code());
        let is_of_database =
            error.sqlstate().is_some() || error.find::<tokio_postgres::Error>().is_some();
        if is_refused_lock || !is_of_database {
            // Unless this succeeds, the connection is closed.
            let _ = self.abandon().await;
        }
        error
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

/// The error of a statement that commits by itself.
pub fn commits_itself<T>(
    step: &'static str,
    result: Result<T, tokio_postgres::Error>,
) -> Result<T, Error> {
    result.map_err(|error| error::commit(step, error))
}
