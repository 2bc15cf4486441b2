//! How a queue is set up.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::watch;

use super::pump::Pump;
use super::shards::Shards;
use super::{Handle, Queue, Sending, Shared, WhenFull};
use crate::error::ConnectError;
use crate::producer::Producer;
use crate::settings::{Settings, common_settings};

/// How many requests wait at most.
const QUEUE_REQUESTS_MAX: usize = 1_000_000;

/// How long requests are gathered before a batch of them is sent.
const LINGER: Duration = Duration::from_millis(50);

/// Sets a [`Queue`] up.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tally_client::{Queue, WhenFull};
///
/// let queue = Queue::builder("http://tally.internal:7777")
///     .name("checkout")
///     .queue_requests_max(100_000)
///     .when_full(WhenFull::DropOldest)
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct QueueBuilder {
    settings: Settings,
    queue_requests_max: usize,
    when_full: WhenFull,
    linger: Duration,
}

// === impl QueueBuilder ===

impl QueueBuilder {
    pub(super) fn new(url: impl Into<String>) -> Self {
        Self {
            settings: Settings::new(url),
            queue_requests_max: QUEUE_REQUESTS_MAX,
            when_full: WhenFull::default(),
            linger: LINGER,
        }
    }

    common_settings!();

    /// How many requests wait at most to be sent, from 1; each takes 16 bytes. Besides them,
    /// [`batches_in_flight_max`](Self::batches_in_flight_max) and two further batches are kept
    /// until they are acknowledged. Default: 1,000,000, which is 16 MB.
    pub fn queue_requests_max(mut self, requests: usize) -> Self {
        self.queue_requests_max = requests.clamp(1, u32::MAX as usize);
        self
    }

    /// What to do with a request for which there is no room. Default:
    /// [`WhenFull::DropNewest`].
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// How long requests are gathered before a batch of them is sent, unless there are many,
    /// or a flush or a close waits. It bounds how often the sending task is woken. 0 sends at
    /// once. Default: 50 ms.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Starts the queue. It connects in the background, and goes on trying when the server is
    /// away: see [`Queue::ready`].
    ///
    /// # Errors
    /// When a setting cannot be used, or this is not within a tokio runtime.
    pub async fn connect(self) -> Result<Queue, ConnectError> {
        self.start().await
    }

    async fn start(self) -> Result<Queue, ConnectError> {
        let settings = self.settings;
        let parts = Producer::start(settings.clone()).await?.into_parts();
        let (rounds_sender, rounds) = watch::channel(0);
        let shared = Arc::new(Shared {
            shards: Shards::new(self.queue_requests_max, settings.batch_rows_max),
            endpoints: parts.endpoints,
            clock: settings.clock.clone(),
            when_full: self.when_full,
            skipped: AtomicU64::new(0),
            close_timeout: settings.close_timeout,
            sending: Sending::Server {
                progress: parts.progress,
                deadline: parts.deadline,
                trouble: parts.trouble,
                rounds,
            },
        });
        let pump = Pump::new(
            Arc::clone(&shared),
            parts.chunks,
            settings.name,
            (settings.batch_rows_max, self.linger),
            rounds_sender,
        );
        tokio::runtime::Handle::current().spawn(pump.run());
        Ok(Queue(Arc::new(Handle(shared))))
    }
}

impl IntoFuture for QueueBuilder {
    type Output = Result<Queue, ConnectError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}
