//! How a client behaves: its settings, their defaults and their limits.

use std::time::Duration;

use tally_proto::wire::NAME_BYTES_MAX;

use crate::clock::AnyClock;
use crate::random::ProducerId;
use crate::transport::Address;

pub(crate) const SERIES_MAX: usize = 10_000;

/// Settings of queues and producers.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) address: Address,
    pub(crate) name: String,
    pub(crate) batch_rows_max: usize,
    pub(crate) batches_in_flight_max: usize,
    pub(crate) series_max: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) open_timeout: Duration,
    pub(crate) acknowledge_timeout: Duration,
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) fallback: bool,
    pub(crate) clock: AnyClock,
    pub(crate) spool: Option<(std::path::PathBuf, crate::spool::Options)>,
    /// The id of a producer that this process takes over.
    pub(crate) take_over: Option<ProducerId>,
}

// === impl Settings ===

impl Settings {
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self {
            address: Address { url: url.into().trim().to_owned(), ..Address::default() },
            name: program_name(),
            batch_rows_max: 10_000,
            batches_in_flight_max: 32,
            series_max: SERIES_MAX,
            connect_timeout: Duration::from_secs(5),
            open_timeout: Duration::from_secs(10),
            acknowledge_timeout: Duration::from_secs(60),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
            fallback: true,
            clock: AnyClock::default(),
            spool: None,
            take_over: None,
        }
    }

    /// The name within the server's limits.
    pub(crate) fn short_name(&self) -> String {
        self.name[..self.name.floor_char_boundary(NAME_BYTES_MAX)].replace('\0', " ")
    }
}

pub(crate) fn program_name() -> String {
    let path = std::env::current_exe().ok();
    let name = path.as_deref().and_then(std::path::Path::file_stem);
    name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The builder methods that queues and producers share.
macro_rules! common_settings {
    () => {
        /// The producer's name for people. At most 200 bytes are sent. Default: the program's name.
        pub fn name(mut self, name: impl Into<String>) -> Self {
            self.settings.name = name.into();
            self
        }

        /// A key for the server, or for a proxy in front of it, sent as `authorization: Bearer KEY`.
        /// Default: none.
        pub fn key(mut self, key: impl Into<String>) -> Self {
            self.settings.address.key = Some(key.into());
            self
        }

        /// Trusts only the certificates of this PEM text. Default: the operating system's.
        #[cfg(feature = "tls")]
        pub fn ca_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
            self.settings.address.ca = Some(pem.into());
            self
        }

        /// Presents this certificate and key, both PEM, to the server.
        #[cfg(feature = "tls")]
        pub fn client_certificate(
            mut self,
            certificate: impl Into<Vec<u8>>,
            key: impl Into<Vec<u8>>,
        ) -> Self {
            self.settings.address.identity = Some((certificate.into(), key.into()));
            self
        }

        /// Rows in a batch, from 1; the server may set less. Default: 10,000.
        pub fn batch_rows_max(mut self, rows: usize) -> Self {
            self.settings.batch_rows_max = rows.clamp(1, 1 << 24);
            self
        }

        /// Batches sent but not acknowledged, from 1; the server may set less. Default: 32.
        pub fn batches_in_flight_max(mut self, batches: usize) -> Self {
            self.settings.batches_in_flight_max = batches.max(1);
            self
        }

        /// Series with their own counts, from 1 to 16,777,216. Further ones count under the path
        /// `_other` of their service, method and status. A layer needs one more for each method, path
        /// and customer. Default: 10,000: 128 KiB, and 104 bytes and the texts for each.
        pub fn series_max(mut self, series: usize) -> Self {
            self.settings.series_max = series;
            self
        }

        /// How long connecting may take. Default: 5 s.
        pub fn connect_timeout(mut self, limit: std::time::Duration) -> Self {
            self.settings.connect_timeout = limit;
            self
        }

        /// How long the server may take to open a stream. Default: 10 s.
        pub fn open_timeout(mut self, limit: std::time::Duration) -> Self {
            self.settings.open_timeout = limit;
            self
        }

        /// The longest wait for an acknowledgement before reconnecting. Default: 60 s.
        pub fn acknowledge_timeout(mut self, limit: std::time::Duration) -> Self {
            self.settings.acknowledge_timeout = limit;
            self
        }

        /// The first and the longest pause between attempts to reconnect, at least 1 ms. It doubles
        /// with each failure; jitter cuts it by up to half. Default: 100 ms and 30 s.
        pub fn backoff(mut self, min: std::time::Duration, max: std::time::Duration) -> Self {
            self.settings.backoff_min = min.max(std::time::Duration::from_millis(1));
            self.settings.backoff_max = max.max(self.settings.backoff_min);
            self
        }

        /// How long a close, a flush or the last drop waits for acknowledgements. Default: 10 s.
        pub fn close_timeout(mut self, limit: std::time::Duration) -> Self {
            self.settings.close_timeout = limit;
            self
        }

        /// Whether to send `Add` streams to a server that speaks only `count.v1`. They are not
        /// exactly once: requests of a broken one are in doubt. Otherwise it counts as away.
        /// Default: yes.
        pub fn fallback(mut self, allowed: bool) -> Self {
            self.settings.fallback = allowed;
            self
        }

        /// Writes batches to files in this folder before they are sent; the next process that is
        /// given it sends the rest. No other process may use it. Disables
        /// [`fallback`](Self::fallback). Default: none.
        pub fn spool(
            mut self,
            dir: impl Into<std::path::PathBuf>,
            options: $crate::spool::Options,
        ) -> Self {
            self.settings.spool = Some((dir.into(), options));
            self
        }

        /// The clock for the times of requests. Default: the machine's.
        pub fn clock(mut self, clock: std::sync::Arc<dyn $crate::Clock>) -> Self {
            self.settings.clock.0 = Some(clock);
            self
        }
    };
}
pub(crate) use common_settings;

#[cfg(test)]
mod tests;
