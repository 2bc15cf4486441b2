//! Importing the tables of the Go server of `count.v1`: its methods, requests and daily totals.
//!
//! | file | what it owns |
//! |---|---|
//! | `settle.rs` | what of the tables is new, by what was imported before |
//! | `source.rs` | reading the Go server's tables in one snapshot |
//!
//! Its requests have no key, so they cannot be told apart. What is remembered is how many were
//! imported of each of its methods and days, in the transaction that imports them. A request that it
//! has rolled up since then is still one of the same day, so it is counted once.

mod settle;
mod source;

use tally_runtime::Kind;
use tally_store::{Database, Dialect, Error};
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::settle::{Noted, Settling};
use crate::endpoints::Endpoints;
use crate::model::Endpoint;
use crate::store;

/// How many pieces are read ahead.
const PIECES_AHEAD: usize = 2;

/// How the tables are imported.
#[derive(Debug, Clone)]
pub struct ImportCount {
    /// What the tables are called in the notes of what was imported; by default by where they are.
    pub source: Option<String>,
    /// How many endpoints are told apart.
    pub endpoints_max: usize,
    /// How long a path may be, in bytes.
    pub path_bytes_max: usize,
    /// Change nothing.
    pub dry_run: bool,
}

/// What was imported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// What the tables are called.
    pub source: String,
    /// The time zone in which the Go server cut its days.
    pub time_zone: String,
    /// How many methods, each with a path, the tables have.
    pub methods: u64,
    /// How many of them are counted under `_other`.
    pub other: u64,
    /// Requests that the Go server had not rolled up.
    pub requests: u64,
    /// Requests in its daily totals.
    pub rolled_up: u64,
    /// Requests that an earlier run has imported.
    pub before: u64,
    /// Requests that an earlier run has imported, and that are not in the tables any more.
    pub missing: u64,
    /// Requests and totals outside of the years 1 to 9999, which are counted at their ends.
    pub clamped: u64,
    /// Requests and totals at an infinite time, which are not counted.
    pub endless: u64,
}

/// The Go server's tables on their way into a store.
pub(crate) struct CountTables {
    /// Not told before the store is ready, so that what is read is not older than what was
    /// imported.
    begin: Option<oneshot::Sender<()>>,
    pieces: mpsc::Receiver<Result<Piece, Error>>,
    pub(crate) settling: Settling,
}

/// A piece of the tables; they come in this order.
pub(crate) enum Piece {
    /// Which tables these are, and the time zone of their days.
    Source(String, String),
    /// What the Go server calls methods, by their ids there.
    Methods(Vec<(i32, Endpoint)>),
    /// By day and method.
    Counts(Vec<Count>),
    /// Requests that are not rolled up, by day and method, and the latest first.
    Requests(Vec<Request>),
    /// That was all.
    End,
}

/// How many requests the tables have of a method's day. Days are those of the Go server; what is at
/// an infinite time has none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    pub(crate) day: Option<i32>,
    pub(crate) method: i32,
    pub(crate) requests: i64,
    pub(crate) total: i64,
}

/// A request that is not rolled up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) day: i32,
    pub(crate) method: i32,
    pub(crate) micros: i64,
}

/// Imports the Go server's tables in `from` into `database`, whose migrations are applied, in one
/// transaction. What was imported before is not imported again.
///
/// # Errors
/// When a database fails, or there are no such tables, or it is not certain that they are the ones
/// that were imported before. Nothing was counted then, unless the outcome of the COMMIT is
/// unknown.
pub async fn import_count(
    database: &Database,
    from: &Database,
    how: ImportCount,
) -> Result<Imported, Error> {
    let step = "read the Go server's tables";
    let source = match from {
        Database::Postgres(source) if source.dialect() == Dialect::Postgres => source.clone(),
        _ => {
            return Err(Error::permanent(step, Kind::FailedPrecondition)
                .because("they are read from Postgres only"));
        }
    };
    let store = store::open(database);
    let endpoints = Endpoints::new(how.endpoints_max);
    let (count_max, path_bytes_max) = endpoints.loaded_max();
    let (known, state) = store.endpoints(count_max, path_bytes_max).await?;
    endpoints.load(known, state);
    let (begin, begun) = oneshot::channel();
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    let (path_bytes_max, with_requests) = (how.path_bytes_max, !how.dry_run);
    let settling = Settling::new(endpoints, how);
    let tables = CountTables { begin: Some(begin), pieces, settling };
    let reading = async {
        // Without it the store has failed, and says why.
        if begun.await.is_ok()
            && let Err(error) = source::read(&source, &sender, path_bytes_max, with_requests).await
        {
            let _ = sender.send(Err(error)).await;
        }
    };
    let ((), imported) = tokio::join!(reading, store.import_count(tables));
    imported
}

// === impl CountTables ===

impl CountTables {
    /// The next piece.
    pub(crate) async fn next(&mut self) -> Result<Piece, Error> {
        self.begin();
        self.pieces.recv().await.unwrap_or_else(|| Err(gone()))
    }

    /// The same for a thread.
    pub(crate) fn blocking_next(&mut self) -> Result<Piece, Error> {
        self.begin();
        self.pieces.blocking_recv().unwrap_or_else(|| Err(gone()))
    }

    fn begin(&mut self) {
        if let Some(begin) = self.begin.take() {
            let _ = begin.send(());
        }
    }
}

/// The reader always says how it ended.
fn gone() -> Error {
    Error::permanent("read the Go server's tables: the reader has ended", Kind::Internal)
}
