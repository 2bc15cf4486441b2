//! Where requests wait: one shard for each few threads, so that recording touches nothing that
//! another thread writes.
//!
//! A shard has a chunk that it writes to and a list of full ones. Room is reserved from the
//! queue's limit a chunk at a time, and chunks are used again, so a request costs a lock that
//! nobody else holds and 16 bytes of writing.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::shard::{DropBook, Shard};
use super::{WhenFull, thread};
use crate::error::Refusal;
use crate::rows::{Chunk, Drops, Row};

/// How many shards there are at most.
const SHARDS_MAX: usize = 32;

/// How many requests a chunk has: 8 KiB.
const CHUNK_ROWS: usize = 512;

/// The requests that wait.
pub(crate) struct Shards {
    shards: Box<[Padded]>,
    /// How many requests may come that no shard has reserved room for.
    room: AtomicUsize,
    max: usize,
    chunk_rows: usize,
    /// No shard had room at last, and none has been made since.
    exhausted: AtomicBool,
    /// Chunks to be used again.
    spares: Mutex<Vec<Vec<Row>>>,
    drops: Mutex<DropBook>,
    /// How many requests were taken and dropped nevertheless.
    lost: AtomicU64,
    /// How many requests were refused and noted as dropped.
    refused: AtomicU64,
    /// Whoever takes the requests has found none, and waits to be woken.
    sleeping: AtomicBool,
    pub(crate) work: Notify,
    /// Take what is there, without waiting for more.
    pub(crate) hurry: Notify,
    /// There is room again.
    pub(crate) roomy: Notify,
    /// How many wait for room.
    pub(crate) waiting: AtomicUsize,
}

/// On cache lines of its own. Processors fetch them in pairs.
#[repr(align(128))]
struct Padded(Mutex<Shard>);

/// What has become of the requests so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) recorded: u64,
    pub(crate) taken: u64,
    pub(crate) dropped: u64,
    pub(crate) refused: u64,
}

// === impl Shards ===

impl Shards {
    pub(crate) fn new(max: usize, batch_rows_max: usize) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        // More than can run at a time, so that two seldom have the same.
        let count = (4 * threads).next_power_of_two().min(SHARDS_MAX);
        let chunk_rows = (max / (4 * count)).clamp(1, CHUNK_ROWS.min(batch_rows_max));
        let shard = || {
            let chunks = max / chunk_rows / count + 1;
            Padded(Mutex::new(Shard::new(chunk_rows, chunks)))
        };
        let spares = (0..count).map(|_| Vec::with_capacity(chunk_rows)).collect();
        Self {
            shards: (0..count).map(|_| shard()).collect(),
            room: AtomicUsize::new(max),
            max,
            chunk_rows,
            exhausted: AtomicBool::new(false),
            spares: Mutex::new(spares),
            drops: Mutex::default(),
            lost: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            sleeping: AtomicBool::new(false),
            work: Notify::new(),
            hurry: Notify::new(),
            roomy: Notify::new(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Takes a request, if there is room.
    #[inline]
    pub(crate) fn record(&self, row: Row, when_full: WhenFull) -> Result<(), Refusal> {
        let at = thread::number();
        let mut shard = self.lock_any(at);
        if shard.free == 0 {
            return self.record_slowly(at, shard, row, when_full);
        }
        let wakes = shard.push(row);
        drop(shard);
        if wakes {
            self.wake();
        }
        Ok(())
    }

    /// A shard, preferably this one: whoever holds a lock may have been put aside by the
    /// system, and is not waited for unless all are taken.
    #[inline]
    fn lock_any(&self, at: usize) -> MutexGuard<'_, Shard> {
        let mask = self.shards.len() - 1;
        if let Ok(shard) = self.shards[at & mask].0.try_lock() {
            return shard;
        }
        for other in at + 1..=at + mask {
            if let Ok(shard) = self.shards[other & mask].0.try_lock() {
                // Two threads have the same one: this one moves.
                thread::set_number(other);
                return shard;
            }
        }
        self.lock(at)
    }

    fn lock(&self, at: usize) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[at & (self.shards.len() - 1)].0;
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn record_slowly(
        &self,
        at: usize,
        mut shard: MutexGuard<'_, Shard>,
        row: Row,
        when_full: WhenFull,
    ) -> Result<(), Refusal> {
        if shard.closed {
            drop(shard);
            return Err(self.refuse_closed(row, when_full));
        }
        if shard.reserved == 0 {
            shard.reserved = self.reserve(self.chunk_rows);
        }
        if shard.reserved > 0 {
            shard.make_free(self.chunk_rows, || self.spare());
            let wakes = shard.push(row);
            drop(shard);
            if wakes {
                self.wake();
            }
            if self.room.load(Ordering::Relaxed) < self.max / 2 {
                self.hurry.notify_one();
            }
            return Ok(());
        }
        drop(shard);
        self.record_elsewhere(at, row, when_full)
    }

    /// The queue is full, but a shard may have reserved room that it has not used; and the
    /// oldest request may have to go.
    fn record_elsewhere(&self, at: usize, row: Row, when_full: WhenFull) -> Result<(), Refusal> {
        if !self.exhausted.load(Ordering::Relaxed) {
            if let Some(recorded) = self.record_anywhere(at, row, when_full, false) {
                return recorded;
            }
            // The next ones need not look, until something is taken.
            self.exhausted.store(true, Ordering::Relaxed);
        }
        if when_full == WhenFull::DropOldest
            && let Some(recorded) = self.record_anywhere(at, row, when_full, true)
        {
            return recorded;
        }
        if when_full == WhenFull::GiveBack {
            return Err(Refusal::Full);
        }
        self.note_refused(row);
        Err(Refusal::Dropped)
    }

    /// Records in the first shard that has room, or whose oldest request can be dropped.
    fn record_anywhere(
        &self,
        at: usize,
        row: Row,
        when_full: WhenFull,
        drops_oldest: bool,
    ) -> Option<Result<(), Refusal>> {
        for step in 0..self.shards.len() {
            let mut shard = self.lock(at + step);
            if shard.closed {
                drop(shard);
                return Some(Err(self.refuse_closed(row, when_full)));
            }
            if drops_oldest && shard.reserved == 0 {
                let Some(oldest) = shard.drop_oldest() else { continue };
                self.lock_drops().add(&oldest);
            }
            if shard.reserved > 0 {
                shard.make_free(self.chunk_rows, || self.spare());
                let wakes = shard.push(row);
                drop(shard);
                if wakes {
                    self.wake();
                }
                return Some(Ok(()));
            }
        }
        None
    }

    fn refuse_closed(&self, row: Row, when_full: WhenFull) -> Refusal {
        if when_full != WhenFull::GiveBack {
            self.note_refused(row);
        }
        Refusal::Closed
    }

    fn note_refused(&self, row: Row) {
        self.lock_drops().add(&row);
        self.refused.fetch_add(1, Ordering::Relaxed);
        // Drops are told, also when nothing else is.
        self.wake();
    }

    /// As much room as is there, up to this.
    fn reserve(&self, rows: usize) -> usize {
        let taken = self
            .room
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |room| Some(room - rows.min(room)));
        taken.map_or(0, |before| rows.min(before))
    }

    fn spare(&self) -> Vec<Row> {
        let spare = self.lock_spares().pop();
        spare.unwrap_or_else(|| Vec::with_capacity(self.chunk_rows))
    }

    fn recycle(&self, mut chunk: Vec<Row>) {
        chunk.clear();
        let mut spares = self.lock_spares();
        // A burst leaves no more behind than a batch or so.
        if spares.len() < 4 * self.shards.len() {
            spares.push(chunk);
        }
    }

    fn lock_spares(&self) -> MutexGuard<'_, Vec<Vec<Row>>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_drops(&self) -> MutexGuard<'_, DropBook> {
        self.drops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn wake(&self) {
        // Whoever goes to sleep says so before it looks at the shards for the last time, and
        // both sides hold the shard's lock in between: one of the two sees the other.
        if self.sleeping.load(Ordering::SeqCst) && self.sleeping.swap(false, Ordering::SeqCst) {
            self.work.notify_one();
        }
    }

    /// Waits until there is something to take, or a drop to tell, or the queue is closed.
    pub(crate) async fn wait_for_work(&self) {
        self.sleeping.store(true, Ordering::SeqCst);
        if !self.is_empty() || self.is_closed() {
            self.sleeping.store(false, Ordering::SeqCst);
            return;
        }
        self.work.notified().await;
    }

    fn is_empty(&self) -> bool {
        let empty = (0..self.shards.len()).all(|at| self.lock(at).is_empty());
        empty && self.lock_drops().untold.is_empty()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock(0).closed
    }

    /// Takes about this many requests, beginning with another shard each time, and the drops.
    pub(crate) fn take(&self, rows_max: usize, from: usize) -> Chunk {
        let mut chunks = Vec::new();
        let mut count = 0;
        for step in 0..self.shards.len() {
            let mut shard = self.lock(from + step);
            while let Some((chunk, skip)) = shard.take(rows_max - count, || self.spare()) {
                count += chunk.len() - skip;
                chunks.push((chunk, skip));
            }
        }
        let mut rows = Vec::with_capacity(count);
        for (chunk, skip) in chunks {
            rows.extend_from_slice(&chunk[skip..]);
            self.recycle(chunk);
        }
        self.room.fetch_add(count, Ordering::SeqCst);
        self.exhausted.store(false, Ordering::Relaxed);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.roomy.notify_waiters();
        }
        Chunk { rows, drops: self.lock_drops().untold.take_some() }
    }

    /// Takes no more requests.
    pub(crate) fn close(&self) {
        for at in 0..self.shards.len() {
            let mut shard = self.lock(at);
            shard.closed = true;
            shard.free = 0;
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
            while let Some(row) = shard.drop_oldest() {
                self.lock_drops().add(&row);
            }
        }
    }

    /// Requests that were taken cannot be sent any more: they are dropped after all.
    pub(crate) fn drop_taken(&self, rows: &[Row]) {
        self.lost.fetch_add(rows.len() as u64, Ordering::Release);
        let mut book = self.lock_drops();
        rows.iter().for_each(|row| book.add(row));
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        // First those that are a part of the ones that were taken.
        let lost = self.lost.load(Ordering::Acquire);
        for at in 0..self.shards.len() {
            let shard = self.lock(at);
            counts.recorded += shard.recorded;
            counts.taken += shard.taken;
            counts.dropped += shard.dropped;
        }
        counts.taken -= lost;
        counts.dropped += lost;
        counts.refused = self.refused.load(Ordering::Relaxed);
        counts
    }

    /// How many requests were dropped, by day.
    pub(crate) fn drops(&self) -> Drops {
        self.lock_drops().all.clone()
    }

    /// How many requests each shard has recorded: a moment that
    /// [`has_passed`](Self::has_passed) can be asked about.
    pub(crate) fn moment(&self) -> Vec<u64> {
        (0..self.shards.len()).map(|at| self.lock(at).recorded).collect()
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
            let shard = self.lock(at);
            shard.rows().for_each(|row| each(*row));
        }
    }
}

#[cfg(test)]
mod tests;
