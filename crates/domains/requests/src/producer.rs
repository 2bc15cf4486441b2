//! Batches of one producer on their way, and what became of them.

use tally_producers::Refusal;
use uuid::Uuid;

use crate::model::Day;

/// Batches of one producer, which follow each other.
#[derive(Debug)]
pub struct Run {
    /// Whose batches these are.
    pub producer: Uuid,
    /// The epoch under which the producer was opened. It is another one for each process, and also
    /// when the producer was forgotten meanwhile: what a stream of then has left is not stored.
    pub epoch: i64,
    /// The number of the first batch.
    pub first: i64,
    /// The batches, from the first on.
    pub batches: Vec<BatchEnd>,
}

/// One batch of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchEnd {
    /// How many rows of the run there are up to its end.
    pub rows: usize,
    /// How many requests of a day the client has dropped before it.
    pub drops: Vec<(Day, i64)>,
}

/// What became of a chunk whose transaction is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// All of it is committed, now or before.
    Stored {
        /// The last batch of the run's producer that is committed; 0 for rows without numbers.
        committed: i64,
    },
    /// None is stored: it does not begin after the producer's last batch.
    Gap {
        /// The producer's last batch that is committed.
        committed: i64,
    },
    /// None is stored: the producer may not go on.
    Refused(Refusal),
}

// === impl Run ===

impl Run {
    /// How many days with drops its batches have.
    #[must_use]
    pub fn drops(&self) -> usize {
        self.batches.iter().map(|batch| batch.drops.len()).sum()
    }

    /// The number of the last batch.
    #[must_use]
    pub fn last(&self) -> i64 {
        self.first - 1 + i64::try_from(self.batches.len()).expect("batches fit into memory")
    }
}
