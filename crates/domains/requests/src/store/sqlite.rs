//! SQLite: one table of rows, written by one thread.
//!
//! | file | what it owns |
//! |---|---|
//! | `append.rs` | storing a batch |
//! | `endpoints.rs` | the dictionary of endpoints |
//! | `files.rs` | files that were counted as a whole |
//! | `import_count.rs` | importing the Go server's tables |
//! | `roll_up.rs` | rolling rows up: one scan, counted here |
//! | `totals.rs` | answering queries |

mod append;
mod endpoints;
pub(crate) mod files;
mod import_count;
mod roll_up;
mod totals;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tally_ingest::{Batch, WriteError};
use tally_producers::Parcel;
use tally_producers::append::sqlite;
use tally_store::error::Step as _;
use tally_store::sqlite::Database;

use self::append::State;
use super::{Appended, Names, Result, Store};
use crate::counted::CountedFile;
use crate::import_count::{CountTables, Imported};
use crate::model::{DayRange, Endpoint, EndpointId};
use crate::rows::Rows;
use crate::totals::{Query, Totals};

/// Requests in SQLite.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    database: Database,
    state: Arc<State>,
}

// === impl SqliteStore ===

impl SqliteStore {
    /// On a database whose migrations are applied.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, state: Arc::default() }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn endpoints(
        &self,
        count_max: usize,
        path_bytes_max: usize,
    ) -> Result<(Vec<(EndpointId, Endpoint)>, u64)> {
        // On the writer's thread: only its connection can tell whether somebody else has written.
        let state = Arc::clone(&self.state);
        let list = move |connection: &mut Connection| {
            let transaction = begin(connection)?;
            let state = state.look(&transaction)?;
            Ok((endpoints::list(&transaction, count_max, path_bytes_max)?, state))
        };
        self.database.write(list).await
    }

    fn state(&self) -> u64 {
        self.state.get()
    }

    async fn append(
        &self,
        batch: &Batch<'_, Parcel<Rows>>,
        names: &Names,
    ) -> Result<Appended, WriteError> {
        let (names, state) = (names.clone(), Arc::clone(&self.state));
        sqlite::transaction(&self.database, batch, move |transaction, batch| {
            append::append(transaction, batch, &names, &state)
        })
        .await
    }

    async fn roll_up(&self, days: DayRange) -> Result<u64> {
        self.database.write(move |connection| roll_up::roll_up(connection, days)).await
    }

    async fn totals(&self, query: &Query) -> Result<Totals> {
        let query = query.clone();
        self.database.read(move |connection| totals::read(connection, &query)).await
    }

    async fn counted_files(&self, fingerprints: &[Vec<u8>]) -> Result<Vec<CountedFile>> {
        let fingerprints = fingerprints.to_vec();
        self.database.read(move |connection| files::find(connection, &fingerprints)).await
    }

    async fn try_write(&self) -> Result<()> {
        self.database.write(append::try_write).await
    }

    async fn import_count(&self, tables: CountTables) -> Result<Imported> {
        self.database.write(move |connection| import_count::import_count(connection, tables)).await
    }

    async fn maintain(&self, _now: Timestamp) -> Result<()> {
        self.database.write(|connection| files::forget(connection)).await
    }
}

/// A transaction that writes, and so takes the write lock at once.
fn begin(connection: &mut Connection) -> Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).step("begin a transaction")
}
