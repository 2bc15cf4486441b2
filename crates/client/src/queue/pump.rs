//! The task that takes requests out of the shards and hands them to the producer's task. It
//! takes no more than that one can send, since what waits here can still be dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Shared;
use super::shards::Counts;
use crate::handoff::Giver;
use crate::measure::{self, Done};
use crate::rows::DROP_DAYS_MAX;

/// Log dropped requests at most this often.
const DROPS_LOG_INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct Pump {
    shared: Arc<Shared>,
    giver: Giver,
    producer: String,
    batch_rows_max: usize,
    linger: Duration,
    /// Counts the times that requests were taken.
    rounds: watch::Sender<u64>,
    measured: Counts,
    /// How many skipped requests were measured.
    skipped: u64,
    /// How many dropped requests were logged, and when.
    logged: (u64, Option<Instant>),
}

// === impl Pump ===

impl Pump {
    pub(super) fn new(
        shared: Arc<Shared>,
        giver: Giver,
        producer: String,
        (batch_rows_max, linger): (usize, Duration),
        rounds: watch::Sender<u64>,
    ) -> Self {
        Self {
            shared,
            giver,
            producer,
            batch_rows_max,
            linger,
            rounds,
            measured: Counts::default(),
            skipped: 0,
            logged: (0, None),
        }
    }

    /// Works until the queue is closed and empty, or nobody sends any more.
    pub(super) async fn run(mut self) {
        // Which shard comes first.
        let mut first = 0;
        let mut many = false;
        // Once closed and empty: in how many more rounds the drops are told.
        let mut rounds_left = None;
        loop {
            let shards = &self.shared.shards;
            shards.wait_for_work().await;
            if !many && !self.linger.is_zero() && !shards.is_closed() {
                tokio::select! {
                    () = tokio::time::sleep(self.linger) => {}
                    () = shards.hurry.notified() => {}
                }
            }
            if !self.room().await {
                return;
            }
            let shards = &self.shared.shards;
            let closed = shards.is_closed();
            let chunk = shards.take(self.batch_rows_max, first);
            first = first.wrapping_add(1);
            many = chunk.rows.len() >= self.batch_rows_max / 2;
            let last = closed && chunk.rows.is_empty() && {
                // Those that come from now on are refused, and not waited for.
                let left =
                    rounds_left.unwrap_or_else(|| shards.untold_days().div_ceil(DROP_DAYS_MAX));
                rounds_left = left.checked_sub(1);
                left == 0
            };
            if !chunk.is_empty()
                && let Err(chunk) = self.giver.give(chunk)
            {
                self.shared.shards.drop_taken(&chunk.rows);
                return;
            }
            self.rounds.send_modify(|rounds| *rounds += 1);
            self.measure();
            self.log_drops();
            if last {
                return;
            }
        }
    }

    /// Waits until something can be handed over. False: never again.
    async fn room(&mut self) -> bool {
        loop {
            tokio::select! {
                room = self.giver.room() => return room,
                () = tokio::time::sleep(DROPS_LOG_INTERVAL) => {}
            }
            self.measure();
            self.log_drops();
        }
    }

    fn measure(&mut self) {
        let counts = self.shared.shards.counts();
        let skipped = self.shared.skipped.load(Ordering::Relaxed);
        let done = Done {
            recorded: counts.recorded - self.measured.recorded,
            dropped: dropped(&counts).saturating_sub(dropped(&self.measured)),
            skipped: skipped - self.skipped,
            queued: counts.recorded - counts.taken - counts.dropped,
        };
        measure::queue(&self.producer, done);
        (self.measured, self.skipped) = (counts, skipped);
    }

    fn log_drops(&mut self) {
        if self.logged.1.is_none_or(|at| at.elapsed() >= DROPS_LOG_INTERVAL)
            && let Some(requests) = self.unlogged()
        {
            self.logged.1 = Some(Instant::now());
            let producer = &self.producer;
            tracing::warn!(producer, requests, "the queue is full: requests were dropped");
        }
    }

    /// How many dropped requests were not spoken of. They are from now on.
    fn unlogged(&mut self) -> Option<u64> {
        let dropped = dropped(&self.measured);
        let requests = dropped.saturating_sub(std::mem::replace(&mut self.logged.0, dropped));
        (requests > 0).then_some(requests)
    }
}

fn dropped(counts: &Counts) -> u64 {
    counts.dropped + counts.refused
}

impl Drop for Pump {
    /// Also when the runtime goes away under it.
    fn drop(&mut self) {
        self.shared.shards.abandon();
        self.measure();
        // However little time is over since the last line.
        if let Some(requests) = self.unlogged() {
            let producer = &self.producer;
            tracing::warn!(
                producer,
                requests,
                "requests were dropped: the queue was full, or closed before they were sent"
            );
        }
    }
}
