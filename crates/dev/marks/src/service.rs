//! The operations, and the parts that they are made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tally_producers::Producers;
use tally_producers::stream::Streams;
use tally_runtime::{Clock, Drain, chain};
use tally_serve::Parts;
use tally_store::Error;

use crate::batches::Marks;
use crate::domain::{NAME, Settings, WINDOW};
use crate::store::Store;

/// Stores marks. Clones are the same service.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) streams: Arc<Streams<Marks>>,
    pub(crate) clock: Arc<dyn Clock>,
    store: Store,
    producers: Producers,
    /// How often the producers were looked after.
    rounds: Arc<AtomicU64>,
}

// === impl Service ===

impl Service {
    pub(crate) fn start(parts: Parts, settings: Settings) -> Self {
        let Parts { database, clock, drain, tasks } = parts;
        let (Settings { terms, limits, workers, round }, rounds) = (settings, Arc::default());
        let producers = Producers::new(database.clone(), NAME, terms);
        let store = Store(database);
        let streams = Streams::start(
            store.clone(),
            producers.clone(),
            limits,
            workers,
            WINDOW,
            Arc::clone(&clock),
            drain.clone(),
        );
        let service = Self { streams: Arc::new(streams), clock, store, producers, rounds };
        tasks.spawn("housekeeping of marks", service.clone().keep(round, drain));
        service
    }

    /// Forgets silent producers until the server stops.
    async fn keep(self, round: Duration, drain: Drain) {
        while drain.pause(round).await {
            if let Err(error) = self.producers.forget_silent().await {
                tracing::warn!(error = chain(&error), "housekeeping failed, will try again");
            }
            self.rounds.fetch_add(1, Ordering::Relaxed);
        }
        tracing::info!("housekeeping of marks has ended");
    }

    /// How many marks are stored, and how often the producers were looked after.
    pub(crate) async fn count(&self) -> Result<(i64, u64), Error> {
        Ok((self.store.count().await?, self.rounds.load(Ordering::Relaxed)))
    }

    pub(crate) async fn ready(&self) -> Result<(), String> {
        self.streams.ready(self.store.0.ping()).await
    }
}
