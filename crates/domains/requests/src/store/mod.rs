//! What a store must do, and how each database does it.
//!
//! | file | what it owns |
//! |---|---|
//! | `cockroach.rs` | CockroachDB |
//! | `kept.rs` | rolled-up days that are kept in memory |
//! | `plan.rs` | what of a batch is stored, by where its producers stand |
//! | `postgres.rs` | Postgres: endpoints, batches, totals |
//! | `postgres/` | its roll-up, its partitions, and the SQL |
//! | `sqlite.rs` | SQLite |
//! | `sqlite/` | its roll-up and totals, and the SQL |

mod cockroach;
mod kept;
mod plan;
mod postgres;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use tally_ingest::Batch;
use tally_store::Database;
use uuid::Uuid;

pub use self::cockroach::CockroachStore;
pub use self::postgres::PostgresStore;
pub use self::sqlite::SqliteStore;
use crate::model::{DayRange, Endpoint, EndpointId, Rows};
use crate::producer::{Leaving, Opening, Producer, Refusal, Standing};
use crate::setback::{Setback, Told};
use crate::totals::{Query, TooMany, Totals};

/// How many producers are opened at the same time: so many clients that come back at once leave the
/// connections to the insert workers.
pub(crate) const OPENINGS_MAX: usize = 3;

/// What the setback of a server's own worker is called.
const WORKER_NAME: &str = "tally serve";

/// How many days producers are remembered that store nothing.
pub type ProducerRetention = u32;

/// A producer that was opened, with where it stands; or why not.
pub type Opened = std::result::Result<Standing, Refusal>;

/// The result of a storage operation.
pub type Result<T> = std::result::Result<T, tally_store::Error>;

/// Where requests and totals are kept.
///
/// Every backend keeps these promises, and one suite of tests holds each of them to it:
///
/// - A batch is stored in one transaction, or not at all; one that its producer has stored
///   before is not stored again.
/// - The same holds for each batch of a client that is in it, by the client's own number. What
///   became of it is said in the [`Run`](crate::Run), and fails no other part of the batch.
/// - For each day, the sum of what was accepted from producers is the number of its rows and its
///   rolled-up requests.
/// - A roll-up moves rows into totals: whatever happens, a request is in exactly one of the
///   two. It takes every row that was committed before it began.
/// - Totals only grow, by addition: a roll-up that is repeated or late does no harm.
/// - With `live`, totals are one snapshot of both.
/// - Days are UTC, whatever the time zone of the session or the machine.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Every endpoint there is.
    ///
    /// # Errors
    /// When the database fails.
    async fn endpoints(&self) -> Result<Vec<(EndpointId, Endpoint)>>;

    /// The ids of endpoints, in the same order; those that are not there are added.
    ///
    /// # Errors
    /// When the database fails.
    async fn resolve(&self, endpoints: &[Endpoint]) -> Result<Vec<EndpointId>>;

    /// Stores a batch, and returns after the commit. A batch whose producer is at its
    /// sequence or beyond is a duplicate: acknowledged, and not stored. The runs of clients in it
    /// are judged by themselves, also when the batch itself is a duplicate.
    ///
    /// # Errors
    /// When the database fails; the error says whether the batch may be stored all the same.
    /// A sequence that leaves a gap is a permanent error.
    async fn append(&self, batch: &Batch<'_, Rows>) -> Result<()>;

    /// Turns the rows of the days into totals and prunes them; returns how many rows.
    ///
    /// # Errors
    /// When the database fails. What was done so far is kept, and calling it again goes on.
    async fn roll_up(&self, days: DayRange) -> Result<u64>;

    /// Answers a query from one snapshot.
    ///
    /// # Errors
    /// When the database fails.
    async fn totals(&self, query: &Query) -> Result<std::result::Result<Totals, TooMany>>;

    /// Opens a producer for a client, by the rules of [`Opening`]. A client that was opened is
    /// the only one whose batches are stored from then on. What the client was told and is not
    /// there any more is noted. It may be repeated.
    ///
    /// # Errors
    /// When the database fails.
    async fn open_producer(&self, opening: &Opening) -> Result<Opened>;

    /// Forgets a producer, if it stands there. What it stored and dropped stays known. It may be
    /// repeated.
    ///
    /// # Errors
    /// When the database fails.
    async fn forget_producer(&self, leaving: &Leaving) -> Result<()>;

    /// Notes that a worker's batches up to this one were stored, if they are not there any more. It
    /// may be repeated: it is noted once.
    ///
    /// # Errors
    /// When the database fails.
    async fn note_setback(&self, worker: Uuid, told: Told) -> Result<()>;

    /// What was acknowledged and is missing, as far as it was noticed.
    ///
    /// # Errors
    /// When the database fails.
    async fn setbacks(&self) -> Result<Vec<Setback>>;

    /// The producers, those first that were seen last.
    ///
    /// # Errors
    /// When the database fails.
    async fn producers(&self, with_workers: bool) -> Result<Vec<Producer>>;

    /// How many totals of rolled-up days it keeps in memory; none if this is 0.
    fn kept_totals_max(&self) -> usize {
        0
    }

    /// Regular housekeeping: makes partitions ahead, drops empty ones, forgets producers that are
    /// silent for too long, or for an hour if they have stored nothing. What was accepted and
    /// dropped from those that are forgotten stays known.
    ///
    /// # Errors
    /// When the database fails. It may be called again at any time.
    async fn maintain(&self, now: Timestamp, retention: ProducerRetention) -> Result<()>;
}

/// The store for a database.
#[must_use]
pub fn open(database: &Database) -> Arc<dyn Store> {
    open_keeping(database, kept::KEPT_TOTALS_MAX)
}

/// The store for a database, which keeps so many totals of rolled-up days in memory. On CockroachDB
/// it keeps none: there is nothing there that could stamp them.
#[must_use]
pub fn open_keeping(database: &Database, kept_totals_max: usize) -> Arc<dyn Store> {
    match database {
        Database::Postgres(database) => match database.dialect() {
            tally_store::Dialect::Cockroach => Arc::new(CockroachStore::new(database.clone())),
            _ => Arc::new(PostgresStore::new(database.clone(), kept_totals_max)),
        },
        Database::Sqlite(database) => Arc::new(SqliteStore::new(database.clone(), kept_totals_max)),
    }
}

/// A producer skipped a number: a broken invariant of the one who numbers.
pub(crate) fn gap(stored: i64, sent: i64) -> tally_store::Error {
    let step = format!("store batch {sent}: the producer's last stored batch is {stored}");
    tally_store::Error::gap(step)
}
