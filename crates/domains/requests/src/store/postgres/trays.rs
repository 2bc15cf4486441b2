//! Trays: which one takes rows now, closing one for a fold, and emptying it afterwards.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tally_runtime::{Kind, faults};
use tally_store::Error;
use tally_store::postgres::{Database, Isolation, Transaction};
use tokio_postgres::Row;

use super::super::Result;

const NAMES: [&str; 5] = [
    "tally_requests_0",
    "tally_requests_1",
    "tally_requests_2",
    "tally_requests_3",
    "tally_requests_imported",
];
/// How many trays take rows by turns: the first ones.
const TURNS: usize = 4;

/// How long a turn is. At full speed a tray is folded as soon as its turn is over: a long fold takes a core
/// from the inserts for a long time.
const TURN_MS: i64 = 250;

/// After this long others take rows than now and next. Rounds of a whole second would find the same ones in turn.
pub(crate) const NEXT_TURN: Duration = Duration::from_millis(500);
const _: () = assert!(NEXT_TURN.as_millis() as i64 == TURN_MS * TURNS as i64 / 2);

/// How long a server believes that a tray is closed. Then it finds out at the next batch, for a statement
/// that stores nothing.
const CLOSED_FOR: Duration = Duration::from_secs(5);

/// A table of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tray(usize);

/// What a tray's rows are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It takes rows, and they count.
    Open,
    /// It takes no more rows, and they count until a fold has added them to the days.
    Closed,
    /// Its rows count in the days, and it waits to be emptied.
    Folded,
    /// It takes the rows of imports, and they count.
    Imports,
}

/// A tray as it was a moment ago.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) tray: Tray,
    pub(super) state: State,
    pub(super) blocks: i64,
    /// One of those who may still read the rows of a folded tray.
    pub(super) reader: Option<String>,
}

/// Which tray takes rows now: they take them by turns, by this server's clock, so that several
/// servers agree without a word. If their clocks do not, folds wait for inserts now and then.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// Since when this server believes that a tray is closed.
    closed: Mutex<[Option<Instant>; TURNS]>,
    /// How many batches this server is storing in each.
    storing: [AtomicUsize; TURNS],
}

/// A batch is being stored in a tray, until this is dropped.
pub(crate) struct Storing<'a>(&'a AtomicUsize);

// === impl Tray ===

impl Tray {
    /// Where imports put their rows: their transactions take long.
    pub(super) const IMPORTED: Self = Self(TURNS);
    pub(crate) const ALL: [Self; NAMES.len()] = [Self(0), Self(1), Self(2), Self(3), Self(4)];

    /// Its place among all of them.
    pub(crate) fn index(self) -> usize {
        self.0
    }

    pub(super) fn name(self) -> &'static str {
        NAMES[self.0]
    }

    pub(super) fn sql(self, template: &str) -> String {
        template.replace(":tray", self.name())
    }
}

// === impl State ===

impl State {
    fn of(text: &str) -> Result<Self> {
        match text {
            "open" => Ok(Self::Open),
            "closed" => Ok(Self::Closed),
            "folded" => Ok(Self::Folded),
            "imports" => Ok(Self::Imports),
            _ => Err(Error::permanent(format!("know a tray's state {text:?}"), Kind::Internal)),
        }
    }
}

// === impl Turns ===

impl Turns {
    /// The tray whose turn it is, or that takes rows in place of it.
    pub(crate) fn now(&self, now: Timestamp) -> Tray {
        self.order(now)[0]
    }

    /// All of them in the order in which to try them: those that are believed to be closed come last.
    pub(crate) fn order(&self, now: Timestamp) -> [Tray; TURNS] {
        let turns = now.as_millisecond().div_euclid(TURN_MS);
        let turn = turns.rem_euclid(TURNS as i64).unsigned_abs() as usize;
        let mut order = std::array::from_fn(|n| Tray((turn + n) % TURNS));
        order.sort_by_key(|tray| self.is_closed(*tray));
        order
    }

    fn is_closed(&self, tray: Tray) -> bool {
        self.lock()[tray.0].is_some_and(|since| since.elapsed() < CLOSED_FOR)
    }

    /// The same for a batch: two at once go into the first two, because a table grows for one of them at a
    /// time.
    pub(super) fn order_of_batch(&self, now: Timestamp) -> [Tray; TURNS] {
        let mut order = self.order(now);
        let storing = |tray: Tray| self.storing[tray.0].load(Ordering::Relaxed);
        if storing(order[0]) > storing(order[1]) && !self.is_closed(order[1]) {
            order.swap(0, 1);
        }
        order
    }

    pub(super) fn begin(&self, tray: Tray) -> Storing<'_> {
        let storing = &self.storing[tray.0];
        storing.fetch_add(1, Ordering::Relaxed);
        Storing(storing)
    }

    pub(super) fn note_all(&self, listed: &[Listed]) {
        for one in listed {
            self.note(one.tray, (one.state != State::Open).then(Instant::now));
        }
    }

    pub(super) fn note_closed(&self, tray: Tray) {
        self.note(tray, Some(Instant::now()));
    }

    fn note(&self, tray: Tray, closed: Option<Instant>) {
        if let Some(place) = self.lock().get_mut(tray.0) {
            *place = closed;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, [Option<Instant>; TURNS]> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Storing ===

impl Drop for Storing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) async fn list(database: &Database) -> Result<Vec<Listed>> {
    let (step, sql) = ("list the trays", include_str!("trays.sql"));
    let mut listed = Vec::new();
    for row in database.rows(step, sql, &[]).await? {
        let name: &str = row.get(0);
        let Some(tray) = Tray::ALL.into_iter().find(|tray| tray.name() == name) else { continue };
        let (state, blocks, reader) = (State::of(row.get(1))?, row.get(2), row.get(3));
        listed.push(Listed { tray, state, blocks, reader });
    }
    Ok(listed)
}

/// How large the rows are that are not folded.
pub(crate) async fn unfolded_bytes(database: &Database) -> Result<i64> {
    let (step, sql) = ("measure the trays", include_str!("unfolded_bytes.sql"));
    Ok(database.rows(step, sql, &[]).await?.first().map_or(0, |row| row.get(0)))
}

pub(super) async fn state(transaction: &Transaction, tray: Tray) -> Result<State> {
    let (step, sql) = ("look at a tray's state", include_str!("tray_state.sql"));
    State::of(transaction.row(step, sql, &[&tray.name()]).await?.get(0))
}

/// Lets a tray take no more rows, unless no other one takes any. Batches that are being stored in it are
/// waited for, 50 ms at most, because that holds up later ones. Returns the state it has then.
pub(super) async fn close(database: &Database, turns: &Turns, tray: Tray) -> Result<State> {
    // This server's next batches go to another one at once.
    turns.note_closed(tray);
    let transaction = database.begin(Isolation::Default).await?;
    let state = match close_in(&transaction, tray).await {
        Ok(state) => state,
        Err(error) => {
            turns.note(tray, None);
            return Err(transaction.failed(error).await);
        }
    };
    faults::point("tray.before_close").await;
    transaction.commit().await?;
    faults::point("tray.closed").await;
    if matches!(state, State::Open | State::Imports) {
        turns.note(tray, None);
    }
    Ok(state)
}

async fn close_in(transaction: &Transaction, tray: Tray) -> Result<State> {
    let step = "close a tray";
    transaction.script(step, include_str!("lock_timeout_50_ms.sql")).await?;
    transaction.script(step, &tray.sql(include_str!("lock_tray.sql"))).await?;
    transaction.script(step, include_str!("lock_trays.sql")).await?;
    transaction.write(step, include_str!("close_tray.sql"), &[&tray.name()]).await?;
    state(transaction, tray).await
}

/// Empties a folded tray, which takes rows from then on, if nobody may still read it. Returns whether it
/// did.
pub(super) async fn empty(database: &Database, turns: &Turns, tray: Tray) -> Result<bool> {
    let transaction = database.begin(Isolation::Default).await?;
    match empty_in(&transaction, tray).await {
        Ok(true) => {}
        Ok(false) => {
            transaction.abandon().await?;
            return Ok(false);
        }
        Err(error) => return Err(transaction.failed(error).await),
    }
    faults::point("tray.before_open").await;
    transaction.commit().await?;
    turns.note(tray, None);
    Ok(true)
}

async fn empty_in(transaction: &Transaction, tray: Tray) -> Result<bool> {
    let step = "empty a tray";
    transaction.script(step, include_str!("lock_timeout_50_ms.sql")).await?;
    transaction.script(step, &tray.sql(include_str!("lock_folded_tray.sql"))).await?;
    if transaction.write(step, include_str!("open_tray.sql"), &[&tray.name()]).await? == 0 {
        return Ok(false);
    }
    transaction.script(step, &tray.sql(include_str!("empty_tray.sql"))).await?;
    Ok(true)
}

/// What a statement reads that counts rows: the trays that count in the transaction's snapshot.
pub(super) async fn counting(transaction: &Transaction) -> Result<String> {
    let (step, sql) = ("find the trays whose rows count", include_str!("counting_trays.sql"));
    let trays = transaction.rows(step, sql, &[]).await?;
    let arm = |row: &Row| include_str!("rows_of_tray.sql").replace(":tray", row.get(0));
    let arms: Vec<_> = trays.iter().map(arm).collect();
    Ok(format!("({})", arms.join("UNION ALL ")))
}

/// Whether a lock could not be had in time: others go first.
pub(super) fn is_busy(error: &Error) -> bool {
    error.sqlstate() == Some(tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trays_that_are_closed_come_last() {
        let turns = Turns::default();
        let at = |second: &str| format!("2030-06-15T12:00:0{second}Z").parse().expect("a time");
        assert_eq!(turns.order(at("1.499999")), [1, 2, 3, 0].map(Tray));
        turns.note_closed(Tray(1));
        turns.note_closed(Tray(3));
        turns.note_closed(Tray::IMPORTED);
        assert_eq!(turns.order(at("1.25")), [2, 0, 1, 3].map(Tray));
        turns.note(Tray(1), None);
        assert_eq!(turns.now(at("1.25")), Tray(1));
    }

    #[test]
    fn two_batches_at_once_go_into_two_trays() {
        let (turns, now) = (Turns::default(), "2030-06-15T12:00:01.25Z".parse().expect("a time"));
        let first = || turns.order_of_batch(now)[0];
        let one = turns.begin(first());
        assert_eq!(first(), Tray(2));
        let other = turns.begin(first());
        assert_eq!(first(), Tray(1));
        drop(one);
        assert_eq!(first(), Tray(1));
        drop(other);
        turns.begin(Tray(1));
        assert_eq!(turns.order_of_batch(now), [1, 2, 3, 0].map(Tray));
        [2, 3, 0].map(Tray).into_iter().for_each(|tray| turns.note_closed(tray));
        let _storing = turns.begin(Tray(1));
        assert_eq!(first(), Tray(1), "the others are closed");
    }
}
