//! The queue between the streams and the workers, bounded in rows and bytes. Those who send at the same time
//! have turns, in the queue and before it.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tally_runtime::turns::{Asker, Lines, Taken as Places, Turns};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::metrics::Measured;
use crate::receipt::Stub;
use crate::{Receipt, Rows};

/// A batch that changes this many rows takes no further chunk. Changing them takes some tenths of a
/// second, and locks them meanwhile.
const BATCH_UPDATES_MAX: usize = 16_384;

/// While several send, a batch takes no more than can be written in this time, as far as is known, so that
/// none waits long for its turn; but at least so many rows.
const TURN: Duration = Duration::from_millis(100);
const TURN_ROWS_MIN: usize = 1_000;

/// How long a small batch waits for the end of another one at most: that one may hang.
const JOIN_WAIT_MAX: Duration = Duration::from_millis(50);

/// How much may wait, including batches that are being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows.
    pub rows_max: u32,
    /// Bytes of memory.
    pub bytes_max: u32,
    /// How long a stream is held back when there is no room.
    pub wait_max: Duration,
}

/// A bounded queue of chunks; the sink says what became of each (`O`). Clones are the same queue.
#[derive(Debug)]
pub struct Queue<R, O> {
    chunks: Arc<Chunks<R, O>>,
    /// Rows and bytes.
    room: Turns<2>,
    closing: CancellationToken,
    pub(crate) writing: Arc<Writing>,
    pub(crate) measured: Arc<Measured>,
    /// How much there may be.
    pub limits: Limits,
}

/// How many batches are being written.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    pub(crate) batches: AtomicUsize,
    ended: Notify,
    /// How many rows were written in [`TURN`] lately; 0 is not known.
    rows_in_turn: AtomicUsize,
}

/// The chunks that wait. None come once it is closed.
#[derive(Debug)]
struct Chunks<R, O> {
    waiting: std::sync::Mutex<(Lines<Chunk<R, O>>, IsClosed)>,
    came: Notify,
    /// One worker waits at a time; the others write.
    taking: Mutex<()>,
}

type IsClosed = bool;

/// Chunks that are written together.
#[derive(Debug)]
pub(crate) struct Taken<R, O> {
    pub(crate) chunks: Vec<Chunk<R, O>>,
    /// Dropped once they are written.
    pub(crate) writing: BeingWritten,
}

/// A batch is being written, until this is dropped.
#[derive(Debug)]
pub(crate) struct BeingWritten(Arc<Writing>);

/// There was no room in time; the rows come back.
#[derive(Debug)]
pub struct Full<R>(pub R);

/// Rows in the queue, with their place in the bounds and in their stream.
#[derive(Debug)]
pub(crate) struct Chunk<R, O> {
    pub(crate) rows: R,
    pub(crate) stub: Stub<O>,
    /// Gives the place back when it is dropped.
    pub(crate) room: Room,
    /// When it came.
    pub(crate) since: Instant,
}

/// A place in the queue, given back when it is dropped: when the rows are stored.
#[derive(Debug)]
pub struct Room(Places<2>);

// === impl Queue ===

impl<R, O> Clone for Queue<R, O> {
    fn clone(&self) -> Self {
        Self {
            chunks: Arc::clone(&self.chunks),
            room: self.room.clone(),
            closing: self.closing.clone(),
            writing: Arc::clone(&self.writing),
            measured: Arc::clone(&self.measured),
            limits: self.limits,
        }
    }
}

impl<R: Rows, O> Queue<R, O> {
    /// An empty queue.
    pub fn new(limits: Limits) -> Self {
        Self {
            chunks: Arc::default(),
            room: Turns::new([limits.rows_max as usize, limits.bytes_max as usize]),
            closing: CancellationToken::new(),
            writing: Arc::default(),
            measured: Arc::default(),
            limits,
        }
    }

    /// Adds rows to the queue, or gives them back if there is no room within the limit. `receipt`
    /// learns when they are stored.
    pub async fn push(&self, rows: R, receipt: &Receipt<O>) -> Result<(), Full<R>> {
        let Some(room) = self.reserve(rows.rows(), rows.bytes()).await else {
            return Err(Full(rows));
        };
        let places = rows.rows() as u64;
        self.push_into(room, rows, places, receipt)
    }

    /// Takes a place for rows that are pushed later; `None` if there is no room within the limit. Rows
    /// that are held back count like those that wait. A chunk larger than the queue takes the whole queue.
    pub async fn reserve(&self, rows: usize, bytes: usize) -> Option<Room> {
        let places = timeout(self.limits.wait_max, self.room.take([rows, bytes])).await;
        places.ok().flatten().map(Room)
    }

    /// Adds rows at their place, or gives them back if the queue is closed. `places` is how many of its
    /// stream they take: several of what it has brought can be one row.
    pub fn push_into(
        &self,
        room: Room,
        rows: R,
        places: u64,
        receipt: &Receipt<O>,
    ) -> Result<(), Full<R>> {
        let (stub, received) = (receipt.stub(places), rows.rows() as u64);
        let chunk = Chunk { rows, stub, room, since: Instant::now() };
        if let Err(chunk) = self.chunks.put(chunk) {
            chunk.stub.withdrawn();
            return Err(Full(chunk.rows));
        }
        self.measured.received.add(received);
        Ok(())
    }

    /// Takes no more rows. The workers end when they have written the rest.
    pub fn close(&self) {
        // This wakes all that wait for room.
        self.room.close();
        self.chunks.lock().1 = true;
        self.chunks.came.notify_one();
        self.closing.cancel();
    }

    /// How many rows are in the queue or being written.
    pub fn rows(&self) -> usize {
        self.room.taken()[0]
    }

    /// How many bytes these take.
    pub fn bytes(&self) -> usize {
        self.room.taken()[1]
    }

    /// When the oldest chunk came that is in no worker's hands.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.chunks.lock().0.firsts().map(|chunk| chunk.since).min()
    }

    /// The next batch: one chunk, and what else waits, up to `rows_max` rows, and up to
    /// [`BATCH_UPDATES_MAX`], and while several send, as many as can be written in a turn. `None` once the queue is closed and empty. With less than `join_rows` rows, what
    /// comes while another batch is being written joins it.
    pub(crate) async fn batch(&self, rows_max: usize, join_rows: usize) -> Option<Taken<R, O>> {
        let _taking = self.chunks.taking.lock().await;
        let first = loop {
            let (first, is_closed) = self.chunks.take();
            match first {
                Some(first) => break first,
                None if is_closed => return None,
                None => self.chunks.came.notified().await,
            }
        };
        let (mut rows, mut updates) = (first.rows.rows(), first.rows.updates());
        let mut chunks = vec![first];
        let until = Instant::now() + JOIN_WAIT_MAX;
        while rows < self.batch_rows_max(rows_max) && updates < BATCH_UPDATES_MAX {
            let joins = rows < join_rows;
            let Some(chunk) = self.more(joins.then_some(until)).await else { break };
            rows += chunk.rows.rows();
            updates += chunk.rows.updates();
            chunks.push(chunk);
        }
        Some(Taken { chunks, writing: self.writing.begin() })
    }

    /// A chunk that waits, or comes before this moment while another batch is being written.
    async fn more(&self, joins_until: Option<Instant>) -> Option<Chunk<R, O>> {
        let mut ended = pin!(self.writing.ended.notified());
        ended.as_mut().enable();
        let is_alone = self.writing.batches.load(Ordering::SeqCst) == 0;
        loop {
            let (chunk, is_closed) = self.chunks.take();
            match (chunk, joins_until) {
                (Some(chunk), _) => return Some(chunk),
                (None, Some(until)) if !is_alone && !is_closed => tokio::select! {
                    biased;
                    () = &mut ended => return self.chunks.take().0,
                    () = self.chunks.came.notified() => {}
                    () = sleep_until(until) => return None,
                    () = self.closing.cancelled() => return None,
                },
                (None, _) => return None,
            }
        }
    }

    /// How many rows a batch may have: while several send, no more than a turn.
    fn batch_rows_max(&self, rows_max: usize) -> usize {
        let rows_in_turn = self.writing.rows_in_turn.load(Ordering::Relaxed);
        if rows_in_turn == 0 || self.chunks.lock().0.askers() < 2 {
            return rows_max;
        }
        rows_max.min(rows_in_turn.max(TURN_ROWS_MIN))
    }
}

// === impl Chunks ===

impl<R, O> Default for Chunks<R, O> {
    fn default() -> Self {
        Self { waiting: Default::default(), came: Notify::new(), taking: Mutex::default() }
    }
}

impl<R, O> Chunks<R, O> {
    fn put(&self, chunk: Chunk<R, O>) -> Result<(), Chunk<R, O>> {
        let mut waiting = self.lock();
        if waiting.1 {
            return Err(chunk);
        }
        waiting.0.push(Asker::current(), chunk);
        drop(waiting);
        self.came.notify_one();
        Ok(())
    }

    fn take(&self) -> (Option<Chunk<R, O>>, IsClosed) {
        let mut waiting = self.lock();
        (waiting.0.take(), waiting.1)
    }

    fn lock(&self) -> MutexGuard<'_, (Lines<Chunk<R, O>>, IsClosed)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Writing ===

impl Writing {
    /// So many rows were written in this time.
    pub(crate) fn wrote(&self, rows: usize, took: Duration) {
        if rows >= TURN_ROWS_MIN {
            let micros = took.as_micros().max(1);
            let rows = rows as u128 * TURN.as_micros() / micros;
            let rows = usize::try_from(rows).unwrap_or(usize::MAX).max(TURN_ROWS_MIN);
            let before = self.rows_in_turn.load(Ordering::Relaxed);
            let now = if before == 0 { rows } else { before / 2 + rows / 2 };
            self.rows_in_turn.store(now, Ordering::Relaxed);
        }
    }

    fn begin(self: &Arc<Self>) -> BeingWritten {
        self.batches.fetch_add(1, Ordering::SeqCst);
        BeingWritten(Arc::clone(self))
    }
}

// === impl BeingWritten ===

impl Drop for BeingWritten {
    fn drop(&mut self) {
        self.0.batches.fetch_sub(1, Ordering::SeqCst);
        self.0.ended.notify_waiters();
    }
}

// === impl Room ===

impl Room {
    /// Adds a place of the same queue to this one.
    pub fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }

    /// Gives back what is beyond this: the rows are fewer than was thought.
    pub fn keep(&mut self, rows: usize, bytes: usize) {
        self.0.keep([rows, bytes]);
    }
}

#[cfg(test)]
mod tests;
