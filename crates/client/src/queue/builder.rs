//! How a queue is set up.

use std::sync::Arc;
use std::time::Duration;

use super::source::QueueSource;
use super::{Handle, Queue, Shared};
use crate::driver;
use crate::error::ConnectError;
use crate::settings::{Settings, common_settings};

/// Sets a [`Queue`] up; [`Queue::builder`] makes it.
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
            queue_requests_max: 1_000_000,
            linger: Duration::from_millis(50),
        }
    }

    common_settings!();

    /// Requests waiting in the queue, from 1, 16 bytes each. Up to
    /// [`batches_in_flight_max`](Self::batches_in_flight_max) + 1 batches are kept besides, until
    /// they are acknowledged. Default: 1,000,000, which is 16 MB.
    pub fn queue_requests_max(mut self, requests: usize) -> Self {
        self.queue_requests_max = requests.clamp(1, u32::MAX as usize);
        self
    }

    /// How long to gather requests for a batch, unless there are many or a flush or a close waits.
    /// Bounds how often the sending task wakes. 0 sends at once. Default: 50 ms.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Starts the queue, which connects in the background and keeps trying: [`Queue::ready`].
    ///
    /// # Errors
    /// A setting cannot be used, or this is not within a tokio runtime.
    pub async fn connect(self) -> Result<Queue, ConnectError> {
        let Self { settings, queue_requests_max, linger } = self;
        driver::start(settings.clone(), |driver, table| {
            let shared = Shared::new(&settings, queue_requests_max, table, Some(driver));
            let shared = Arc::new(shared);
            let source = QueueSource::new(Arc::clone(&shared), &settings, linger);
            (source, Queue(Arc::new(Handle(shared))))
        })
        .await
    }
}
