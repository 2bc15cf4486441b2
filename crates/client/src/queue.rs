//! The handle that services record with.

mod builder;
mod layered;
mod locks;
mod memory;
mod open;
mod report;
mod shard;
mod shards;
mod source;
mod steps;

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::clock::{self, AnyClock};
use crate::driver::DriverHandle;
use crate::error::{ConnectError, FlushError, Refusal, TryRecordError};
use crate::progress::Connection;
use crate::rows::Row;
use crate::series::Table;
use crate::settings::Settings;
use crate::{Method, Series, SeriesKey};
pub use builder::QueueBuilder;
use memory::Memory;
pub(crate) use open::Ticket;
pub use report::Report;
use shards::Shards;
use source::Reported;

/// Takes requests and sends them to Tally in the background. Clones are the same queue.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tally_client::{Method, Queue};
///
/// let queue = Queue::connect("http://127.0.0.1:7777").await?;
/// let hello = queue.endpoint(Method::GET, "/hello");
/// queue.record_or_drop(hello);
/// let report = queue.close().await;
/// println!("{} requests are counted", report.acknowledged);
/// # Ok(()) }
/// ```
///
/// If the server keeps times by the second or by the minute, the requests of one series in a second or a
/// minute wait as one row, and are sent as one: a busy service sends counts. All counts are of requests.
///
/// After the last handle is dropped, requests are sent in the background for at most
/// [`close_timeout`](QueueBuilder::close_timeout), or until the process ends;
/// [`close`](Self::close) waits.
#[derive(Clone)]
pub struct Queue(Arc<Handle>);

/// Shared by all clones. Dropped with the last, while the tasks may still run.
struct Handle(Arc<Shared>);

/// Shared by the handles and the tasks.
struct Shared {
    shards: Shards,
    table: Arc<Table>,
    clock: AnyClock,
    /// Who serves the requests of endpoints and layers.
    service: Box<str>,
    /// The customers that the layers have named, as paths.
    customers: OnceLock<Table>,
    customers_max: usize,
    skipped: AtomicU64,
    close_timeout: Duration,
    reported: Mutex<Reported>,
    /// None: in memory.
    driver: Option<DriverHandle>,
    /// The counts of an in-memory queue.
    memory: Memory,
}

/// What a queue keeps in memory at most.
#[derive(Debug, Clone, Copy)]
struct Limits {
    queue_rows_max: usize,
    customers_max: usize,
}

// === impl Queue ===

impl Queue {
    /// A queue with default settings for the server at this address, such as
    /// `http://127.0.0.1:7777`. Does not wait for it; see [`ready`](Self::ready).
    ///
    /// # Errors
    /// The address is invalid, or this is not within a tokio runtime.
    ///
    /// # Panics
    /// The queue's tasks panic in a runtime without timers and I/O (`enable_all`).
    pub async fn connect(url: impl Into<String>) -> Result<Self, ConnectError> {
        Self::builder(url).connect().await
    }

    /// Settings for a queue that sends to the server at this address.
    pub fn builder(url: impl Into<String>) -> QueueBuilder {
        QueueBuilder::new(url)
    }

    /// A queue for tests: it sends nothing, keeps its [`counts`](Self::counts), needs no runtime
    /// and is never full. In its report, all recorded requests stay `queued`.
    #[must_use]
    pub fn in_memory() -> Self {
        Self(Arc::new(Handle(Arc::new(memory::shared()))))
    }

    /// The series of a key. A known one takes no lock and allocates nothing. Each key is stored for
    /// good, so remove what makes them many, such as the query of a path.
    ///
    /// Beyond [`series_max`](QueueBuilder::series_max), the path is `_other`, and there is no
    /// customer. A server that speaks only `count.v1` learns only the method and the path.
    #[must_use]
    #[inline]
    pub fn series(&self, key: SeriesKey<'_>) -> Series {
        self.shared().table.series(key)
    }

    /// The [`series`](Self::series) of a method and a path, with this queue's
    /// [`service`](QueueBuilder::service).
    #[must_use]
    #[inline]
    pub fn endpoint(&self, method: Method, path: &str) -> Series {
        let service = &self.shared().service;
        self.series(SeriesKey { service, ..SeriesKey::endpoint(method, path) })
    }

    /// Counts a request that arrives now. Never blocks or waits. It allocates only room for what waits,
    /// 64 KiB for each 4,096 rows, which is reused.
    ///
    /// # Errors
    /// The queue is full or closed. The request is given back; [`note_dropped`](Self::note_dropped)
    /// reports it.
    #[inline]
    pub fn try_record(&self, series: Series) -> Result<(), TryRecordError> {
        self.shared().record(Row::one(series, self.shared().clock.micros()))
    }

    /// Like [`try_record`](Self::try_record), but notes a refused request as dropped.
    #[inline]
    pub fn record_or_drop(&self, series: Series) {
        let row = Row::one(series, self.shared().clock.micros());
        if self.shared().record(row).is_err() {
            self.shared().shards.refuse(row);
        }
    }

    /// Notes a request that was given back as dropped: the report counts it as
    /// [`refused`](Report::refused), and the server learns of it.
    #[cold]
    pub fn note_dropped(&self, given_back: &TryRecordError) {
        let TryRecordError { series, at, .. } = *given_back;
        let time_us = clock::micros(at).unwrap_or_else(|| self.shared().clock.micros());
        self.shared().shards.refuse(Row::one(series, time_us));
    }

    /// Counts a request that arrived at this time.
    ///
    /// # Errors
    /// As [`try_record`](Self::try_record), or the time is out of range.
    pub fn try_record_at(&self, series: Series, at: SystemTime) -> Result<(), TryRecordError> {
        let row = self.shared().row(series, at)?;
        self.shared().record(row)
    }

    /// Counts a request that arrives now, and waits for room. A dropped future counts nothing.
    ///
    /// # Errors
    /// The queue is closed.
    pub async fn record(&self, series: Series) -> Result<(), TryRecordError> {
        let row = Row::one(series, self.shared().clock.micros());
        self.shared().record_when_roomy(row).await
    }

    /// Counts a request that arrived at this time, such as one given back, and waits for room.
    ///
    /// # Errors
    /// The queue is closed, or the time is out of range.
    pub async fn record_at(&self, series: Series, at: SystemTime) -> Result<(), TryRecordError> {
        let row = self.shared().row(series, at)?;
        self.shared().record_when_roomy(row).await
    }

    /// Notes a request that is left out on purpose.
    #[inline]
    pub fn note_skipped(&self) {
        self.shared().skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for a connection, or for the end of the queue.
    pub async fn ready(&self) -> Connection {
        let Some(driver) = &self.shared().driver else { return Connection::Away };
        driver.wait(|progress| progress.connection != Connection::Away).await.connection
    }

    /// Waits until all requests recorded before this call are settled, for at most
    /// [`close_timeout`](QueueBuilder::close_timeout). A layer records a request when its status is
    /// known. They are all acknowledged if
    /// [`stats`](Self::stats) shows no earlier loss either.
    ///
    /// # Errors
    /// It takes longer, or requests were lost meanwhile.
    pub async fn flush(&self) -> Result<(), FlushError> {
        self.flush_within(self.shared().close_timeout).await
    }

    /// [`flush`](Self::flush) with another limit.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub async fn flush_within(&self, limit: Duration) -> Result<(), FlushError> {
        let before = self.stats().lost();
        let settled = tokio::time::timeout(limit, self.shared().settle_all()).await;
        let report = self.stats();
        match settled {
            Err(_) => Err(FlushError::TimedOut { waiting: report.queued, limit }),
            Ok(false) => Err(FlushError::Closed { waiting: report.queued }),
            Ok(true) if report.lost() > before => {
                Err(FlushError::Lost { lost: report.lost() - before })
            }
            Ok(true) => Ok(()),
        }
    }

    /// Closes all clones, sends the waiting requests, and reports the outcome of all. First it waits
    /// for at most a second, and at most half of its time, until no layer has an open request; those
    /// that remain count with the status 0. Takes at most [`close_timeout`](QueueBuilder::close_timeout), and drops what is
    /// unsent by then. The server then has a second to say which of the others it has; without an
    /// answer they are in doubt. With a spool that is not full it waits only for the current
    /// attempt to connect and another of at most a second: the next process sends the rest.
    pub async fn close(&self) -> Report {
        self.close_within(self.shared().close_timeout).await
    }

    /// [`close`](Self::close) with another limit.
    pub async fn close_within(&self, limit: Duration) -> Report {
        let began = Instant::now();
        self.shared().open_ended(limit).await;
        let limit = limit.saturating_sub(began.elapsed());
        self.shared().shut(limit);
        if let Some(driver) = &self.shared().driver {
            driver.finished(limit).await;
        }
        self.stats()
    }

    fn shared(&self) -> &Shared {
        &self.0.0
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queue").field(&self.stats()).finish()
    }
}

// === impl Handle ===

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.shut(self.0.close_timeout);
    }
}

// === impl Shared ===

impl Shared {
    fn new(
        settings: &Settings,
        limits: Limits,
        service: &str,
        table: Arc<Table>,
        driver: Option<DriverHandle>,
    ) -> Self {
        Self {
            shards: Shards::new(limits.queue_rows_max, settings.batch_rows_max),
            table,
            clock: settings.clock.clone(),
            service: service.into(),
            customers: OnceLock::new(),
            customers_max: limits.customers_max,
            skipped: AtomicU64::new(0),
            close_timeout: settings.close_timeout,
            reported: Mutex::default(),
            driver,
            memory: Memory::default(),
        }
    }

    #[inline]
    fn record(&self, row: Row) -> Result<(), TryRecordError> {
        self.shards.record(row).or_else(|reason| self.record_again(row, reason))
    }

    /// A request was refused: an in-memory queue makes room.
    #[cold]
    fn record_again(&self, row: Row, reason: Refusal) -> Result<(), TryRecordError> {
        let mut result = Err(reason);
        if reason == Refusal::Full && self.driver.is_none() {
            result = self.memory.record(&self.shards, row);
        }
        result.map_err(|reason| {
            let at = clock::time(row.time_us);
            TryRecordError { series: row.series, at, reason }
        })
    }

    async fn record_when_roomy(&self, row: Row) -> Result<(), TryRecordError> {
        loop {
            let mut roomy = pin!(self.shards.roomy.notified());
            roomy.as_mut().enable();
            match self.shards.record(row) {
                Ok(()) => return Ok(()),
                Err(Refusal::Full) if self.driver.is_some() => {
                    roomy.await;
                }
                Err(reason) => return self.record_again(row, reason),
            }
        }
    }

    fn row(&self, series: Series, at: SystemTime) -> Result<Row, TryRecordError> {
        let latest = self.clock.latest_micros();
        match clock::micros(at).filter(|micros| *micros <= latest) {
            Some(time_us) => Ok(Row::one(series, time_us)),
            None => Err(TryRecordError { series, at, reason: Refusal::Time }),
        }
    }

    /// Takes no more requests, and sends the waiting ones for at most this long.
    fn shut(&self, limit: Duration) {
        if self.driver.is_none() {
            // The open requests need room.
            drop(self.memory.add_up(&self.shards));
        }
        self.shards.close();
        if let Some(driver) = &self.driver {
            driver.close_within(limit);
        }
    }

    /// Waits until all requests recorded so far are settled. False: they never will be.
    async fn settle_all(&self) -> bool {
        let Some(driver) = &self.driver else { return true };
        let moment = self.shards.moment();
        self.shards.hurry.notify_one();
        // How many requests had been taken after the last of these.
        let mut position = None;
        let mut has_settled = |settled: u64| {
            if position.is_none() && self.shards.has_passed(&moment) {
                position = Some(self.shards.counts().taken);
            }
            position.is_some_and(|position| settled >= position)
        };
        let progress = driver.wait(|progress| has_settled(progress.settled())).await;
        has_settled(progress.settled())
    }
}
