//! Where requests wait: one shard per few threads, so recording threads share no cache line.
//!
//! A shard has a current chunk and a list of full ones. Room is reserved a chunk at a time, and
//! chunks are reused, so a request costs an uncontended lock of one atomic operation and 16 bytes
//! of writing. A thread that finds its shard's lock held goes to another shard.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use try_lock::{Locked, TryLock};

use super::shard::Shard;
use crate::error::Refusal;
use crate::rows::{Drops, Requests, Row};

/// How many shards there are at most.
const SHARDS_MAX: usize = 32;

/// How many requests a chunk has: 8 KiB.
const CHUNK_ROWS: usize = 512;

/// How often to try a lock before yielding, and then before pausing: its holder is descheduled.
const SPINS: u32 = 64;
const YIELDS: u32 = 64;

/// How long a pause is.
const LOCK_PAUSE: Duration = Duration::from_micros(50);

thread_local! {
    /// This thread's number, from 1: which shard it records in. 0 before it has one.
    static THREAD: Cell<usize> = const { Cell::new(0) };
}

/// How many threads have a number.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// The requests that wait.
pub(crate) struct Shards {
    shards: Box<[Padded]>,
    /// How many requests may come that no shard has reserved room for.
    room: AtomicUsize,
    max: usize,
    chunk_rows: usize,
    /// Chunks to be used again.
    spares: Mutex<Vec<Vec<Row>>>,
    /// The driver has found nothing to take, and waits to be woken.
    sleeping: AtomicBool,
    pub(crate) work: Notify,
    /// Take what is there, without waiting for more.
    pub(crate) hurry: Notify,
    /// There is room again.
    pub(crate) roomy: Notify,
}

/// On cache lines of its own. Processors fetch them in pairs.
#[repr(align(128))]
struct Padded(TryLock<Shard>);

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
            Padded(TryLock::new(Shard::new(chunk_rows, chunks)))
        };
        let spares = (0..count).map(|_| Vec::with_capacity(chunk_rows)).collect();
        Self {
            shards: (0..count).map(|_| shard()).collect(),
            room: AtomicUsize::new(max),
            max,
            chunk_rows,
            spares: Mutex::new(spares),
            sleeping: AtomicBool::new(false),
            work: Notify::new(),
            hurry: Notify::new(),
            roomy: Notify::new(),
        }
    }

    /// Takes a request, if there is room.
    #[inline]
    pub(crate) fn record(&self, row: Row) -> Result<(), Refusal> {
        let mut shard = self.lock_any();
        if shard.free() == 0 {
            return self.record_slowly(shard, row);
        }
        let wakes = shard.push(row);
        drop(shard);
        if wakes {
            self.wake();
        }
        Ok(())
    }

    /// A shard, preferably this thread's: its lock holder may be descheduled, so others are tried
    /// first.
    #[inline]
    fn lock_any(&self) -> Locked<'_, Shard> {
        let (at, mask) = (thread_number(), self.shards.len() - 1);
        if let Some(shard) = self.shards[at & mask].0.try_lock() {
            return shard;
        }
        for other in at + 1..=at + mask {
            if let Some(shard) = self.shards[other & mask].0.try_lock() {
                // Two threads have the same one: this one moves.
                THREAD.set(other);
                return shard;
            }
        }
        self.lock(at)
    }

    fn lock(&self, at: usize) -> Locked<'_, Shard> {
        let mut attempts = 0;
        loop {
            if let Some(shard) = self.shards[at & (self.shards.len() - 1)].0.try_lock() {
                return shard;
            }
            attempts += 1;
            if attempts < SPINS {
                std::hint::spin_loop();
            } else if attempts < SPINS + YIELDS {
                std::thread::yield_now();
            } else {
                // Also when the system prefers this thread to the one that holds the lock.
                std::thread::sleep(LOCK_PAUSE);
            }
        }
    }

    #[cold]
    fn record_slowly(&self, mut shard: Locked<'_, Shard>, row: Row) -> Result<(), Refusal> {
        if shard.closed {
            return Err(Refusal::Closed);
        }
        // Other shards may hold unused room, a quarter of the queue's at most: not worth a search.
        if !shard.make_free(self.chunk_rows, |rows| self.reserve(rows), || self.spare()) {
            return Err(Refusal::Full);
        }
        let wakes = shard.push(row);
        drop(shard);
        if wakes {
            self.wake();
        }
        if self.room.load(Ordering::Relaxed) < self.max / 2 {
            self.hurry.notify_one();
        }
        Ok(())
    }

    /// Notes a request that was not taken as dropped.
    pub(crate) fn refuse(&self, row: Row) {
        self.lock_any().refuse(row);
        // Drops are reported even if nothing else is.
        self.wake();
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

    pub(super) fn is_empty(&self) -> bool {
        (0..self.shards.len()).all(|at| {
            let shard = self.lock(at);
            shard.is_empty() && shard.noted.is_empty()
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock(0).closed
    }

    /// Takes about this many requests, beginning with this shard, and all drops.
    pub(crate) fn take(&self, rows_max: usize, from: usize) -> Requests {
        let mut chunks = Vec::new();
        let mut count = 0;
        let mut drops = Drops::default();
        for step in 0..self.shards.len() {
            let mut shard = self.lock(from + step);
            drops.add_all(&std::mem::take(&mut shard.noted));
            while let Some(chunk) = shard.take(rows_max - count, || self.spare()) {
                count += chunk.len();
                chunks.push(chunk);
            }
        }
        let mut rows = Vec::with_capacity(count);
        for chunk in chunks {
            rows.extend_from_slice(&chunk);
            self.recycle(chunk);
        }
        self.room.fetch_add(count, Ordering::SeqCst);
        self.roomy.notify_waiters();
        Requests { rows, drops }
    }

    /// Takes no more requests. The first shard closes last: once it is closed, all are.
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
            self.lock(at).drop_all();
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for at in 0..self.shards.len() {
            let shard = self.lock(at);
            counts.recorded += shard.recorded();
            counts.taken += shard.taken;
            counts.dropped += shard.dropped;
            counts.refused += shard.refused;
        }
        counts
    }

    /// How many requests each shard has recorded: a moment for [`has_passed`](Self::has_passed).
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

    /// As much room as is there, up to this.
    fn reserve(&self, rows: usize) -> usize {
        // When there is none, as for a long time when nothing is sent, nothing is written.
        if self.room.load(Ordering::SeqCst) == 0 {
            return 0;
        }
        let taken = self
            .room
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |room| Some(room - rows.min(room)));
        taken.map_or(0, |before| rows.min(before))
    }

    fn spare(&self) -> Vec<Row> {
        // A thread that records does not wait for another one's memory.
        let spare = self.spares.try_lock().ok().and_then(|mut spares| spares.pop());
        spare.unwrap_or_else(|| Vec::with_capacity(self.chunk_rows))
    }

    fn recycle(&self, mut chunk: Vec<Row>) {
        chunk.clear();
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        // A burst leaves no more behind than a batch or so.
        if spares.len() < 4 * self.shards.len() {
            spares.push(chunk);
        }
    }

    #[inline]
    fn wake(&self) {
        // The driver sets `sleeping` before its last look, and both sides hold the shard's lock in
        // between, so one sees the other.
        if self.sleeping.load(Ordering::SeqCst) && self.sleeping.swap(false, Ordering::SeqCst) {
            self.work.notify_one();
        }
    }
}

/// This thread's number.
#[inline]
fn thread_number() -> usize {
    match THREAD.get() {
        0 => {
            THREAD.set(THREADS.fetch_add(1, Ordering::Relaxed) + 1);
            THREAD.get()
        }
        number => number,
    }
}

#[cfg(test)]
mod tests;
