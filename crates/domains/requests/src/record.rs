//! One `Record` stream: open, decode, push, acknowledge by number.
//!
//! One chunk of a stream is being stored at a time. What arrives meanwhile becomes the next one,
//! with as many batches as there are; so load makes transactions large by itself, and a producer's
//! batches are stored in their order. Chunks of many streams share a transaction.
//!
//! | file | what it owns |
//! |---|---|
//! | `opening.rs` | the first message, and producers that are of no more use |

mod opening;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use tally_ingest::{Failure, Receipt, Room};
use tally_producers::{Leaving, Standing};
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_store::faults;
use tokio::sync::watch;
use tonic::Status;
use uuid::Uuid;

use crate::batch;
use crate::counted::{self, CountedFile};
use crate::error::Error;
use crate::model::{EndpointId, Named};
use crate::producer::{BatchEnd, Run, Verdict};
use crate::recorder::Recorder;
use crate::rows::{Rows, RowsBuilder};

/// A chunk with this many rows takes no further batch. A day with drops counts as a row.
const CHUNK_ROWS: usize = 32_768;
/// Nor does one that changes this many days of its producer.
const CHUNK_DAYS: usize = 4_096;

/// What the client is told. A later state takes the place of one that was not sent yet.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    /// Once the producer is open.
    pub(crate) epoch: Option<i64>,
    /// Every batch up to this one is committed.
    pub(crate) committed: i64,
    /// Counts duplicates, so that they are answered too.
    pub(crate) repeats: u64,
}

/// How a stream ended.
#[derive(Debug)]
pub(crate) struct Ending {
    /// The last batch that is committed: none after it that the stream brought ever will be. None:
    /// that is not known, or the producer was not opened.
    pub(crate) committed: Option<i64>,
    pub(crate) error: Option<Error>,
}

/// One stream whose producer is open.
struct Recording<'a> {
    recorder: &'a Recorder,
    progress: &'a watch::Sender<Progress>,
    producer: Uuid,
    epoch: i64,
    /// The endpoints that the stream has named, by their numbers, and their ids.
    names: Vec<Arc<Named>>,
    ids: Vec<EndpointId>,
    /// So many of them are known to be in the database, under this belief.
    confirmed: (u64, usize),
    /// The number of the next batch.
    next: i64,
    committed: i64,
    /// It is unknown whether some batches after that are committed.
    in_doubt: bool,
    /// How many messages the stream has brought.
    position: u64,
    /// The client has said that nothing more comes of this producer.
    is_done: bool,
    /// What it has counted as a whole.
    files: Vec<CountedFile>,
    /// Chunks that wait until the one before them is stored.
    waiting: VecDeque<Chunk>,
    storing: Option<(Arc<Run>, Receipt)>,
}

/// Batches that are stored together.
#[derive(Debug)]
struct Chunk {
    /// The number of the first one.
    first: i64,
    rows: RowsBuilder,
    batches: Vec<BatchEnd>,
    /// How many days with drops they have.
    drops: usize,
    /// Their place in the queue.
    room: Room,
}

// === impl Recorder ===

impl Recorder {
    /// Takes a stream in. Whatever ends it, what came before is stored before this returns.
    pub(crate) async fn record_batches<S>(
        &self,
        mut stream: S,
        progress: &watch::Sender<Progress>,
    ) -> Ending
    where
        S: Stream<Item = Result<proto::RecordRequest, Status>> + Unpin,
    {
        let (opening, standing) = match self.open(&mut stream).await {
            Ok(opened) => opened,
            Err(error) => return Ending { committed: None, error },
        };
        let Standing { epoch, sequence, .. } = standing;
        progress.send_modify(|progress| {
            (progress.epoch, progress.committed) = (Some(epoch), sequence);
        });
        let mut recording = Recording {
            recorder: self,
            progress,
            producer: opening.id,
            epoch,
            names: Vec::new(),
            ids: Vec::new(),
            confirmed: (0, 0),
            next: sequence + 1,
            committed: sequence,
            in_doubt: false,
            position: 1,
            is_done: false,
            files: Vec::new(),
            waiting: VecDeque::new(),
            storing: None,
        };
        let mut ended = recording.run(stream).await;
        let (committed, in_doubt) = (recording.committed, recording.in_doubt);
        let files = std::mem::take(&mut recording.files);
        let leaving = Leaving { id: opening.id, epoch, sequence: committed };
        if ended.is_ok() && recording.is_done {
            ended = self.forget(leaving, files).await;
        } else if committed == 0 && !in_doubt && !self.drain.has_begun() {
            // If it fails, or the server stops, housekeeping does it.
            let _ = self.forget(leaving, files).await;
        }
        Ending { committed: (!in_doubt).then_some(committed), error: ended.err() }
    }
}

// === impl Recording ===

impl Recording<'_> {
    /// Reads and stores until the stream ends, or until nothing more can come of it. What was
    /// read before is stored and acknowledged first.
    async fn run<S>(&mut self, mut stream: S) -> Result<(), Error>
    where
        S: Stream<Item = Result<proto::RecordRequest, Status>> + Unpin,
    {
        let recorder = self.recorder;
        let mut ending = None;
        loop {
            if self.storing.is_none() {
                let grows = self.waiting.front().is_some_and(|chunk| !self.is_full(chunk));
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
                () = recorder.drain.begun(), if ending.is_none() => {
                    ending = Some(Err(Error::Draining));
                }
                message = stream.next(), if ending.is_none() => {
                    ending = self.read(message).await;
                }
            }
        }
    }

    /// Takes a message in. Returns how the stream ends, if it does.
    async fn read(
        &mut self,
        message: Option<Result<proto::RecordRequest, Status>>,
    ) -> Option<Result<(), Error>> {
        self.position += 1;
        // Others have their turn first: a stream that always has another message holds nobody up,
        // and the connection lets the client send more while this message is worked on.
        tokio::task::yield_now().await;
        let taken = match message {
            None => return Some(Ok(())),
            Some(Err(status)) => Err(Error::unreadable(self.position, &status)),
            Some(Ok(message)) => match message.kind {
                Some(Kind::Batch(batch)) => self.take(batch).await,
                Some(Kind::Done(done)) => match self.finish(done) {
                    Ok(()) => return Some(Ok(())),
                    error => error,
                },
                Some(Kind::Open(_)) => self.unexpected("only the first message opens a producer"),
                None => self.unexpected("it is empty"),
            },
        };
        taken.err().map(Err)
    }

    /// Nothing more comes of this producer.
    fn finish(&mut self, done: proto::Done) -> Result<(), Error> {
        let now_micros = self.recorder.rules().now_micros;
        match counted::files(done.files, now_micros) {
            Ok(files) => self.files = files,
            Err(reason) => return self.unexpected(reason),
        }
        self.is_done = true;
        Ok(())
    }

    fn unexpected(&self, reason: impl Into<Cow<'static, str>>) -> Result<(), Error> {
        Err(Error::Unexpected { position: self.position, reason: reason.into() })
    }

    async fn take(&mut self, mut batch: proto::Batch) -> Result<(), Error> {
        let recorder = self.recorder;
        let limits = &recorder.record;
        let number = batch.sequence;
        let invalid = |reason| Error::Batch { sequence: number, reason };
        let sequence = batch::sequence(&batch).map_err(invalid)?;
        if sequence > self.next {
            return Err(Error::OutOfSequence { sequence: number, next: self.next });
        }
        let rules = recorder.rules();
        // Before anything is waited for, so that no lists stay in memory that are too long. Of what
        // is stored, or on its way, only the endpoints that it names count.
        let new_rows = if sequence == self.next {
            let rows = batch::rows(&batch, limits).map_err(invalid)?;
            Some((rows, batch::drops(&batch).map_err(invalid)?))
        } else {
            (batch.endpoint, batch.time_delta, batch.drops) = Default::default();
            None
        };
        let named = self.names.len();
        let new = batch::endpoints(&mut batch, named, limits, rules).map_err(invalid)?;
        let new = recorder.endpoints.resolve(&new);
        self.ids.extend(new.iter().map(|named| named.id));
        self.names.extend(new);
        let Some((rows, drops)) = new_rows else {
            self.progress.send_modify(|progress| progress.repeats += 1);
            return Ok(());
        };
        let max = limits.batches_in_flight_max;
        if self.next - 1 - self.committed >= i64::from(max) {
            return Err(Error::TooManyBatches { sequence: number, max });
        }
        let room = self.make_room(rows, drops.len()).await?;
        if self.waiting.back().is_none_or(|last| self.is_full(last)) {
            let rows = RowsBuilder::new(recorder.endpoints.belief());
            self.waiting.push_back(Chunk::new(sequence, rows, room));
        } else if let Some(last) = self.waiting.back_mut() {
            last.room.merge(room);
        }
        let last = self.waiting.back_mut().expect("there is one now");
        let encoded = batch::encode(&batch, &self.ids, rules, &mut last.rows);
        if encoded.is_ok() {
            last.drops += drops.len();
            last.batches.push(BatchEnd { rows: last.rows.rows(), drops });
        } else if last.batches.is_empty() {
            self.waiting.pop_back();
        }
        if rows > 0 {
            recorder.ahead.note(rules.now_micros, encoded.as_ref().err());
        }
        encoded.map_err(invalid)?;
        self.name_rows();
        self.next += 1;
        Ok(())
    }

    /// Adds to the last chunk the names that the database is not known to have.
    fn name_rows(&mut self) {
        let rows = &mut self.waiting.back_mut().expect("a batch was just added to it").rows;
        let belief = rows.belief();
        let first = if self.confirmed.0 == belief { self.confirmed.1 } else { 0 };
        let names = &self.names[first..];
        names.iter().for_each(|named| rows.name(named));
        let confirmed = names.iter().take_while(|named| named.is_confirmed(belief)).count();
        self.confirmed = (belief, first + confirmed);
    }

    /// A place in the queue for a batch. Those before it are stored meanwhile: they may be what
    /// takes the room.
    async fn make_room(&mut self, rows: usize, drops: usize) -> Result<Room, Error> {
        let recorder = self.recorder;
        let bytes = rows * Rows::ROW_BYTES + drops * Rows::DROP_BYTES + Rows::OVERHEAD_BYTES;
        let mut room = pin!(recorder.queue.reserve(rows + drops, bytes));
        if let Some(room) = room.as_mut().now_or_never() {
            return room.ok_or_else(|| recorder.no_room());
        }
        loop {
            self.push()?;
            tokio::select! {
                biased;
                settled = settled(&self.storing), if self.storing.is_some() => {
                    self.settle(settled)?;
                }
                room = &mut room => return room.ok_or_else(|| recorder.no_room()),
            }
        }
    }

    /// Puts the next chunk into the queue, if none is being stored. Once it is there, it is stored
    /// or the receipt says why not.
    fn push(&mut self) -> Result<(), Error> {
        if self.storing.is_some() {
            return Ok(());
        }
        let Some(Chunk { first, mut rows, batches, room, .. }) = self.waiting.pop_front() else {
            return Ok(());
        };
        let run = Arc::new(Run::new(self.producer, self.epoch, first, batches));
        let receipt = Receipt::new();
        let rows = rows.finish().of_run(Arc::clone(&run));
        let pushed = self.recorder.queue.push_into(room, rows, &receipt);
        pushed.map_err(|_full| self.recorder.no_room())?;
        if faults::is_on("record.acknowledge_early") {
            self.acknowledge(run.last());
        }
        self.storing = Some((run, receipt));
        Ok(())
    }

    /// The chunk that was being stored is stored, or not. If not, what waits for it is of no use
    /// any more.
    fn settle(&mut self, settled: Result<u64, Failure>) -> Result<(), Error> {
        let (run, _) = self.storing.take().expect("the caller has waited for it");
        let error = match (settled, run.verdict()) {
            (Ok(_), Some(Verdict::Stored { committed })) => {
                self.acknowledge(committed);
                return Ok(());
            }
            (Ok(_), Some(Verdict::Gap { committed })) => {
                self.committed = committed;
                Error::OutOfSequence { sequence: run.first.unsigned_abs(), next: committed + 1 }
            }
            (Ok(_), Some(Verdict::Refused(refusal))) => Error::Refused(refusal),
            (Ok(_), None) => Error::Panicked,
            (Err(failure), _) => Error::Write(failure),
        };
        self.in_doubt = error.is_indeterminate();
        self.waiting.clear();
        Err(error)
    }

    /// Only after the commit.
    fn acknowledge(&mut self, committed: i64) {
        self.committed = self.committed.max(committed);
        let committed = self.committed;
        self.progress.send_modify(|progress| progress.committed = committed);
    }

    /// Whether no further batch goes into a chunk. Half of what may be on its way is enough:
    /// otherwise a client that fills its window would wait for every other chunk.
    fn is_full(&self, chunk: &Chunk) -> bool {
        let batches_max = self.recorder.record.batches_in_flight_max.div_ceil(2);
        chunk.batches.len() >= batches_max as usize
            || chunk.rows.rows() + chunk.drops >= CHUNK_ROWS
            || chunk.rows.days() + chunk.drops >= CHUNK_DAYS
    }
}

// === impl Chunk ===

impl Chunk {
    fn new(first: i64, rows: RowsBuilder, room: Room) -> Self {
        Self { first, rows, batches: Vec::new(), drops: 0, room }
    }
}

/// Waits for the chunk that is being stored.
async fn settled(storing: &Option<(Arc<Run>, Receipt)>) -> Result<u64, Failure> {
    match storing {
        Some((_, receipt)) => receipt.settled().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
pub(crate) mod tests;
