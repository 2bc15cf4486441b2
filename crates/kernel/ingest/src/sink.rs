//! What a batch is written to.

use std::fmt::Debug;
use std::future::Future;

use tally_runtime::{Error, Kind};
use uuid::Uuid;

/// Rows that travel together.
pub trait Rows: Send + 'static {
    /// How many rows.
    fn rows(&self) -> usize;
    /// How many existing rows change with them, at most: those cost more than new ones.
    fn updates(&self) -> usize {
        0
    }
    /// How much memory they take.
    fn bytes(&self) -> usize;
}

/// Rows that are stored together in one transaction, or not at all.
#[derive(Debug)]
pub struct Batch<'a, R> {
    /// Who numbers the batches.
    pub producer: Uuid,
    /// The batch's number: 1, 2, 3 … for each producer.
    pub sequence: i64,
    /// Whether an earlier attempt to store it had an unknown outcome. Only then does a used number
    /// mean that it is stored.
    pub is_repeated: bool,
    /// The rows, in chunks.
    pub chunks: &'a [R],
}

/// Stores batches.
pub trait Sink: Send + Sync + 'static {
    /// What it stores.
    type Rows: Rows + Sync;
    /// What becomes of a chunk in a stored batch, for example that the sink refused it.
    type Outcome: Send + 'static;

    /// Stores a batch, and returns one outcome for each chunk, in order, after the commit. A repeated
    /// batch whose number is used already is not stored again, so a batch whose outcome is unknown can
    /// be repeated safely.
    fn write(
        &self,
        batch: Batch<'_, Self::Rows>,
    ) -> impl Future<Output = Result<Vec<Self::Outcome>, WriteError>> + Send;

    /// Notes that a producer sends no more: this was its last batch, and it is stored.
    fn retire(&self, _producer: Uuid, _sequence: i64) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A batch was not stored, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The number does not follow the producer's last stored batch: the store has lost batches, or a
    /// copy of this process uses the producer. This attempt stored nothing.
    #[error("store batch {sent}: the last stored batch of the worker is {stored}")]
    OutOfSequence {
        /// The batch's number.
        sent: i64,
        /// The number of the last stored batch.
        stored: i64,
    },
    /// Anything else. The error says whether it may be stored all the same.
    #[error(transparent)]
    Failed(#[from] Error),
}

// === impl Batch ===

impl<R: Rows> Batch<'_, R> {
    /// How many rows there are in all.
    pub fn rows(&self) -> usize {
        self.chunks.iter().map(Rows::rows).sum()
    }
}

// === impl WriteError ===

impl WriteError {
    /// The error as the streams see it: a number that does not fit is not their fault.
    pub(crate) fn for_streams(self) -> Error {
        match self {
            Self::OutOfSequence { .. } => Error::permanent(self.to_string(), Kind::Unavailable),
            Self::Failed(error) => error,
        }
    }
}
