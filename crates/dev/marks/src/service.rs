//! The operations, and the parts that they are made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tally_ingest::Limits;
use tally_producers::Producers;
use tally_producers::stream::Streams;
use tally_runtime::metrics::{Metric, Scrape};
use tally_runtime::{Clock, Drain, chain};
use tally_serve::{Fact, Parts, Running};
use tally_store::Error;

use crate::batches::Marks;
use crate::domain::{NAME, Settings};
use crate::store::Store;

/// How many batches of a client may be on their way: few, so that a run is short.
pub(crate) const WINDOW: u32 = 8;
pub(crate) const WORKERS: tally_ingest::Settings = tally_ingest::Settings {
    workers: 2,
    batch_rows_max: 5_000,
    join_rows: 0,
    write_wait_max: Duration::from_secs(30),
};
const LIMITS: Limits =
    Limits { rows_max: 10_000, bytes_max: 1 << 20, wait_max: Duration::from_secs(5) };
const ROUNDS: Metric = Metric::counter(
    "tally_marks_rounds_total",
    "How often the producers of marks were looked after.",
);

/// Stores marks.
pub(crate) struct Service {
    pub(crate) streams: Arc<Streams<Marks>>,
    pub(crate) clock: Arc<dyn Clock>,
    store: Store,
    producers: Producers,
    /// How often the producers were looked after.
    rounds: AtomicU64,
}

// === impl Service ===

impl Service {
    pub(crate) fn start(parts: Parts, settings: &Settings) -> Arc<Self> {
        let Parts { database, clock, drain, tasks, .. } = parts;
        let producers = Producers::new(database.clone(), NAME, settings.terms);
        let (store, until) = (Store(database), drain.clone());
        let (batches, leases, now) = (store.clone(), producers.clone(), Arc::clone(&clock));
        let streams = Streams::start(batches, leases, LIMITS, WORKERS, WINDOW, now, drain);
        let (streams, rounds) = (Arc::new(streams), AtomicU64::new(0));
        let service = Arc::new(Self { streams, clock, store, producers, rounds });
        tasks.spawn("housekeeping of marks", Arc::clone(&service).keep(settings.round, until));
        service
    }

    /// Forgets silent producers until the server stops.
    async fn keep(self: Arc<Self>, round: Duration, drain: Drain) {
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
}

#[async_trait]
impl Running for Service {
    async fn ready(&self) -> Result<(), String> {
        self.streams.ready(self.store.0.ping()).await
    }

    fn queued_rows(&self) -> usize {
        self.streams.queued_rows()
    }

    fn measure(&self, scrape: &mut Scrape) {
        self.streams.measure(self.clock.now(), scrape);
        scrape.put(ROUNDS, &[], self.rounds.load(Ordering::Relaxed));
    }

    fn facts(&self) -> Vec<Fact> {
        vec![Fact::count("rounds", self.rounds.load(Ordering::Relaxed))]
    }

    async fn finished(&self) {
        self.streams.finished().await;
    }
}
