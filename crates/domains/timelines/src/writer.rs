//! Messages on their way, and the store as the insert workers see it.

use std::sync::Arc;
use std::time::Duration;

use tally_ingest::{Batch, Rows, Sink, WriteError};
use tally_runtime::{Clock, Error, Outcome as Stored};
use tokio::time::timeout;

use crate::ledger::Outcome;
use crate::message::Message;
use crate::store::Store;

/// How much longer an attempt waits for the database's own word that it took too long.
const ATTEMPT_GRACE: Duration = Duration::from_secs(2);
/// The memory of a message beside its texts.
const MESSAGE_BYTES: usize = 512;

/// What one call brings.
#[derive(Debug)]
pub(crate) struct Messages(pub(crate) Vec<Message>);

/// The store as the insert workers see it.
pub(crate) struct Writer {
    store: Store,
    clock: Arc<dyn Clock>,
    /// How long to wait for the outcome of one attempt.
    attempt_max: Duration,
}

// === impl Messages ===

impl Rows for Messages {
    fn rows(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> usize {
        let attributes = |message: &Message| -> usize {
            message.said.attributes.iter().map(|(name, value)| name.len() + value.len()).sum()
        };
        self.0
            .iter()
            .map(|message| MESSAGE_BYTES + message.said.name.len() + attributes(message))
            .sum()
    }
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>, attempt_max: Duration) -> Self {
        Self { store, clock, attempt_max: attempt_max + ATTEMPT_GRACE }
    }
}

impl Sink for Writer {
    type Rows = Messages;
    type Outcome = Vec<Outcome>;

    /// A message that an earlier attempt has stored is known by what tells it, so that the number of the batch
    /// is not needed.
    async fn write(&self, batch: Batch<'_, Messages>) -> Result<Vec<Vec<Outcome>>, WriteError> {
        let messages: Arc<[Message]> =
            batch.chunks.iter().flat_map(|chunk| chunk.0.iter().cloned()).collect();
        let recording = self.store.record(messages, self.clock.now());
        let Ok(recorded) = timeout(self.attempt_max, recording).await else {
            let step = format!("store messages: no answer within {:?}", self.attempt_max);
            return Err(Error::transient(step, Stored::Indeterminate).into());
        };
        let outcomes = recorded?;
        self.store.measured().took(&outcomes);
        let mut outcomes = outcomes.into_iter();
        let of_chunk = |chunk: &Messages| outcomes.by_ref().take(chunk.0.len()).collect();
        Ok(batch.chunks.iter().map(of_chunk).collect())
    }
}
