//! What a store must do, and which database does it how.
//!
//! | file | what it owns |
//! |---|---|
//! | `cockroach.rs` | what CockroachDB does in another way than Postgres |
//! | `postgres/` | Postgres; all of it but partitions holds for CockroachDB too |
//! | `sqlite/` | SQLite: one table of rows, written by one thread |

mod cockroach;
pub(crate) mod postgres;
pub(crate) mod sqlite;

use std::sync::Arc;

use hashbrown::HashMap;
use jiff::Timestamp;
use rusqlite::Connection;
use tally_ingest::{Batch, WriteError};
use tally_producers::append::sqlite::transaction;
use tally_producers::{Fate, Parcel};
use tally_store::{Database, Dialect};

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
/// Every database keeps these promises, and one suite of tests holds each of them to it:
///
/// - A batch is stored in one transaction, or not at all; one that its producer has stored
///   before is not stored again.
/// - The same holds for each batch of a client that is in it, by the client's own number. What
///   becomes of it fails no other part of the batch.
/// - An id means one endpoint: the one that has the id in the dictionary, whichever server wrote it.
/// - Totals show every row. One whose name the dictionary lacks is counted under `_unknown`.
/// - For each day, the sum of what was accepted from producers is the number of its rows and its
///   rolled-up requests.
/// - A roll-up moves rows into totals: whatever happens, a request is in exactly one of the
///   two. It takes every row that was committed before it began.
/// - Totals only grow, by addition: a roll-up that is repeated or late does no harm.
/// - With `live`, totals are one snapshot of both.
/// - Days are UTC, whatever the time zone of the session or the machine.
#[derive(Debug)]
pub struct Store {
    database: Database,
    /// The state of a SQLite file.
    file: Arc<sqlite::State>,
}

/// The store for a database whose migrations are applied.
#[must_use]
pub fn open(database: &Database) -> Arc<Store> {
    Arc::new(Store { database: database.clone(), file: Arc::default() })
}

// === impl Store ===

/// Each operation fails when the database does.
impl Store {
    /// Endpoints that the dictionary has, at most `count_max` with at most `path_bytes_max` bytes of
    /// paths, and the [state](Self::state) for which this holds.
    pub async fn endpoints(
        &self,
        count_max: usize,
        path_bytes_max: usize,
    ) -> Result<(Vec<(EndpointId, Endpoint)>, u64)> {
        match &self.database {
            Database::Postgres(database) => {
                let state = self.state();
                Ok((postgres::endpoints::list(database, count_max, path_bytes_max).await?, state))
            }
            Database::Sqlite(database) => {
                // On the writer's thread: only its connection can tell whether another program has
                // written.
                let file = Arc::clone(&self.file);
                let list = move |connection: &mut Connection| {
                    let transaction = sqlite::begin(connection)?;
                    let state = file.look(&transaction)?;
                    let known = sqlite::endpoints::list(&transaction, count_max, path_bytes_max)?;
                    Ok((known, state))
                };
                database.write(list).await
            }
        }
    }

    /// A number that changes whenever the database may have gone back to an earlier state without
    /// this store's doing, as far as the store can see: with each new connection, or when
    /// another program wrote.
    #[must_use]
    pub fn state(&self) -> u64 {
        match &self.database {
            Database::Postgres(database) => database.writers_made(),
            Database::Sqlite(_) => self.file.get(),
        }
    }

    /// Stores a batch and the names that it needs, and returns after the commit. The runs of
    /// clients in it are judged by themselves, even if the batch itself is a duplicate.
    ///
    /// A batch whose producer is at its sequence already is a duplicate, which is acknowledged
    /// and not stored, only if it is [repeated](Batch::is_repeated). An error says whether the batch
    /// may be stored all the same.
    pub async fn append(
        &self,
        batch: &Batch<'_, Parcel<Rows>>,
        names: &Names,
    ) -> Result<Appended, WriteError> {
        match &self.database {
            Database::Postgres(database) => postgres::append::append(database, batch, names).await,
            Database::Sqlite(database) => {
                let (names, file) = (names.clone(), Arc::clone(&self.file));
                transaction(database, batch, move |transaction, batch| {
                    sqlite::append::append(transaction, batch, &names, &file)
                })
                .await
            }
        }
    }

    /// Turns the rows of the days into totals and prunes them; returns how many rows. What was done
    /// before a failure is kept, and calling it again goes on.
    pub async fn roll_up(&self, days: DayRange) -> Result<u64> {
        match &self.database {
            Database::Postgres(database) if is_cockroach(database) => {
                cockroach::roll_up(database, days).await
            }
            Database::Postgres(database) => postgres::roll_up::roll_up(database, days).await,
            Database::Sqlite(database) => {
                database.write(move |connection| sqlite::roll_up::roll_up(connection, days)).await
            }
        }
    }

    /// Answers a query from one snapshot, or fails with [`TooMany`](crate::TooMany) totals.
    pub async fn totals(&self, query: &Query) -> Result<Totals> {
        match &self.database {
            Database::Postgres(database) => postgres::totals::read(database, query).await,
            Database::Sqlite(database) => {
                let query = query.clone();
                database.read(move |connection| sqlite::totals::read(connection, &query)).await
            }
        }
    }

    /// Which of these files were counted as a whole, as far as that is remembered.
    pub async fn counted_files(&self, fingerprints: &[Vec<u8>]) -> Result<Vec<CountedFile>> {
        match &self.database {
            Database::Postgres(database) => postgres::files::find(database, fingerprints).await,
            Database::Sqlite(database) => {
                let asked = fingerprints.to_vec();
                database.read(move |connection| sqlite::files::find(connection, &asked)).await
            }
        }
    }

    /// Writes and commits something that leaves nothing behind, to know whether a request could be
    /// stored now. It does not wait behind queries.
    pub async fn try_write(&self) -> Result<()> {
        match &self.database {
            Database::Postgres(database) => postgres::append::try_write(database).await,
            Database::Sqlite(database) => database.write(sqlite::append::try_write).await,
        }
    }

    /// Imports what is new of the Go server's tables, in one transaction that notes how much it was.
    pub(crate) async fn import_count(&self, tables: CountTables) -> Result<Imported> {
        match &self.database {
            Database::Postgres(database) => {
                postgres::import_count::import_count(database, tables).await
            }
            Database::Sqlite(database) => {
                let import = |connection: &mut Connection| {
                    sqlite::import_count::import_count(connection, tables)
                };
                database.write(import).await
            }
        }
    }

    /// Regular housekeeping, which may be called at any time: makes partitions ahead, drops empty
    /// ones, and forgets counted files beyond the latest 10,000.
    pub async fn maintain(&self, now: Timestamp) -> Result<()> {
        match &self.database {
            Database::Postgres(database) => {
                if !is_cockroach(database) {
                    postgres::partitions::make_ahead(database, now).await?;
                    postgres::partitions::drop_empty(database, now).await?;
                }
                postgres::files::forget(database).await
            }
            Database::Sqlite(database) => {
                database.write(|connection| sqlite::files::forget(connection)).await
            }
        }
    }
}

fn is_cockroach(database: &tally_store::postgres::Database) -> bool {
    database.dialect() == Dialect::Cockroach
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
