//! What is known to be missing from an answer.

use tally_producers::Setback;

/// What is known to be missing of some days.
#[derive(Debug, Clone, Default)]
pub(crate) struct Missing {
    /// How many requests clients have given up; of 2^63-1, at least as many.
    pub(crate) dropped: i64,
    /// Batches that the database has lost.
    pub(crate) setbacks: Vec<Setback>,
}

// === impl Missing ===

impl Missing {
    /// Whether nothing is.
    pub(crate) fn is_complete(&self) -> bool {
        self.dropped == 0 && self.setbacks.is_empty()
    }

    /// How many batches the database has lost, at least.
    pub(crate) fn batches(&self) -> i64 {
        self.setbacks.iter().fold(0, |sum: i64, one| sum.saturating_add(one.batches))
    }
}
