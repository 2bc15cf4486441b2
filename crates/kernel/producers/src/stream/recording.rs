//! One stream whose producer is open.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use tally_ingest::{Failure, Receipt, Room, Rows as _};
use tally_runtime::{Namespace, faults};
use tokio::sync::watch;
use tonic::Status;
use uuid::Uuid;

use super::{Batches, Builder, ContentOf, Error, Message, Progress, Size, Streams};
use crate::lease::short_id;
use crate::run::{BatchEnd, Fate, Parcel, Run, bytes};

/// A run with this many rows takes no further batch. A day with drops counts as a row. A stream stores one
/// run at a time, so this decides how much of the time the database waits for its disk.
const RUN_ROWS: usize = 131_072;
/// Nor does one that changes this many days of its producer.
const RUN_DAYS: usize = 4_096;

/// One stream whose producer is open.
pub(super) struct Recording<'a, B: Batches> {
    streams: &'a Streams<ContentOf<B>>,
    progress: &'a watch::Sender<Progress>,
    batches: B,
    namespace: Namespace,
    producer: Uuid,
    epoch: i64,
    is_shared: bool,
    /// The number of the next batch.
    next: i64,
    committed: i64,
    /// It is unknown whether some batches after that are committed.
    in_doubt: bool,
    /// How many messages the stream has brought.
    position: u64,
    /// The client has said that nothing more comes of this producer.
    pub(super) is_done: bool,
    /// Runs that wait until the one before them is stored. The last one grows.
    waiting: VecDeque<Growing<B::Builder>>,
    storing: Option<Storing>,
}

/// Batches that will be stored together.
struct Growing<T> {
    /// The number of the first one.
    first: i64,
    builder: T,
    batches: Vec<BatchEnd>,
    /// How many days with drops they have.
    drops: usize,
    /// Their place in the queue, once there is a batch.
    room: Option<Room>,
}

/// A run that is being stored.
struct Storing {
    first: i64,
    receipt: Receipt<Fate>,
}

// === impl Recording ===

impl<'a, B: Batches> Recording<'a, B> {
    pub(super) fn new(
        streams: &'a Streams<ContentOf<B>>,
        batches: B,
        progress: &'a watch::Sender<Progress>,
        producer: Uuid,
        epoch: i64,
        is_shared: bool,
        sequence: i64,
    ) -> Self {
        Self {
            streams,
            progress,
            namespace: batches.namespace(),
            batches,
            producer,
            epoch,
            is_shared,
            next: sequence + 1,
            committed: sequence,
            in_doubt: false,
            position: 1,
            is_done: false,
            waiting: VecDeque::new(),
            storing: None,
        }
    }

    /// The last committed batch, if that is known.
    pub(super) fn committed(&self) -> Option<i64> {
        (!self.in_doubt).then_some(self.committed)
    }

    /// Reads until the stream ends or fails, and stores and acknowledges what it has read.
    pub(super) async fn run<S>(&mut self, mut stream: S) -> Result<(), Error<B::Invalid>>
    where
        S: Stream<Item = Result<B::Message, Status>> + Unpin,
    {
        let (drain, max) = (&self.streams.drain, self.streams.batches_in_flight_max);
        let mut ending = None;
        loop {
            if self.storing.is_none() {
                let grows = self.waiting.front().is_some_and(|growing| !is_full(growing, max));
                let more =
                    (ending.is_none() && grows).then(|| stream.next().now_or_never()).flatten();
                if let Some(message) = more {
                    ending = self.read(message).await;
                    continue;
                }
                self.push()?;
                if self.storing.is_none()
                    && let Some(ending) = ending
                {
                    return ending;
                }
            }
            tokio::select! {
                biased;
                settled = settled(&self.storing), if self.storing.is_some() => {
                    self.settle(settled)?;
                }
                () = drain.begun(), if ending.is_none() => ending = Some(Err(Error::Draining)),
                message = stream.next(), if ending.is_none() => ending = self.read(message).await,
            }
        }
    }

    /// Takes a message in. Returns how the stream ends, if it does.
    async fn read(
        &mut self,
        message: Option<Result<B::Message, Status>>,
    ) -> Option<Result<(), Error<B::Invalid>>> {
        self.position += 1;
        // Others have their turn first, so that a stream that always has another message does not
        // hold them up, and the connection lets the client send more meanwhile.
        tokio::task::yield_now().await;
        let taken = match message {
            None => return Some(Ok(())),
            Some(Err(status)) => Err(Error::unreadable(self.position, &status)),
            Some(Ok(message)) => match B::message(message) {
                Message::Batch(batch) => self.take(batch).await,
                Message::Done => {
                    self.is_done = true;
                    return Some(Ok(()));
                }
                Message::Open(_) => self.unexpected("only the first message opens a producer"),
                Message::Empty => self.unexpected("it is empty"),
            },
        };
        taken.err().map(Err)
    }

    fn unexpected(&self, reason: impl Into<Cow<'static, str>>) -> Result<(), Error<B::Invalid>> {
        Err(Error::Unexpected { position: self.position, reason: reason.into() })
    }

    async fn take(&mut self, batch: B::Batch) -> Result<(), Error<B::Invalid>> {
        let number = B::sequence(&batch);
        let invalid = |reason| Error::Batch { sequence: number, reason };
        let sequence = i64::try_from(number).ok().filter(|sequence| *sequence > 0);
        let sequence = sequence.ok_or(Error::Number(number))?;
        if sequence > self.next {
            return Err(Error::OutOfSequence { sequence: number, next: self.next });
        }
        let is_new = sequence == self.next;
        let size = if is_new { Some(self.batches.measure(&batch).map_err(invalid)?) } else { None };
        self.batches.learn(&batch).map_err(invalid)?;
        // A batch that is stored, or on its way, only counts for what later batches build upon.
        let Some(Size { rows: measured, bytes: content, drops, mut checkpoint }) = size else {
            self.progress.send_modify(|progress| progress.repeats += 1);
            return Ok(());
        };
        if faults::is_on("record.checkpoint_apart") {
            store_later((self.producer, self.epoch), &mut checkpoint);
        }
        let max = self.streams.batches_in_flight_max;
        if self.next - 1 - self.committed >= i64::from(max) {
            return Err(Error::TooManyBatches { sequence: number, max });
        }
        let more = checkpoint.as_ref().map_or(0, Vec::len);
        let mut room = self.make_room(measured, content + more, drops.len()).await?;
        let grows = self.waiting.back().is_some_and(|last| !is_full(last, max));
        let mut growing = match grows.then(|| self.waiting.pop_back()).flatten() {
            Some(growing) => growing,
            None => {
                let (builder, batches) = (self.batches.builder(), Vec::new());
                Growing { first: sequence, builder, batches, drops: 0, room: None }
            }
        };
        let before = growing.builder.rows();
        let added = self.batches.add(&batch, &mut growing.builder);
        if added.is_ok() {
            growing.drops += drops.len();
            let rows = growing.builder.rows();
            let content = content * (rows - before) / measured.max(1) + more;
            room.keep(rows - before + drops.len(), bytes(content, drops.len()));
            match &mut growing.room {
                Some(of_run) => of_run.merge(room),
                none => *none = Some(room),
            }
            growing.batches.push(BatchEnd { rows, drops, checkpoint });
            self.next += 1;
        }
        if !growing.batches.is_empty() {
            self.waiting.push_back(growing);
        }
        added.map_err(invalid)
    }

    /// A place in the queue for a batch. Earlier batches are stored meanwhile: they may take the room.
    async fn make_room(
        &mut self,
        rows: usize,
        content: usize,
        drops: usize,
    ) -> Result<Room, Error<B::Invalid>> {
        let streams = self.streams;
        let mut room = pin!(streams.queue.reserve(rows + drops, bytes(content, drops)));
        if let Some(room) = room.as_mut().now_or_never() {
            return room.ok_or_else(|| streams.no_room());
        }
        loop {
            self.push()?;
            tokio::select! {
                biased;
                settled = settled(&self.storing), if self.storing.is_some() => {
                    self.settle(settled)?;
                }
                room = &mut room => return room.ok_or_else(|| streams.no_room()),
            }
        }
    }

    /// Puts the next run into the queue, if none is being stored. The receipt says what becomes of it.
    fn push(&mut self) -> Result<(), Error<B::Invalid>> {
        if self.storing.is_some() {
            return Ok(());
        }
        let Some(Growing { first, builder, batches, room, .. }) = self.waiting.pop_front() else {
            return Ok(());
        };
        let room = room.expect("a run has a batch");
        let Self { producer, epoch, is_shared, .. } = *self;
        let run = Run { producer, epoch, is_shared, first, batches };
        let last = run.last();
        let (content, receipt) = (builder.finish(), Receipt::new());
        let parcel = Parcel { run: Some(Arc::new(run)), ..Parcel::new(self.namespace, content) };
        let places = parcel.rows() as u64;
        let pushed = self.streams.queue.push_into(room, parcel, places, &receipt);
        pushed.map_err(|_full| self.streams.no_room())?;
        if faults::is_on("record.acknowledge_early") {
            self.acknowledge(last);
        }
        self.storing = Some(Storing { first, receipt });
        Ok(())
    }

    /// Takes note that the run is stored, or not, and then drops what waits for it.
    fn settle(&mut self, settled: Result<u64, Failure>) -> Result<(), Error<B::Invalid>> {
        let Storing { first, receipt } = self.storing.take().expect("the caller has waited for it");
        let error = match (settled, receipt.outcome()) {
            (Ok(_), Some(Fate::Stored { committed, .. })) => {
                self.acknowledge(committed);
                return Ok(());
            }
            (Ok(_), Some(Fate::Gap { committed })) => {
                self.committed = committed;
                Error::OutOfSequence { sequence: first.unsigned_abs(), next: committed + 1 }
            }
            (Ok(_), Some(Fate::Refused(refusal))) => {
                refusal.tell(self.producer);
                Error::Refused(refusal)
            }
            (Ok(_), Some(Fate::InDoubt(refusal))) => {
                refusal.tell(self.producer);
                let producer = short_id(self.producer);
                tracing::debug!(producer, first, "a refused batch may be stored");
                self.in_doubt = true;
                Error::Refused(refusal)
            }
            // A run has no key.
            (Ok(_), None | Some(Fate::OtherContent | Fate::Locked)) => Error::Panicked,
            (Err(failure), _) => Error::Write(failure),
        };
        self.in_doubt |= error.is_indeterminate();
        self.waiting.clear();
        Err(error)
    }

    /// Only after the commit.
    fn acknowledge(&mut self, committed: i64) {
        self.committed = self.committed.max(committed);
        let committed = self.committed;
        self.progress.send_modify(|progress| progress.committed = committed);
    }
}

/// Whether no further batch goes into a run. It is full at half the client's window, because otherwise
/// a client that fills its window would wait for every other run.
fn is_full<T: Builder>(growing: &Growing<T>, batches_in_flight_max: u32) -> bool {
    growing.batches.len() >= batches_in_flight_max.div_ceil(2) as usize
        || growing.builder.rows() + growing.drops >= RUN_ROWS
        || growing.builder.days() + growing.drops >= RUN_DAYS
}

/// A fault that stores each checkpoint with the next batch.
fn store_later(of: (Uuid, i64), checkpoint: &mut Option<Vec<u8>>) {
    static HELD_BACK: Mutex<BTreeMap<(Uuid, i64), Vec<u8>>> = Mutex::new(BTreeMap::new());
    let mut held_back = HELD_BACK.lock().unwrap_or_else(PoisonError::into_inner);
    let before = held_back.remove(&of);
    held_back.extend(checkpoint.take().map(|checkpoint| (of, checkpoint)));
    *checkpoint = before;
}

/// Waits for the run that is being stored.
async fn settled(storing: &Option<Storing>) -> Result<u64, Failure> {
    match storing {
        Some(storing) => storing.receipt.settled().await,
        None => std::future::pending().await,
    }
}
