//! The domain's parts, put together.

use std::sync::Arc;
use std::time::Duration;

use tally_ingest::{Queue, Workers};
use tally_producers::stream::Streams;
use tally_producers::{Producers, Writer};
use tally_runtime::{Clock, Tasks, chain};
use tally_serve::Parts;
use tokio::sync::Semaphore;

use crate::ahead::Ahead;
use crate::domain::NAME;
use crate::endpoints::Endpoints;
use crate::intake::Intake;
use crate::rollup;
use crate::rows::Rows;
use crate::settings::Settings;
use crate::store::{self, Store};
use crate::writer::Naming;

/// How many queries use the database at the same time, so that they leave connections to the
/// insert workers. The others wait.
pub(crate) const QUERIES_MAX: usize = 3;
/// How many roll-ups may be asked for at the same time: each goes on when its caller gives up, so
/// an impatient caller must not pile them up.
const ROLL_UPS_WAITING_MAX: usize = 32;

/// How much longer an attempt waits for the database's own word that it took too long.
const ATTEMPT_GRACE: Duration = Duration::from_secs(2);

/// Counts requests, rolls them up, and answers. Clones are the same service.
#[derive(Clone)]
pub struct Service {
    pub(crate) intake: Arc<Intake>,
    pub(crate) streams: Arc<Streams<Rows>>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) totals_max: usize,
    pub(crate) producers: Producers,
    /// A place for each query that may use the database now.
    pub(crate) queries: Arc<Semaphore>,
    /// One roll-up at a time: they would only wait for each other in the database.
    pub(crate) roll_ups: Arc<Semaphore>,
    /// How many more may wait for it.
    pub(crate) waiting_roll_ups: Arc<Semaphore>,
    workers: Arc<Workers>,
}

// === impl Service ===

impl Service {
    /// Starts the service on a database whose migrations are applied.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(parts: Parts, settings: Settings) -> Result<Self, tally_store::Error> {
        let Parts { database, clock, drain, tasks } = parts;
        let store = store::open(&database);
        let endpoints = Arc::new(Endpoints::new(settings.endpoints_max));
        let (count_max, path_bytes_max) = endpoints.loaded_max();
        let (known, state) = store.endpoints(count_max, path_bytes_max).await?;
        endpoints.load(known, state);
        let producers = Producers::new(database.clone(), NAME, settings.terms);
        // The partition of today is there before the first request comes.
        if let Err(error) = store.maintain(clock.now()).await {
            tracing::warn!(error = chain(&error), "housekeeping failed, will try again");
        }
        let (store_too, endpoints_too) = (Arc::clone(&store), Arc::clone(&endpoints));
        let keeping = rollup::keep_house(
            store_too,
            endpoints_too,
            Arc::clone(&clock),
            producers.clone(),
            drain.clone(),
        );
        tasks.spawn("housekeeping", keeping);
        let queries = Arc::new(Semaphore::new(QUERIES_MAX));
        let queue = Queue::new(settings.queue);
        let worker_settings = settings.of_workers(&database);
        let naming = Naming { store: Arc::clone(&store), endpoints: Arc::clone(&endpoints) };
        let attempt_max = settings.attempt_max() + ATTEMPT_GRACE;
        let writer = Writer::new(naming, producers.clone(), attempt_max, Arc::clone(&clock));
        let workers = Workers::start(&queue, &Arc::new(writer), worker_settings, &clock);
        let workers = Arc::new(workers);
        let intake = Intake {
            endpoints,
            clock: Arc::clone(&clock),
            path_bytes_max: settings.path_bytes_max,
            ahead: Ahead::new(),
            record: settings.record,
        };
        let streams = Streams {
            queue,
            workers: Arc::clone(&workers),
            producers: producers.clone(),
            opening_wait_max: settings.queue.wait_max,
            batches_in_flight_max: settings.record.batches_in_flight_max,
            clock: Arc::clone(&clock),
            drain,
            tasks: Tasks::new(),
        };
        Ok(Self {
            intake: Arc::new(intake),
            streams: Arc::new(streams),
            store,
            clock,
            totals_max: settings.totals_max,
            producers,
            queries,
            roll_ups: Arc::new(Semaphore::new(1)),
            waiting_roll_ups: Arc::new(Semaphore::new(ROLL_UPS_WAITING_MAX)),
            workers,
        })
    }

    /// Waits, after the drain has begun, until the streams are answered and the queue is
    /// written.
    pub async fn finished(&self) {
        self.streams.tasks.close();
        self.streams.tasks.finished().await;
        self.streams.queue.close();
        self.workers.finished().await;
    }

    /// Whether requests can be stored now. If the last attempt failed, and no request is there that
    /// would be another one, something is written to know.
    ///
    /// # Errors
    /// Why they cannot, in one line.
    pub async fn ready(&self) -> Result<(), String> {
        let Some(trouble) = self.workers.trouble() else { return Ok(()) };
        if trouble.is_trying {
            return Err(trouble.message);
        }
        self.store.try_write().await.map_err(|error| chain(&error))?;
        self.workers.recovered();
        Ok(())
    }

    /// How many rows wait or are being written.
    #[must_use]
    pub fn queued_rows(&self) -> usize {
        self.streams.queue.rows()
    }
}
