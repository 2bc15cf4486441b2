//! The low-level client for importers and jobs: batches of rows in order, with their progress.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tally_proto::wire::MICROS;
use tokio::sync::watch;

use crate::driver::{self, DriverHandle, Source};
use crate::error::{ConnectError, Refusal, SendError};
use crate::progress::{Connection, Progress};
use crate::rows::{Drops, Requests, Row};
use crate::series::Table;
use crate::settings::{Settings, common_settings};
use crate::{CountedFile, Method, Series, SeriesKey};

/// Sends rows to Tally, each counted exactly once, in the order in which they are given.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tally_client::{Method, Producer, Row};
///
/// let mut producer = Producer::builder("http://127.0.0.1:7777").name("nightly import").connect().await?;
/// let series = producer.endpoint(Method::GET, "/hello");
/// let position = producer.send(vec![Row { series, time_us: 1_431_857_103_000_000 }]).await?;
/// let progress = producer.settled(position).await;
/// assert_eq!(progress.acknowledged, 1);
/// producer.close().await;
/// # Ok(()) }
/// ```
///
/// An unreachable server is retried without end: bound the wait with [`tokio::time::timeout`].
/// Unacknowledged rows stay in memory, 16 bytes each: at most
/// [`batches_in_flight_max`](ProducerBuilder::batches_in_flight_max) batches and two calls' worth.
///
/// After a drop, rows are sent in the background for at most
/// [`close_timeout`](ProducerBuilder::close_timeout).
pub struct Producer {
    slot: watch::Sender<Slot>,
    driver: DriverHandle,
    table: Arc<Table>,
    settings: Settings,
    /// How many rows were given.
    given: u64,
}

/// Where rows wait for the driver: unlike a channel, it is closed and emptied in one step.
#[derive(Default)]
struct Slot {
    rows: Vec<Row>,
    /// The producer gives no more.
    ended: bool,
    /// The driver takes no more.
    closed: bool,
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

    /// Starts the producer, which connects in the background and keeps trying: [`Producer::ready`].
    ///
    /// # Errors
    /// A setting cannot be used, or this is not within a tokio runtime.
    pub async fn connect(self) -> Result<Producer, ConnectError> {
        let settings = self.settings;
        driver::start(settings.clone(), |driver, table| {
            let slot = watch::Sender::default();
            (slot.clone(), Producer { slot, driver, table, settings, given: 0 })
        })
        .await
    }
}

// === impl Producer ===

impl Producer {
    /// Settings for a producer of the server at this address, such as `http://127.0.0.1:7777`.
    pub fn builder(url: impl Into<String>) -> ProducerBuilder {
        ProducerBuilder { settings: Settings::new(url) }
    }

    /// A series for rows of this producer. Beyond [`series_max`](ProducerBuilder::series_max), the
    /// path is `_other`, and there is no customer. A server that speaks only `count.v1` learns only
    /// the method and the path.
    #[must_use]
    pub fn series(&self, key: SeriesKey<'_>) -> Series {
        self.table.series(key)
    }

    /// The [`series`](Self::series) of a method and a path alone.
    #[must_use]
    pub fn endpoint(&self, method: Method, path: &str) -> Series {
        self.series(SeriesKey::endpoint(method, path))
    }

    /// Sends rows, in this order; large calls cost less. Waits for room. Returns the number of rows
    /// given so far, a position for [`settled`](Self::settled). A dropped future sends nothing.
    ///
    /// # Errors
    /// A time is out of range, or the producer's runtime is gone. All rows are given back.
    pub async fn send(&mut self, rows: Vec<Row>) -> Result<u64, SendError> {
        let latest = self.settings.clock.latest_micros();
        let wrong = |row: &Row| !MICROS.contains(&row.time_us) || row.time_us > latest;
        if rows.iter().any(wrong) {
            return Err(SendError { rows, reason: Refusal::Time });
        }
        if rows.is_empty() {
            return Ok(self.given);
        }
        let mut slot = self.slot.subscribe();
        let _ = slot.wait_for(|slot| slot.rows.is_empty() || slot.closed).await;
        let (count, mut rows) = (rows.len() as u64, rows);
        self.slot.send_modify(|slot| {
            if !slot.closed {
                slot.rows = std::mem::take(&mut rows);
            }
        });
        if rows.is_empty() {
            self.given += count;
            return Ok(self.given);
        }
        Err(SendError { rows, reason: Refusal::Closed })
    }

    /// How far the rows have come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        *self.driver.progress.borrow()
    }

    /// Follows how far the rows come.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.driver.progress.clone()
    }

    /// Why there is no connection, or why the server refused requests, for people. Also logged.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.driver.trouble.borrow().clone()
    }

    /// Follows what is wrong.
    #[must_use]
    pub fn watch_trouble(&self) -> watch::Receiver<Option<String>> {
        self.driver.trouble.clone()
    }

    /// Waits until this many rows are settled, or the producer's runtime is gone.
    pub async fn settled(&self, position: u64) -> Progress {
        self.driver.wait(|progress| progress.settled() >= position).await
    }

    /// Waits for a connection, or the end of the producer's runtime ([`Progress::finished`]).
    pub async fn ready(&self) -> Progress {
        self.driver.wait(|progress| progress.connection != Connection::Away).await
    }

    /// Has the server remember these files, at most 1,000, in the transaction that ends the
    /// producer after everything is acknowledged. Call it once, before [`close`](Self::close).
    /// Nothing is remembered with a spool, by a server that speaks only `count.v1`, or if the files
    /// have more requests than the server has stored of this producer.
    pub fn remember(&self, files: Vec<CountedFile>) {
        let _ = self.driver.counted_files.set(files);
    }

    /// Sends the rows given and waits for their acknowledgement, for at most
    /// [`close_timeout`](ProducerBuilder::close_timeout). Unsent rows are dropped. The server then
    /// has a second to say which of the others it has; without an answer they are in doubt.
    pub async fn close(self) -> Progress {
        let limit = self.settings.close_timeout;
        self.close_within(limit).await
    }

    /// [`close`](Self::close) with another limit.
    pub async fn close_within(self, limit: Duration) -> Progress {
        self.end(limit);
        self.driver.finished(limit).await;
        self.progress()
    }

    /// Takes no more rows, and sends those given for at most this long.
    fn end(&self, limit: Duration) {
        self.slot.send_modify(|slot| slot.ended = true);
        self.driver.close_within(limit);
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.end(self.settings.close_timeout);
    }
}

// === impl Slot ===

impl Source for watch::Sender<Slot> {
    async fn take(&mut self) -> Option<Requests> {
        let mut slot = self.subscribe();
        let _ = slot.wait_for(|slot| slot.ended || !slot.rows.is_empty()).await;
        let mut rows = Vec::new();
        self.send_modify(|slot| rows = std::mem::take(&mut slot.rows));
        (!rows.is_empty()).then(|| Requests { rows, drops: Drops::default() })
    }

    fn close(&mut self) -> u64 {
        let slot = self.send_replace(Slot { closed: true, ..Slot::default() });
        slot.rows.len() as u64
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Producer").field(&self.progress()).finish()
    }
}

#[cfg(test)]
mod tests;
