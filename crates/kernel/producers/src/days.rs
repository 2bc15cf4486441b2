//! What producers brought, by UTC day.

use std::collections::BTreeMap;

/// How much of one day was accepted, and how much its client dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Stored by batches.
    pub accepted: i64,
    /// Dropped, as the client says.
    pub dropped: i64,
}

/// By the number of days since 1970-01-01.
pub type Days = BTreeMap<i32, Counted>;

// === impl Counted ===

impl Counted {
    /// Adds what is beside it. A client may say anything, so the sums end at 2^63-1, which then stands for
    /// at least as much.
    pub fn add(&mut self, other: Self) {
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.dropped = self.dropped.saturating_add(other.dropped);
    }
}
