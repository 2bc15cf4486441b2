//! Folding trays: adding their rows to the days.

use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use tally_runtime::{chain, faults};
use tally_store::postgres::{Database, Transaction};
use tally_store::retry::Policy;

use super::super::Result;
use super::books;
use super::micros::Micros;
use super::trays::{self, Listed, State, Tray, Turns};
use crate::books::{Folded, Posting};
use crate::due::Attempt;
use crate::model::Quarter;

/// A tray of this size is folded although its quarter goes on: 4 MiB, some 95,000 rows. So live totals have
/// at most four times as many to scan, at any rate that a fold can keep up with.
const LARGE_BLOCKS: i64 = 512;
/// How many quarters and series a fold holds in memory: 24 MiB. Beyond that it folds a large tray in
/// parts.
const POSTINGS_MAX: usize = 1 << 20;
/// Blocks of one part: 64 MiB, some 1.5 million rows at most.
const PART_BLOCKS: usize = 8_192;

/// What holds up a fold that waits for a lock: LOCK_NOT_AVAILABLE does not say who holds it.
const LOCKED: &str = "a transaction that has locked it";

/// How a fold of everything waits for a tray: waiting for its lock holds up later inserts. So it waits briefly, and
/// lets inserts pass between two attempts.
const FOLDING: Policy = Policy {
    attempts_max: 300,
    pause_min: Duration::from_millis(100),
    ..Policy::long("fold rows")
};

/// How often, and after which pauses, a fold of everything tries to empty a tray before it folds the last
/// one that takes rows.
const EMPTYING_MAX: u32 = 10;
const EMPTYING_PAUSE: Duration = Duration::from_millis(100);

/// How a fold takes the rows away from their tray.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// The tray is marked, and emptied later.
    Mark,
    /// They are deleted, because the tray goes on taking rows. This takes longer, and the room is free only
    /// when the tray is emptied.
    Delete,
}

/// For whom a tray is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// Nobody: it must not hold up those who count.
    Duty,
    /// Somebody who waits for totals.
    Caller,
}

/// What a scan of a tray has found.
enum Found {
    All(Vec<Posting>),
    TooMany,
}

/// Folds what is due, and empties what is folded: of the trays that take rows, those that do not take
/// them now or next, as long as another one does. `is_due` is told whether a tray is large. Returns what
/// became of each.
pub(crate) async fn fold_due(
    database: &Database,
    turns: &Turns,
    now: Timestamp,
    is_due: impl Fn(Tray, bool) -> bool,
) -> Result<Vec<(Tray, Result<Attempt>)>> {
    let listed = trays::list(database).await?;
    turns.note_all(&listed);
    let open = listed.iter().filter(|one| one.state == State::Open).count();
    // If there are only two, that one is folded as well.
    let [current, next, ..] = turns.order(now);
    let is_in_turn = |tray| tray == current || (tray == next && open > 2);
    let mut folded = Vec::new();
    for Listed { tray, state, blocks, reader } in listed {
        let is_left = match state {
            State::Open => blocks == 0 || is_in_turn(tray) || !is_due(tray, blocks >= LARGE_BLOCKS),
            State::Imports => blocks == 0 || !is_due(tray, false),
            State::Closed | State::Folded => !is_due(tray, true),
        };
        if is_left {
            continue;
        }
        let one = match state {
            State::Folded => match reader {
                Some(reader) => Ok(Attempt::Held(reader)),
                None => empty(database, turns, tray).await,
            },
            State::Open => match trays::close(database, turns, tray).await {
                Ok(State::Closed) => mark(database, turns, tray).await,
                Ok(_) => continue,
                Err(error) => Err(error),
            },
            State::Closed => mark(database, turns, tray).await,
            State::Imports => {
                in_one(database, tray, How::Delete, For::Duty).await.map(Attempt::Folded)
            }
        };
        let one = match one {
            Err(error) if trays::is_busy(&error) => Ok(Attempt::Held(LOCKED.to_owned())),
            one => one,
        };
        folded.push((tray, one));
    }
    Ok(folded)
}

async fn mark(database: &Database, turns: &Turns, tray: Tray) -> Result<Attempt> {
    let folded = in_one(database, tray, How::Mark, For::Duty).await?;
    empty_if_possible(database, turns, tray).await;
    Ok(Attempt::Folded(folded))
}

async fn empty(database: &Database, turns: &Turns, tray: Tray) -> Result<Attempt> {
    if trays::empty(database, turns, tray).await? {
        return Ok(Attempt::Folded(Folded::default()));
    }
    Ok(Attempt::Held("a transaction that has begun to read it".to_owned()))
}

/// Empties a tray unless something is in the way: a duty comes back to it.
async fn empty_if_possible(database: &Database, turns: &Turns, tray: Tray) -> bool {
    trays::empty(database, turns, tray).await.unwrap_or_else(|error| {
        tracing::debug!(error = chain(&error), "a folded tray is not emptied yet");
        false
    })
}

/// Folds every row that is committed now. It empties trays that were folded before, and leaves its own to
/// the duty or the next fold: the database takes long to delete a large file, and the caller waits for
/// totals.
pub(crate) async fn fold_all(database: &Database, turns: &Turns) -> Result<Folded> {
    let (mut all, mut held) = (Folded::default(), Vec::new());
    for listed in Policy::short("find trays").run(|| trays::list(database)).await? {
        let Listed { tray, state, blocks, .. } = listed;
        match state {
            State::Folded => _ = empty_if_possible(database, turns, tray).await,
            State::Open | State::Imports if blocks == 0 => {}
            _ => match fold_even_the_last(database, turns, tray).await {
                Ok(folded) => all += folded,
                Err(_) => held.push(tray),
            },
        }
    }
    // Those that others hold, after all that can be folded at once.
    for tray in held {
        all += FOLDING.run(|| fold_even_the_last(database, turns, tray)).await?;
    }
    Ok(all)
}

/// Folds a tray, even the last one that takes rows.
async fn fold_even_the_last(database: &Database, turns: &Turns, tray: Tray) -> Result<Folded> {
    let done = async {
        let mut state = match tray {
            Tray::IMPORTED => State::Imports,
            _ => trays::close(database, turns, tray).await?,
        };
        if state == State::Open && make_room(database, turns).await? {
            state = trays::close(database, turns, tray).await?;
        }
        let how = if state == State::Closed { How::Mark } else { How::Delete };
        in_one(database, tray, how, For::Caller).await
    };
    match done.await {
        // All that is in it is not committed: an import takes long.
        Err(error) if trays::is_busy(&error) && !has_rows(database, tray).await? => {
            Ok(Folded::default())
        }
        done => done,
    }
}

/// Waits a moment for a folded tray to be emptied. Returns whether one was.
async fn make_room(database: &Database, turns: &Turns) -> Result<bool> {
    for _ in 0..EMPTYING_MAX {
        for Listed { tray, state, reader, .. } in trays::list(database).await? {
            let may_empty = state == State::Folded && reader.is_none();
            if may_empty && empty_if_possible(database, turns, tray).await {
                return Ok(true);
            }
        }
        tokio::time::sleep(EMPTYING_PAUSE).await;
    }
    Ok(false)
}

/// Whether a tray has rows that are committed.
async fn has_rows(database: &Database, tray: Tray) -> Result<bool> {
    let sql = tray.sql(include_str!("has_rows.sql"));
    let rows = database.rows("look into a tray", &sql, &[]).await?;
    Ok(rows.iter().any(|row| row.get(0)))
}

/// One transaction: lock the books, count the tray, add, and mark it as folded or delete its rows.
async fn in_one(database: &Database, tray: Tray, how: How, whom: For) -> Result<Folded> {
    // The books first: a fold that waits for them must not hold up inserts.
    let mut transaction = books::begin(database).await?;
    faults::point("fold.begun").await;
    let folded = match add_rows(&transaction, tray, how, whom).await {
        Ok(Some(folded)) => folded,
        Ok(None) => {
            transaction.abandon().await?;
            return Ok(Folded::default());
        }
        Err(error) => return Err(transaction.failed(error).await),
    };
    if faults::is_on("fold.split") {
        transaction.commit().await?;
        transaction = books::begin(database).await?;
    }
    take(&transaction, tray, how).await?;
    faults::point("fold.before_commit").await;
    transaction.commit().await?;
    faults::point("fold.committed").await;
    Ok(folded)
}

/// Adds the rows of a tray, unless another server has done so.
async fn add_rows(
    transaction: &Transaction,
    tray: Tray,
    how: How,
    whom: For,
) -> Result<Option<Folded>> {
    transaction.script("give a fold memory", include_str!("count_memory.sql")).await?;
    if whom == For::Duty {
        transaction.script("leave cores to others", include_str!("one_process.sql")).await?;
    }
    if how == How::Delete {
        lock(transaction, tray).await?;
    }
    let state = trays::state(transaction, tray).await?;
    let is_ready = match how {
        How::Mark => state == State::Closed,
        How::Delete => matches!(state, State::Open | State::Imports),
    };
    if !is_ready {
        return Ok(None);
    }
    faults::point("fold.locked").await;
    let mut folded = Folded::default();
    match count(transaction, tray).await? {
        Found::All(postings) => folded += books::fold(transaction, postings).await?,
        Found::TooMany => {
            for first in (0..blocks(transaction, tray).await?).step_by(PART_BLOCKS) {
                folded += books::fold(transaction, part(transaction, tray, first).await?).await?;
            }
        }
    }
    faults::point("fold.added").await;
    Ok(Some(folded))
}

/// Locks a tray that takes rows, because they must not change until they are deleted.
async fn lock(transaction: &Transaction, tray: Tray) -> Result<()> {
    let lock = if tray == Tray::IMPORTED {
        include_str!("lock_imported_tray.sql")
    } else {
        include_str!("lock_tray.sql")
    };
    transaction.script("limit the wait for a lock", include_str!("lock_timeout_1_s.sql")).await?;
    transaction.script("lock a tray", &tray.sql(lock)).await
}

/// Takes the rows away from where they count.
async fn take(transaction: &Transaction, tray: Tray, how: How) -> Result<()> {
    if faults::is_on("fold.keep") {
        return Ok(());
    }
    match how {
        How::Mark => {
            let (step, sql) = ("mark a tray as folded", include_str!("mark_folded.sql"));
            transaction.write(step, sql, &[&tray.name()]).await.map(drop)
        }
        How::Delete => {
            let sql = tray.sql(include_str!("delete_rows.sql"));
            transaction.script("delete folded rows", &sql).await
        }
    }
}

/// Counts a tray by quarter and series.
async fn count(transaction: &Transaction, tray: Tray) -> Result<Found> {
    let step = "count the rows of a tray";
    let mut postings = Vec::new();
    let mut sql = Some(include_str!("count_tray.sql"));
    while let Some(next) = sql.take() {
        let mut rows = transaction.stream(step, &tray.sql(next), &[]).await?;
        while let Some(row) = rows.next().await {
            if postings.len() == POSTINGS_MAX {
                return Ok(Found::TooMany);
            }
            let row = row?;
            if row.get(3) {
                sql = Some(include_str!("count_further.sql"));
            }
            postings.push(posting(&row));
        }
    }
    Ok(Found::All(postings))
}

/// Counts some blocks of a tray.
async fn part(transaction: &Transaction, tray: Tray, first: i64) -> Result<Vec<Posting>> {
    let [begin, end] = [first, first + PART_BLOCKS as i64].map(|block| format!("({block},0)"));
    let sql = tray.sql(include_str!("count_blocks.sql"));
    let rows = transaction.rows("count a part of a tray", &sql, &[&begin, &end]).await?;
    Ok(rows.iter().map(posting).collect())
}

/// How many blocks a tray has that takes no rows now.
async fn blocks(transaction: &Transaction, tray: Tray) -> Result<i64> {
    let sql = include_str!("tray_blocks.sql");
    Ok(transaction.row("measure a tray", sql, &[&tray.name()]).await?.get(0))
}

fn posting(row: &tokio_postgres::Row) -> Posting {
    let (Micros(start), series, requests) = (row.get(0), row.get(1), row.get(2));
    Posting::of_quarter(Quarter::of_micros(start), series, requests)
}
