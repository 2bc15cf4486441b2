//! The low level: batches of rows, sent in order, with their progress. For importers and jobs.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tally_proto::tally::requests::v1 as proto;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::driver::Driver;
use crate::driver::custody::Custody;
use crate::endpoints::Endpoints;
use crate::error::{ConnectError, SendError, SendRefusal};
use crate::handoff::{Giver, handoff};
use crate::progress::{Connection, Progress};
use crate::rows::{Chunk, Drops, Row};
use crate::settings::{Settings, common_settings};
use crate::{Endpoint, Method, clock, random};

/// How long after its limit a close waits for a task that does not end.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// Sends rows to Tally, each counted exactly once, in the order in which they are given.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tally_client::{Method, Producer, Row};
///
/// let mut producer = Producer::builder("http://127.0.0.1:7777").name("nightly import").connect().await?;
/// let endpoint = producer.endpoint(Method::GET, "/hello");
/// let position = producer.send(vec![Row { endpoint, time_us: 1_431_857_103_000_000 }]).await?;
/// let progress = producer.settled(position).await;
/// assert_eq!(progress.acknowledged, 1);
/// producer.close().await;
/// # Ok(()) }
/// ```
///
/// A server that is away is waited for, without end: bound the wait with
/// [`tokio::time::timeout`]. Rows that were given are kept in memory until they are
/// acknowledged: at most [`batches_in_flight_max`](ProducerBuilder::batches_in_flight_max)
/// batches and two calls' worth, 16 bytes a row; [`send`](Self::send) waits for room.
///
/// When it is dropped, what was given is sent in the background for at most
/// [`close_timeout`](ProducerBuilder::close_timeout).
pub struct Producer {
    /// None once it is closed.
    chunks: Option<Giver>,
    endpoints: Arc<Endpoints>,
    progress: watch::Receiver<Progress>,
    deadline: watch::Sender<Option<Instant>>,
    settings: Settings,
    /// How many rows were given.
    given: u64,
    trouble: watch::Receiver<Option<String>>,
    counted_files: Arc<OnceLock<Vec<CountedFile>>>,
}

/// A file whose requests a producer has counted as a whole: see [`Producer::remember`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CountedFile {
    /// What tells it apart from other files, by a rule of the caller's. 1 to 64 bytes.
    pub fingerprint: Vec<u8>,
    /// What people call it. At most 1,024 bytes.
    pub name: String,
    /// What tells apart how its lines were read, by a rule of the caller's. At most 64 bytes.
    pub reading: Vec<u8>,
    /// How many requests it has: 1 or more.
    pub requests: u64,
    /// How many of its lines were malformed, and not counted.
    pub malformed: u64,
}

/// Sets a [`Producer`] up.
#[derive(Debug, Clone)]
#[must_use]
pub struct ProducerBuilder {
    settings: Settings,
}

// === impl ProducerBuilder ===

impl ProducerBuilder {
    common_settings!();

    /// Starts the producer. It connects in the background, and goes on trying when the server
    /// is away: see [`Producer::ready`].
    ///
    /// # Errors
    /// When a setting cannot be used, or this is not within a tokio runtime.
    pub async fn connect(self) -> Result<Producer, ConnectError> {
        Producer::start(self.settings).await
    }
}

impl IntoFuture for ProducerBuilder {
    type Output = Result<Producer, ConnectError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}

// === impl Producer ===

impl Producer {
    /// A producer with the default settings: [`ProducerBuilder::connect`].
    ///
    /// # Errors
    /// When the address cannot be understood, or this is not within a tokio runtime.
    pub async fn connect(url: impl Into<String>) -> Result<Self, ConnectError> {
        Self::builder(url).connect().await
    }

    /// Settings for a producer that sends to the server at this address, such as
    /// `http://127.0.0.1:7777`.
    pub fn builder(url: impl Into<String>) -> ProducerBuilder {
        ProducerBuilder { settings: Settings::new(url) }
    }

    pub(crate) async fn start(settings: Settings) -> Result<Self, ConnectError> {
        let target = settings.target()?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ConnectError::NoRuntime)?;
        let new_id = random::producer_id(settings.clock.micros());
        let custody = Custody::open(&settings, new_id).await?;
        let endpoints = Arc::new(Endpoints::new(settings.endpoints_max));
        let (chunks, taker) = handoff();
        let (trouble_sender, trouble) = watch::channel(None);
        let (progress_sender, progress) = watch::channel(Progress::default());
        let (deadline, deadline_receiver) = watch::channel(None);
        let driver = Driver::new(
            settings.clone(),
            target,
            Arc::clone(&endpoints),
            taker,
            progress_sender,
            trouble_sender,
            custody,
        );
        let counted_files = Arc::clone(&driver.counted_files);
        runtime.spawn(driver.run(deadline_receiver));
        Ok(Self {
            chunks: Some(chunks),
            endpoints,
            progress,
            deadline,
            settings,
            given: 0,
            trouble,
            counted_files,
        })
    }

    /// The endpoint of a method and a path, without a query. It is meaningful to this producer
    /// only. Beyond [`endpoints_max`](ProducerBuilder::endpoints_max), and for a path that is
    /// empty, longer than 2,048 bytes or contains a NUL, it is that of the path `_other`.
    #[must_use]
    pub fn endpoint(&self, method: Method, path: &str) -> Endpoint {
        self.endpoints.endpoint(method, path)
    }

    /// Gives rows to be sent, in this order; many at a time cost less. Waits for room. Answers
    /// how many rows were given so far: the position of which
    /// [`settled`](Self::settled) can be asked.
    ///
    /// Dropping the future before it is ready gives nothing.
    ///
    /// # Errors
    /// When a time is out of range, or the runtime of the producer is gone. No row is taken
    /// then, and all are given back.
    pub async fn send(&mut self, rows: Vec<Row>) -> Result<u64, SendError> {
        let latest = self.settings.clock.latest_micros();
        let wrong = |row: &Row| !clock::in_range(row.time_us) || row.time_us > latest;
        if let Some(at) = rows.iter().position(wrong) {
            return Err(SendError { rows, reason: SendRefusal::Time { at } });
        }
        if rows.is_empty() {
            return Ok(self.given);
        }
        let closed = |rows| SendError { rows, reason: SendRefusal::Closed };
        let Some(chunks) = &self.chunks else { return Err(closed(rows)) };
        chunks.room().await;
        let count = rows.len() as u64;
        match chunks.give(Chunk { rows, drops: Drops::default() }) {
            Ok(()) => {
                self.given += count;
                Ok(self.given)
            }
            Err(chunk) => Err(closed(chunk.rows)),
        }
    }

    /// How far the rows have come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Follows how far the rows come.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// What is wrong at the moment, in words for a person: why there is no connection, or why the
    /// server refused requests. The same is logged.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// Follows what is wrong.
    #[must_use]
    pub fn watch_trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.clone()
    }

    /// Waits until this many rows have come to their end, or the producer's runtime is gone.
    pub async fn settled(&self, position: u64) -> Progress {
        wait(self.progress.clone(), |progress| progress.settled() >= position).await
    }

    /// Waits until there is a connection, or the producer's runtime is gone
    /// ([`Progress::finished`]).
    pub async fn ready(&self) -> Progress {
        wait(self.progress.clone(), |progress| progress.connection != Connection::Away).await
    }

    /// Has the server remember these files, at most 1,000, when it is told that the producer is done:
    /// once everything is acknowledged, in the transaction that forgets the producer. Call it
    /// before [`close`](Self::close), and once. With a spool, and with a server that speaks only
    /// `count.v1`, nothing is remembered, nor if the files have more requests than the server has
    /// stored of this producer.
    pub fn remember(&self, files: Vec<CountedFile>) {
        let _ = self.counted_files.set(files);
    }

    /// Sends what was given, and waits until it is acknowledged, for at most
    /// [`close_timeout`](ProducerBuilder::close_timeout). What is not sent by then is dropped. Of
    /// what is not acknowledged, the server is asked what it has, for a second at most: the rest
    /// is dropped too, or, without an answer, is in doubt.
    pub async fn close(self) -> Progress {
        let limit = self.settings.close_timeout;
        self.close_within(limit).await
    }

    /// [`close`](Self::close) with another limit.
    pub async fn close_within(mut self, limit: Duration) -> Progress {
        self.shut(limit);
        let end = wait(self.progress.clone(), |_| false);
        within(limit, end).await.unwrap_or_else(|| self.progress())
    }

    fn shut(&mut self, limit: Duration) {
        self.chunks = None;
        self.deadline.send_modify(|deadline| {
            deadline.get_or_insert(clock::later(Instant::now(), limit));
        });
    }

    /// The parts that a queue works with.
    pub(crate) fn into_parts(mut self) -> Parts {
        Parts {
            chunks: self.chunks.take().expect("it is not closed"),
            endpoints: Arc::clone(&self.endpoints),
            progress: self.progress.clone(),
            deadline: self.deadline.clone(),
            trouble: self.trouble.clone(),
        }
    }
}

/// What a queue takes over from a producer. The sender of the deadline stays open as long as
/// one of its clones.
pub(crate) struct Parts {
    pub(crate) chunks: Giver,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) deadline: watch::Sender<Option<Instant>>,
    pub(crate) trouble: watch::Receiver<Option<String>>,
}

impl Drop for Producer {
    fn drop(&mut self) {
        if self.chunks.is_some() {
            let limit = self.settings.close_timeout;
            self.shut(limit);
        }
    }
}

impl CountedFile {
    pub(crate) fn message(&self) -> proto::CountedFile {
        let Self { fingerprint, name, reading, requests, malformed } = self.clone();
        proto::CountedFile { fingerprint, name, reading, requests, malformed, counted_at: None }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("url", &self.settings.url)
            .field("progress", &*self.progress.borrow())
            .finish_non_exhaustive()
    }
}

/// Waits for the end of a producer's task, which comes by itself at the limit; unless its runtime
/// is there and nobody runs it. Outside of a runtime there is no clock to wait by.
pub(crate) async fn within<T>(limit: Duration, end: impl Future<Output = T>) -> Option<T> {
    if tokio::runtime::Handle::try_current().is_err() {
        return Some(end.await);
    }
    tokio::time::timeout(limit.saturating_add(CLOSE_GRACE), end).await.ok()
}

/// Waits until something is so, or will never be.
pub(crate) async fn wait(
    mut progress: watch::Receiver<Progress>,
    so: impl Fn(&Progress) -> bool,
) -> Progress {
    let waited = progress.wait_for(|progress| progress.finished || so(progress)).await.map(|p| *p);
    waited.unwrap_or_else(|_| *progress.borrow())
}
