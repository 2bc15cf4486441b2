//! What one server does for all: sweeping what is overdue, and pruning.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tally_runtime::{Chore, Clock, Error, Kind, chain, faults};
use tally_serve::Next;
use tally_store::watch::Watch;
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use crate::held::Held;
use crate::ledger::{Deed, Outcome};
use crate::state::CLOCK_AHEAD_MAX;
use crate::store::{GAP_MAX, Store, WATCH};

/// How many debts a transaction sweeps.
const SWEPT_MAX: u32 = 500;
/// How far the sweep is behind the clock: payments that another server has received are usually stored by then.
const LAG: SignedDuration = SignedDuration::from_secs(2);
/// When it is overdue, so that the server is not ready.
const SWEEP_OVERDUE_AFTER: Duration = Duration::from_secs(5 * 60);
/// How often old payments are deleted, and all debts are read for what a server has stored whose clock was far ahead.
const TIDYING_INTERVAL: SignedDuration = SignedDuration::from_hours(1);
/// How many rows are deleted at once.
const PRUNED_MAX: u32 = 1_000;

/// Sweeps and prunes. Clones share everything.
#[derive(Clone)]
pub(crate) struct Keeper {
    store: Store,
    watch: Watch,
    clock: Arc<dyn Clock>,
    held: Held,
    retention_days: u32,
    pruned: Arc<Mutex<Option<Timestamp>>>,
    mended: Arc<Mutex<Option<Timestamp>>>,
    /// The debts that could not be swept the last time.
    told: Arc<Mutex<HashSet<Uuid>>>,
    chore: Chore,
    /// Called with every sweep that has events to deliver.
    notice: Arc<dyn Fn() + Send + Sync>,
}

// === impl Keeper ===

impl Keeper {
    pub(crate) fn new(
        (store, clock, held): (Store, Arc<dyn Clock>, Held),
        retention_days: u32,
        notice: Arc<dyn Fn() + Send + Sync>,
    ) -> Self {
        let gap_max = Duration::try_from(GAP_MAX).unwrap_or_default();
        let watch = Watch::new(store.database().clone(), WATCH, gap_max);
        let chore = Chore::new("sweep", SWEEP_OVERDUE_AFTER, clock.now());
        let (pruned, mended, told) = (Arc::default(), Arc::default(), Arc::default());
        Self { store, watch, clock, held, retention_days, pruned, mended, told, chore, notice }
    }

    /// Sweeps what is overdue, and notes that debts are watched; prunes now and then.
    pub(crate) async fn tick(&self) -> Result<Next, Error> {
        let now = self.clock.now();
        // A debt that cannot be swept is no reason to sweep the others later.
        drop(self.sweep_at(now).await?);
        let mut pruned = self.pruned.lock().await;
        if pruned.is_none_or(|last| now.duration_since(last).abs() >= TIDYING_INTERVAL) {
            self.prune(now).await?;
            *pruned = Some(now);
        }
        Ok(Next::Later)
    }

    /// Sweeps everything that is overdue.
    ///
    /// # Errors
    /// When the database fails, or that of the first debt that cannot be swept; all others are swept then.
    pub(crate) async fn sweep(&self) -> Result<(), Error> {
        self.sweep_at(self.clock.now()).await?.map_or(Ok(()), Err)
    }

    /// The same; the error of a debt that cannot be swept is returned.
    async fn sweep_at(&self, now: Timestamp) -> Result<Option<Error>, Error> {
        let began = Instant::now();
        let swept = self.round(now).await;
        self.store.measured().swept(began.elapsed());
        match swept {
            Ok(Some(broken)) => {
                let failed: Result<(), Error> = Err(broken);
                self.chore.note(now, &failed);
                Ok(failed.err())
            }
            swept => {
                self.chore.note(now, &swept);
                swept
            }
        }
    }

    /// Sweeping, as others wait for it.
    pub(crate) fn chore(&self) -> Chore {
        self.chore.clone()
    }

    /// Sweeps everything that is overdue, and notes that debts are watched. A debt that cannot be swept keeps no
    /// other one waiting; its error is returned, the first one if there are several.
    async fn round(&self, now: Timestamp) -> Result<Option<Error>, Error> {
        self.store.note_gap(now).await?;
        let agreed = earlier(now, self.store.time().await?);
        let until = agreed.saturating_sub(LAG).unwrap_or(agreed);
        // What is held may be in time.
        let until = self.held.oldest().map_or(until, |oldest| until.min(oldest));
        let (mut after, mut broken) = ((Timestamp::UNIX_EPOCH, Uuid::nil()), Vec::new());
        loop {
            let overdue = self.store.overdue(until, after, SWEPT_MAX).await?;
            let Some(last) = overdue.last() else { break };
            if faults::is_on("debts.unswept") {
                break;
            }
            after = *last;
            let ids: Vec<_> = overdue.into_iter().map(|(_, id)| id).collect();
            self.sweep_some(&ids, until, &mut broken).await?;
            (self.notice)();
        }
        self.mend(now, until, &mut broken).await?;
        self.tell(&broken).await;
        self.watch.note(now).await?;
        Ok(broken.into_iter().next().map(|(_, error)| error))
    }

    /// Sweeps these, and adds those that cannot be swept.
    async fn sweep_some(
        &self,
        ids: &[Uuid],
        until: Timestamp,
        broken: &mut Vec<(Uuid, Error)>,
    ) -> Result<(), Error> {
        let deeds = ids.iter().map(|id| Deed::Sweep(*id)).collect();
        let outcomes: Vec<_> = match self.store.settle(deeds, until).await {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(error) => {
                tracing::debug!(error = chain(&error), "debts are swept one by one");
                let mut outcomes = Vec::new();
                for id in ids {
                    outcomes.push(self.store.settle_one(Deed::Sweep(*id), until).await);
                }
                outcomes
            }
        };
        for (id, outcome) in ids.iter().zip(outcomes) {
            match outcome {
                Ok(Outcome::Broken(why)) => {
                    let error = Error::permanent(format!("sweep debt {id}"), Kind::Internal);
                    broken.push((*id, error.because(why)));
                }
                Ok(_) => {}
                // It is the database's trouble.
                Err(error) if error.is_transient() => return Err(error.within("sweep debts")),
                Err(error) => broken.push((*id, error.within(format!("sweep debt {id}")))),
            }
        }
        Ok(())
    }

    /// Takes back, now and then, what a server has stored whose clock was far ahead: a debt that nobody pays any
    /// more would be overdue too late.
    async fn mend(
        &self,
        now: Timestamp,
        until: Timestamp,
        broken: &mut Vec<(Uuid, Error)>,
    ) -> Result<(), Error> {
        let mut mended = self.mended.lock().await;
        // A clock that has just been put back may be the wrong one, as of a machine that wakes up.
        let last = mended.map_or(now, |last| last.min(now));
        *mended = Some(last);
        if now.duration_since(last) < TIDYING_INTERVAL {
            return Ok(());
        }
        let ahead = now.saturating_add(CLOCK_AHEAD_MAX).unwrap_or(Timestamp::MAX);
        let mut after = Uuid::nil();
        loop {
            let ids = self.store.ahead(ahead, after, SWEPT_MAX).await?;
            let Some(last) = ids.last() else { break };
            after = *last;
            self.sweep_some(&ids, until, broken).await?;
        }
        *mended = Some(now);
        Ok(())
    }

    /// Says which debts cannot be swept, if that is news.
    async fn tell(&self, broken: &[(Uuid, Error)]) {
        let mut told = self.told.lock().await;
        for (id, error) in broken.iter().filter(|(id, _)| !told.contains(id)) {
            tracing::warn!(debt = %id, error = chain(error), "a debt cannot be swept");
        }
        *told = broken.iter().map(|(id, _)| *id).collect();
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

/// The earlier one of the clocks of this server and of the database: what one server takes for overdue may still be
/// paid through another. If they are further apart than a gap, nobody knows which one is right.
fn earlier(now: Timestamp, of_database: Option<Timestamp>) -> Timestamp {
    of_database
        .filter(|time| now.duration_since(*time) <= GAP_MAX)
        .map_or(now, |time| time.min(now))
}
