//! Trays: which one takes rows now, and folding the others.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use tally_runtime::faults;
use tally_store::Error;
use tally_store::postgres::{Database, Transaction};
use tally_store::retry::Policy;

use super::super::Result;
use super::{books, changes};
use crate::books::{Entry, Fold, Folded};
use crate::model::Quarter;
use crate::rows::Micros;

/// The parent table first: only imports put rows there.
const NAMES: [&str; 5] = [
    "tally_requests",
    "tally_requests_0",
    "tally_requests_1",
    "tally_requests_2",
    "tally_requests_3",
];
/// How many trays take rows by turns.
const TURNS: usize = 4;

/// A tray of this size is folded although its quarter goes on: 8 MiB, some 190,000 rows.
const LARGE_BLOCKS: i64 = 1_024;
/// How many quarters and series a fold holds in memory: 24 MiB. Beyond that it folds a large tray in
/// parts.
const ENTRIES_MAX: usize = 1 << 20;
/// Blocks of one part: 64 MiB, some 1.5 million rows at most.
const PART_BLOCKS: usize = 8_192;

/// How a fold of everything waits for a tray: waiting for its lock holds up later inserts. So it waits briefly, and
/// lets inserts pass between two attempts.
const FOLDING: Policy = Policy {
    attempts_max: 300,
    pause_min: Duration::from_millis(100),
    ..Policy::long("fold rows")
};

/// A table of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tray(usize);

/// Which tray takes rows now: they take them by turns of a second, by this server's clock, so that
/// several servers agree without a word. If their clocks do not, inserts wait for a fold now and then.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// The tray that this server folds: the one after it takes its turn. The parent has none.
    folding: AtomicUsize,
}

/// What a scan of a tray has found.
enum Found {
    All(Vec<Entry>),
    TooMany,
}

// === impl Tray ===

impl Tray {
    /// The parent, where imports put their rows: their transactions take long.
    pub(super) const PARENT: Self = Self(0);
    pub(crate) const ALL: [Self; NAMES.len()] = [Self(0), Self(1), Self(2), Self(3), Self(4)];

    /// Its place among all of them.
    pub(crate) fn index(self) -> usize {
        self.0
    }

    /// The one that has its turn after it.
    fn next(self) -> Self {
        Self(1 + self.0 % TURNS)
    }

    pub(super) fn sql(self, template: &str) -> String {
        template.replace(":tray", NAMES[self.0])
    }
}

// === impl Turns ===

impl Turns {
    pub(crate) fn now(&self, now: Timestamp) -> Tray {
        let seconds = now.as_second().rem_euclid(TURNS as i64).unsigned_abs() as usize;
        let turn = Tray(1 + seconds);
        if turn.0 == self.folding.load(Ordering::Relaxed) { turn.next() } else { turn }
    }
}

/// Folds what is due: a tray that has been filled before, and that does not take rows now or next.
/// `is_due` is told whether it is large. Returns what became of each.
pub(crate) async fn fold_due(
    database: &Database,
    turns: &Turns,
    current: Tray,
    is_due: impl Fn(Tray, bool) -> bool,
) -> Result<Vec<(Tray, Result<Folded>)>> {
    let next = current.next();
    let mut folded = Vec::new();
    for (tray, blocks) in filled(database).await? {
        if tray != current && tray != next && is_due(tray, blocks >= LARGE_BLOCKS) {
            folded.push((tray, fold(database, turns, tray, include_str!("wait_hardly.sql")).await));
        }
    }
    Ok(folded)
}

/// Folds every row that is committed now.
pub(crate) async fn fold_all(database: &Database, turns: &Turns) -> Result<Folded> {
    let (mut all, mut held) = (Folded::default(), Vec::new());
    let once = async |tray| {
        match fold(database, turns, tray, include_str!("wait_briefly.sql")).await {
            // All that is in it is not committed: an import takes long.
            Err(error) if is_busy(&error) && !has_rows(database, tray).await? => {
                Ok(Folded::default())
            }
            done => done,
        }
    };
    for (tray, _) in Policy::short("find trays").run(|| filled(database)).await? {
        match once(tray).await {
            Ok(folded) => all += folded,
            Err(_) => held.push(tray),
        }
    }
    // Those that others hold, after all that can be folded at once.
    for tray in held {
        all += FOLDING.run(|| once(tray)).await?;
    }
    Ok(all)
}

/// Whether a tray has rows that are committed.
async fn has_rows(database: &Database, tray: Tray) -> Result<bool> {
    let sql = tray.sql(include_str!("has_rows.sql"));
    let rows = database.rows("look into a tray", &sql, &[]).await?;
    Ok(rows.iter().any(|row| row.get(0)))
}

/// The trays that may have rows, and their sizes in blocks; the parent last, where an import may be.
async fn filled(database: &Database) -> Result<Vec<(Tray, i64)>> {
    let (step, sql) = ("find the trays that have rows", include_str!("tray_blocks.sql"));
    let rows = database.rows(step, sql, &[]).await?;
    let tray = |row: &tokio_postgres::Row| {
        let name: &str = row.get(0);
        let tray = Tray::ALL.into_iter().find(|tray| NAMES[tray.0] == name)?;
        Some((tray, row.get(1)))
    };
    let mut filled: Vec<_> = rows.iter().filter_map(tray).collect();
    filled.sort_unstable_by_key(|(tray, _)| Reverse(tray.0));
    Ok(filled)
}

/// Folds a tray; rows that come to this server meanwhile go to another one.
async fn fold(
    database: &Database,
    turns: &Turns,
    tray: Tray,
    patience: &'static str,
) -> Result<Folded> {
    turns.folding.store(tray.0, Ordering::Relaxed);
    let folded = in_one(database, tray, patience).await;
    turns.folding.store(Tray::PARENT.0, Ordering::Relaxed);
    folded
}

/// One transaction: lock the books and the tray, count it, add, and empty it.
async fn in_one(database: &Database, tray: Tray, patience: &'static str) -> Result<Folded> {
    // The books first: a fold that waits for them must not hold up inserts.
    let mut transaction = books::begin(database).await?;
    faults::point("fold.begun").await;
    let folded = match add_rows(&transaction, tray, patience).await {
        Ok(folded) => folded,
        Err(error) => return Err(transaction.failed(error).await),
    };
    if faults::is_on("fold.split") {
        transaction.commit().await?;
        transaction = books::begin(database).await?;
    }
    if let Err(error) = empty(&transaction, tray).await {
        return Err(transaction.failed(error).await);
    }
    faults::point("fold.before_commit").await;
    transaction.commit().await?;
    faults::point("fold.committed").await;
    Ok(folded)
}

/// Adds the rows of a tray, which stay.
async fn add_rows(transaction: &Transaction, tray: Tray, patience: &'static str) -> Result<Folded> {
    let wait = "limit the wait for a lock";
    let lock = if tray == Tray::PARENT {
        include_str!("lock_parent.sql").to_owned()
    } else {
        tray.sql(include_str!("lock_tray.sql"))
    };
    transaction.script("give a fold memory", include_str!("count_memory.sql")).await?;
    transaction.script(wait, patience).await?;
    transaction.script("lock a tray", &lock).await?;
    transaction.script(wait, include_str!("wait_briefly.sql")).await?;
    transaction.try_out(&tray.sql(include_str!("outwait_queries.sql"))).await?;
    faults::point("fold.locked").await;
    let mut folded = Folded::default();
    match count(transaction, tray).await? {
        Found::All(entries) => folded += add(transaction, entries).await?,
        Found::TooMany => {
            for first in (0..blocks(transaction, tray).await?).step_by(PART_BLOCKS) {
                folded += add(transaction, part(transaction, tray, first).await?).await?;
            }
        }
    }
    faults::point("fold.added").await;
    Ok(folded)
}

async fn empty(transaction: &Transaction, tray: Tray) -> Result<()> {
    if faults::is_on("fold.keep") {
        return Ok(());
    }
    transaction.script("empty a tray", &tray.sql(include_str!("empty_tray.sql"))).await
}

/// Counts a tray by quarter and series.
async fn count(transaction: &Transaction, tray: Tray) -> Result<Found> {
    let sql = tray.sql(include_str!("count_tray.sql"));
    let mut rows = transaction.stream("count the rows of a tray", &sql, &[]).await?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next().await {
        if entries.len() == ENTRIES_MAX {
            return Ok(Found::TooMany);
        }
        entries.push(entry(&row?));
    }
    Ok(Found::All(entries))
}

/// Counts some blocks of a tray.
async fn part(transaction: &Transaction, tray: Tray, first: i64) -> Result<Vec<Entry>> {
    let [begin, end] = [first, first + PART_BLOCKS as i64].map(|block| format!("({block},0)"));
    let sql = tray.sql(include_str!("count_blocks.sql"));
    let rows = transaction.rows("count a part of a tray", &sql, &[&begin, &end]).await?;
    Ok(rows.iter().map(entry).collect())
}

/// How many blocks a tray has that takes no rows.
async fn blocks(transaction: &Transaction, tray: Tray) -> Result<i64> {
    let sql = include_str!("tray_blocks.sql");
    let rows = transaction.rows("measure a tray", sql, &[]).await?;
    let of_tray = rows.iter().find(|row| row.get::<_, &str>(0) == NAMES[tray.0]);
    Ok(of_tray.map_or(0, |row| row.get(1)))
}

fn entry(row: &tokio_postgres::Row) -> Entry {
    let (Micros(start), series, requests) = (row.get(0), row.get(1), row.get(2));
    Entry::of_quarter(Quarter::of_micros(start), series, requests)
}

/// Adds what was counted to where the days are.
pub(crate) async fn add(transaction: &Transaction, mut entries: Vec<Entry>) -> Result<Folded> {
    let requests = crate::books::requests(&entries);
    changes::follow(transaction, &mut entries).await?;
    let stages = books::stages(transaction, &entries).await?;
    let fold = Fold::of(entries, &stages);
    books::add(transaction, crate::books::Level::Days, &fold.days).await?;
    books::add(transaction, crate::books::Level::Months, &fold.months).await?;
    Ok(Folded { requests, rolled_up: fold.rolled_up() })
}

/// Whether a lock could not be had in time: others go first.
pub(crate) fn is_busy(error: &Error) -> bool {
    error.sqlstate() == Some(tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE.code())
}
