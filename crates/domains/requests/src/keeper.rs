//! What one server does for all: folding, rolling up on schedule, pruning, and housekeeping.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tally_runtime::{Chore, Error, faults};
use tally_serve::Next;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::due::{EAGER, Folds, IDLE, is_over};
use crate::house::House;
use crate::model::{Day, DayRange};
use crate::schedule::Schedule;
use crate::settings::Settings;

/// How often days are pruned, and producers and idempotency keys forgotten.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// The pause after a fold, for each count that it has added to: twice as long as that takes. The next one has
/// as many to add to, however many rows it finds for them meanwhile.
const FOLD_PAUSE: Duration = Duration::from_micros(20);
/// How short and how long it may be: many short folds hold up inserts less than a few long ones.
const FOLD_PAUSE_MIN: Duration = Duration::from_millis(250);
const FOLD_PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often the days of batches that have many are added up.
const GATHERING_INTERVAL: Duration = Duration::from_secs(60);
/// When a merge or forget is settled: no batch of a server that did not know of it is on its way. Rows of
/// one that comes later still are count under `_unknown` until they are folded.
const SETTLED_AFTER_SECONDS: i64 = 60 * 60;
/// When they are overdue, so that the server is not ready. A fold is due in each quarter, and a roll-up of years
/// takes minutes.
const FOLD_OVERDUE_AFTER: Duration = Duration::from_secs(30 * 60);
const ROLL_UP_OVERDUE_AFTER: Duration = Duration::from_secs(2 * 60 * 60);

/// The duties. Each is right by itself, even if another server does it at the same time.
pub struct Keeper {
    house: House,
    roll_up_at: Schedule,
    quarter_retention_days: u32,
    kept_after_roll_up: Duration,
    idempotency: Duration,
    last: Mutex<LastDone>,
    fold: Chore,
    /// None without a schedule.
    roll_up: Option<Chore>,
}

/// What this server has done last.
struct LastDone {
    folds: Folds,
    rolled_up: Option<Timestamp>,
    kept_house: Option<Timestamp>,
    gathered: Option<Timestamp>,
    /// The last merge or forget of which nothing is left in days and months.
    settled: i64,
}

// === impl Keeper ===

impl Keeper {
    pub(crate) fn new(house: House, settings: &Settings) -> Arc<Self> {
        let now = house.clock.now();
        let folds = Folds::new(now);
        let Settings {
            roll_up_at, quarter_retention_days, kept_after_roll_up, idempotency, ..
        } = *settings;
        let last = Mutex::new(LastDone {
            folds,
            rolled_up: None,
            kept_house: None,
            gathered: None,
            settled: 0,
        });
        let fold = Chore::new("fold", FOLD_OVERDUE_AFTER, now);
        let roll_up = (roll_up_at != Schedule::NEVER)
            .then(|| Chore::new("roll-up", ROLL_UP_OVERDUE_AFTER, now));
        Arc::new(Self {
            house,
            roll_up_at,
            quarter_retention_days,
            kept_after_roll_up,
            idempotency,
            last,
            fold,
            roll_up,
        })
    }

    /// Does what is due. A duty that fails keeps no other one waiting.
    ///
    /// # Errors
    /// That of the first duty that fails. What is left is still due.
    pub async fn tick(&self) -> Result<Next, Error> {
        if faults::is_on(IDLE) {
            return Ok(Next::Later);
        }
        let now = self.house.clock.now();
        let mut last = self.last.lock().await;
        let folded = self.fold_due(now, &mut last).await;
        self.fold.note(now, &folded);
        let rolled_up = self.roll_up_if_due(now, &mut last).await;
        if let Some(roll_up) = &self.roll_up {
            roll_up.note(now, &rolled_up);
        }
        let settled = self.settle(&mut last).await;
        let gathered = self.gather_if_due(now, &mut last).await;
        let house = self.keep_house_if_due(now, &mut last).await;
        let others = rolled_up.and(settled).and(gathered).and(house);
        folded.and_then(|next| others.map(|()| next))
    }

    /// The duties that others wait for.
    pub(crate) fn chores(&self) -> impl Iterator<Item = Chore> {
        [self.fold.clone()].into_iter().chain(self.roll_up.clone())
    }

    /// When days are rolled up by themselves.
    pub(crate) fn roll_up_at(&self) -> Schedule {
        self.roll_up_at
    }

    async fn fold_due(&self, now: Timestamp, last: &mut LastDone) -> Result<Next, Error> {
        let (store, begun) = (&self.house.store, Instant::now());
        let folded = store.fold_due(now, &mut last.folds).await?;
        if folded.requests > 0 {
            let took = begun.elapsed();
            tracing::debug!(requests = folded.requests, "folded");
            self.house.measured.folded(took);
            let counts = u32::try_from(folded.counts).unwrap_or(u32::MAX);
            let pause = FOLD_PAUSE.saturating_mul(counts);
            return Ok(Next::After(pause.clamp(FOLD_PAUSE_MIN, FOLD_PAUSE_MAX)));
        }
        // The next rows need no more room than the last ones left.
        store.give_back().await?;
        Ok(last.folds.next_turn.map_or(Next::Later, Next::After))
    }

    async fn roll_up_if_due(&self, now: Timestamp, last: &mut LastDone) -> Result<(), Error> {
        if self.roll_up_at.is_due(now, last.rolled_up) {
            let over = DayRange { first: Day::MIN, last: Day::of(now).plus(-1) };
            self.house.roll_up(over).await?;
            last.rolled_up = Some(now);
        }
        Ok(())
    }

    /// Finishes merges and forgets that a server has left, and once more when no server can still write
    /// rows of series that have moved.
    async fn settle(&self, last: &mut LastDone) -> Result<(), Error> {
        let store = &self.house.store;
        let unsettled = store.unsettled().await?;
        let Some((newest, _)) = unsettled.last() else { return Ok(()) };
        let old = unsettled.iter().filter(|(_, age)| *age >= SETTLED_AFTER_SECONDS);
        let old = old.map(|(seq, _)| *seq).max();
        if last.settled >= *newest && old.is_none() {
            return Ok(());
        }
        let has_moved = self.house.move_again().await?;
        if old.is_some() {
            store.fold().await?;
        }
        if store.settle().await? && has_moved {
            last.settled = *newest;
            if let Some(old) = old {
                store.mark_settled(old).await?;
            }
        }
        Ok(())
    }

    async fn gather_if_due(&self, now: Timestamp, last: &mut LastDone) -> Result<(), Error> {
        if is_over(GATHERING_INTERVAL, now, last.gathered) {
            self.house.producers.gather_days().await?;
            last.gathered = Some(now);
        }
        Ok(())
    }

    async fn keep_house_if_due(&self, now: Timestamp, last: &mut LastDone) -> Result<(), Error> {
        if is_over(HOUSEKEEPING_INTERVAL, now, last.kept_house) {
            let pruned = self.prune(now).await;
            let forgotten = self.house.producers.forget_silent().await;
            let keys = self.house.producers.forget_keys(self.idempotency).await;
            pruned.and(forgotten).and(keys)?;
            last.kept_house = Some(now);
        }
        Ok(())
    }

    async fn prune(&self, now: Timestamp) -> Result<(), Error> {
        let Ok(days @ 1..) = i32::try_from(self.quarter_retention_days) else { return Ok(()) };
        // A clock that is wrong must not delete what no other server can bring back.
        let Some(newest) = self.house.store.newest_day().await? else { return Ok(()) };
        let before = Day::of(now).min(newest.plus(1)).plus(-days);
        let rolled_up_for =
            if faults::is_on(EAGER) { Duration::ZERO } else { self.kept_after_roll_up };
        let pruned = self.house.store.prune(before, rolled_up_for).await?;
        if pruned > 0 {
            tracing::info!("removed the quarter-hours of {pruned} rolled-up days before {before}");
        }
        Ok(())
    }
}
