//! Where requests wait: one shard per few threads, so recording threads share no cache line.
//!
//! A shard has a current chunk and a list of full ones. Room is reserved a chunk at a time, and
//! chunks are reused, so a request costs an uncontended lock and 16 bytes of writing, or less if it is
//! merged: then it is added to the row that the current chunk has of its series and step.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use try_lock::Locked;

use super::locks::Locks;
use super::open::Ticket;
use super::shard::Shard;
use super::steps;
use crate::error::Refusal;
use crate::rows::{Drops, Requests, Row};
use crate::series::Series;

const SHARDS_MAX: usize = 32;

/// Rows in a chunk: 64 KiB. A service with this many busy series still sends counts.
const CHUNK_ROWS: usize = 4_096;

pub(crate) struct Shards {
    shards: Locks<Shard>,
    /// How many rows no shard has reserved room for.
    room: AtomicUsize,
    max: usize,
    chunk_rows: usize,
    /// Chunks for reuse.
    spares: Mutex<Vec<Vec<Row>>>,
    /// The driver found nothing to take, and waits for a wake-up.
    sleeping: AtomicBool,
    pub(crate) work: Notify,
    /// Take what waits, without gathering more.
    pub(crate) hurry: Notify,
    /// There is room again.
    pub(crate) roomy: Notify,
    /// The last open request of a shard has ended, while somebody waits for that.
    ended: Notify,
    /// How often overdue streams were looked for, and one more.
    looks: AtomicU32,
}

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
        // More shards than running threads, so two threads rarely share one.
        let count = (4 * threads).next_power_of_two().min(SHARDS_MAX);
        let chunk_rows = (max / (4 * count)).clamp(1, CHUNK_ROWS.min(batch_rows_max));
        let shard = |number| {
            let chunks = max / chunk_rows / count + 1;
            Shard::new(number, chunk_rows, chunks)
        };
        let spares = (0..count).map(|_| Vec::with_capacity(chunk_rows)).collect();
        Self {
            shards: Locks::new((0..count).map(shard)),
            room: AtomicUsize::new(max),
            max,
            chunk_rows,
            spares: Mutex::new(spares),
            sleeping: AtomicBool::new(false),
            work: Notify::new(),
            hurry: Notify::new(),
            roomy: Notify::new(),
            ended: Notify::new(),
            looks: AtomicU32::new(1),
        }
    }

    /// Takes a request, if there is room.
    #[inline]
    pub(crate) fn record(&self, row: Row) -> Result<(), Refusal> {
        self.record_in(self.shards.any(), row)
    }

    #[inline]
    fn record_in(&self, mut shard: Locked<'_, Shard>, row: Row) -> Result<(), Refusal> {
        let Some(wakes) = shard.add(row) else { return self.record_slowly(shard, row) };
        drop(shard);
        if wakes {
            self.wake();
        }
        Ok(())
    }

    /// Keeps a request whose status is not known yet. None: the queue is closed.
    #[inline]
    pub(crate) fn begin(&self, row: Row) -> Option<Ticket> {
        let mut shard = self.shards.any();
        if shard.closed {
            return None;
        }
        Some(shard.open.add(row))
    }

    /// The head of an open request's answer is sent: from now on its status has a limited time.
    #[inline]
    pub(crate) fn stream(&self, ticket: &Ticket, series: Series) {
        ticket.stream(series, self.looks.load(Ordering::Relaxed));
    }

    /// Records an open request under this series, unless it is recorded already.
    #[inline]
    pub(crate) fn end(&self, ticket: Ticket, series: Series) -> Result<(), (Row, Refusal)> {
        let mut shard = self.shards.at(ticket.shard());
        let Some(Row { time_us, .. }) = shard.open.remove(ticket) else { return Ok(()) };
        let are_ended = shard.open.are_ended();
        let row = Row::one(series, time_us);
        let recorded = self.record_in(shard, row).map_err(|reason| (row, reason));
        if are_ended {
            self.ended.notify_waiters();
        }
        recorded
    }

    /// How many requests are open.
    pub(crate) fn open(&self) -> usize {
        self.shards.each().map(|shard| shard.open.len()).sum()
    }

    /// Waits until no request is open.
    pub(crate) async fn open_ended(&self) {
        loop {
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable();
            self.shards.each().for_each(|mut shard| shard.open.is_awaited = true);
            if self.open() == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Records the streams that still have no status after this many looks.
    pub(crate) fn record_streams(&self, looks: u32) {
        let now = self.looks.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        for mut shard in self.shards.each() {
            let overdue = shard.open.overdue(now, looks);
            self.record_open(shard, overdue);
        }
    }

    /// Records open requests without a status. Without room, they are dropped.
    fn record_open(&self, mut shard: Locked<'_, Shard>, rows: Vec<Row>) {
        let mut wakes = false;
        for row in rows {
            let added = self.add(&mut shard, row);
            wakes |= added != Some(false);
            if added.is_none() {
                shard.refuse(row);
            }
        }
        let are_ended = shard.open.are_ended();
        drop(shard);
        if wakes {
            self.wake();
        }
        if are_ended {
            self.ended.notify_waiters();
        }
    }

    #[cold]
    fn record_slowly(&self, mut shard: Locked<'_, Shard>, row: Row) -> Result<(), Refusal> {
        if shard.closed {
            return Err(Refusal::Closed);
        }
        let Some(wakes) = self.add(&mut shard, row) else { return Err(Refusal::Full) };
        drop(shard);
        if wakes {
            self.wake();
        }
        if self.room.load(Ordering::Relaxed) < self.max / 2 {
            self.hurry.notify_one();
        }
        Ok(())
    }

    /// Adds a request, in new room if need be, and returns whether the shard was empty. None: there is no
    /// room.
    fn add(&self, shard: &mut Shard, row: Row) -> Option<bool> {
        shard.add(row).or_else(|| {
            // Other shards may hold unused room, a quarter of the queue's at most: not worth a search.
            shard.make_free(self.chunk_rows, |rows| self.reserve(rows), || self.spare());
            shard.add(row)
        })
    }

    /// Merges requests by the server's resolution from now on, and returns whether it allows that.
    pub(crate) fn set_resolution(&self, resolution_us: u64) -> bool {
        let length_us = steps::length_us(resolution_us);
        self.shards.each().for_each(|mut shard| shard.set_step(length_us));
        length_us > 0
    }

    /// How many rows wait.
    pub(crate) fn rows(&self) -> usize {
        self.shards.each().map(|shard| shard.len()).sum()
    }

    pub(crate) fn refuse(&self, row: Row) {
        self.shards.any().refuse(row);
        // Drops are reported even if nothing else is.
        self.wake();
    }

    /// Waits for requests, drops to report, or the close.
    pub(crate) async fn wait_for_work(&self) {
        self.sleeping.store(true, Ordering::SeqCst);
        if !self.is_empty() || self.is_closed() {
            self.sleeping.store(false, Ordering::SeqCst);
            return;
        }
        self.work.notified().await;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shards.each().all(|shard| shard.is_empty() && shard.noted.is_empty())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shards.at(0).closed
    }

    /// Takes about this many rows, starting with this shard, and all drops.
    pub(crate) fn take(&self, rows_max: usize, from: usize) -> Requests {
        let mut chunks = Vec::new();
        let mut count = 0;
        let mut drops = Drops::default();
        for step in 0..self.shards.len() {
            let mut shard = self.shards.at(from + step);
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
        Requests { rows, drops, checkpoint: Vec::new() }
    }

    /// Takes no more requests, and records the open ones. The first shard closes last: once it is
    /// closed, all are.
    pub(crate) fn close(&self) {
        for at in (0..self.shards.len()).rev() {
            loop {
                let mut shard = self.shards.at(at);
                let open = shard.open.all();
                if open.is_empty() {
                    shard.close();
                    break;
                }
                self.record_open(shard, open);
            }
        }
        self.work.notify_one();
        self.hurry.notify_one();
        self.roomy.notify_waiters();
    }

    /// Takes no more requests, and drops those that wait.
    pub(crate) fn abandon(&self) {
        self.close();
        self.shards.each().for_each(|mut shard| shard.drop_all());
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for shard in self.shards.each() {
            counts.recorded += shard.recorded;
            counts.taken += shard.taken;
            counts.dropped += shard.dropped;
            counts.refused += shard.refused;
        }
        counts
    }

    /// How many requests each shard has recorded: a moment for [`has_passed`](Self::has_passed).
    pub(crate) fn moment(&self) -> Vec<u64> {
        self.shards.each().map(|shard| shard.recorded).collect()
    }

    /// Whether everything recorded before a moment is taken or dropped.
    pub(crate) fn has_passed(&self, moment: &[u64]) -> bool {
        let mut shards = self.shards.each().zip(moment);
        shards.all(|(shard, recorded)| shard.taken + shard.dropped >= *recorded)
    }

    /// Reserves up to this much room.
    fn reserve(&self, rows: usize) -> usize {
        // Without room, for example during a long outage, do not write.
        if self.room.load(Ordering::SeqCst) == 0 {
            return 0;
        }
        let taken = self
            .room
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |room| Some(room - rows.min(room)));
        taken.map_or(0, |before| rows.min(before))
    }

    fn spare(&self) -> Vec<Row> {
        // A recording thread does not wait for another one's memory.
        let spare = self.spares.try_lock().ok().and_then(|mut spares| spares.pop());
        spare.unwrap_or_else(|| Vec::with_capacity(self.chunk_rows))
    }

    fn recycle(&self, mut chunk: Vec<Row>) {
        chunk.clear();
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        // Keep some batches' worth after a burst.
        if spares.len() < self.shards.len() {
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

#[cfg(test)]
mod tests;
