//! What a producer learns when it is opened, and why it cannot go on.

use tally_proto::wire::CHECKPOINT_BYTES_MAX;

use crate::error::Refusal;
use crate::rows::{self, BatchLimits, Drops, Row};
use crate::series::Table;

/// Bytes of a checkpoint in a batch besides its own.
const CHECKPOINT_OVERHEAD: usize = 4;

/// What the server had of a producer when this process opened it.
#[derive(Debug, Clone)]
pub struct Opened {
    checkpoint: Vec<u8>,
    batches: u64,
    /// Those of the present connection.
    pub(crate) limits: BatchLimits,
}

/// Why a producer that was [taken over](crate::ProducerBuilder::take_over) cannot go on. What is
/// acknowledged stays counted. A new process, or a new `Producer`, takes it over again, and its
/// checkpoint says where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stop {
    /// Another process has taken it over. What is not acknowledged to this one is for that one to
    /// count.
    #[error("another process has taken this producer over")]
    TakenOver,
    /// Another process is done with it, or it was silent for too long.
    #[error("the server does not know this producer any more")]
    Forgotten,
    /// The server's database went back to an earlier state, and so did the checkpoint.
    #[error("the server's database went back to an earlier state")]
    WentBack,
    /// Another client uses the id, and did not open it with `take_over` when it was new.
    #[error("another client uses this producer's id")]
    InUse,
    /// The server refuses a batch even without its requests.
    #[error("the server refuses a batch")]
    Refused,
}

// === impl Opened ===

impl Opened {
    pub(crate) fn new(checkpoint: Vec<u8>, batches: u64, limits: BatchLimits) -> Self {
        Self { checkpoint, batches, limits }
    }

    /// The checkpoint of the last batch that had one; empty if none had.
    #[must_use]
    pub fn checkpoint(&self) -> &[u8] {
        &self.checkpoint
    }

    /// How many batches of the processes before this one are stored.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// Whether rows and a checkpoint can be one batch.
    pub(super) fn takes(
        &self,
        rows: &[Row],
        checkpoint: &[u8],
        table: &Table,
    ) -> Result<(), Refusal> {
        if !(1..=CHECKPOINT_BYTES_MAX).contains(&checkpoint.len()) {
            return Err(Refusal::Checkpoint);
        }
        let room = self.limits.bytes.saturating_sub(checkpoint.len() + CHECKPOINT_OVERHEAD);
        let limits = BatchLimits { bytes: room, ..self.limits };
        let fits = rows::fitting(rows, &Drops::default(), limits, table) == rows.len();
        if fits { Ok(()) } else { Err(Refusal::TooLarge) }
    }
}
