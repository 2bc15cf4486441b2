//! A server in this process that keeps the protocol of `Record`, and breaks where a test says.

mod database;
mod server;
mod services;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tally_client::{ProducerBuilder, QueueBuilder};
use tally_proto::tally::producers::v1 as producers;
use tally_proto::tally::requests::v1 as proto;
use tonic::Status;

pub(crate) use database::{Database, refusal};
pub(crate) use server::Server;

/// What outlives a server: its database, and the test's instructions.
#[derive(Clone)]
pub(crate) struct Mock {
    database: Arc<Mutex<Database>>,
    hook: Arc<Hook>,
    limits: producers::Opened,
}

type Hook = dyn Fn(&Event<'_>) -> Act + Send + Sync;

/// Something comes in.
pub(crate) enum Event<'a> {
    Open(&'a producers::Open),
    Batch(&'a proto::Batch),
    /// An `Add` stream, with how many requests.
    Add(usize),
}

/// How the server reacts.
pub(crate) enum Act {
    /// As it should.
    Serve,
    /// Ends the stream, and does nothing else.
    End(Status),
    /// Stores it, or this many requests of an `Add` stream, and ends the stream instead of
    /// answering.
    StoreAndEnd(usize, Status),
    /// Neither answers nor ends.
    Hold,
    /// Answers this, right or wrong.
    Answer(producers::Acknowledgement),
}

// === impl Mock ===

impl Mock {
    pub(crate) fn new(hook: impl Fn(&Event<'_>) -> Act + Send + Sync + 'static) -> Self {
        let limits = producers::Opened {
            epoch: 0,
            batch_rows_max: 10_000,
            batch_bytes_max: 1 << 20,
            series_max: 10_000,
            batches_in_flight_max: 4,
            ..producers::Opened::default()
        };
        Self { database: Arc::default(), hook: Arc::new(hook), limits }
    }

    /// A server that does everything right.
    pub(crate) fn good() -> Self {
        Self::new(|_| Act::Serve)
    }

    /// The same database, behind another server.
    pub(crate) fn with(&self, hook: impl Fn(&Event<'_>) -> Act + Send + Sync + 'static) -> Self {
        Self { hook: Arc::new(hook), ..self.clone() }
    }

    pub(crate) fn limits(mut self, change: impl FnOnce(&mut producers::Opened)) -> Self {
        change(&mut self.limits);
        self
    }

    pub(crate) fn database(&self) -> MutexGuard<'_, Database> {
        self.database.lock().expect("no test panics while it looks")
    }

    /// How many requests are stored. Fails if the client did something wrong.
    pub(crate) fn total(&self) -> u64 {
        let database = self.database();
        assert!(database.wrong.is_empty(), "{:?}", database.wrong);
        database.counts.values().sum()
    }

    pub(crate) fn count(&self, path: &str) -> u64 {
        self.total();
        let database = self.database();
        database.counts.iter().filter(|((_, p), _)| p == path).map(|(_, count)| count).sum()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.database().drops.values().sum()
    }
}

/// A producer with short pauses.
pub(crate) fn fast_producer(url: &str) -> ProducerBuilder {
    tally_client::Producer::builder(url)
        .name("test")
        .backoff(Duration::from_millis(1), Duration::from_millis(20))
        .close_timeout(Duration::from_secs(30))
}

/// A queue with short pauses and hardly any gathering.
pub(crate) fn fast_queue(url: &str) -> QueueBuilder {
    tally_client::Queue::builder(url)
        .name("test")
        .linger(Duration::from_millis(1))
        .backoff(Duration::from_millis(1), Duration::from_millis(20))
        .close_timeout(Duration::from_secs(30))
}

/// Polls for a condition that sends no notification.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    tally_testkit::eventually(what, Duration::from_secs(60), async || holds()).await;
}

/// Waits until this test's runtime has no other tasks.
pub(crate) async fn no_task_is_left() {
    let metrics = tokio::runtime::Handle::current().metrics();
    until("no task is left", || metrics.num_alive_tasks() == 0).await;
}
