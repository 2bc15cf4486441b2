//! What a store must do, and how each database does it.
//!
//! | file | what it owns |
//! |---|---|
//! | `cockroach.rs` | CockroachDB |
//! | `postgres.rs`, `postgres/` | Postgres; the first lines of `postgres.rs` say which file owns what |
//! | `sqlite.rs`, `sqlite/` | SQLite, likewise |

mod cockroach;
pub(crate) mod postgres;
pub(crate) mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use hashbrown::HashMap;
use jiff::Timestamp;
use tally_ingest::{Batch, WriteError};
use tally_producers::{Fate, Parcel};
use tally_store::Database;

pub use self::cockroach::CockroachStore;
pub use self::postgres::PostgresStore;
pub use self::sqlite::SqliteStore;
use crate::counted::CountedFile;
use crate::import_count::{CountTables, Imported};
use crate::model::{DayRange, Endpoint, EndpointId, Named};
use crate::rows::Rows;
use crate::totals::{Query, Totals};

/// How many ids an endpoint is tried under. A second endpoint with the same id is unheard of,
/// unless somebody looks for one; each further salt is 2^31 times as hard.
const SALTS_MAX: u32 = 16;

/// The result of a storage operation.
pub type Result<T, E = tally_store::Error> = std::result::Result<T, E>;

/// What a batch's transaction must know of endpoints.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Endpoints that the database may not have, in order of their ids. They are stored in the
    /// batch's transaction, before its rows.
    pub new: Vec<Arc<Named>>,
    /// Ids under which the database has other ones than the rows do.
    pub moved: HashMap<EndpointId, EndpointId>,
    /// The state of the store for which this holds; see [`Store::state`].
    pub state: u64,
    /// The belief of the cache for which this holds.
    pub(crate) belief: u64,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is committed, now or before.
    Stored {
        /// What became of each parcel, in order.
        fates: Vec<Fate>,
        /// Those of the new names that the database has under another id.
        moved: HashMap<EndpointId, EndpointId>,
    },
    /// Nothing was stored: the store is in another state than the names are for.
    Stale,
}

/// Where requests and totals are kept.
///
/// Every backend keeps these promises, and one suite of tests holds each of them to it:
///
/// - A batch is stored in one transaction, or not at all; one that its producer has stored
///   before is not stored again.
/// - The same holds for each batch of a client that is in it, by the client's own number. What
///   becomes of it fails no other part of the batch.
/// - An id means one endpoint: the one that has the id in the dictionary, whoever wrote it.
/// - Totals show every row. One whose name the dictionary lacks is counted under `_unknown`.
/// - For each day, the sum of what was accepted from producers is the number of its rows and its
///   rolled-up requests.
/// - A roll-up moves rows into totals: whatever happens, a request is in exactly one of the
///   two. It takes every row that was committed before it began.
/// - Totals only grow, by addition: a roll-up that is repeated or late does no harm.
/// - With `live`, totals are one snapshot of both.
/// - Days are UTC, whatever the time zone of the session or the machine.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Endpoints that the dictionary has: at most `count_max`, with at most `path_bytes_max` bytes
    /// of paths. Beside them the [state](Store::state) for which this holds.
    ///
    /// # Errors
    /// When the database fails.
    async fn endpoints(
        &self,
        count_max: usize,
        path_bytes_max: usize,
    ) -> Result<(Vec<(EndpointId, Endpoint)>, u64)>;

    /// A number that changes whenever the database may have gone back to an earlier state without
    /// this store's doing, as far as the store can see: with each new connection, or when
    /// somebody else wrote.
    fn state(&self) -> u64;

    /// Stores a batch and the names that it needs, and returns after the commit. The runs of
    /// clients in it are judged by themselves, even if the batch itself is a duplicate.
    ///
    /// A batch whose producer is at its sequence already is a duplicate, which is acknowledged
    /// and not stored, only if it is [repeated](Batch::is_repeated).
    ///
    /// # Errors
    /// When the database fails; the error says whether the batch may be stored all the same. Or when
    /// the number is not the next one.
    async fn append(
        &self,
        batch: &Batch<'_, Parcel<Rows>>,
        names: &Names,
    ) -> Result<Appended, WriteError>;

    /// Turns the rows of the days into totals and prunes them; returns how many rows.
    ///
    /// # Errors
    /// When the database fails. What was done so far is kept, and calling it again goes on.
    async fn roll_up(&self, days: DayRange) -> Result<u64>;

    /// Answers a query from one snapshot.
    ///
    /// # Errors
    /// When the database fails, or because of [`TooMany`](crate::TooMany) totals.
    async fn totals(&self, query: &Query) -> Result<Totals>;

    /// Which of these files were counted as a whole, as far as that is remembered.
    ///
    /// # Errors
    /// When the database fails.
    async fn counted_files(&self, fingerprints: &[Vec<u8>]) -> Result<Vec<CountedFile>>;

    /// Writes and commits something that leaves nothing behind, to know whether a request could be
    /// stored now. It does not wait behind queries.
    ///
    /// # Errors
    /// Why it could not.
    async fn try_write(&self) -> Result<()>;

    /// Imports what is new of the Go server's tables, in one transaction that notes how much it was.
    ///
    /// # Errors
    /// When a database fails, or this one does not do it.
    async fn import_count(&self, tables: CountTables) -> Result<Imported>;

    /// Regular housekeeping: makes partitions ahead, drops empty ones, and forgets counted files
    /// beyond the latest 10,000.
    ///
    /// # Errors
    /// When the database fails. It may be called again at any time.
    async fn maintain(&self, now: Timestamp) -> Result<()>;
}

/// The store for a database.
#[must_use]
pub fn open(database: &Database) -> Arc<dyn Store> {
    match database {
        Database::Postgres(database) => match database.dialect() {
            tally_store::Dialect::Cockroach => Arc::new(CockroachStore::new(database.clone())),
            _ => Arc::new(PostgresStore::new(database.clone())),
        },
        Database::Sqlite(database) => Arc::new(SqliteStore::new(database.clone())),
    }
}

// === impl Names ===

impl Names {
    /// Those for a store in this state.
    #[must_use]
    pub fn new(new: Vec<Arc<Named>>, state: u64) -> Self {
        Self { new, state, ..Self::default() }
    }

    /// Those that are known to have moved, and those that were just found to have.
    fn moved_with(
        &self,
        moved: &HashMap<EndpointId, EndpointId>,
    ) -> HashMap<EndpointId, EndpointId> {
        self.moved.iter().chain(moved).map(|(from, to)| (*from, *to)).collect()
    }
}
