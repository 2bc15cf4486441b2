//! Where debts are kept, and which database does it how.
//!
//! | file | what it owns |
//! |---|---|
//! | `badges.rs` | what badges are made of |
//! | `codes.rs` | definitions, statuses, outcomes and stages as the database has them |
//! | `listing.rs` | which debts are listed, and in what order |
//! | `postgres.rs`, `postgres/` | Postgres and CockroachDB |
//! | `sqlite.rs`, `sqlite/` | SQLite |
//! | `told.rs` | what deeds are about, and what tells that they were done before |

mod badges;
mod codes;
mod listing;
mod postgres;
mod sqlite;
mod told;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tally_outbox::Receiver;
use tally_runtime::Namespace;
use tally_store::Database;
use tally_store::retry::Policy;
use uuid::Uuid;

pub(crate) use self::listing::{Counts, Listing, Numbered, Place, cursor, read_cursor};
use self::told::{Told, creations, named};
use crate::definition::Definition;
use crate::ledger::{Changes, Deed, Loaded, Outcome, Tell, judge};
use crate::metrics::{Measured, Seen};
use crate::model::{Debt, KeptFlip, KeptRun, Named, NewDebt, ShownPayment};
use crate::state::{Gap, State};

/// The result of a storage operation.
pub(crate) type Result<T, E = tally_store::Error> = std::result::Result<T, E>;

/// The longest time between two sweeps that is no gap: servers restart, and a lease changes hands.
pub(crate) const GAP_MAX: SignedDuration = SignedDuration::from_secs(60);

/// How many gaps are kept in mind: the latest ones.
const GAPS_MAX: u32 = 100;

/// The name of the watch, in the database.
pub(crate) const WATCH: &str = "debts";

/// Debts, their payments, runs and flips. Clones share everything.
///
/// Every database keeps these promises, and the same tests check each of them:
///
/// - What is done with a debt is one transaction: its state, the payment, the runs, the flip and its
///   events, or nothing of them.
/// - Debts are locked while they are judged, in the order of their ids, so that two servers never judge
///   by the same state.
/// - A payment that is known by its idempotency key or its run is not stored again.
#[derive(Clone)]
pub(crate) struct Store {
    database: Database,
    /// How many debts a namespace may have.
    debts_max: u32,
    tell: Tell,
    measured: Arc<Measured>,
}

/// What became of a new debt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Added {
    New(Box<Debt>),
    /// There is one of this slug: this.
    Taken(Box<Debt>),
    TooMany,
}

// === impl Store ===

/// Each operation fails when the database does.
impl Store {
    pub(crate) fn new(database: Database, debts_max: u32, tell: Tell) -> Self {
        Self { database, debts_max, tell, measured: Arc::default() }
    }

    /// What is counted of what is done here.
    pub(crate) fn measured(&self) -> &Measured {
        &self.measured
    }

    pub(crate) fn debts_max(&self) -> u32 {
        self.debts_max
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Does deeds in one transaction, and returns what became of each. An error says whether they may
    /// be done all the same; done again, they are known.
    pub(crate) async fn settle(&self, deeds: Arc<[Deed]>, now: Timestamp) -> Result<Vec<Outcome>> {
        let changes = match &self.database {
            Database::Postgres(database) => {
                postgres::settle(database, &deeds, now, self.debts_max, &self.tell).await?
            }
            Database::Sqlite(database) => {
                let (debts_max, tell) = (self.debts_max, Arc::clone(&self.tell));
                database
                    .write(move |connection| {
                        sqlite::settle(connection, &deeds, now, debts_max, &tell)
                    })
                    .await?
            }
        };
        self.measured.flipped(&changes.flips);
        Ok(changes.outcomes)
    }

    /// The same, until it succeeds or fails for good: for what is safe to repeat.
    pub(crate) async fn settle_one(&self, deed: Deed, now: Timestamp) -> Result<Outcome> {
        let deeds: Arc<[Deed]> = Arc::new([deed]);
        let once = || self.settle(Arc::clone(&deeds), now);
        let mut outcomes = Policy::short("settle a debt").run(once).await?;
        Ok(outcomes.pop().unwrap_or(Outcome::Unknown))
    }

    /// Makes a debt, unless there is one of its slug. Safe to repeat.
    pub(crate) async fn add(&self, new: &NewDebt, now: Timestamp) -> Result<Added> {
        let debts_max = self.debts_max;
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::add(database, new, now, debts_max);
                Policy::short("add a debt").run(once).await
            }
            Database::Sqlite(database) => {
                let new = new.clone();
                database
                    .write(move |connection| sqlite::add(connection, &new, now, debts_max))
                    .await
            }
        }
    }

    /// Removes a debt, all that belongs to it, and its events, whether their receivers are still allowed or not.
    /// Safe to repeat.
    pub(crate) async fn remove(&self, debt: &Debt) -> Result<()> {
        let subjects: Vec<_> = subjects(debt.id, &debt.definition).collect();
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::remove(database, debt, &subjects);
                Policy::short("forget a debt").run(once).await
            }
            Database::Sqlite(database) => {
                let debt = debt.clone();
                database.write(move |connection| sqlite::remove(connection, &debt, &subjects)).await
            }
        }
    }

    /// A debt by what it is asked for by.
    pub(crate) async fn find(&self, named: &Named) -> Result<Option<Debt>> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::find(database, named);
                Policy::short("find a debt").run(once).await
            }
            Database::Sqlite(database) => {
                let named = named.clone();
                database.read(move |connection| sqlite::find(connection, &named)).await
            }
        }
    }

    /// Debts, as they stand at this moment.
    pub(crate) async fn list(&self, listing: &Listing, now: Timestamp) -> Result<Vec<Debt>> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::list(database, listing, now);
                Policy::short("list debts").run(once).await
            }
            Database::Sqlite(database) => {
                let listing = listing.clone();
                database.read(move |connection| sqlite::list(connection, &listing, now)).await
            }
        }
    }

    /// How many debts of a namespace, or of all, stand how at this moment.
    pub(crate) async fn counts(
        &self,
        namespace: Option<Namespace>,
        now: Timestamp,
    ) -> Result<Counts> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::counts(database, namespace, now);
                Policy::short("count debts").run(once).await
            }
            Database::Sqlite(database) => {
                database.read(move |connection| sqlite::counts(connection, namespace, now)).await
            }
        }
    }

    /// What a scrape is told, with so many debts one by one.
    pub(crate) async fn seen(&self, debts_max: u32) -> Result<Seen> {
        match &self.database {
            Database::Postgres(database) => postgres::seen(database, debts_max).await,
            Database::Sqlite(database) => {
                database.read(move |connection| sqlite::seen(connection, debts_max)).await
            }
        }
    }

    /// The latest payments before this number.
    pub(crate) async fn payments(
        &self,
        debt: Uuid,
        before: i64,
        limit: u32,
    ) -> Result<Vec<ShownPayment>> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::payments(database, debt, before, limit);
                Policy::short("list payments").run(once).await
            }
            Database::Sqlite(database) => {
                database
                    .read(move |connection| sqlite::payments(connection, debt, before, limit))
                    .await
            }
        }
    }

    /// The latest runs before this number; with `open`, the open ones.
    pub(crate) async fn runs(
        &self,
        debt: Uuid,
        before: i64,
        open: bool,
        limit: u32,
    ) -> Result<Vec<KeptRun>> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::runs(database, debt, before, open, limit);
                Policy::short("list runs").run(once).await
            }
            Database::Sqlite(database) => {
                database
                    .read(move |connection| sqlite::runs(connection, debt, before, open, limit))
                    .await
            }
        }
    }

    /// The latest flips before this number.
    pub(crate) async fn flips(&self, debt: Uuid, before: i64, limit: u32) -> Result<Vec<KeptFlip>> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::flips(database, debt, before, limit);
                Policy::short("list flips").run(once).await
            }
            Database::Sqlite(database) => {
                database
                    .read(move |connection| sqlite::flips(connection, debt, before, limit))
                    .await
            }
        }
    }

    /// Debts that are overdue now, after this moment and id, in order.
    pub(crate) async fn overdue(
        &self,
        now: Timestamp,
        after: (Timestamp, Uuid),
        limit: u32,
    ) -> Result<Vec<(Timestamp, Uuid)>> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::overdue(database, now, after, limit);
                Policy::short("look what is overdue").run(once).await
            }
            Database::Sqlite(database) => {
                database
                    .read(move |connection| sqlite::overdue(connection, now, after, limit))
                    .await
            }
        }
    }

    /// What time it is by the database's own clock. None on SQLite, which has this server's.
    pub(crate) async fn time(&self) -> Result<Option<Timestamp>> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::time(database);
                Policy::short("ask for the time").run(once).await.map(Some)
            }
            Database::Sqlite(_) => Ok(None),
        }
    }

    /// Debts with what is later than this moment, in order of their ids, after this one. It reads all debts.
    pub(crate) async fn ahead(
        &self,
        moment: Timestamp,
        after: Uuid,
        limit: u32,
    ) -> Result<Vec<Uuid>> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::ahead(database, moment, after, limit);
                Policy::short("look what is ahead of the clock").run(once).await
            }
            Database::Sqlite(database) => {
                let ahead = move |connection: &mut rusqlite::Connection| {
                    sqlite::ahead(connection, moment, after, limit)
                };
                database.read(ahead).await
            }
        }
    }

    /// Notes the gap before now, if there is one: before the first sweep after it. Safe to repeat.
    pub(crate) async fn note_gap(&self, now: Timestamp) -> Result<()> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::note_gap(database, now);
                Policy::short("note a gap").run(once).await
            }
            Database::Sqlite(database) => {
                database.write(move |connection| sqlite::note_gap(connection, now)).await
            }
        }
    }

    /// Deletes payments that were received, and runs that ended, before this moment. Returns how many rows;
    /// not all at once.
    pub(crate) async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::prune(database, before, limit);
                Policy::short("prune payments").run(once).await
            }
            Database::Sqlite(database) => {
                database.write(move |connection| sqlite::prune(connection, before, limit)).await
            }
        }
    }
}

/// What the events of a debt for one receiver have in common, so that they arrive in order, and one
/// receiver does not wait for another.
pub(crate) fn subject(debt: Uuid, to: &Receiver) -> Uuid {
    tally_runtime::hash::of(&[debt.as_bytes(), to.url().as_bytes()])
}

/// The subjects of all that are notified.
pub(crate) fn subjects(debt: Uuid, definition: &Definition) -> impl Iterator<Item = Uuid> + '_ {
    let receivers = definition.notify.iter().filter_map(|url| url.parse().ok());
    receivers.map(move |to: Receiver| subject(debt, &to))
}

/// The gap before now, if the last sweep is so long ago.
fn gap_before(now: Timestamp, watched: Option<Timestamp>) -> Option<Gap> {
    let from = watched.filter(|until| now.duration_since(*until) > GAP_MAX)?;
    Some(Gap { from, until: now })
}

/// The gaps that matter now, in order: those that are noted, the last one first, and the one before now. One that
/// ends in the future is of a clock that was put forward and has been set right since.
fn gaps_at(now: Timestamp, noted: Vec<Gap>, watched: Option<Timestamp>) -> Vec<Gap> {
    let is_over = |gap: &Gap| gap.until.duration_since(now) <= GAP_MAX;
    noted.into_iter().rev().filter(is_over).chain(gap_before(now, watched)).collect()
}

/// What is new in the database of a new debt.
fn made(new: &NewDebt, number: i64, now: Timestamp) -> Debt {
    Debt {
        id: new.id,
        namespace: new.namespace,
        number,
        ping_id: new.ping_id,
        definition: new.definition.clone(),
        created: now,
        state: State::new(&new.definition.terms, now),
        payments: 0,
        runs: 0,
        flips: 0,
        open_runs: 0,
    }
}
