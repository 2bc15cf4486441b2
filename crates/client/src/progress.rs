//! How far a producer's requests have come.

use crate::producer::Stop;

/// How far a producer's requests have come. They settle in the order in which they were sent: the first
/// [`settled`](Self::settled) have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Committed in the server's database.
    pub acknowledged: u64,
    /// Refused by the server because they break a rule; reported to it as dropped.
    pub rejected: u64,
    /// Sent without a known outcome, and not sent again, so never counted twice.
    pub in_doubt: u64,
    /// Unsent when the time to close was over, or when the producer [`stopped`](Self::stopped).
    pub dropped: u64,
    /// Left in the spool for the next process.
    pub spooled: u64,
    /// Dropped requests that were reported to the server.
    pub drops_reported: u64,
    /// Acknowledged batches missing from the server's database: it went back to an earlier state,
    /// or is another one. Their requests remain in [`acknowledged`](Self::acknowledged).
    pub batches_lost: u64,
    /// Whether there is a connection, and what is spoken.
    pub connection: Connection,
    /// Why a producer that was [taken over](crate::ProducerBuilder::take_over) cannot go on. It is
    /// final.
    pub stopped: Option<Stop>,
    /// Nothing changes any more.
    pub finished: bool,
}

/// Whether there is a connection, and what is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Connection {
    /// No connection; the client keeps trying.
    #[default]
    Away,
    /// The server records exactly once.
    Record,
    /// The server speaks only `count.v1`: requests of a broken `Add` stream are in doubt.
    Add,
    /// Everything is settled, and nothing more is sent.
    Closed,
}

// === impl Progress ===

impl Progress {
    /// How many requests have come to an end.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.acknowledged + self.lost()
    }

    /// Requests not known to be counted, which this process will not send any more.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.rejected + self.in_doubt + self.dropped + self.spooled
    }
}
