//! What a scrape is told of a queue and its workers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tally_runtime::metrics::{Counter, Histogram, Metric, Scrape};

use crate::{Queue, Rows, Workers};

const ROWS: Metric =
    Metric::gauge("tally_queue_rows", "Rows that wait to be stored or are being stored.");
const ROWS_MAX: Metric =
    Metric::gauge("tally_queue_rows_max", "How many rows may wait or be stored at the same time.");
const BYTES: Metric =
    Metric::gauge("tally_queue_bytes", "Memory of the rows that wait or are being stored.");
const BYTES_MAX: Metric =
    Metric::gauge("tally_queue_bytes_max", "How much memory these rows may take.");
const OLDEST: Metric = Metric::gauge(
    "tally_queue_oldest_timestamp_seconds",
    "When the oldest row that is not stored came into the queue; now, if there is none.",
);
const RECEIVED: Metric =
    Metric::counter("tally_rows_received_total", "Rows that came into the queue.");
const FAILED: Metric = Metric::counter(
    "tally_rows_failed_total",
    "Rows that were given up, because the database did not take them; their clients were told.",
);
const WRITING: Metric = Metric::gauge("tally_batches_writing", "Batches that are being written.");
const RETRIES: Metric = Metric::counter(
    "tally_batch_retries_total",
    "Attempts to store a batch after one that had failed.",
);
const COMMIT_SECONDS: Metric = Metric::histogram(
    "tally_batch_commit_seconds",
    "How long the attempts took that committed a batch.",
);
const BATCH_ROWS: Metric = Metric::histogram(
    "tally_batch_rows",
    "Rows of the batches that were committed, before any of them become one.",
);

/// In milliseconds: from a batch in memory to the longest attempt.
const COMMIT_BOUNDS_MS: [u64; 11] = [1, 2, 5, 10, 25, 50, 100, 250, 1_000, 5_000, 25_000];
const ROWS_BOUNDS: [u64; 7] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];

/// What happened so far to the rows of one queue.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) received: Counter,
    pub(crate) failed: Counter,
    pub(crate) retries: Counter,
    commit_seconds: Histogram<{ COMMIT_BOUNDS_MS.len() }>,
    batch_rows: Histogram<{ ROWS_BOUNDS.len() }>,
}

// === impl Measured ===

impl Default for Measured {
    fn default() -> Self {
        Self {
            received: Counter::default(),
            failed: Counter::default(),
            retries: Counter::default(),
            commit_seconds: Histogram::of_times(COMMIT_BOUNDS_MS),
            batch_rows: Histogram::new(ROWS_BOUNDS),
        }
    }
}

impl Measured {
    /// A batch was committed by an attempt that took this long.
    pub(crate) fn committed(&self, rows: usize, took: Duration) {
        self.commit_seconds.note_time(took);
        self.batch_rows.note(rows as u64);
    }
}

// === impl Workers ===

impl Workers {
    /// Tells a scrape of the workers and their queue, which are this domain's.
    pub fn measure<R: Rows, O>(
        &self,
        queue: &Queue<R, O>,
        domain: &str,
        now: Timestamp,
        scrape: &mut Scrape,
    ) {
        let labels = &[("domain", domain)];
        let (limits, measured) = (queue.limits, &queue.measured);
        scrape.put(ROWS, labels, queue.rows());
        scrape.put(ROWS_MAX, labels, limits.rows_max);
        scrape.put(BYTES, labels, queue.bytes());
        scrape.put(BYTES_MAX, labels, limits.bytes_max);
        let waiting = queue.oldest().map_or(Duration::ZERO, |since| since.elapsed());
        let oldest = now.checked_sub(self.oldest_age().max(waiting)).unwrap_or(now);
        scrape.put(OLDEST, labels, oldest);
        scrape.put(RECEIVED, labels, measured.received.get());
        scrape.put(FAILED, labels, measured.failed.get());
        scrape.put(WRITING, labels, queue.writing.batches.load(Ordering::Relaxed));
        scrape.put(RETRIES, labels, measured.retries.get());
        scrape.put_histogram(COMMIT_SECONDS, labels, &measured.commit_seconds);
        scrape.put_histogram(BATCH_ROWS, labels, &measured.batch_rows);
    }
}
