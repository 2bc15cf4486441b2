//! Requests that one domain has another one count: written in the transaction that decides them, and counted
//! once.
//!
//! They are taken in numbered batches, one after the other, whichever server does it. Whoever counts a batch
//! stores its number in the transaction of its rows, as with all producers. So a batch can be counted again
//! after a server was killed, or by two servers at once, and counts once, however late that is: its producer
//! is never forgotten.
//!
//! | file | what it owns |
//! |---|---|
//! | `postgres.rs` | these requests in Postgres and CockroachDB |
//! | `sqlite.rs` | these requests in SQLite |

pub(crate) mod postgres;
pub(crate) mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tally_runtime::{Drain, Error, Namespace, backoff, chain, faults, random};
use tally_store::Database;
use uuid::Uuid;

use crate::Outbox;

/// The pause between two looks, and the longest one after looks that failed.
const ROUND: Duration = Duration::from_secs(1);
const ROUND_MAX: Duration = Duration::from_secs(60);
/// How many are counted at once.
const COUNTS_MAX: u32 = 1_000;

/// A request that is to be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Whose books it is in.
    pub namespace: Namespace,
    /// Who served it; empty if nobody is named.
    pub service: String,
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// How it ended.
    pub status: u16,
    /// When it was made.
    pub at: Timestamp,
}

/// Requests that are counted together, under a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Who numbers them: no client, and no other worker.
    pub producer: Uuid,
    /// 1, 2, 3 … without gaps.
    pub sequence: i64,
    /// The same ones each time.
    pub counts: Vec<Count>,
}

/// Counts requests: the domain whose books they go into.
#[async_trait]
pub trait Counter: Send + Sync {
    /// Counts a batch, and returns after the commit. One that is counted already is not counted again.
    ///
    /// # Errors
    /// When the database fails. The batch is counted again then.
    async fn count(&self, batch: &Counts) -> Result<(), Error>;
}

/// Brings requests from one domain to the other.
pub struct Counting {
    outbox: Outbox,
    counter: Arc<dyn Counter>,
}

// === impl Counting ===

impl Counting {
    /// From this outbox to this domain.
    #[must_use]
    pub fn new(outbox: Outbox, counter: Arc<dyn Counter>) -> Self {
        Self { outbox, counter }
    }

    /// Counts until the server stops. What is left then, the next server counts.
    pub async fn run(self, drain: Drain) {
        let (mut pause, mut failures, mut last) = (ROUND, 0, None);
        while drain.pause(pause).await {
            let error = loop {
                match self.count().await {
                    Ok(counted) if counted > 0 && !drain.has_begun() => {}
                    Ok(_) => break None,
                    Err(error) => break Some(error),
                }
            };
            let Some(error) = error else {
                (pause, failures, last) = (ROUND, 0, None);
                continue;
            };
            failures += 1;
            pause = ROUND + backoff::pause(ROUND, ROUND_MAX, failures, random::number());
            let step = error.to_string();
            if last.as_ref() != Some(&step) {
                tracing::warn!(
                    error = chain(&error),
                    "requests of other domains wait to be counted"
                );
                last = Some(step);
            }
        }
    }

    /// Counts some of what waits. Returns how many.
    ///
    /// # Errors
    /// When the database fails. They are counted again later.
    pub async fn count(&self) -> Result<usize, Error> {
        let Some(mut batch) = self.outbox.next_counts().await? else { return Ok(0) };
        let number = batch.sequence;
        // A fault that numbers a batch anew whenever it is counted.
        if faults::is_on("outbox.counts.anew") {
            (batch.producer, batch.sequence) = (new_producer(), 1);
        }
        faults::point("outbox.counts.taken").await;
        self.counter.count(&batch).await?;
        faults::point("outbox.counts.counted").await;
        self.outbox.remove_counts(number).await?;
        Ok(batch.counts.len())
    }
}

// === impl Outbox ===

impl Outbox {
    /// The batch that was taken last, unless it is removed; or else the next one, if something waits.
    async fn next_counts(&self) -> Result<Option<Counts>, Error> {
        match &self.database {
            Database::Postgres(database) => postgres::next(database, COUNTS_MAX).await,
            Database::Sqlite(database) => {
                if !database.read(|connection| sqlite::has_some(connection)).await? {
                    return Ok(None);
                }
                database.write(|connection| sqlite::next(connection, COUNTS_MAX)).await
            }
        }
    }

    /// Removes a batch that is counted.
    async fn remove_counts(&self, batch: i64) -> Result<(), Error> {
        match &self.database {
            Database::Postgres(database) => postgres::remove(database, batch).await,
            Database::Sqlite(database) => {
                database.write(move |connection| sqlite::remove(connection, batch)).await
            }
        }
    }
}

/// Who numbers batches: nobody can guess it.
fn new_producer() -> Uuid {
    Uuid::from_u128(u128::from(random::number()) << 64 | u128::from(random::number()))
}
