//! Importing the tables of the Go server of `count.v1`: its methods, requests and daily totals.
//!
//! | file | what it owns |
//! |---|---|
//! | `new_counts.rs` | what of the tables is new, by what was imported before |
//! | `source.rs` | reading the Go server's tables in one snapshot |
//!
//! Its requests have no key to tell them apart. So the transaction that imports them notes how many
//! of each method and day it took. A request that the Go server rolls up later still belongs to the
//! same day, so it is counted once.

mod new_counts;
mod source;

use tally_runtime::Kind;
use tally_store::{Database, Dialect, Error};
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::new_counts::{Importing, Noted};
use crate::changes::Version;
use crate::model::{Namespace, Series};
use crate::series::KnownSeries;
use crate::store;

/// Pieces to read ahead.
const PARTS_AHEAD: usize = 2;

/// How the tables are imported.
#[derive(Debug, Clone)]
pub struct ImportCount {
    /// Where it is counted.
    pub namespace: Namespace,
    /// The name under which imports are noted; by default from where the tables are.
    pub source: Option<String>,
    /// How many series to tell apart.
    pub series_max: usize,
    /// The longest path, in bytes.
    pub path_bytes_max: usize,
    /// Change nothing.
    pub dry_run: bool,
}

/// What was imported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// The name of the tables.
    pub source: String,
    /// The time zone of the Go server's days.
    pub time_zone: String,
    /// Methods, each with a path.
    pub methods: u64,
    /// Methods that are counted under `_other`.
    pub other: u64,
    /// Requests that the Go server had not rolled up.
    pub requests: u64,
    /// Requests in its daily totals.
    pub rolled_up: u64,
    /// Requests that an earlier run imported.
    pub before: u64,
    /// Requests that an earlier run imported, and that the tables no longer have.
    pub missing: u64,
    /// Requests and totals outside of the years 1 to 9999, which are counted at their ends.
    pub clamped: u64,
    /// Requests and totals at an infinite time, which are not counted.
    pub endless: u64,
}

/// The Go server's tables on their way into a store.
pub(crate) struct CountTables {
    /// Begins the reading once the store is ready, so that what is read is not older than what was
    /// imported.
    begin: Option<oneshot::Sender<()>>,
    parts: mpsc::Receiver<Result<Part, Error>>,
    pub(crate) importing: Importing,
}

/// A part of the tables, in this order.
pub(crate) enum Part {
    /// Which tables these are, and the time zone of their days.
    Source(String, String),
    /// What the Go server calls methods, by their ids there.
    Methods(Vec<(i32, Series)>),
    /// By day and method.
    Counts(Vec<Count>),
    /// Requests that are not rolled up, by day and method, the latest first.
    Requests(Vec<Request>),
    /// That was all.
    End,
}

/// The requests of a method on one of the Go server's days; none for an infinite time.
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

/// Imports what is new in the Go server's tables in `from` into `database`, whose migrations are
/// applied, in one transaction.
///
/// # Errors
/// If a database fails, if there are no such tables, or if they may be others than those imported
/// before. Nothing was counted then, unless the outcome of the COMMIT is unknown.
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
    let series = KnownSeries::new(how.series_max);
    let (count_max, text_bytes_max) = series.loaded_max();
    series.follow_changes(store.changes(Version::default()).await?);
    let (known, state) = store.series(count_max, text_bytes_max).await?;
    series.load(known, state);
    let (begin, begun) = oneshot::channel();
    let (sender, parts) = mpsc::channel(PARTS_AHEAD);
    let (path_bytes_max, with_requests) = (how.path_bytes_max, !how.dry_run);
    let importing = Importing::new(series, how);
    let tables = CountTables { begin: Some(begin), parts, importing };
    let reading = async {
        // Otherwise the store has failed, and says why.
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
    /// The next part.
    pub(crate) async fn next(&mut self) -> Result<Part, Error> {
        self.begin();
        self.parts.recv().await.unwrap_or_else(|| Err(gone()))
    }

    /// The same for a thread.
    pub(crate) fn blocking_next(&mut self) -> Result<Part, Error> {
        self.begin();
        self.parts.blocking_recv().unwrap_or_else(|| Err(gone()))
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
