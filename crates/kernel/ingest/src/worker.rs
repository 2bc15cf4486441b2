//! The loop that writes batches, and repeats them safely.

use std::sync::Arc;
use std::time::Duration;

use tally_runtime::{Clock, Error, Outcome, Tasks, backoff, chain, chain_for_clients, random};
use tokio::time::Instant;
use uuid::Uuid;

use crate::progress::{Progress, Trouble};
use crate::queue::{Chunk, Room, Taken};
use crate::receipt::Stub;
use crate::{Batch, Queue, Rows, Sink, WriteError};

/// The pause after the first failed attempt; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// After this long without a batch, a worker numbers from 1 again under a new id, because a store
/// forgets silent producers.
const PRODUCER_IDLE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// After this many batches too. Every batch updates the worker's rows, and as long as a transaction
/// of somebody else is open, Postgres keeps all versions of a row, which the next update has to pass.
const PRODUCER_BATCHES_MAX: i64 = 1_000;

/// Shortest timeout per attempt: a busy database may need this long for one batch.
const ATTEMPT_MIN: Duration = Duration::from_secs(1);
/// A batch that takes longer than this is tried again, even if it may be tried for longer in all.
const ATTEMPT_MAX: Duration = Duration::from_secs(25);

/// How the workers write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How many batches are written at the same time.
    pub workers: usize,
    /// Roughly how many rows a batch collects before it is written.
    pub batch_rows_max: usize,
    /// While another batch is being written, one of fewer rows takes what comes meanwhile, for a moment. With
    /// 0 it does not wait.
    pub join_rows: usize,
    /// How long a batch is tried before its streams are told that it failed.
    pub write_wait_max: Duration,
}

/// The workers of one queue.
#[derive(Debug)]
pub struct Workers {
    tasks: Tasks,
    progress: Progress,
}

/// One worker. It numbers its batches as a producer of its own.
struct Worker<S: Sink> {
    queue: Queue<S::Rows, S::Outcome>,
    sink: Arc<S>,
    settings: Settings,
    /// Ids say when they were drawn.
    clock: Arc<dyn Clock>,
    progress: Progress,
    /// Which of the workers it is.
    index: usize,
    producer: Uuid,
    /// The number of the last batch that is known to be stored.
    sequence: i64,
    last_stored: Instant,
}

// === impl Settings ===

impl Settings {
    /// How long one attempt may take in the database: a part of the time that a batch is tried, so
    /// that one whose outcome is unknown is repeated under its number before it is given up.
    pub fn attempt_max(&self) -> Duration {
        (self.write_wait_max / 3).clamp(ATTEMPT_MIN, ATTEMPT_MAX)
    }
}

// === impl Workers ===

impl Workers {
    /// Starts the workers.
    pub fn start<S: Sink>(
        queue: &Queue<S::Rows, S::Outcome>,
        sink: &Arc<S>,
        settings: Settings,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let tasks = Tasks::new();
        let progress = Progress::new(settings.workers);
        for index in 0..settings.workers {
            let (tasks_too, queue, sink) = (tasks.clone(), queue.clone(), Arc::clone(sink));
            let (progress, clock) = (progress.clone(), Arc::clone(clock));
            tasks.spawn("insert worker's keeper", async move {
                loop {
                    let worker = Worker {
                        queue: queue.clone(),
                        sink: Arc::clone(&sink),
                        settings,
                        clock: Arc::clone(&clock),
                        progress: progress.clone(),
                        index,
                        producer: random::id(clock.now()),
                        sequence: 0,
                        last_stored: Instant::now(),
                    };
                    let ended = tasks_too.spawn("insert worker", worker.run()).await;
                    if ended.is_ok() {
                        return;
                    }
                    // Its streams were told; the others must not wait for ever.
                    tracing::error!("an insert worker panicked, another takes its place");
                }
            });
        }
        Self { tasks, progress }
    }

    /// Why rows cannot be stored: the last attempt failed, or a batch takes too long.
    pub fn trouble(&self) -> Option<Trouble> {
        self.progress.trouble()
    }

    /// For how long the oldest row has waited.
    pub(crate) fn oldest_age(&self) -> Duration {
        self.progress.oldest_age()
    }

    /// Notes that something past the workers could not be stored.
    pub fn failed(&self, message: &str) {
        self.progress.failed(message);
    }

    /// Notes that something past the workers was stored after all.
    pub fn recovered(&self) {
        self.progress.stored();
    }

    /// Waits until the queue is closed and all of it is written.
    pub async fn finished(&self) {
        self.tasks.finished().await;
    }
}

// === impl Worker ===

impl<S: Sink> Worker<S> {
    async fn run(mut self) {
        let Settings { batch_rows_max, join_rows, .. } = self.settings;
        while let Some(taken) = self.queue.batch(batch_rows_max, join_rows).await {
            let Taken { chunks, writing } = taken;
            let oldest = chunks.iter().map(|chunk| chunk.since).min();
            let (rows, stubs) = split(chunks);
            let progress = self.progress.clone();
            let _writing = (writing, progress.begin(self.index, oldest));
            match self.store(&rows).await {
                // Perhaps only one stream's rows are at fault: no other stream pays for them.
                Err(error) if rows.len() > 1 && is_final(&error) => {
                    for (rows, stub) in rows.into_iter().zip(stubs) {
                        let rows = std::slice::from_ref(&rows);
                        let result = self.store(rows).await;
                        self.settle(rows, vec![stub], result);
                    }
                }
                result => self.settle(&rows, stubs, result),
            }
            if self.sequence >= PRODUCER_BATCHES_MAX {
                self.sink.retire(self.producer, self.sequence).await;
                self.become_new_producer();
            }
        }
    }

    /// Stores one batch, trying again while the failure is transient, under the same number, so that
    /// a batch whose outcome is unknown is not stored twice.
    async fn store(&mut self, chunks: &[S::Rows]) -> Result<Vec<S::Outcome>, Error> {
        let started = Instant::now();
        if self.last_stored.elapsed() > PRODUCER_IDLE_MAX {
            self.become_new_producer();
        }
        let (mut indeterminate, mut has_renumbered, mut attempt) = (false, false, 1);
        loop {
            let sequence = self.sequence + 1;
            let is_repeated = indeterminate;
            let batch = Batch { producer: self.producer, sequence, is_repeated, chunks };
            let (rows, began) = (batch.rows(), Instant::now());
            let error = match self.sink.write(batch).await {
                Ok(outcomes) => {
                    self.queue.measured.committed(rows, began.elapsed());
                    self.queue.writing.wrote(rows, began.elapsed());
                    self.progress.stored();
                    self.sequence = sequence;
                    self.last_stored = Instant::now();
                    if attempt > 1 {
                        tracing::info!(attempt, "the database takes rows again");
                    }
                    return Ok(outcomes);
                }
                Err(error) => error,
            };
            let is_missing = self.is_missing(&error, indeterminate);
            if let WriteError::Failed(error) = &error {
                indeterminate |= error.outcome() == Outcome::Indeterminate;
            }
            let error = error.for_streams();
            let message = chain(&error);
            if is_missing && !has_renumbered {
                tracing::warn!(error = message, "the worker goes on under a new id");
                self.become_new_producer();
                (indeterminate, has_renumbered) = (false, true);
                continue;
            }
            self.progress.failed(&message);
            let pause = backoff::pause(PAUSE_MIN, PAUSE_MAX, attempt, random::number());
            let left = self.settings.write_wait_max.saturating_sub(started.elapsed());
            if !error.is_transient() || pause >= left {
                tracing::error!(
                    rows,
                    attempt,
                    indeterminate,
                    error = message,
                    "rows were not stored; their clients have been told"
                );
                if !indeterminate {
                    return Err(error);
                }
                // The number may be used.
                self.become_new_producer();
                return Err(error.with_outcome(Outcome::Indeterminate));
            }
            if attempt == 1 {
                tracing::warn!(error = message, "rows could not be stored, trying again");
            }
            tokio::time::sleep(pause).await;
            self.queue.measured.retries.add(1);
            attempt += 1;
        }
    }

    /// Whether the database has lost batches of this worker because it was restored or failed over,
    /// or a copy of this server counts under the same id. Either way this batch is not stored, and
    /// may begin again under a new id; unless an earlier attempt may be what brought the number
    /// this far, or was stored before the producer was removed.
    fn is_missing(&self, error: &WriteError, indeterminate: bool) -> bool {
        let WriteError::OutOfSequence { stored, .. } = error else { return false };
        !indeterminate || (1..self.sequence).contains(stored)
    }

    /// Tells the streams what became of their rows.
    fn settle(
        &self,
        rows: &[S::Rows],
        stubs: Stubs<S::Outcome>,
        result: Result<Vec<S::Outcome>, Error>,
    ) {
        if result.is_err() {
            let failed = rows.iter().map(Rows::rows).sum::<usize>();
            self.queue.measured.failed.add(failed as u64);
        }
        settle(stubs, result);
    }

    fn become_new_producer(&mut self) {
        self.producer = random::id(self.clock.now());
        self.sequence = 0;
        self.last_stored = Instant::now();
    }
}

type Stubs<O> = Vec<(Stub<O>, Room)>;

fn split<R, O>(chunks: Vec<Chunk<R, O>>) -> (Vec<R>, Stubs<O>) {
    chunks.into_iter().map(|chunk| (chunk.rows, (chunk.stub, chunk.room))).unzip()
}

/// Whether the batch certainly was not stored, and never will be as it is.
fn is_final(error: &Error) -> bool {
    !error.is_transient() && error.outcome() == Outcome::Determinate
}

/// Tells the streams, and then gives their places back.
fn settle<O>(stubs: Stubs<O>, result: Result<Vec<O>, Error>) {
    match result {
        Ok(outcomes) => {
            assert_eq!(outcomes.len(), stubs.len(), "a sink has an outcome for each chunk");
            for ((stub, _room), outcome) in stubs.into_iter().zip(outcomes) {
                stub.stored(outcome);
            }
        }
        Err(error) => {
            let message = chain_for_clients(&error);
            let indeterminate = error.outcome() == Outcome::Indeterminate;
            for (stub, _room) in stubs {
                stub.failed(&message, error.kind(), indeterminate);
            }
        }
    }
}

#[cfg(test)]
mod tests;
