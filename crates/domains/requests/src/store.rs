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
use std::time::Duration;

use hashbrown::HashMap;
use jiff::Timestamp;
use rusqlite::Connection;
use tally_ingest::{Batch, WriteError};
use tally_producers::append::sqlite::transaction;
use tally_producers::{Append, Fate, Parcel, Producers};
use tally_runtime::{Clock, Drain, Error, Outcome, chain};
use tally_store::{Database, Dialect};

use crate::counted::CountedFile;
use crate::endpoints::Endpoints;
use crate::import_count::{CountTables, Imported};
use crate::model::{DayRange, Endpoint, EndpointId, Named};
use crate::rows::Rows;
use crate::totals::{Query, Totals};

/// How many ids to try for an endpoint. Two endpoints with the same id are unheard of, except by
/// deliberate search; each further salt is 2^31 times as hard.
const SALTS_MAX: u32 = 16;

/// How often an attempt starts over because a new connection was made meanwhile.
const STALE_MAX: usize = 32;

/// How often housekeeping runs, besides after every roll-up.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The result of a storage operation.
pub type Result<T, E = tally_store::Error> = std::result::Result<T, E>;

/// What a batch's transaction must know about endpoints.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Endpoints that the database may lack, sorted by id. They are stored before the rows, in the
    /// same transaction.
    pub new: Vec<Arc<Named>>,
    /// From ids of rows to other ids that the database has for the same endpoints.
    pub moved: HashMap<EndpointId, EndpointId>,
    /// The [state of the store](Store::state) for which this holds.
    pub state: u64,
    /// The belief for which this holds.
    pub(crate) belief: u64,
}

/// The outcome of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// Committed, now or before.
    Stored {
        /// The outcome of each parcel, in order.
        fates: Vec<Fate>,
        /// The new names that the database has under another id.
        moved: HashMap<EndpointId, EndpointId>,
    },
    /// Nothing was stored: the names are for another state of the store.
    Stale,
}

/// Where requests and totals are kept.
///
/// Every database keeps these promises, and the same tests check each of them:
///
/// - A batch is stored in one transaction, or not at all. A batch that its producer has already
///   stored is not stored again.
/// - The same holds for each client's batch within it, by the client's own number. Its outcome
///   never fails another part of the batch.
/// - An id means the one endpoint that has it in the dictionary, whichever server wrote it.
/// - Totals show every row. A row whose name the dictionary lacks is counted under `_unknown`.
/// - For each day, rows plus rolled-up requests equal what was accepted from producers.
/// - A roll-up moves rows into totals, at least those committed before it began. A request is
///   always in exactly one of the two.
/// - Totals only grow, by addition, so a repeated or late roll-up does no harm.
/// - With `live`, totals are one snapshot of both.
/// - Days are UTC, in any time zone of the session or the machine.
#[derive(Debug)]
pub struct Store {
    database: Database,
    /// Which state SQLite's file is in.
    file: Arc<sqlite::State>,
}

/// The store, the endpoints that it is believed to have, and its producers: batches go in here, and
/// housekeeping looks after it. Clones share everything.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) store: Arc<Store>,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) producers: Producers,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The store for a database whose migrations are applied.
#[must_use]
pub fn open(database: &Database) -> Arc<Store> {
    Arc::new(Store { database: database.clone(), file: Arc::default() })
}

// === impl Store ===

/// Each operation fails when the database does.
impl Store {
    /// The dictionary's endpoints, at most `count_max` with at most `path_bytes_max` bytes of
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

    /// Changes whenever the database may have gone back to an earlier state, as far as the store
    /// can see: with each new connection, or when another program wrote.
    #[must_use]
    pub fn state(&self) -> u64 {
        match &self.database {
            Database::Postgres(database) => database.writers_made(),
            Database::Sqlite(_) => self.file.get(),
        }
    }

    /// Commits a batch and the names that it needs. An error says whether it may be committed
    /// anyway.
    ///
    /// A batch whose producer is already at its sequence is a duplicate, acknowledged and not
    /// stored, only if it is [repeated](Batch::is_repeated). Clients' runs in it are judged by
    /// themselves.
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

    /// Moves the days' rows into totals, and returns how many. After a failure, the next call goes
    /// on.
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

    /// Answers a query from one snapshot. Fails if there are [`TooMany`](crate::TooMany) totals.
    pub async fn totals(&self, query: &Query) -> Result<Totals> {
        match &self.database {
            Database::Postgres(database) => postgres::totals::read(database, query).await,
            Database::Sqlite(database) => {
                let query = query.clone();
                database.read(move |connection| sqlite::totals::read(connection, &query)).await
            }
        }
    }

    /// Which of these files are remembered as counted.
    pub async fn counted_files(&self, fingerprints: &[Vec<u8>]) -> Result<Vec<CountedFile>> {
        match &self.database {
            Database::Postgres(database) => postgres::files::find(database, fingerprints).await,
            Database::Sqlite(database) => {
                let asked = fingerprints.to_vec();
                database.read(move |connection| sqlite::files::find(connection, &asked)).await
            }
        }
    }

    /// Commits something that leaves no trace, to find out whether a request could be stored now.
    /// It does not wait for queries.
    pub async fn try_write(&self) -> Result<()> {
        match &self.database {
            Database::Postgres(database) => postgres::append::try_write(database).await,
            Database::Sqlite(database) => database.write(sqlite::append::try_write).await,
        }
    }

    /// Imports what is new in the Go server's tables, and notes how much, in one transaction.
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

    /// Makes partitions ahead, drops empty ones, and forgets all but the latest counted files.
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

/// What the domain does not do, in terms of the store.
fn refused(refused: crate::error::Error) -> tally_store::Error {
    tally_store::Error::permanent("answer the query", refused.kind()).because(refused)
}

fn is_cockroach(database: &tally_store::postgres::Database) -> bool {
    database.dialect() == Dialect::Cockroach
}

// === impl Names ===

impl Names {
    /// For a store in this state.
    #[must_use]
    pub fn new(new: Vec<Arc<Named>>, state: u64) -> Self {
        Self { new, state, ..Self::default() }
    }

    /// The ids that have moved, including those that were just found.
    fn moved_with(
        &self,
        moved: &HashMap<EndpointId, EndpointId>,
    ) -> HashMap<EndpointId, EndpointId> {
        self.moved.iter().chain(moved).map(|(from, to)| (*from, *to)).collect()
    }
}

// === impl House ===

impl House {
    /// Rolls up the days and keeps house. Returns how many rows were rolled up.
    pub(crate) async fn roll_up(&self, days: DayRange) -> Result<u64> {
        let rows = self.store.roll_up(days).await?;
        tracing::info!(days = %days, rows, "rolled up");
        self.maintain().await;
        Ok(rows)
    }

    /// Keeps house once an hour until the server stops.
    pub(crate) async fn keep(self, drain: Drain) {
        while drain.pause(MAINTENANCE_INTERVAL).await {
            self.maintain().await;
        }
    }

    /// Keeps house now. A failure is logged.
    pub(crate) async fn maintain(&self) {
        let done = async {
            self.store.maintain(self.clock.now()).await?;
            self.producers.forget_silent().await?;
            if self.endpoints.is_full() {
                // An endpoint that another server distinguishes is not `_other` here either.
                let (count_max, path_bytes_max) = self.endpoints.loaded_max();
                self.endpoints.learn(self.store.endpoints(count_max, path_bytes_max).await?.0);
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = done.await {
            tracing::warn!(error = chain(&error), "housekeeping failed, will try again");
        }
    }
}

impl Append for House {
    type Content = Rows;

    async fn append(&self, batch: &Batch<'_, Parcel<Rows>>) -> Result<Vec<Fate>, WriteError> {
        for _ in 0..STALE_MAX {
            let names = self.endpoints.names_of(batch.chunks, self.store.state());
            match self.store.append(batch, &names).await {
                Ok(Appended::Stored { fates, moved }) => {
                    self.endpoints.confirm(&names, moved);
                    return Ok(fates);
                }
                Ok(Appended::Stale) => {}
                Err(error) => {
                    if matches!(error, WriteError::OutOfSequence { .. }) {
                        self.endpoints.doubt();
                    }
                    return Err(error);
                }
            }
        }
        let step = "store a batch: the database's connections do not last";
        Err(Error::transient(step, Outcome::Determinate).into())
    }
}
