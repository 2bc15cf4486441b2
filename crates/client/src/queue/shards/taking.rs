//! The side that takes what waits, closes, and asks how much there is.

use std::sync::atomic::Ordering;

use super::{Counts, Shards};
use crate::rows::{Chunk, Drops, Row};

// === impl Shards ===

impl Shards {
    /// Waits until there is something to take, or a drop to tell, or the queue is closed.
    pub(crate) async fn wait_for_work(&self) {
        self.sleeping.store(true, Ordering::SeqCst);
        if !self.is_empty() || self.is_closed() {
            self.sleeping.store(false, Ordering::SeqCst);
            return;
        }
        self.work.notified().await;
    }

    pub(super) fn is_empty(&self) -> bool {
        let nothing = |at| {
            let shard = self.lock(at);
            shard.is_empty() && shard.noted.is_empty()
        };
        self.lock_drops().untold.is_empty() && (0..self.shards.len()).all(nothing)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock(0).closed
    }

    /// Takes about this many requests, beginning with another shard each time, and the drops.
    pub(crate) fn take(&self, rows_max: usize, from: usize) -> Chunk {
        let mut chunks = Vec::new();
        let mut count = 0;
        let mut book = self.lock_drops();
        for step in 0..self.shards.len() {
            let mut shard = self.lock(from + step);
            book.add(&std::mem::take(&mut shard.noted));
            while let Some((chunk, skip)) = shard.take(rows_max - count, || self.spare()) {
                count += chunk.len() - skip;
                chunks.push((chunk, skip));
            }
        }
        let drops = book.untold.take_some();
        drop(book);
        let mut rows = Vec::with_capacity(count);
        for (chunk, skip) in chunks {
            rows.extend_from_slice(&chunk[skip..]);
            self.recycle(chunk);
        }
        self.room.fetch_add(count, Ordering::SeqCst);
        self.takes.fetch_add(1, Ordering::Relaxed);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.roomy.notify_waiters();
        }
        Chunk { rows, drops }
    }

    /// Takes no more requests. The first shard is the last to be closed: when it is, no other
    /// one takes any.
    pub(crate) fn close(&self) {
        for at in (0..self.shards.len()).rev() {
            self.lock(at).close();
        }
        self.work.notify_one();
        self.hurry.notify_one();
        self.roomy.notify_waiters();
    }

    /// Takes no more requests, and drops those that wait.
    pub(crate) fn abandon(&self) {
        self.close();
        for at in 0..self.shards.len() {
            let mut shard = self.lock(at);
            while shard.drop_oldest() {}
        }
    }

    /// Requests that were taken cannot be sent any more: they are dropped after all.
    pub(crate) fn drop_taken(&self, rows: &[Row]) {
        self.lost.fetch_add(rows.len() as u64, Ordering::Release);
        let mut drops = Drops::default();
        drops.add_rows(rows);
        self.lock_drops().add(&drops);
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        // First those that are a part of the ones that were taken.
        let lost = self.lost.load(Ordering::Acquire);
        for at in 0..self.shards.len() {
            let shard = self.lock(at);
            counts.recorded += shard.recorded();
            counts.taken += shard.taken;
            counts.dropped += shard.dropped;
            counts.refused += shard.refused;
        }
        counts.taken -= lost;
        counts.dropped += lost;
        counts
    }

    /// How many requests were dropped, by day.
    pub(crate) fn drops(&self) -> Drops {
        let book = self.lock_drops();
        let mut all = book.all.clone();
        for at in 0..self.shards.len() {
            for (&day, &count) in &self.lock(at).noted.0 {
                all.add(day, count);
            }
        }
        all
    }

    /// How many days there are with drops that nobody was told of.
    pub(crate) fn untold_days(&self) -> usize {
        let mut book = self.lock_drops();
        for at in 0..self.shards.len() {
            book.add(&std::mem::take(&mut self.lock(at).noted));
        }
        book.untold.0.len()
    }

    /// How many requests each shard has recorded: a moment that
    /// [`has_passed`](Self::has_passed) can be asked about.
    pub(crate) fn moment(&self) -> Vec<u64> {
        (0..self.shards.len()).map(|at| self.lock(at).recorded()).collect()
    }

    /// Whether everything that was recorded before a moment has been taken or dropped.
    pub(crate) fn has_passed(&self, moment: &[u64]) -> bool {
        let passed = |(at, recorded): (usize, &u64)| {
            let shard = self.lock(at);
            shard.taken + shard.dropped >= *recorded
        };
        moment.iter().enumerate().all(passed)
    }

    /// Every request that waits, for a queue that keeps them.
    pub(crate) fn for_each(&self, mut each: impl FnMut(Row)) {
        for at in 0..self.shards.len() {
            // Nobody who records is kept waiting meanwhile.
            let rows: Vec<_> = self.lock(at).rows().copied().collect();
            rows.into_iter().for_each(&mut each);
        }
    }
}
