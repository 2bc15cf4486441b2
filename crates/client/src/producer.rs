//! The low-level client for importers and jobs: batches of rows in order, with their progress.
//!
//! `producer/opened.rs` has what a producer learns when it is opened.

mod opened;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tally_proto::wire::{ENTRY_REQUESTS_MAX, MICROS};
use tokio::sync::watch;

pub use self::opened::{Opened, Stop};
use crate::driver::{self, DriverHandle, Source};
use crate::error::{ConnectError, Refusal, SendError};
use crate::progress::{Connection, Progress};
use crate::random::ProducerId;
use crate::rows::{self, Requests, Row};
use crate::series::Table;
use crate::settings::{Settings, common_settings};
use crate::{Method, Series, SeriesKey};

/// Sends rows to Tally, each counted exactly once, in the order in which they are given.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tally_client::{Method, Producer, Row};
///
/// let mut producer = Producer::builder("http://127.0.0.1:7777").name("nightly import").connect().await?;
/// let series = producer.endpoint(Method::GET, "/hello");
/// let position = producer.send(vec![Row::one(series, 1_431_857_103_000_000)]).await?;
/// let progress = producer.settled(position).await;
/// assert_eq!(progress.acknowledged, 1);
/// producer.close().await;
/// # Ok(()) }
/// ```
///
/// An unreachable server is retried without end: bound the wait with [`tokio::time::timeout`].
/// A row can stand for several requests of one series at one time:
/// `Row { requests: 12, ..Row::one(series, time_us) }`. Positions and [`Progress`] are of requests.
///
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
    /// How many requests were given.
    given: u64,
}

/// Where rows wait for the driver: unlike a channel, it is closed and emptied in one step.
#[derive(Default)]
struct Slot {
    rows: Vec<Row>,
    /// How far the rows have come.
    checkpoint: Vec<u8>,
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

    /// Takes a producer over from the process that has it, or begins it. From the server's answer on,
    /// nothing of the process before is stored, and [`Opened::checkpoint`] says how far that one has
    /// come: see [`Producer::opened`] and [`Producer::send_batch`].
    ///
    /// The id, 16 bytes that are not all zero, is for one reader of one source: draw it at random once
    /// and keep it with the reader's configuration, or derive it from what identifies the source. It is
    /// a secret, because all who know it can take the producer over.
    ///
    /// Closing leaves the producer to the next process, unless [`done`](Producer::done) was called. The server keeps it for 400 days after its last batch. There is no
    /// [`fallback`](Self::fallback), and there can be no [`spool`](Self::spool). Default: a new producer
    /// at each start.
    pub fn take_over(mut self, id: [u8; 16]) -> Self {
        self.settings.take_over = Some(id);
        self
    }

    /// Starts the producer, which connects in the background and keeps trying: [`Producer::ready`].
    ///
    /// # Errors
    /// A setting cannot be used, or this is not within a tokio runtime.
    pub async fn connect(self) -> Result<Producer, ConnectError> {
        let settings = self.settings;
        match settings.take_over {
            Some(id) if id == ProducerId::default() => return Err(ConnectError::NilId),
            Some(_) if settings.spool.is_some() => return Err(ConnectError::TakeOverWithSpool),
            _ => {}
        }
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

    /// Sends rows, in this order; large calls cost less. Waits for room. Returns the number of requests
    /// given so far, a position for [`settled`](Self::settled). A dropped future sends nothing.
    ///
    /// # Errors
    /// A time is out of range, a row has no or too many requests, or the producer's runtime is gone. All rows are given back.
    pub async fn send(&mut self, rows: Vec<Row>) -> Result<u64, SendError> {
        if let Err(reason) = self.check(&rows) {
            return Err(SendError { rows, reason });
        }
        if rows.is_empty() {
            return Ok(self.given);
        }
        self.give(rows, Vec::new()).await
    }

    /// Sends rows and a checkpoint as one batch: the server stores all of it in one transaction, or
    /// nothing. The checkpoint, 1 to 256 bytes, says how far the reader has come with these rows, by a
    /// rule of its own; [`Opened::checkpoint`] tells it to the next process. There may be no rows.
    ///
    /// Rows that [`send`](Self::send) takes have no checkpoint, and the one before them stays.
    ///
    /// Waits for the first answer of the server, and for room. A dropped future sends nothing.
    ///
    /// # Errors
    /// As `send`; or the checkpoint is empty or too long; the rows do not fit into one batch
    /// ([`batch_rows_max`](ProducerBuilder::batch_rows_max), and 1 MiB by default), and fewer may; or
    /// the producer has [stopped](Stop). All rows are given back.
    pub async fn send_batch(
        &mut self,
        rows: Vec<Row>,
        checkpoint: impl Into<Vec<u8>>,
    ) -> Result<u64, SendError> {
        let checkpoint = checkpoint.into();
        let checked = match self.opened().await {
            Ok(opened) => {
                opened.takes(&rows, &checkpoint, &self.table).and_then(|()| self.check(&rows))
            }
            Err(reason) => Err(reason),
        };
        match checked {
            Ok(()) => self.give(rows, checkpoint).await,
            Err(reason) => Err(SendError { rows, reason }),
        }
    }

    /// Waits for the server's first answer: what it had of the producer by then. An unreachable server
    /// is waited for without end.
    ///
    /// # Errors
    /// The producer has [stopped](Stop), or its runtime is gone, or it does not
    /// [take over](ProducerBuilder::take_over).
    pub async fn opened(&self) -> Result<Opened, Refusal> {
        if self.settings.take_over.is_none() {
            return Err(Refusal::NotTakenOver);
        }
        let mut opened = self.driver.opened.clone();
        let opened = opened.wait_for(Option::is_some).await.ok().and_then(|opened| opened.clone());
        match (self.progress().stopped, opened) {
            (Some(stop), _) => Err(Refusal::Stopped(stop)),
            (None, Some(opened)) => Ok(opened),
            (None, None) => Err(Refusal::Closed),
        }
    }

    /// The rows that a producer which has [stopped](Stop) did not send. They are not counted by it, and
    /// are in [`Progress::dropped`]. Empty until it has [finished](Progress::finished), and when this is
    /// called again.
    #[must_use]
    pub fn take_unsent(&mut self) -> Vec<Row> {
        let Progress { stopped: Some(_), finished: true, .. } = self.progress() else {
            return Vec::new();
        };
        let unsent = &mut *self.driver.unsent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unsent = std::mem::take(unsent);
        self.slot.send_modify(|slot| unsent.append(&mut slot.rows));
        unsent
    }

    fn check(&self, rows: &[Row]) -> Result<(), Refusal> {
        let latest = self.settings.clock.latest_micros();
        for row in rows {
            if !MICROS.contains(&row.time_us) || row.time_us > latest {
                return Err(Refusal::Time);
            }
            if !(1..=ENTRY_REQUESTS_MAX).contains(&row.requests) {
                return Err(Refusal::Requests);
            }
        }
        Ok(())
    }

    /// Waits for room, and gives the driver all of it or nothing.
    async fn give(&mut self, rows: Vec<Row>, checkpoint: Vec<u8>) -> Result<u64, SendError> {
        let mut slot = self.slot.subscribe();
        let _ = slot.wait_for(|slot| !slot.is_full() || slot.closed).await;
        let (count, mut given) = (rows::total(&rows), Some((rows, checkpoint)));
        self.slot.send_modify(|slot| {
            if !slot.closed
                && let Some(given) = given.take()
            {
                (slot.rows, slot.checkpoint) = given;
            }
        });
        let Some((rows, _)) = given else {
            self.given += count;
            return Ok(self.given);
        };
        let reason = self.progress().stopped.map_or(Refusal::Closed, Refusal::Stopped);
        Err(SendError { rows, reason })
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

    /// Waits until this many requests are settled, or the producer's runtime is gone.
    pub async fn settled(&self, position: u64) -> Progress {
        self.driver.wait(|progress| progress.settled() >= position).await
    }

    /// Waits for a connection, or the end of the producer's runtime ([`Progress::finished`]).
    pub async fn ready(&self) -> Progress {
        self.driver.wait(|progress| progress.connection != Connection::Away).await
    }

    /// No process will go on with a producer that was [taken over](ProducerBuilder::take_over): once
    /// everything is acknowledged, [`close`](Self::close) has the server forget it and its checkpoint.
    pub fn done(&self) {
        self.driver.done.store(true, Ordering::Relaxed);
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

impl Slot {
    fn is_full(&self) -> bool {
        !self.rows.is_empty() || !self.checkpoint.is_empty()
    }
}

impl Source for watch::Sender<Slot> {
    async fn take(&mut self) -> Option<Requests> {
        let mut slot = self.subscribe();
        let _ = slot.wait_for(|slot| slot.ended || slot.is_full()).await;
        let mut requests = Requests::default();
        self.send_modify(|slot| {
            requests.rows = std::mem::take(&mut slot.rows);
            requests.checkpoint = std::mem::take(&mut slot.checkpoint);
        });
        (!requests.is_empty()).then_some(requests)
    }

    fn close(&mut self) -> u64 {
        let mut left = 0;
        self.send_modify(|slot| {
            slot.closed = true;
            left = rows::total(&slot.rows);
        });
        left
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Producer").field(&self.progress()).finish()
    }
}

#[cfg(test)]
mod tests;
