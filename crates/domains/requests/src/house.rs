//! What needs the store together with the series that it is believed to have: storing batches, and
//! following merges and forgets.

use std::sync::Arc;
use std::time::Duration;

use tally_ingest::{Batch, WriteError};
use tally_producers::{Append, Fate, Parcel, Producers};
use tally_runtime::{Clock, Drain, Error, Outcome, chain};
use tokio::time::Instant;

use crate::changes::{Draft, Outdated, Plan, Version};
use crate::metrics::Measured;
use crate::model::{Day, DayRange};
use crate::rows::Rows;
use crate::series::KnownSeries;
use crate::store::{Appended, Result, Store};

/// How often an attempt starts over because a new connection was made meanwhile.
const STALE_MAX: usize = 32;

/// How often a server that has no room for more series asks which ones others tell apart.
const LEARNING_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How often a server asks what it tells scrapes of the database.
const LOOKING_INTERVAL: Duration = Duration::from_secs(60);

/// How often a server asks whether series were merged or forgotten.
const FOLLOWING_INTERVAL: Duration = Duration::from_secs(1);

/// The store, the series that it is believed to have, and its producers: batches go in here, and
/// housekeeping looks after it. Clones share everything.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) store: Arc<Store>,
    pub(crate) series: Arc<KnownSeries>,
    pub(crate) producers: Producers,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) measured: Arc<Measured>,
}

// === impl House ===

impl House {
    /// Rolls up the days. Returns how many requests are in months now that were not before.
    pub(crate) async fn roll_up(&self, days: DayRange) -> Result<u64> {
        let began = Instant::now();
        let requests = self.store.roll_up(days).await?;
        self.measured.rolled_up(requests, began.elapsed());
        if requests > 0 {
            tracing::info!(days = %days, requests, "rolled up");
        } else {
            tracing::debug!(days = %days, "rolled up nothing new");
        }
        Ok(requests)
    }

    /// Reads what scrapes are told of the database, so that no scrape waits for it.
    async fn look(&self) -> Result<()> {
        let yesterday = Day::of(self.clock.now()).plus(-1);
        self.measured.note(self.store.advance(yesterday).await?);
        self.producers.summary().await.map(drop)
    }

    /// Learns once an hour.
    pub(crate) async fn keep_learning(self, drain: Drain) {
        while drain.pause(LEARNING_INTERVAL).await {
            self.learn().await;
        }
    }

    /// Learns, if this server has no room for more series, which ones other servers tell apart: these
    /// are not `_other` here either.
    pub(crate) async fn learn(&self) {
        if self.series.have_refused() {
            let (count_max, text_bytes_max) = self.series.loaded_max();
            match self.store.series(count_max, text_bytes_max).await {
                Ok((known, _)) => drop(self.series.learn(known)),
                Err(error) => tracing::warn!(error = chain(&error), "could not read the series"),
            }
        }
    }
}

/// Merges and forgets.
impl House {
    /// Follows merges and forgets within about a second, whichever server makes them. Looks once a minute at
    /// what scrapes ask for.
    pub(crate) async fn keep_following(self, drain: Drain) {
        let mut looked: Option<Instant> = None;
        while drain.pause(FOLLOWING_INTERVAL).await {
            if looked.is_none_or(|looked| looked.elapsed() >= LOOKING_INTERVAL)
                && self.look().await.is_ok()
            {
                looked = Some(Instant::now());
            }
            let followed = match self.store.version().await {
                Ok(version) if version == self.series.version() => Ok(()),
                Ok(_) => self.follow_changes().await,
                Err(error) => Err(error),
            };
            // The next round does it, and names are checked when they are stored.
            if let Err(error) = followed {
                tracing::debug!(error = chain(&error), "could not follow changes of series");
            }
        }
    }

    /// Moves what merges and forgets are about and a program that knows nothing of them has brought since.
    /// Returns whether it did: not if there is a newer one.
    pub(crate) async fn move_again(&self) -> Result<bool> {
        let changes = self.store.changes(Version::default()).await?;
        let (known, _) = self.store.series(usize::MAX, usize::MAX).await?;
        let mut plan = Plan::new(changes.renamings, None);
        // Here, because nobody waits for it: the transaction then looks at newer ones only.
        plan.see_all(&known).await.ok();
        let (version, redacted) = (changes.version, Vec::new());
        match self.store.move_series(&Draft { version, plan, line: None, redacted }).await {
            Ok(_) => {}
            Err(error) if error.find::<Outdated>().is_some() => return Ok(false),
            Err(error) => return Err(error),
        }
        self.follow_changes().await?;
        Ok(true)
    }

    /// Follows merges and forgets.
    pub(crate) async fn follow_changes(&self) -> Result<()> {
        let changes = self.store.changes(self.series.version()).await?;
        self.series.follow_changes(changes);
        Ok(())
    }
}

impl Append for House {
    type Content = Rows;

    async fn append(&self, batch: &Batch<'_, Parcel<Rows>>) -> Result<Vec<Fate>, WriteError> {
        for _ in 0..STALE_MAX {
            let names = self.series.names_of(batch.chunks, self.store.state());
            match self.store.append(batch, &names, self.clock.now()).await {
                Ok(Appended::Stored { fates, renumbered }) => {
                    self.series.confirm(&names, renumbered);
                    self.measured.committed(batch.chunks, &fates);
                    return Ok(fates);
                }
                Ok(Appended::Stale) => {}
                Ok(Appended::Outdated) => self.follow_changes().await?,
                Err(error) => {
                    if matches!(error, WriteError::OutOfSequence { .. }) {
                        self.series.doubt();
                    }
                    return Err(error);
                }
            }
        }
        let step = "store a batch: the database's connections do not last";
        Err(Error::transient(step, Outcome::Determinate).into())
    }
}
