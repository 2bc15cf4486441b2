//! The outcome of a queue's requests.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::{Queue, memory};
use crate::progress::Connection;
use crate::{Method, SeriesKey};

/// The outcome of a queue's requests. Always:
/// `recorded = acknowledged + dropped + rejected + in_doubt + spooled + queued`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Taken by the queue.
    pub recorded: u64,
    /// Committed in the server's database, each exactly once.
    pub acknowledged: u64,
    /// Taken, but unsent when the time to close was over.
    pub dropped: u64,
    /// Refused by the server because they break a rule; reported to it as dropped.
    pub rejected: u64,
    /// Sent without a known outcome, and not sent again, so never counted twice.
    pub in_doubt: u64,
    /// Left in the spool for the next process.
    pub spooled: u64,
    /// Waiting, or on their way.
    pub queued: u64,
    /// Not taken because there was no room or the queue was closed, and noted as dropped.
    pub refused: u64,
    /// Not counted on purpose, such as health checks.
    pub skipped: u64,
    /// Dropped and refused requests that were reported to the server.
    pub drops_reported: u64,
    /// Acknowledged batches missing from the server's database: it went back to an earlier state,
    /// or is another one. Their requests remain in [`acknowledged`](Self::acknowledged).
    pub batches_lost: u64,
    /// Whether there is a connection, and what is spoken.
    pub connection: Connection,
}

// === impl Queue ===

impl Queue {
    /// The outcome so far.
    #[must_use]
    pub fn stats(&self) -> Report {
        let shared = self.shared();
        // Read the progress first: it can never exceed the counts read after it.
        let progress =
            shared.driver.as_ref().map(|driver| *driver.progress.borrow()).unwrap_or_default();
        let counts = shared.shards.counts();
        Report {
            recorded: counts.recorded,
            acknowledged: progress.acknowledged,
            dropped: counts.dropped + progress.dropped,
            rejected: progress.rejected,
            in_doubt: progress.in_doubt,
            spooled: progress.spooled,
            queued: counts.recorded - counts.dropped - progress.settled(),
            refused: counts.refused,
            skipped: shared.skipped.load(Ordering::Relaxed),
            drops_reported: progress.drops_reported,
            batches_lost: progress.batches_lost,
            connection: progress.connection,
        }
    }

    /// Why there is no connection, or why the server refused requests, for people. Also logged.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared().driver.as_ref()?.trouble.borrow().clone()
    }

    /// What an [in-memory](Self::in_memory) queue has counted, by method and path.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(Method, String), u64> {
        memory::counts(self.shared())
    }

    /// What an [in-memory](Self::in_memory) queue has counted, by all that it counts under.
    #[must_use]
    pub fn series_counts(&self) -> Vec<(SeriesKey<'_>, u64)> {
        memory::series_counts(self.shared())
    }

    /// The count of a method and a path in [`counts`](Self::counts).
    #[must_use]
    pub fn count(&self, method: Method, path: &str) -> u64 {
        self.counts().get(&(method, path.to_owned())).copied().unwrap_or(0)
    }
}

// === impl Report ===

impl Report {
    /// Requests not known to be counted, which no process will send; so without `spooled`.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.dropped + self.rejected + self.in_doubt + self.refused
    }
}
