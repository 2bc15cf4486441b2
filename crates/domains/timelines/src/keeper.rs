//! What one server does for all: abandoning what nobody hears of any more, and deleting what is not kept.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tally_runtime::{Chore, Clock, Error};
use tally_serve::Next;
use tokio::sync::Mutex;

use crate::store::{KNOWN_DAYS, Store};

/// How many events, or their contexts, a transaction abandons.
const ABANDONED_MAX: u32 = 500;
/// How far the sweep is behind the clock: messages that have been received are stored by then.
const LAG: SignedDuration = SignedDuration::from_secs(2);
/// When it is overdue, so that the server is not ready.
const SWEEP_OVERDUE_AFTER: Duration = Duration::from_secs(5 * 60);
/// How often old rows are deleted, how many at once, and how many timelines with all their events.
const PRUNING_INTERVAL: SignedDuration = SignedDuration::from_mins(10);
const PRUNED_MAX: u32 = 1_000;
const EXPIRED_MAX: u32 = 10;

/// Sweeps and prunes. Clones share everything.
#[derive(Clone)]
pub(crate) struct Keeper {
    store: Store,
    clock: Arc<dyn Clock>,
    duration_retention_days: u32,
    pruned: Arc<Mutex<Option<Timestamp>>>,
    chore: Chore,
}

// === impl Keeper ===

impl Keeper {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>, duration_retention_days: u32) -> Self {
        let chore = Chore::new("sweep", SWEEP_OVERDUE_AFTER, clock.now());
        Self { store, clock, duration_retention_days, pruned: Arc::default(), chore }
    }

    /// Sweeps, as others wait for it.
    pub(crate) fn chore(&self) -> Chore {
        self.chore.clone()
    }

    /// Sweeps what is overdue; prunes now and then.
    pub(crate) async fn tick(&self) -> Result<Next, Error> {
        let now = self.clock.now();
        let swept = self.sweep(now).await;
        self.chore.note(now, &swept);
        swept?;
        let mut pruned = self.pruned.lock().await;
        if pruned.is_none_or(|last| now.duration_since(last).abs() >= PRUNING_INTERVAL) {
            self.prune(now).await?;
            *pruned = Some(now);
        }
        Ok(Next::Later)
    }

    /// Abandons everything that is overdue.
    async fn sweep(&self, now: Timestamp) -> Result<(), Error> {
        let until = now.saturating_sub(LAG).unwrap_or(now);
        while self.store.abandon(until, ABANDONED_MAX).await? > 0 {}
        Ok(())
    }

    async fn prune(&self, now: Timestamp) -> Result<(), Error> {
        while self.store.expire(now, EXPIRED_MAX).await? >= u64::from(EXPIRED_MAX) {}
        let before = |days: i64| {
            now.saturating_sub(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MIN)
        };
        let durations = match self.duration_retention_days {
            0 => Timestamp::UNIX_EPOCH,
            days => before(days.into()),
        };
        let messages = before(KNOWN_DAYS);
        while self.store.prune(messages, durations, PRUNED_MAX).await? >= u64::from(PRUNED_MAX) {}
        Ok(())
    }
}
