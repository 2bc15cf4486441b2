//! Folding trays: adding their rows to the days.

use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use tally_runtime::{chain, faults};
use tally_store::postgres::{Database, Transaction};
use tally_store::retry::Policy;

use super::super::Result;
use super::books;
use super::counting::{self, Counted};
use super::trays::{self, Listed, State, Tray, Turns};
use crate::books::Folded;
use crate::due::Attempt;

/// A tray of this size is folded although its quarter goes on: 4 MiB, some 95,000 rows. So live totals have
/// at most four times as many to scan, and what comes during a fold and the pause after it: at any rate that
/// folds can keep up with.
const LARGE_BLOCKS: i64 = 512;

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
    let (mut done, mut closed) = (Vec::new(), Vec::new());
    for Listed { tray, state, blocks, reader } in listed {
        let is_left = match state {
            State::Open => blocks == 0 || !is_due(tray, blocks >= LARGE_BLOCKS),
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
            State::Open if is_in_turn(tray) => Ok(Attempt::InTurn),
            State::Open => match trays::close(database, turns, tray).await {
                Ok(State::Closed) => {
                    closed.push(tray);
                    continue;
                }
                Ok(_) => continue,
                Err(error) => Err(error),
            },
            State::Closed => {
                closed.push(tray);
                continue;
            }
            State::Imports => {
                in_one(database, &[tray], How::Delete, For::Duty).await.map(Attempt::Folded)
            }
        };
        done.push((tray, attempt(one)));
    }
    if let Some(first) = closed.first() {
        let folded = in_one(database, &closed, How::Mark, For::Duty).await.map(Attempt::Folded);
        if folded.is_ok() {
            for tray in &closed {
                empty_if_possible(database, turns, *tray).await;
            }
            let others = closed[1..].iter();
            done.extend(others.map(|tray| (*tray, Ok(Attempt::Folded(Folded::default())))));
        }
        done.push((*first, attempt(folded)));
    }
    Ok(done)
}

/// An attempt that failed because others hold a lock.
fn attempt(done: Result<Attempt>) -> Result<Attempt> {
    match done {
        Err(error) if trays::is_busy(&error) => Ok(Attempt::Held(LOCKED.to_owned())),
        done => done,
    }
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
        in_one(database, &[tray], how, For::Caller).await
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

/// One transaction: lock the books, count the trays, add, and mark them as folded or delete their rows. So a
/// series has one row to add to, in however many trays it is.
async fn in_one(database: &Database, trays: &[Tray], how: How, whom: For) -> Result<Folded> {
    // The books first: a fold that waits for them must not hold up inserts.
    let mut transaction = books::begin(database).await?;
    faults::point("fold.begun").await;
    let (folded, ready) = match add_rows(&transaction, trays, how, whom).await {
        Ok((_, ready)) if ready.is_empty() => {
            transaction.abandon().await?;
            return Ok(Folded::default());
        }
        Ok(done) => done,
        Err(error) => return Err(transaction.failed(error).await),
    };
    if faults::is_on("fold.split") {
        transaction.commit().await?;
        transaction = books::begin(database).await?;
    }
    for tray in ready {
        take(&transaction, tray, how).await?;
    }
    faults::point("fold.before_commit").await;
    transaction.commit().await?;
    faults::point("fold.committed").await;
    Ok(folded)
}

/// Adds the rows of those of the trays that no other server has folded. Returns these.
async fn add_rows(
    transaction: &Transaction,
    trays: &[Tray],
    how: How,
    whom: For,
) -> Result<(Folded, Vec<Tray>)> {
    transaction.script("give a fold memory", include_str!("count_memory.sql")).await?;
    let (mut folded, mut counted) = (Folded::default(), Counted::default());
    let mut ready = Vec::new();
    for tray in trays.iter().copied() {
        if how == How::Delete {
            lock(transaction, tray).await?;
        }
        let state = trays::state(transaction, tray).await?;
        let is_ready = match how {
            How::Mark => state == State::Closed,
            How::Delete => matches!(state, State::Open | State::Imports),
        };
        if !is_ready {
            continue;
        }
        faults::point("fold.locked").await;
        let mut parts = counting::parts(transaction, tray, whom.parts_at_once()).await?;
        while let Some(part) = parts.next().await {
            counted.add(part?);
            if counted.is_full() {
                folded += books::fold(transaction, counted.take()).await?;
            }
        }
        ready.push(tray);
    }
    folded += books::fold(transaction, counted.take()).await?;
    faults::point("fold.added").await;
    Ok((folded, ready))
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

// === impl For ===

impl For {
    /// How many parts of a tray the database looks for at a time: with two, it never waits for this server,
    /// and takes a core for itself.
    fn parts_at_once(self) -> usize {
        match self {
            Self::Duty => 1,
            Self::Caller => 2,
        }
    }
}
