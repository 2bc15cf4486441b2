//! What one server does for all: sweeping what is overdue, and pruning.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tally_runtime::{Clock, Error, chain};
use tally_serve::Next;
use tally_store::watch::Watch;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::ledger::Deed;
use crate::store::{GAP_MAX, Store, WATCH};

/// How many debts a transaction sweeps.
const SWEPT_MAX: u32 = 500;
/// How far the sweep is behind the clock: payments that have been received are stored by then.
const LAG: SignedDuration = SignedDuration::from_secs(2);
/// How often old payments are deleted, and how many rows at once.
const PRUNING_INTERVAL: SignedDuration = SignedDuration::from_hours(1);
const PRUNED_MAX: u32 = 1_000;

/// Sweeps and prunes. Clones share everything.
#[derive(Clone)]
pub(crate) struct Keeper {
    store: Store,
    watch: Watch,
    clock: Arc<dyn Clock>,
    retention_days: u32,
    pruned: Arc<Mutex<Option<Timestamp>>>,
    /// Called with every sweep that has events to deliver.
    notice: Arc<dyn Fn() + Send + Sync>,
}

// === impl Keeper ===

impl Keeper {
    pub(crate) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        retention_days: u32,
        notice: Arc<dyn Fn() + Send + Sync>,
    ) -> Self {
        let gap_max = std::time::Duration::try_from(GAP_MAX).unwrap_or_default();
        let watch = Watch::new(store.database().clone(), WATCH, gap_max);
        Self { store, watch, clock, retention_days, pruned: Arc::default(), notice }
    }

    /// Sweeps what is overdue, and notes that debts are watched; prunes once an hour.
    pub(crate) async fn tick(&self) -> Result<Next, Error> {
        self.sweep().await?;
        let now = self.clock.now();
        let mut pruned = self.pruned.lock().await;
        if pruned.is_none_or(|last| now.duration_since(last).abs() >= PRUNING_INTERVAL) {
            self.prune(now).await?;
            *pruned = Some(now);
        }
        Ok(Next::Later)
    }

    /// Sweeps everything that is overdue. A debt that cannot be swept keeps no other one waiting.
    ///
    /// # Errors
    /// That of the first debt that cannot be swept: the sweep is not complete then, and nobody notes that
    /// debts are watched.
    pub(crate) async fn sweep(&self) -> Result<(), Error> {
        let now = self.clock.now();
        self.store.note_gap(now).await?;
        let until = now.saturating_sub(LAG).unwrap_or(now);
        let (mut after, mut done) = ((Timestamp::UNIX_EPOCH, Uuid::nil()), Ok(()));
        loop {
            let overdue = self.store.overdue(until, after, SWEPT_MAX).await?;
            let Some(last) = overdue.last() else { break };
            after = *last;
            let deeds = overdue.iter().map(|(_, id)| Deed::Sweep(*id)).collect();
            if let Err(error) = self.store.settle(deeds, until).await {
                tracing::debug!(error = chain(&error), "debts are swept one by one");
                for (_, id) in &overdue {
                    let swept = self.store.settle_one(Deed::Sweep(*id), until).await;
                    let swept = swept.map(drop).map_err(|error| error.within("sweep a debt"));
                    if let Err(error) = &swept {
                        tracing::warn!(debt = %id, error = chain(error), "a debt cannot be swept");
                    }
                    done = done.and(swept);
                }
            }
            (self.notice)();
        }
        done?;
        self.watch.note(now).await.map(drop)
    }

    async fn prune(&self, now: Timestamp) -> Result<(), Error> {
        if self.retention_days == 0 {
            return Ok(());
        }
        let kept = SignedDuration::from_hours(24 * i64::from(self.retention_days));
        let before = now.saturating_sub(kept).unwrap_or(Timestamp::MIN);
        while self.store.prune(before, PRUNED_MAX).await? >= u64::from(PRUNED_MAX) {}
        Ok(())
    }
}
