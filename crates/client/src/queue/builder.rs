//! How a queue is set up.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::shards::Shards;
use super::source::{QueueSource, Reported};
use super::{Handle, Queue, Sending, Shared};
use crate::driver;
use crate::error::ConnectError;
use crate::settings::{Settings, common_settings};

/// How many requests wait at most.
const QUEUE_REQUESTS_MAX: usize = 1_000_000;

/// How long requests are gathered before a batch of them is sent.
const LINGER: Duration = Duration::from_millis(50);

/// Sets a [`Queue`] up.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use tally_client::Queue;
///
/// let queue = Queue::builder("http://tally.internal:7777")
///     .name("checkout")
///     .queue_requests_max(100_000)
///     .linger(Duration::from_millis(10))
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct QueueBuilder {
    settings: Settings,
    queue_requests_max: usize,
    linger: Duration,
}

// === impl QueueBuilder ===

impl QueueBuilder {
    pub(super) fn new(url: impl Into<String>) -> Self {
        Self {
            settings: Settings::new(url),
            queue_requests_max: QUEUE_REQUESTS_MAX,
            linger: LINGER,
        }
    }

    common_settings!();

    /// How many requests wait at most to be sent, from 1; each takes 16 bytes. Besides them,
    /// [`batches_in_flight_max`](Self::batches_in_flight_max) and one further batch are kept
    /// until they are acknowledged. Default: 1,000,000, which is 16 MB.
    pub fn queue_requests_max(mut self, requests: usize) -> Self {
        self.queue_requests_max = requests.clamp(1, u32::MAX as usize);
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
        let Self { settings, queue_requests_max, linger } = self;
        let (name, batch_rows_max) = (settings.name.clone(), settings.batch_rows_max);
        let (clock, close_timeout) = (settings.clock.clone(), settings.close_timeout);
        driver::start(settings, |driver, endpoints| {
            let shared = Arc::new(Shared {
                shards: Shards::new(queue_requests_max, batch_rows_max),
                endpoints,
                clock,
                skipped: AtomicU64::new(0),
                close_timeout,
                reported: Mutex::new(Reported::default()),
                sending: Sending::Server(driver),
            });
            let source = QueueSource::new(Arc::clone(&shared), &name, batch_rows_max, linger);
            (source, Queue(Arc::new(Handle(shared))))
        })
        .await
    }
}
