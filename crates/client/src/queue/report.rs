//! What has become of the requests of a queue.

use super::{Sending, Shared};
use crate::progress::{Connection, Progress};

/// What has become of the requests of a queue. Always:
/// `recorded = acknowledged + dropped + rejected + in_doubt + spooled + queued`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Taken by the queue.
    pub recorded: u64,
    /// Committed in the server's database, each exactly once.
    pub acknowledged: u64,
    /// Taken, and dropped before they were sent: for newer ones, or since the time to close
    /// was over.
    pub dropped: u64,
    /// Refused by the server, and not counted: they break a rule. The server is told that they
    /// were dropped.
    pub rejected: u64,
    /// Sent, and nobody can tell whether they are counted. They are not sent again, so they
    /// are never counted twice.
    pub in_doubt: u64,
    /// Kept in the spool's file, for the next process.
    pub spooled: u64,
    /// Waiting, or on their way.
    pub queued: u64,
    /// Not taken, and noted as dropped: there was no room, or the queue was closed.
    pub refused: u64,
    /// Not counted on purpose, such as health checks.
    pub skipped: u64,
    /// Of the dropped and refused ones, the server has been told of so many.
    pub drops_reported: u64,
    /// Whether there is a connection, and what is spoken.
    pub connection: Connection,
}

// === impl Report ===

impl Report {
    /// How many requests are not known to be counted, and will not be sent any more. What is in a
    /// spool's files is not among them: the next process sends it.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.dropped + self.rejected + self.in_doubt + self.refused
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn report(&self) -> Report {
        // First how far they came, then how many there are: no more can have come than are.
        let progress = match &self.sending {
            Sending::Memory(_) => Progress::default(),
            Sending::Server { progress, .. } => *progress.borrow(),
        };
        let counts = self.shards.counts();
        let dropped = counts.dropped + progress.dropped;
        let ended = progress.acknowledged
            + progress.rejected
            + progress.in_doubt
            + progress.spooled
            + dropped;
        Report {
            recorded: counts.recorded,
            acknowledged: progress.acknowledged,
            dropped,
            rejected: progress.rejected,
            in_doubt: progress.in_doubt,
            spooled: progress.spooled,
            queued: counts.recorded - ended,
            refused: counts.refused,
            skipped: self.skipped.load(std::sync::atomic::Ordering::Relaxed),
            drops_reported: progress.drops_reported,
            connection: progress.connection,
        }
    }
}
