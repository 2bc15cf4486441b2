//! Batches of one producer on their way, and what became of them.

use std::sync::{Mutex, MutexGuard, PoisonError};

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
    verdict: Mutex<Option<Verdict>>,
}

/// One batch of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchEnd {
    /// How many rows of the run there are up to its end.
    pub rows: usize,
    /// How many requests of a day the client has dropped before it.
    pub drops: Vec<(Day, i64)>,
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every batch of it is committed, now or before.
    Stored {
        /// The producer's last batch that is committed.
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
    /// A run whose fate is open.
    #[must_use]
    pub fn new(producer: Uuid, epoch: i64, first: i64, batches: Vec<BatchEnd>) -> Self {
        Self { producer, epoch, first, batches, verdict: Mutex::default() }
    }

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

    /// What became of it; `None` until a transaction with it was committed, or found nothing
    /// to do.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        *self.cell()
    }

    /// The store says what became of it.
    pub(crate) fn decide(&self, verdict: Verdict) {
        *self.cell() = Some(verdict);
    }

    fn cell(&self) -> MutexGuard<'_, Option<Verdict>> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
