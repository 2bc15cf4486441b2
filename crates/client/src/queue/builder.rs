//! How a queue is set up.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use tally_proto::wire::SERVICE_BYTES_MAX;

use super::source::QueueSource;
use super::{Handle, Limits, Queue, Shared};
use crate::driver;
use crate::error::ConnectError;
use crate::settings::{Settings, common_settings, program_name};

/// The environment variable that names the service.
const SERVICE: &str = "TALLY_SERVICE";

/// How many customers are told apart.
pub(super) const CUSTOMERS_MAX: usize = 1_000;

/// Sets a [`Queue`] up; [`Queue::builder`] makes it.
#[derive(Debug, Clone)]
#[must_use]
pub struct QueueBuilder {
    settings: Settings,
    limits: Limits,
    linger: Duration,
    /// None: that of the environment or the program.
    service: Option<String>,
    status_timeout: Duration,
}

// === impl QueueBuilder ===

impl QueueBuilder {
    pub(super) fn new(url: impl Into<String>) -> Self {
        Self {
            settings: Settings::new(url),
            limits: Limits { queue_rows_max: 1_000_000, customers_max: CUSTOMERS_MAX },
            linger: Duration::from_millis(50),
            service: None,
            status_timeout: Duration::from_secs(60),
        }
    }

    common_settings!();

    /// Rows waiting in the queue, from 1, 16 bytes each: requests, or, once a server keeps times less
    /// exactly, the requests of one series in a second or a minute. Up to
    /// [`batches_in_flight_max`](Self::batches_in_flight_max) + 1 batches are kept besides, until
    /// they are acknowledged. Default: 1,000,000, which is 16 MB.
    pub fn queue_rows_max(mut self, rows: usize) -> Self {
        self.limits.queue_rows_max = rows.clamp(1, u32::MAX as usize);
        self
    }

    /// How long to gather requests for a batch, unless there are many or a flush or a close waits.
    /// Bounds how often the sending task wakes. 0 sends at once. Default: 50 ms.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// The service that its layers, interceptors and [`endpoint`](Queue::endpoint) count for, at
    /// most 128 bytes. Empty: not known. Default: the environment variable `TALLY_SERVICE`, or the
    /// program's name if that is empty, longer, not UTF-8 or not set.
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// How many customers the layers tell apart, from 1 to 16,777,216, at most 256 bytes each;
    /// requests of others count under the customer `_other`. The first one allocates 8 to 16 bytes
    /// for each. Default: 1,000.
    pub fn customers_max(mut self, customers: usize) -> Self {
        self.limits.customers_max = customers;
        self
    }

    /// How long after its head a gRPC call can wait for its code. Then it is counted with the
    /// status 0, which is not known: calls that stream for hours are not held back. Looked at once
    /// a second. Default: 60 s.
    pub fn status_timeout(mut self, limit: Duration) -> Self {
        self.status_timeout = limit;
        self
    }

    /// Starts the queue, which connects in the background and keeps trying: [`Queue::ready`].
    ///
    /// # Errors
    /// A setting cannot be used, or this is not within a tokio runtime.
    pub async fn connect(self) -> Result<Queue, ConnectError> {
        let Self { settings, limits, linger, service, status_timeout } = self;
        let service = service.unwrap_or_else(|| service_of(std::env::var_os(SERVICE)));
        driver::start(settings.clone(), |driver, table| {
            let shared = Shared::new(&settings, limits, &service, table, Some(driver));
            let shared = Arc::new(shared);
            let source = QueueSource::new(Arc::clone(&shared), &settings, linger, status_timeout);
            (source, Queue(Arc::new(Handle(shared))))
        })
        .await
    }
}

/// The service of a queue that is not told one, by the value of [`SERVICE`].
fn service_of(set: Option<OsString>) -> String {
    let set = set.filter(|set| !set.is_empty());
    let problem = match set.map(OsString::into_string) {
        None => return program_name(),
        Some(Ok(set)) if set.len() <= SERVICE_BYTES_MAX => return set,
        Some(Ok(set)) => format!("it has {} bytes, more than {SERVICE_BYTES_MAX}", set.len()),
        Some(Err(_)) => "it is not UTF-8".to_owned(),
    };
    let service = program_name();
    tracing::warn!(problem, service, "{SERVICE} cannot be used: the program's name is the service");
    service
}
