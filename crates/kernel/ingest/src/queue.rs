//! The queue between the streams and the workers, bounded in rows and bytes.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::metrics::Measured;
use crate::receipt::Stub;
use crate::{Receipt, Rows};

/// A batch that changes this many rows takes no further chunk. Changing them takes some tenths of a
/// second, and locks them meanwhile.
const BATCH_UPDATES_MAX: usize = 16_384;

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
    sender: mpsc::UnboundedSender<Chunk<R, O>>,
    receiver: Arc<Mutex<mpsc::UnboundedReceiver<Chunk<R, O>>>>,
    rows: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
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
}

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
pub struct Room {
    rows: OwnedSemaphorePermit,
    bytes: OwnedSemaphorePermit,
}

// === impl Queue ===

impl<R, O> Clone for Queue<R, O> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            receiver: Arc::clone(&self.receiver),
            rows: Arc::clone(&self.rows),
            bytes: Arc::clone(&self.bytes),
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
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            sender,
            receiver: Arc::new(Mutex::new(receiver)),
            rows: Arc::new(Semaphore::new(limits.rows_max as usize)),
            bytes: Arc::new(Semaphore::new(limits.bytes_max as usize)),
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
    /// that are held back count like those that wait.
    pub async fn reserve(&self, rows: usize, bytes: usize) -> Option<Room> {
        timeout(self.limits.wait_max, self.room(rows, bytes)).await.ok().flatten()
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
        self.sender.send(chunk).map_err(|mpsc::error::SendError(chunk)| {
            chunk.stub.withdrawn();
            Full(chunk.rows)
        })?;
        self.measured.received.add(received);
        Ok(())
    }

    /// Takes no more rows. The workers end when they have written the rest.
    pub fn close(&self) {
        // This wakes all that wait for room.
        self.rows.close();
        self.bytes.close();
        self.closing.cancel();
    }

    /// How many rows are in the queue or being written.
    pub fn rows(&self) -> usize {
        (self.limits.rows_max as usize).saturating_sub(self.rows.available_permits())
    }

    /// How many bytes these take.
    pub fn bytes(&self) -> usize {
        (self.limits.bytes_max as usize).saturating_sub(self.bytes.available_permits())
    }

    /// A chunk larger than the queue takes the whole queue.
    async fn room(&self, rows: usize, bytes: usize) -> Option<Room> {
        let clamp = |size: usize, max: u32| u32::try_from(size).unwrap_or(max).min(max);
        let rows = clamp(rows, self.limits.rows_max);
        let bytes = clamp(bytes, self.limits.bytes_max);
        Some(Room {
            rows: Arc::clone(&self.rows).acquire_many_owned(rows).await.ok()?,
            bytes: Arc::clone(&self.bytes).acquire_many_owned(bytes).await.ok()?,
        })
    }

    /// The next batch: one chunk, and what else waits, up to `rows_max` rows, and up to
    /// [`BATCH_UPDATES_MAX`]. `None` once the queue is closed and empty. With less than `join_rows` rows, what
    /// comes while another batch is being written joins it.
    pub(crate) async fn batch(&self, rows_max: usize, join_rows: usize) -> Option<Taken<R, O>> {
        // One worker waits here at a time; the others write.
        let mut receiver = self.receiver.lock().await;
        let first = loop {
            tokio::select! {
                biased;
                () = self.closing.cancelled(), if !receiver.is_closed() => receiver.close(),
                chunk = receiver.recv() => break chunk?,
            }
        };
        let (mut rows, mut updates) = (first.rows.rows(), first.rows.updates());
        let mut chunks = vec![first];
        let until = Instant::now() + JOIN_WAIT_MAX;
        while rows < rows_max && updates < BATCH_UPDATES_MAX {
            let joins = rows < join_rows;
            let Some(chunk) = self.more(&mut receiver, joins.then_some(until)).await else { break };
            rows += chunk.rows.rows();
            updates += chunk.rows.updates();
            chunks.push(chunk);
        }
        Some(Taken { chunks, writing: self.writing.begin() })
    }

    /// A chunk that waits, or comes before this moment while another batch is being written.
    async fn more(
        &self,
        receiver: &mut mpsc::UnboundedReceiver<Chunk<R, O>>,
        joins_until: Option<Instant>,
    ) -> Option<Chunk<R, O>> {
        let mut ended = pin!(self.writing.ended.notified());
        ended.as_mut().enable();
        let is_alone = self.writing.batches.load(Ordering::SeqCst) == 0;
        match (receiver.try_recv(), joins_until) {
            (Ok(chunk), _) => Some(chunk),
            (Err(_), Some(until)) if !is_alone => tokio::select! {
                biased;
                () = ended => receiver.try_recv().ok(),
                chunk = receiver.recv() => chunk,
                () = sleep_until(until) => None,
                () = self.closing.cancelled() => None,
            },
            (Err(_), _) => None,
        }
    }
}

// === impl Writing ===

impl Writing {
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
        self.rows.merge(other.rows);
        self.bytes.merge(other.bytes);
    }

    /// Gives back what is beyond this: the rows are fewer than was thought.
    pub fn keep(&mut self, rows: usize, bytes: usize) {
        drop(self.rows.split(self.rows.num_permits().saturating_sub(rows)));
        drop(self.bytes.split(self.bytes.num_permits().saturating_sub(bytes)));
    }
}

#[cfg(test)]
mod tests;
