//! The driver's side of a queue, and what it reports. It takes only what can be sent, because
//! waiting requests can still be dropped.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use super::shards::Counts;
use crate::clock;
use crate::driver::Source;
use crate::measure;
use crate::rows::Requests;
use crate::settings::Settings;

/// How often to report while nothing is taken.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Log dropped requests at most this often.
const DROPS_LOG_INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct QueueSource {
    shared: Arc<Shared>,
    producer: Arc<str>,
    batch_rows_max: usize,
    linger: Duration,
    /// After how many reports a stream is counted without its status.
    status_reports: u32,
    /// When the waiting requests have been gathered for long enough.
    gathered_at: Option<Instant>,
    /// The last take was large: do not gather before the next.
    many: bool,
    /// Requests are merged while they wait.
    merges: bool,
    /// How many of the rows that were gathered are still to be taken.
    due: usize,
    /// Which shard comes first.
    first: usize,
    /// The queue is closed, and everything was taken.
    ended: bool,
}

/// What was reported so far.
#[derive(Default)]
pub(super) struct Reported {
    measured: Counts,
    skipped: u64,
    /// How many dropped requests were logged, and when.
    logged: (u64, Option<Instant>),
}

// === impl QueueSource ===

impl QueueSource {
    pub(super) fn new(
        shared: Arc<Shared>,
        settings: &Settings,
        linger: Duration,
        status_timeout: Duration,
    ) -> Self {
        let reports = status_timeout.as_millis().div_ceil(REPORT_INTERVAL.as_millis()) + 1;
        Self {
            status_reports: u32::try_from(reports).unwrap_or(u32::MAX),
            shared,
            producer: settings.name.as_str().into(),
            batch_rows_max: settings.batch_rows_max,
            linger,
            gathered_at: None,
            many: false,
            merges: false,
            due: 0,
            first: 0,
            ended: false,
        }
    }

    /// Waits for requests, and gathers more of them.
    async fn gather(&mut self) {
        let shards = &self.shared.shards;
        shards.wait_for_work().await;
        if !self.many && !self.linger.is_zero() && !shards.is_closed() {
            let until = || clock::later(Instant::now(), self.linger);
            let until = *self.gathered_at.get_or_insert_with(until);
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = shards.hurry.notified() => {}
            }
        }
        self.gathered_at = None;
        if !self.many {
            self.due = shards.rows();
        }
    }
}

impl Source for QueueSource {
    async fn take(&mut self) -> Option<Requests> {
        while !self.ended {
            self.gather().await;
            let closed = self.shared.shards.is_closed();
            let requests = self.shared.shards.take(self.batch_rows_max, self.first);
            self.first = self.first.wrapping_add(1);
            let rows = requests.rows.len();
            self.due = self.due.saturating_sub(rows);
            // A row that is still being added to is not worth sending yet, even if there are many.
            self.many = rows >= self.batch_rows_max / 2 && (self.due > 0 || !self.merges);
            // Later drops are in the report alone.
            self.ended = closed && requests.rows.is_empty();
            self.shared.report_to(&self.producer, false);
            if !requests.is_empty() {
                return Some(requests);
            }
        }
        None
    }

    fn set_resolution(&mut self, resolution_us: u64) {
        self.merges = self.shared.shards.set_resolution(resolution_us);
    }

    fn close(&mut self) -> u64 {
        self.shared.shards.abandon();
        self.shared.report_to(&self.producer, true);
        // The queue accounts for them.
        0
    }

    fn report(&self) -> impl Future<Output = Infallible> + Send + 'static {
        let (shared, producer) = (Arc::clone(&self.shared), Arc::clone(&self.producer));
        let status_reports = self.status_reports;
        async move {
            loop {
                tokio::time::sleep(REPORT_INTERVAL).await;
                shared.shards.record_streams(status_reports);
                shared.report_to(&producer, false);
            }
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Updates the metrics, and logs drops: at a limited rate, and all of them at the end.
    fn report_to(&self, producer: &str, ends: bool) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let Reported { measured, skipped, logged } = &mut *reported;
        let counts = self.shards.counts();
        let skips = self.skipped.load(Ordering::Relaxed);
        let dropped = counts.dropped + counts.refused;
        measure::queue(
            producer,
            counts.recorded - measured.recorded,
            dropped - (measured.dropped + measured.refused),
            skips - *skipped,
            counts.recorded - counts.taken - counts.dropped,
        );
        (*measured, *skipped) = (counts, skips);
        let (unlogged, at) = (dropped - logged.0, logged.1);
        if unlogged == 0 || !ends && at.is_some_and(|at| at.elapsed() < DROPS_LOG_INTERVAL) {
            return;
        }
        *logged = (dropped, Some(Instant::now()));
        let requests = unlogged;
        tracing::warn!(producer, requests, "requests were dropped: the queue was full or closed");
    }
}

#[cfg(test)]
mod tests;
