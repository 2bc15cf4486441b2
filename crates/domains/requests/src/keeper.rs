//! What one server does for all: folding, rolling up on schedule, pruning, and housekeeping.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use jiff::Timestamp;
use tally_runtime::{Error, faults};
use tokio::sync::Mutex;

use crate::house::House;
use crate::model::{Day, DayRange, Quarter};
use crate::schedule::Schedule;
use crate::settings::Settings;

/// How often days are pruned, and producers and files forgotten.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// How often the days of batches that have many are added up.
const GATHERING_INTERVAL: Duration = Duration::from_secs(60);
/// When a merge or forget is settled: no batch of a server that did not know of it is on its way. Rows of
/// one that comes later still are count under `_unknown` until they are folded.
const SETTLED_AFTER_SECONDS: i64 = 60 * 60;

/// The longest pause before a tray that others hold is tried again.
const HELD_PAUSE_MAX: Duration = Duration::from_secs(60);
/// When the log says that others hold a tray.
const HELD_LONG: Duration = Duration::from_secs(15 * 60);
/// With this fault everything is due in each round.
const EAGER: &str = "duties.eager";

/// The duties. Each is right by itself, even if another server does it at the same time.
pub struct Keeper {
    house: House,
    roll_up_at: Schedule,
    quarter_retention_days: u32,
    done: Mutex<Done>,
}

/// What this server has done last.
struct Done {
    folds: Folds,
    rolled_up: Option<Timestamp>,
    kept_house: Option<Timestamp>,
    gathered: Option<Timestamp>,
    /// The last merge or forget of which nothing is left in days and months.
    settled: i64,
}

/// In which quarter each tray was folded last, and which trays others hold.
pub(crate) struct Folds {
    /// What counts for a tray that this server has not folded.
    started: Quarter,
    trays: HashMap<usize, Quarter>,
    held: HashMap<usize, Held>,
}

/// A tray that could not be folded because others hold it.
struct Held {
    since: Timestamp,
    tried: Timestamp,
    attempts: u32,
    is_told: bool,
}

// === impl Keeper ===

impl Keeper {
    pub(crate) fn new(house: House, settings: &Settings) -> Arc<Self> {
        let folds = Folds::new(house.clock.now());
        let Settings { roll_up_at, quarter_retention_days, .. } = *settings;
        let done = Mutex::new(Done { folds, rolled_up: None, kept_house: None, gathered: None, settled: 0 });
        Arc::new(Self { house, roll_up_at, quarter_retention_days, done })
    }

    /// Does what is due.
    ///
    /// # Errors
    /// When the database fails. What is left is still due.
    pub async fn tick(&self) -> Result<(), Error> {
        let now = self.house.clock.now();
        let mut done = self.done.lock().await;
        let store = &self.house.store;
        let folded = store.fold_due(now, &mut done.folds).await?;
        if folded.requests > 0 {
            tracing::debug!(requests = folded.requests, "folded");
        } else {
            // The next rows need no more room than the last ones left.
            store.give_back().await?;
        }
        // A day that cannot be rolled up now keeps no other duty waiting.
        let rolled_up = self.roll_up_if_due(now, &mut done).await;
        self.settle(&mut done).await?;
        if is_over(GATHERING_INTERVAL, now, done.gathered) {
            self.house.producers.gather_days().await?;
            done.gathered = Some(now);
        }
        if is_over(HOUSEKEEPING_INTERVAL, now, done.kept_house) {
            self.prune(now).await?;
            store.forget_files().await?;
            self.house.producers.forget_silent().await?;
            done.kept_house = Some(now);
        }
        rolled_up
    }

    async fn roll_up_if_due(&self, now: Timestamp, done: &mut Done) -> Result<(), Error> {
        if self.roll_up_at.is_due(now, done.rolled_up) {
            let over = DayRange { first: Day::MIN, last: Day::of(now).plus(-1) };
            self.house.roll_up(over).await?;
            done.rolled_up = Some(now);
        }
        Ok(())
    }

    /// Finishes merges and forgets that a server has left, and once more when no server can still write
    /// rows of series that have moved.
    async fn settle(&self, done: &mut Done) -> Result<(), Error> {
        let store = &self.house.store;
        let unsettled = store.unsettled().await?;
        let Some((newest, _)) = unsettled.last() else { return Ok(()) };
        let old = unsettled.iter().filter(|(_, age)| *age >= SETTLED_AFTER_SECONDS);
        let old = old.map(|(seq, _)| *seq).max();
        if done.settled < *newest || old.is_some() || faults::is_on(EAGER) {
            self.house.move_again().await?;
            store.settle().await?;
            done.settled = *newest;
        }
        if let Some(old) = old {
            store.fold().await?;
            store.settle().await?;
            store.mark_settled(old).await?;
        }
        Ok(())
    }

    async fn prune(&self, now: Timestamp) -> Result<(), Error> {
        let Ok(days @ 1..) = i32::try_from(self.quarter_retention_days) else { return Ok(()) };
        // A clock that is wrong must not delete what no other server can bring back.
        let Some(newest) = self.house.store.newest_day().await? else { return Ok(()) };
        let before = Day::of(now).min(newest.plus(1)).plus(-days);
        let pruned = self.house.store.prune(before).await?;
        if pruned > 0 {
            tracing::info!("removed the quarter-hours of {pruned} rolled-up days before {before}");
        }
        Ok(())
    }
}

/// Whether this much time has passed since, or the clock went back.
fn is_over(interval: Duration, now: Timestamp, since: Option<Timestamp>) -> bool {
    let is_over = |since| now < since || now.duration_since(since).unsigned_abs() >= interval;
    faults::is_on(EAGER) || since.is_none_or(is_over)
}

// === impl Folds ===

impl Folds {
    pub(crate) fn new(now: Timestamp) -> Self {
        let started = Quarter::of_micros(now.as_microsecond());
        Self { started, trays: HashMap::new(), held: HashMap::new() }
    }

    /// Whether to fold a tray now: it is large, or may have rows of an earlier quarter. While others hold
    /// it, the pauses between two attempts double, because each of them holds up queries.
    pub(crate) fn is_due(&self, tray: usize, now: Timestamp, is_large: bool) -> bool {
        let quarter = Quarter::of_micros(now.as_microsecond());
        let is_due = is_large || self.trays.get(&tray).unwrap_or(&self.started) != &quarter;
        let is_due = is_due || faults::is_on(EAGER);
        is_due
            && self.held.get(&tray).is_none_or(|held| is_over(held.pause(), now, Some(held.tried)))
    }

    pub(crate) fn note(&mut self, tray: usize, now: Timestamp) {
        self.trays.insert(tray, Quarter::of_micros(now.as_microsecond()));
        self.held.remove(&tray);
    }

    /// Notes that others hold a tray.
    pub(crate) fn note_held(&mut self, tray: usize, now: Timestamp) {
        let first = Held { since: now, tried: now, attempts: 0, is_told: false };
        let held = self.held.entry(tray).or_insert(first);
        (held.tried, held.attempts) = (now, held.attempts.saturating_add(1));
        if !held.is_told && is_over(HELD_LONG, now, Some(held.since)) {
            held.is_told = true;
            tracing::warn!(
                tray,
                since = %held.since,
                "rows cannot be folded: a transaction has held their table since then"
            );
        }
    }
}

// === impl Held ===

impl Held {
    fn pause(&self) -> Duration {
        HELD_PAUSE_MAX.min(Duration::from_secs(1 << self.attempts.saturating_sub(1).min(10)))
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;

    #[test]
    fn a_tray_that_others_hold_is_tried_less_and_less() {
        let start: Timestamp = "2030-06-15T12:14:00Z".parse().expect("a time");
        let mut folds = Folds::new(start);
        assert!(folds.is_due(1, start, true));
        let mut attempts = 0;
        for second in 0..3_600 {
            let now = start + second.seconds();
            if folds.is_due(1, now, true) {
                attempts += 1;
                folds.note_held(1, now);
            }
            assert!(second < 60 || folds.is_due(2, now, false), "the others go on");
        }
        // After 0, 1, 3, 7, 15 and 31 seconds, and then each minute.
        assert_eq!(attempts, 6 + 59);
        // A clock that went back does not stop it, and what is done is done.
        assert!(folds.is_due(1, start, true));
        folds.note(1, start);
        assert!(folds.is_due(1, start, true));
        assert!(!folds.is_due(1, start, false));
    }
}
