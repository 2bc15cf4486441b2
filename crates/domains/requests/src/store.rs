//! What a store must do, and which database does it how.
//!
//! | file | what it owns |
//! |---|---|
//! | `advance.rs` | how far folds and roll-ups have come |
//! | `answers.rs` | totals, and lists of names |
//! | `changes.rs` | corrections, merges and forgets |
//! | `cockroach.rs` | what CockroachDB does in another way than Postgres |
//! | `names.rs` | what a batch's transaction must know about series |
//! | `postgres/` | Postgres; all of it but trays holds for CockroachDB too |
//! | `rules.rs` | rules about counts |
//! | `sqlite/` | SQLite: two trays of rows, written by one thread |

mod advance;
mod answers;
mod changes;
mod cockroach;
mod names;
pub(crate) mod postgres;
mod rules;
pub(crate) mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use jiff::Timestamp;
use rusqlite::Connection;
use tally_ingest::{Batch, WriteError};
use tally_producers::append::sqlite::transaction;
use tally_producers::{Fate, Parcel};
use tally_store::{Database, Dialect};

use crate::books::Folded;
use crate::due::{Attempt, Folds};
use crate::import_count::{CountTables, Imported};
use crate::model::{Day, DayRange, Namespace, Quarter, Series, SeriesId, SeriesRef};
use crate::rows::Rows;
use crate::totals::PieceCache;

pub(crate) use self::advance::{Advance, Unfolded};
pub use self::names::Names;
pub(crate) use self::rules::{Added, Judged};

/// How many ids to try for a series. Two series with the same id are unheard of, except by
/// deliberate search; each further salt is 2^31 times as hard.
const SALTS_MAX: u32 = 16;

/// Pages that SQLite gives back in one step, 512 KiB in some 5 ms, and steps in a second.
const GIVEN_PAGES: u32 = 64;
const GIVEN_STEPS: usize = 32;
/// Free pages that it keeps for the next rows: 16 MiB.
const KEPT_PAGES: u32 = 2_048;

/// The result of a storage operation.
pub type Result<T, E = tally_store::Error> = std::result::Result<T, E>;

/// How many series of each namespace a list has, and bytes of their texts, so that no namespace takes the
/// place of another one.
pub(crate) struct ListLimit {
    count_max: usize,
    text_bytes_max: usize,
    taken: HashMap<Namespace, (usize, usize)>,
}

/// The outcome of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// Committed, now or before.
    Stored {
        /// The outcome of each parcel, in order.
        fates: Vec<Fate>,
        /// The new names that the database has under another id.
        renumbered: HashMap<SeriesId, SeriesId>,
    },
    /// Nothing was stored: the names are for another state of the store.
    Stale,
    /// Nothing was stored: series have been merged or forgotten that the names do not know of.
    Outdated,
}

/// Where requests and totals are kept.
///
/// Every database keeps these promises, and the same tests check each of them:
///
/// - A batch is stored in one transaction, or not at all. A batch that its producer has already
///   stored is not stored again.
/// - The same holds for each client's batch within it, by the client's own number. Its outcome
///   never fails another part of the batch.
/// - An id means the one series that has it in the dictionary, whichever server wrote it.
/// - Totals show every row. A row whose name the dictionary lacks is counted under `_unknown`.
/// - For each day, rows plus totals equal what was accepted from producers.
/// - A fold moves rows into the totals of their days, and a roll-up these into their months, at least
///   those committed before it began. A request is in exactly one of: the rows, the days that are not
///   rolled up, the months.
/// - Totals only grow, by addition, or go to another series as a whole; and a repeated fold or roll-up finds nothing to add.
/// - With `live`, totals are one snapshot of the three.
/// - Days are UTC, in any time zone of the session or the machine.
#[derive(Debug)]
pub struct Store {
    database: Database,
    /// Which tray of Postgres takes rows now, as far as this server knows.
    turns: postgres::trays::Turns,
    /// Which state SQLite's file is in.
    file: Arc<sqlite::State>,
    /// Days that queries have read by quarters.
    cache: Arc<PieceCache>,
    /// One fold at a time: others would only wait for it in the database.
    folding: tokio::sync::Mutex<()>,
    /// How many rows a step takes on CockroachDB.
    step_rows: i64,
}

/// The store for a database whose migrations are applied.
#[must_use]
pub fn open(database: &Database) -> Arc<Store> {
    open_with_steps(database, cockroach::STEP_ROWS)
}

/// The same, with steps of this many rows on CockroachDB, so that a test needs few rows for many steps.
#[must_use]
pub fn open_with_steps(database: &Database, step_rows: i64) -> Arc<Store> {
    let file = match database {
        Database::Sqlite(database) => database.common(),
        Database::Postgres(_) => Arc::default(),
    };
    Arc::new(Store {
        database: database.clone(),
        turns: postgres::trays::Turns::default(),
        file,
        cache: Arc::default(),
        folding: tokio::sync::Mutex::default(),
        step_rows,
    })
}

// === impl Store ===

/// Each operation fails when the database does.
impl Store {
    /// The dictionary's series, at most `count_max` with at most `text_bytes_max` bytes of texts,
    /// and the [state](Self::state) for which this holds.
    pub async fn series(
        &self,
        count_max: usize,
        text_bytes_max: usize,
    ) -> Result<(Vec<(SeriesId, Series)>, u64)> {
        match &self.database {
            Database::Postgres(database) => {
                let state = self.state();
                Ok((postgres::series::list(database, count_max, text_bytes_max).await?, state))
            }
            Database::Sqlite(database) => {
                // On the writer's thread: only its connection can tell whether another program has
                // written.
                let file = Arc::clone(&self.file);
                let list = move |connection: &mut Connection| {
                    let transaction = tally_store::sqlite::begin(connection)?;
                    let state = file.look(&transaction)?;
                    let known = sqlite::series::list(&transaction, count_max, text_bytes_max)?;
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

    /// Commits a batch and the names that it needs, at this time by the server's clock. An error says
    /// whether it may be committed anyway.
    ///
    /// A batch whose producer is already at its sequence is a duplicate, acknowledged and not
    /// stored, only if it is [repeated](Batch::is_repeated). Clients' runs in it are judged by
    /// themselves.
    pub async fn append(
        &self,
        batch: &Batch<'_, Parcel<Rows>>,
        names: &Names,
        now: Timestamp,
    ) -> Result<Appended, WriteError> {
        match &self.database {
            Database::Postgres(database) => {
                postgres::append::append(database, batch, names, &self.turns, now).await
            }
            Database::Sqlite(database) => {
                let (names, file) = (names.clone(), Arc::clone(&self.file));
                transaction(database, batch, move |transaction, batch| {
                    sqlite::append::append(transaction, batch, &names, &file)
                })
                .await
            }
        }
    }

    /// Adds every row that is committed now to its day, and removes it.
    pub async fn fold(&self) -> Result<Folded> {
        let _turn = self.folding.lock().await;
        match &self.database {
            Database::Postgres(database) if is_cockroach(database) => {
                cockroach::fold(database, DayRange::ALL.micros(), self.step_rows).await
            }
            Database::Postgres(database) => postgres::folds::fold_all(database, &self.turns).await,
            Database::Sqlite(database) => sqlite::trays::fold_all(database, &self.file).await,
        }
    }

    /// Folds the rows that need not wait for others of their quarter: those of trays that are large, or
    /// that were last folded in another quarter. A tray that fails stops no other.
    pub(crate) async fn fold_due(&self, now: Timestamp, folds: &mut Folds) -> Result<Folded> {
        // A fold of everything goes on, and may wait for long.
        let Ok(_turn) = self.folding.try_lock() else { return Ok(Folded::default()) };
        let is_due = |tray, is_large| folds.is_due(tray, now, is_large);
        let done: Vec<(usize, Result<Attempt>)> = match &self.database {
            Database::Postgres(database) if is_cockroach(database) => {
                if is_due(0, false) {
                    let quarter = Quarter::of_micros(now.as_microsecond());
                    let micros = DayRange::ALL.micros().start..quarter.start_micros();
                    let folded = cockroach::fold(database, micros, self.step_rows).await;
                    vec![(0, folded.map(Attempt::Folded))]
                } else {
                    Vec::new()
                }
            }
            Database::Postgres(database) => {
                let is_due = |tray: postgres::trays::Tray, is_large| is_due(tray.index(), is_large);
                let done = postgres::folds::fold_due(database, &self.turns, now, is_due).await?;
                done.into_iter().map(|(tray, one)| (tray.index(), one)).collect()
            }
            Database::Sqlite(database) => {
                let done = sqlite::trays::fold_due(database, &self.file, is_due).await?;
                done.into_iter().map(|(tray, one)| (tray, one.map(Attempt::Folded))).collect()
            }
        };
        let (mut all, mut failed) = (Folded::default(), None);
        folds.next_turn = None;
        for (tray, one) in done {
            match one {
                Ok(Attempt::Folded(one)) => {
                    folds.note(tray, now);
                    all += one;
                }
                Ok(Attempt::InTurn) => folds.next_turn = Some(postgres::trays::NEXT_TURN),
                Ok(Attempt::Held(holder)) => folds.note_held(tray, now, &holder),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(all), Err)
    }

    /// Rolls the days up, after all rows are folded. Returns how many requests that were not in months
    /// are there now. After a failure, the next call goes on.
    pub async fn roll_up(&self, days: DayRange) -> Result<u64> {
        let folded = self.fold().await?;
        let requests = match &self.database {
            Database::Postgres(database) if is_cockroach(database) => {
                cockroach::books::roll_up(database, days, self.step_rows).await?
            }
            Database::Postgres(database) => postgres::books::roll_up(database, days).await?,
            Database::Sqlite(database) => {
                let roll_up =
                    move |connection: &mut Connection| sqlite::books::roll_up(connection, days);
                let mut requests = 0;
                while let Some(some) = database.write(roll_up).await? {
                    requests += some;
                }
                requests
            }
        };
        Ok(folded.rolled_up + requests)
    }

    /// The last day that has totals, or on which one was rolled up.
    pub(crate) async fn newest_day(&self) -> Result<Option<Day>> {
        match &self.database {
            Database::Postgres(database) => postgres::books::newest_day(database).await,
            Database::Sqlite(database) => {
                database.read_long(|connection| sqlite::books::newest_day(connection)).await
            }
        }
    }

    /// Deletes the quarters of days before this one that were rolled up this long ago, by the database's
    /// clock. Returns how many days.
    pub async fn prune(&self, before: Day, rolled_up_for: Duration) -> Result<usize> {
        match &self.database {
            Database::Postgres(database) if is_cockroach(database) => {
                cockroach::books::prune(database, before, rolled_up_for, self.step_rows).await
            }
            Database::Postgres(database) => {
                postgres::books::prune(database, before, rolled_up_for).await
            }
            Database::Sqlite(database) => {
                let prune = move |connection: &mut Connection| {
                    sqlite::books::prune(connection, before, rolled_up_for)
                };
                let mut days = 0;
                loop {
                    match database.write(prune).await? {
                        0 => return Ok(days),
                        some => days += some,
                    }
                }
            }
        }
    }

    /// Commits something that leaves no trace, to find out whether a request could be stored now.
    /// It does not wait for queries.
    pub async fn try_write(&self, now: Timestamp) -> Result<()> {
        match &self.database {
            Database::Postgres(database) => {
                postgres::append::try_write(database, self.turns.now(now)).await
            }
            Database::Sqlite(database) => {
                let file = Arc::clone(&self.file);
                database.write(move |connection| sqlite::append::try_write(connection, &file)).await
            }
        }
    }

    /// Imports what is new in the Go server's tables, and notes how much, in one transaction.
    pub(crate) async fn import_count(&self, tables: CountTables) -> Result<Imported> {
        match &self.database {
            Database::Postgres(database) => {
                postgres::import_count::import_count(database, tables).await
            }
            Database::Sqlite(database) => {
                let file = Arc::clone(&self.file);
                let import = move |connection: &mut Connection| {
                    sqlite::import_count::import_count(connection, tables, &file)
                };
                database.write(import).await
            }
        }
    }

    /// Gives space that is free for good back to the file system, in short steps.
    pub(crate) async fn give_back(&self) -> Result<()> {
        if let Database::Sqlite(database) = &self.database {
            for _ in 0..GIVEN_STEPS {
                if database.give_back(GIVEN_PAGES, KEPT_PAGES).await? == 0 {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn is_cockroach(database: &tally_store::postgres::Database) -> bool {
    database.dialect() == Dialect::Cockroach
}

// === impl ListLimit ===

impl ListLimit {
    fn new(count_max: usize, text_bytes_max: usize) -> Self {
        Self { count_max, text_bytes_max, taken: HashMap::new() }
    }

    /// Whether the list has this one too.
    fn takes(&mut self, series: &SeriesRef<'_>) -> bool {
        let (count, text_bytes) = self.taken.entry(series.namespace).or_default();
        *text_bytes = text_bytes.saturating_add(series.text_bytes());
        let takes = *count < self.count_max && *text_bytes <= self.text_bytes_max;
        *count += usize::from(takes);
        takes
    }
}
