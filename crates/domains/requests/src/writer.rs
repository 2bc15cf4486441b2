//! The store as the insert workers see it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tally_ingest::{Batch, Sink, WriteError};
use tally_producers::{Producers, Told};
use tally_runtime::{Clock, Error, Outcome, chain};
use tokio::time::timeout;
use uuid::Uuid;

use crate::endpoints::Endpoints;
use crate::producer::Fate;
use crate::rows::Rows;
use crate::store::{Appended, Store};

/// A batch is begun again at most this many times within an attempt because a new connection was
/// made meanwhile.
const STALE_MAX: usize = 32;

/// At most this many losses that could not be noted are kept in mind.
const SETBACKS_OWED_MAX: usize = 64;

/// The store as the workers see it.
pub(crate) struct Writer {
    store: Arc<dyn Store>,
    producers: Producers,
    endpoints: Arc<Endpoints>,
    /// How long to wait for the outcome of one attempt.
    attempt_timeout: Duration,
    clock: Arc<dyn Clock>,
    /// Workers of which the database has lost something that is not noted yet.
    owed: Mutex<Vec<(Uuid, i64)>>,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        producers: Producers,
        endpoints: Arc<Endpoints>,
        attempt_timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, producers, endpoints, attempt_timeout, clock, owed: Mutex::default() }
    }

    /// Stores a batch with the names that it needs.
    async fn append(&self, batch: &Batch<'_, Rows>) -> Result<Vec<Fate>, WriteError> {
        for _ in 0..STALE_MAX {
            let names = self.endpoints.names_of(batch.chunks, self.store.state());
            match self.store.append(batch, &names).await {
                Ok(Appended::Stored { fates, moved }) => {
                    self.endpoints.confirm(&names, moved);
                    return Ok(fates);
                }
                Ok(Appended::Stale) => {}
                Err(error) => {
                    if matches!(error, WriteError::OutOfSequence { .. }) {
                        self.endpoints.doubt();
                    }
                    return Err(error);
                }
            }
        }
        let step = "store a batch: the database's connections do not last";
        Err(Error::transient(step, Outcome::Determinate).into())
    }

    /// Batches of a worker up to this one were stored, and are not all there any more. What cannot
    /// be noted now is noted with a later batch.
    async fn note_setback(&self, worker: Uuid, sequence: i64) {
        let now_micros = self.clock.now().as_microsecond();
        let told = Told { sequence, at_micros: None, is_recent: true, now_micros };
        let noting = timeout(self.attempt_timeout, self.producers.note_setback(worker, told));
        let error = match noting.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => chain(&error),
            Err(_elapsed) => format!("no answer within {:?}", self.attempt_timeout),
        };
        tracing::error!(error, sequence, "what the database has lost of a worker is not noted yet");
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        if owed.len() < SETBACKS_OWED_MAX {
            owed.push((worker, sequence));
        }
    }

    /// Notes what could not be noted before, once something can be stored again.
    async fn note_owed(&self) {
        let owed = std::mem::take(&mut *self.owed.lock().unwrap_or_else(PoisonError::into_inner));
        for (worker, sequence) in owed {
            self.note_setback(worker, sequence).await;
        }
    }
}

impl Sink for Writer {
    type Rows = Rows;
    type Outcome = Fate;

    async fn write(&self, batch: Batch<'_, Rows>) -> Result<Vec<Fate>, WriteError> {
        let Ok(result) = timeout(self.attempt_timeout, self.append(&batch)).await else {
            let limit = self.attempt_timeout;
            let step = format!("store a batch: no answer within {limit:?}");
            return Err(Error::transient(step, Outcome::Indeterminate).into());
        };
        match &result {
            Ok(_) => self.note_owed().await,
            Err(WriteError::OutOfSequence { .. }) => {
                self.note_setback(batch.producer, batch.sequence - 1).await;
            }
            Err(WriteError::Failed(_)) => {}
        }
        result
    }
}
