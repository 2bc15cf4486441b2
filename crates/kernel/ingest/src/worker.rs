//! The loop that writes batches, and repeats them safely.

use std::sync::Arc;
use std::time::Duration;

use tally_runtime::{Kind, Tasks};
use tokio::time::Instant;
use uuid::Uuid;

use crate::progress::{Progress, Trouble};
use crate::queue::{Chunk, Room};
use crate::receipt::Stub;
use crate::{Batch, Queue, Rows, Sink, WriteError};

/// The pause after the first failed attempt; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// After this long without a batch a worker numbers from 1 again under a new id, because a store
/// forgets producers that are silent for long.
const PRODUCER_IDLE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How the workers write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How many batches are written at the same time.
    pub workers: usize,
    /// How many rows a batch takes before it is written, whatever else waits.
    pub batch_rows_max: usize,
    /// How long a batch is tried while the database is away, before its streams are told.
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
    queue: Queue<S::Rows>,
    sink: Arc<S>,
    settings: Settings,
    pause: fn(Duration, Duration, u32) -> Duration,
    progress: Progress,
    /// Which of the workers it is.
    index: usize,
    producer: Uuid,
    /// The number of the last batch that is known to be stored.
    sequence: i64,
    last_stored: Instant,
}

// === impl Workers ===

impl Workers {
    /// Starts the workers. `pause` chooses how long to wait before attempt 2, 3, …, between
    /// the two limits.
    pub fn start<S: Sink>(
        queue: &Queue<S::Rows>,
        sink: &Arc<S>,
        settings: Settings,
        pause: fn(Duration, Duration, u32) -> Duration,
    ) -> Self {
        let tasks = Tasks::new();
        let progress = Progress::new(settings.workers);
        for index in 0..settings.workers {
            let (tasks_too, queue, sink) = (tasks.clone(), queue.clone(), Arc::clone(sink));
            let progress = progress.clone();
            tasks.spawn("insert worker's keeper", async move {
                loop {
                    let worker = Worker {
                        queue: queue.clone(),
                        sink: Arc::clone(&sink),
                        settings,
                        pause,
                        progress: progress.clone(),
                        index,
                        producer: Uuid::now_v7(),
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
        tasks.close();
        Self { tasks, progress }
    }

    /// Why rows cannot be stored: the last attempt failed, or a batch is being written for too
    /// long.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.progress.trouble()
    }

    /// Something could not be stored past the workers, which is trouble as well.
    pub fn failed(&self, message: &str) {
        self.progress.failed(message);
    }

    /// Something was stored past the workers, after an attempt had failed.
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
        while let Some(chunks) = self.queue.batch(self.settings.batch_rows_max).await {
            let (rows, stubs) = split(chunks);
            let progress = self.progress.clone();
            let _writing = progress.begin(self.index);
            match self.store(&rows).await {
                Ok(()) => stubs.into_iter().for_each(|(stub, _room)| stub.stored()),
                // Nothing will mend this batch as a whole, but perhaps only one stream's
                // rows are at fault: no other stream pays for them.
                Err(error) if !error.transient && rows.len() > 1 && !error.indeterminate => {
                    for (rows, (stub, _room)) in rows.into_iter().zip(stubs) {
                        let result = self.store(std::slice::from_ref(&rows)).await;
                        settle(stub, &result);
                    }
                }
                Err(error) => {
                    let result = Err(error);
                    stubs.into_iter().for_each(|(stub, _room)| settle(stub, &result));
                }
            }
        }
    }

    /// Stores one batch, trying again while the failure is transient. The number stays the
    /// same, so that a batch whose outcome is unknown is not stored twice.
    async fn store(&mut self, chunks: &[S::Rows]) -> Result<(), WriteError> {
        let started = Instant::now();
        if self.last_stored.elapsed() > PRODUCER_IDLE_MAX {
            self.become_new_producer();
        }
        let mut indeterminate = false;
        let mut has_renumbered = false;
        let mut attempt = 1;
        loop {
            let sequence = self.sequence + 1;
            let is_repeated = indeterminate;
            let batch = Batch { producer: self.producer, sequence, is_repeated, chunks };
            let mut error = match self.sink.write(batch).await {
                Ok(()) => {
                    self.progress.stored();
                    self.sequence = sequence;
                    self.last_stored = Instant::now();
                    if attempt > 1 {
                        tracing::info!(attempt, "the database takes rows again");
                    }
                    return Ok(());
                }
                Err(error) => error,
            };
            indeterminate |= error.indeterminate;
            // The database has lost batches of this worker because it was restored or failed over,
            // or a copy of this server counts under the same id. Either way this batch is not
            // stored, and may begin again under a new id; unless an earlier attempt may be what
            // brought the number this far, or was stored before the producer was removed.
            let is_missing = error
                .stored_instead
                .is_some_and(|stored| !indeterminate || (1..self.sequence).contains(&stored));
            if is_missing && !has_renumbered {
                tracing::warn!(error = error.message, "the worker goes on under a new id");
                self.become_new_producer();
                (indeterminate, has_renumbered) = (false, true);
                continue;
            }
            self.progress.failed(&error.message);
            let pause = (self.pause)(PAUSE_MIN, PAUSE_MAX, attempt);
            let left = self.settings.write_wait_max.saturating_sub(started.elapsed());
            if !error.transient || pause >= left {
                let rows: usize = chunks.iter().map(Rows::rows).sum();
                tracing::error!(
                    rows,
                    attempt,
                    indeterminate,
                    error = error.message,
                    "rows were not stored; their clients have been told"
                );
                error.indeterminate = indeterminate;
                if error.stored_instead.is_some() {
                    // The streams did nothing wrong.
                    error.kind = Kind::Unavailable;
                }
                if indeterminate {
                    // The number may be used.
                    self.become_new_producer();
                }
                return Err(error);
            }
            if attempt == 1 {
                tracing::warn!(error = error.message, "rows could not be stored, trying again");
            }
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    fn become_new_producer(&mut self) {
        self.producer = Uuid::now_v7();
        self.sequence = 0;
        self.last_stored = Instant::now();
    }
}

fn split<R: Rows>(chunks: Vec<Chunk<R>>) -> (Vec<R>, Vec<(Stub, Room)>) {
    chunks.into_iter().map(|chunk| (chunk.rows, (chunk.stub, chunk.room))).unzip()
}

fn settle(stub: Stub, result: &Result<(), WriteError>) {
    match result {
        Ok(()) => stub.stored(),
        Err(error) => stub.failed(&error.for_clients, error.kind, error.indeterminate),
    }
}

impl WriteError {
    /// A failure that is certain, and that trying again will not mend.
    #[must_use]
    pub fn permanent(message: impl Into<String>, kind: Kind) -> Self {
        let message = message.into();
        Self {
            for_clients: message.clone(),
            message,
            kind,
            transient: false,
            indeterminate: false,
            stored_instead: None,
        }
    }

    /// A failure that may pass.
    #[must_use]
    pub fn transient(message: impl Into<String>, indeterminate: bool) -> Self {
        Self { transient: true, indeterminate, ..Self::permanent(message, Kind::Unavailable) }
    }
}

#[cfg(test)]
mod tests;
