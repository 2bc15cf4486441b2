//! The domain's parts, put together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tally_ingest::{Batch, Limits, Queue, Sink, Workers, WriteError};
use tally_producers::{PLACES, Producers, Terms, Told};
use tally_runtime::{Clock, Drain, Tasks, chain};
use tally_store::error::chain_for_clients;
use tally_store::{Database, Outcome};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use uuid::Uuid;

use crate::ahead::Ahead;
use crate::batch::RecordLimits;
use crate::endpoints::Endpoints;
use crate::recorder::Recorder;
use crate::rollup;
use crate::rows::Rows;
use crate::store::{self, Appended, Store};
use crate::{DOMAIN, warm};

/// How many queries use the database at the same time, so that they leave connections to the
/// insert workers. The others wait.
pub(crate) const QUERIES_MAX: usize = 3;
/// How many roll-ups may be asked for at the same time: each goes on when its caller gives up, so
/// an impatient caller must not pile them up.
const ROLL_UPS_WAITING_MAX: usize = 32;
/// How many connections the service uses at most for what does not store: the queries, a roll-up,
/// housekeeping, and the health check.
pub const CONNECTIONS_BESIDE_WRITES: usize = QUERIES_MAX + 3;
/// The same beside one for each worker: opening a producer stores, too.
pub const CONNECTIONS_BESIDE_WORKERS: usize = CONNECTIONS_BESIDE_WRITES + PLACES + 1;

/// Shortest timeout per attempt: a busy database may need this long for one batch.
const ATTEMPT_MIN: Duration = Duration::from_secs(1);
/// A batch that takes longer than this is tried again, however long it may be tried in all.
const ATTEMPT_MAX: Duration = Duration::from_secs(25);
/// How much longer an attempt waits for the database's own word that it took too long.
const ATTEMPT_GRACE: Duration = Duration::from_secs(2);

/// How often a batch is begun again within an attempt because a new connection was made meanwhile.
const STALE_MAX: usize = 32;

/// How many losses that could not be noted are kept in mind.
const SETBACKS_OWED_MAX: usize = 64;

/// What the service is made with. See the server's settings for their meaning and limits.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many batches are written at the same time. SQLite has one writer, whatever this says.
    pub workers: usize,
    /// How many rows a batch takes at most, give or take a chunk: 1,024 rows of an `Add` stream,
    /// or up to 98,303 of a `Record` stream.
    pub batch_rows_max: usize,
    /// How much may wait, and for how long a stream is held back.
    pub queue: Limits,
    /// How long a batch is tried while the database is away.
    pub write_wait_max: Duration,
    /// How long a path may be, in bytes.
    pub path_bytes_max: usize,
    /// How many endpoints are told apart.
    pub endpoints_max: usize,
    /// How many totals an answer may have.
    pub totals_max: usize,
    /// What a `Record` stream may bring.
    pub record: RecordLimits,
    /// How many clients that number their batches are known at the same time.
    pub producers_max: u32,
    /// How many days such a client is remembered that stores nothing.
    pub producer_retention_days: u32,
}

/// What the service stands on.
pub struct Parts {
    /// Where requests are stored.
    pub database: Database,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Tells when the server stops.
    pub drain: Drain,
}

/// Counts requests, rolls them up, and answers. Clones are the same service.
#[derive(Clone)]
pub struct Service {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) streams: Tasks,
    pub(crate) totals_max: usize,
    pub(crate) producers: Producers,
    /// A place for each query that may use the database now.
    pub(crate) queries: Arc<Semaphore>,
    /// One roll-up at a time: they would only wait for each other in the database.
    pub(crate) roll_ups: Arc<Semaphore>,
    /// How many more may wait for it.
    pub(crate) waiting_roll_ups: Arc<Semaphore>,
    workers: Arc<Workers>,
    house: Tasks,
}

/// The store as the workers see it.
struct Writer {
    store: Arc<dyn Store>,
    producers: Producers,
    endpoints: Arc<Endpoints>,
    /// How long to wait for the outcome of one attempt.
    attempt_timeout: Duration,
    clock: Arc<dyn Clock>,
    /// Workers of which the database has lost something that is not noted yet.
    owed: Mutex<Vec<(Uuid, i64)>>,
}

// === impl Settings ===

impl Settings {
    /// How long one attempt to store a batch may take in the database: a part of the time that it
    /// is tried, so that one whose outcome is unknown is repeated under its number before it is
    /// given up.
    #[must_use]
    pub fn attempt_max(&self) -> Duration {
        (self.write_wait_max / 3).clamp(ATTEMPT_MIN, ATTEMPT_MAX)
    }

    fn of_workers(&self, database: &Database) -> tally_ingest::Settings {
        let workers = match database {
            Database::Sqlite(_) => 1,
            Database::Postgres(_) => self.workers,
        };
        let Self { batch_rows_max, write_wait_max, .. } = *self;
        tally_ingest::Settings { workers, batch_rows_max, write_wait_max }
    }
}

// === impl Service ===

impl Service {
    /// Starts the service on a database whose migrations are applied.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(parts: Parts, settings: Settings) -> Result<Self, tally_store::Error> {
        let Parts { database, clock, drain } = parts;
        let store = store::open(&database);
        let endpoints = Arc::new(Endpoints::new(settings.endpoints_max));
        let (count_max, path_bytes_max) = endpoints.loaded_max();
        let (known, state) = store.endpoints(count_max, path_bytes_max).await?;
        endpoints.load(known, state);
        let terms = Terms {
            producers_max: settings.producers_max,
            retention_days: settings.producer_retention_days,
        };
        let producers = Producers::new(database.clone(), DOMAIN, terms);
        // The partition of today is there before the first request comes.
        if let Err(error) = store.maintain(clock.now()).await {
            tracing::warn!(error = chain(&error), "housekeeping failed, will try again");
        }
        let house = Tasks::new();
        let (store_too, endpoints_too) = (Arc::clone(&store), Arc::clone(&endpoints));
        let keeping = rollup::keep_house(
            store_too,
            endpoints_too,
            Arc::clone(&clock),
            producers.clone(),
            drain.clone(),
        );
        house.spawn("housekeeping", keeping);
        let queries = Arc::new(Semaphore::new(QUERIES_MAX));
        if store.kept_totals_max() > 0 {
            let (store, queries) = (Arc::clone(&store), Arc::clone(&queries));
            let warm = warm::warm(store, queries, Arc::clone(&clock), drain.clone());
            house.spawn("warm", warm);
        }
        house.close();
        let queue = Queue::new(settings.queue);
        let worker_settings = settings.of_workers(&database);
        let writer = Arc::new(Writer {
            store: Arc::clone(&store),
            producers: producers.clone(),
            endpoints: Arc::clone(&endpoints),
            attempt_timeout: settings.attempt_max() + ATTEMPT_GRACE,
            clock: Arc::clone(&clock),
            owed: Mutex::default(),
        });
        let workers = Workers::start(&queue, &writer, worker_settings, tally_store::retry::pause);
        let workers = Arc::new(workers);
        let recorder = Recorder {
            endpoints,
            unnamed_at: Mutex::default(),
            workers: Arc::clone(&workers),
            queue,
            clock: Arc::clone(&clock),
            drain,
            path_bytes_max: settings.path_bytes_max,
            ahead: Ahead::new(),
            opening_wait_max: settings.queue.wait_max,
            record: settings.record,
            producers: producers.clone(),
        };
        Ok(Self {
            recorder: Arc::new(recorder),
            store,
            clock,
            streams: Tasks::new(),
            totals_max: settings.totals_max,
            producers,
            queries,
            roll_ups: Arc::new(Semaphore::new(1)),
            waiting_roll_ups: Arc::new(Semaphore::new(ROLL_UPS_WAITING_MAX)),
            workers,
            house,
        })
    }

    /// Waits, after the drain has begun, until the streams are answered and the queue is
    /// written.
    pub async fn finished(&self) {
        self.streams.close();
        self.streams.finished().await;
        self.recorder.queue.close();
        self.workers.finished().await;
        self.house.finished().await;
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
        self.recorder.queue.rows()
    }
}

// === impl Writer ===

impl Writer {
    /// Stores a batch with the names that it needs.
    async fn append(&self, batch: &Batch<'_, Rows>) -> store::Result<()> {
        for _ in 0..STALE_MAX {
            let names = self.endpoints.names_of(batch.chunks, self.store.state());
            match self.store.append(batch, &names).await {
                Ok(Appended::Stored { moved }) => {
                    self.endpoints.confirm(&names, moved);
                    return Ok(());
                }
                Ok(Appended::Stale) => {}
                Err(error) => {
                    if error.stored_instead().is_some() {
                        self.endpoints.doubt();
                    }
                    return Err(error);
                }
            }
        }
        let step = "store a batch: the database's connections do not last";
        Err(tally_store::Error::transient(step, Outcome::Determinate))
    }

    /// Batches of a worker up to this one were stored, and are not all there any more. What cannot
    /// be noted now is noted with a later batch.
    async fn note_setback(&self, worker: Uuid, sequence: i64) {
        let now_micros = self.clock.now().as_microsecond();
        let told = Told { sequence, at_micros: None, is_recent: true, now_micros };
        let noting = timeout(self.attempt_timeout, self.producers.note_setback(worker, told));
        let error = match noting.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => chain(&error),
            Err(_elapsed) => format!("no answer within {:?}", self.attempt_timeout),
        };
        tracing::error!(error, sequence, "what the database has lost of a worker is not noted yet");
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        if owed.len() < SETBACKS_OWED_MAX {
            owed.push((worker, sequence));
        }
    }

    /// Notes what could not be noted before, once something can be stored again.
    async fn note_owed(&self) {
        let owed = std::mem::take(&mut *self.owed.lock().unwrap_or_else(PoisonError::into_inner));
        for (worker, sequence) in owed {
            self.note_setback(worker, sequence).await;
        }
    }
}

impl Sink for Writer {
    type Rows = Rows;

    async fn write(&self, batch: Batch<'_, Rows>) -> Result<(), WriteError> {
        let Ok(result) = timeout(self.attempt_timeout, self.append(&batch)).await else {
            let limit = self.attempt_timeout;
            let message = format!("store a batch: no answer within {limit:?}");
            return Err(WriteError::transient(message, true));
        };
        if result.as_ref().is_err_and(|error| error.stored_instead().is_some()) {
            self.note_setback(batch.producer, batch.sequence - 1).await;
        }
        if result.is_ok() {
            self.note_owed().await;
        }
        result.map_err(|error| WriteError {
            message: chain(&error),
            for_clients: chain_for_clients(&error),
            kind: error.kind(),
            transient: error.is_transient(),
            indeterminate: error.outcome() == Outcome::Indeterminate,
            stored_instead: error.stored_instead(),
        })
    }
}
