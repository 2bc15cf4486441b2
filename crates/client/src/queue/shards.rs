//! Where requests wait: one shard for each few threads, so that recording touches nothing that
//! another thread writes.
//!
//! A shard has a chunk that it writes to and a list of full ones. Room is reserved from the
//! queue's limit a chunk at a time, and chunks are used again, so a request costs a lock that
//! no other thread holds and 16 bytes of writing. The lock is one that takes a single atomic
//! operation: it is held for some nanoseconds, and a thread that records goes elsewhere when it is.

mod taking;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use try_lock::{Locked, TryLock};

use super::shard::{DropBook, Shard};
use super::{WhenFull, thread};
use crate::error::Refusal;
use crate::rows::Row;

/// How many shards there are at most.
const SHARDS_MAX: usize = 32;

/// How many requests a chunk has: 8 KiB.
const CHUNK_ROWS: usize = 512;

/// How often a lock is tried before the thread yields, and then before it pauses: a thread
/// that holds one for this long was descheduled.
const SPINS: u32 = 64;
const YIELDS: u32 = 64;

/// How long a pause is.
const LOCK_PAUSE: Duration = Duration::from_micros(50);

/// The requests that wait.
pub(crate) struct Shards {
    shards: Box<[Padded]>,
    /// How many requests may come that no shard has reserved room for.
    room: AtomicUsize,
    max: usize,
    chunk_rows: usize,
    /// How often requests were taken, which makes room.
    takes: AtomicU64,
    /// One more than the takes that there had been when no shard had any room left.
    exhausted: AtomicU64,
    /// Chunks to be used again.
    spares: Mutex<Vec<Vec<Row>>>,
    /// Locked before any shard, not after one.
    drops: Mutex<DropBook>,
    /// How many requests were taken and dropped nevertheless.
    lost: AtomicU64,
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
struct Padded(TryLock<Shard>);

/// What became of a request that looked for room in every shard.
enum Search {
    Ended(Result<(), Refusal>),
    /// There was none.
    Nothing,
    /// There was none in those that nobody had locked.
    Busy,
}

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
            takes: AtomicU64::new(0),
            exhausted: AtomicU64::new(0),
            spares: Mutex::new(spares),
            drops: Mutex::default(),
            lost: AtomicU64::new(0),
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
        let (at, mut shard) = self.lock_any(thread::number());
        if !shard.is_free() {
            return self.record_slowly(at, shard, row, when_full);
        }
        let wakes = shard.push(row);
        drop(shard);
        if wakes {
            self.wake();
        }
        Ok(())
    }

    /// A shard and its number, preferably this one: a lock holder may be descheduled, so the other
    /// shards are tried before waiting.
    #[inline]
    fn lock_any(&self, at: usize) -> (usize, Locked<'_, Shard>) {
        let mask = self.shards.len() - 1;
        if let Some(shard) = self.shards[at & mask].0.try_lock() {
            return (at, shard);
        }
        for other in at + 1..=at + mask {
            if let Some(shard) = self.shards[other & mask].0.try_lock() {
                // Two threads have the same one: this one moves.
                thread::set_number(other);
                return (other, shard);
            }
        }
        (at, self.lock(at))
    }

    fn try_lock(&self, at: usize) -> Option<Locked<'_, Shard>> {
        self.shards[at & (self.shards.len() - 1)].0.try_lock()
    }

    fn lock(&self, at: usize) -> Locked<'_, Shard> {
        let mut attempts = 0;
        loop {
            if let Some(shard) = self.try_lock(at) {
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
    fn record_slowly(
        &self,
        at: usize,
        mut shard: Locked<'_, Shard>,
        row: Row,
        when_full: WhenFull,
    ) -> Result<(), Refusal> {
        if shard.closed {
            return Err(self.refuse(shard, row, when_full, Refusal::Closed));
        }
        if shard.reserved() == 0 {
            shard.reserve(self.reserve(self.chunk_rows));
        }
        if shard.reserved() > 0 {
            self.push(shard, row);
            if self.room.load(Ordering::Relaxed) < self.max / 2 {
                self.hurry.notify_one();
            }
            return Ok(());
        }
        let takes = self.takes.load(Ordering::Relaxed);
        let exhausted = self.exhausted.load(Ordering::Relaxed) == takes + 1;
        if exhausted && when_full != WhenFull::DropOldest {
            return Err(self.refuse(shard, row, when_full, Refusal::Full));
        }
        drop(shard);
        if !exhausted {
            match self.record_anywhere(at, row, when_full, false) {
                Search::Ended(recorded) => return recorded,
                // The next ones need not look, until something is taken.
                Search::Nothing => self.exhausted.store(takes + 1, Ordering::Relaxed),
                Search::Busy => {}
            }
        }
        if when_full == WhenFull::DropOldest {
            for attempt in 0..SPINS + YIELDS {
                match self.record_anywhere(at, row, when_full, true) {
                    Search::Ended(recorded) => return recorded,
                    Search::Nothing => break,
                    Search::Busy if attempt < SPINS => std::hint::spin_loop(),
                    Search::Busy => std::thread::yield_now(),
                }
            }
        }
        let (_, shard) = self.lock_any(at);
        Err(self.refuse(shard, row, when_full, Refusal::Full))
    }

    /// The queue is full, but a shard may have reserved room that it has not used, or a request
    /// that can be dropped: records in the first such one. Whoever holds a lock is not waited
    /// for, since this is a request's time.
    fn record_anywhere(
        &self,
        at: usize,
        row: Row,
        when_full: WhenFull,
        drops_oldest: bool,
    ) -> Search {
        let mut found = Search::Nothing;
        for step in 0..self.shards.len() {
            let Some(mut shard) = self.try_lock(at + step) else {
                found = Search::Busy;
                continue;
            };
            if shard.closed {
                let reason = self.refuse(shard, row, when_full, Refusal::Closed);
                return Search::Ended(Err(reason));
            }
            if shard.reserved() > 0 || drops_oldest && shard.drop_oldest() {
                self.push(shard, row);
                return Search::Ended(Ok(()));
            }
        }
        found
    }

    /// Adds a request to a shard that has room.
    fn push(&self, mut shard: Locked<'_, Shard>, row: Row) {
        shard.make_free(self.chunk_rows, || self.spare());
        let wakes = shard.push(row);
        drop(shard);
        if wakes {
            self.wake();
        }
    }

    /// Gives a request back, or notes it as dropped; and says which.
    fn refuse(
        &self,
        mut shard: Locked<'_, Shard>,
        row: Row,
        when_full: WhenFull,
        reason: Refusal,
    ) -> Refusal {
        if when_full == WhenFull::GiveBack {
            return reason;
        }
        shard.refuse(row);
        drop(shard);
        // Drops are told, also when nothing else is.
        self.wake();
        if reason == Refusal::Full { Refusal::Dropped } else { reason }
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
        // Nobody who records waits for another one's memory.
        let spare = self.spares.try_lock().ok().and_then(|mut spares| spares.pop());
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
}

#[cfg(test)]
mod tests;
