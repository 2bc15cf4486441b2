//! How far a producer's rows have come.

/// How far a producer's rows have come. They settle in the order in which they were sent: the first
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
    /// Given up before they were sent, because the time to close was over.
    pub dropped: u64,
    /// Kept in the spool's file, for the next process.
    pub spooled: u64,
    /// How many of the requests that the caller dropped were reported to the server.
    pub drops_reported: u64,
    /// Acknowledged batches missing from the server's database: it went back to an earlier state,
    /// or is another one. Their requests remain in [`acknowledged`](Self::acknowledged).
    pub batches_lost: u64,
    /// Whether there is a connection, and what is spoken.
    pub connection: Connection,
    /// Nothing will change any more.
    pub finished: bool,
}

/// Whether there is a connection, and what is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Connection {
    /// There is none; the client goes on trying.
    #[default]
    Away,
    /// The server records exactly once.
    Record,
    /// The server speaks only `count.v1`: requests of a broken `Add` stream are in doubt.
    Add,
    /// Everything has come to its end, and nothing will be sent any more.
    Closed,
}

// === impl Progress ===

impl Progress {
    /// How many rows have come to their end, whatever it was.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.acknowledged + self.lost()
    }

    /// Rows not known to be counted, which this process will not send any more.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.rejected + self.in_doubt + self.dropped + self.spooled
    }
}
