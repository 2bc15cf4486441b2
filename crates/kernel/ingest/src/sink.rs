//! What a batch is written to.

use std::fmt::Debug;
use std::future::Future;

use tally_runtime::Kind;
use uuid::Uuid;

/// Rows that travel together.
pub trait Rows: Send + 'static {
    /// How many rows.
    fn rows(&self) -> usize;
    /// How many rows that are there already change with them, at most: those cost more than new
    /// ones.
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
    /// Whether an earlier attempt to store it ended without a known outcome. Only then does a
    /// number that is used already mean that it is stored.
    pub is_repeated: bool,
    /// The rows, in chunks.
    pub chunks: &'a [R],
}

/// Stores batches.
pub trait Sink: Send + Sync + 'static {
    /// What it stores.
    type Rows: Rows + Sync;

    /// Stores a batch, and returns after the commit. A repeated batch whose number the producer
    /// has used already was stored before, and is not stored again: this is what makes it safe
    /// to repeat a batch whose outcome is unknown.
    fn write(
        &self,
        batch: Batch<'_, Self::Rows>,
    ) -> impl Future<Output = Result<(), WriteError>> + Send;
}

/// A batch was not stored, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteError {
    /// What happened, in one line, for the log.
    pub message: String,
    /// The same for the streams whose rows these are.
    pub for_clients: String,
    /// What it means to the streams whose rows these are.
    pub kind: Kind,
    /// Whether the same batch may be stored later.
    pub transient: bool,
    /// Whether it may have been stored all the same.
    pub indeterminate: bool,
    /// The producer's last stored batch, if the number is not the one after it: the store has
    /// lost batches, or a copy of this process uses the producer. This attempt stored nothing.
    pub stored_instead: Option<i64>,
}

// === impl Batch ===

impl<R: Rows> Batch<'_, R> {
    /// How many rows there are in all.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.chunks.iter().map(Rows::rows).sum()
    }
}
