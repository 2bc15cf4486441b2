//! A stream of numbered batches: open, read, push, acknowledge by number.
//!
//! A stream stores one run at a time, and all batches that arrive meanwhile become the next one. So
//! load makes transactions large by itself, and a producer's batches are stored in order. Runs of
//! many streams share a transaction.
//!
//! | file | what it owns |
//! |---|---|
//! | `answers.rs` | what the client hears of its stream |
//! | `checkpoint.rs` | how far a client says that it has come |
//! | `drops.rs` | what a client says that it has dropped |
//! | `error.rs` | how a stream ends before its end, and what it means to the client |
//! | `recording.rs` | one stream whose producer is open |

mod answers;
mod checkpoint;
mod drops;
mod error;
mod recording;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tally_ingest::{Limits, Queue, Workers};
use tally_proto::tally::producers::v1 as proto;
use tally_runtime::{Clock, Day, Drain, Namespace, Tasks, chain};
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::Status;

pub use self::answers::{Answers, status};
pub use self::checkpoint::{CheckpointTooLong, read_checkpoint};
pub use self::drops::{InvalidDrops, read_drops};
pub use self::error::{Error, Invalid};
use self::recording::Recording;
use crate::lease::{Leaving, Opening, Standing};
use crate::metrics::Measured;
use crate::run::{Content, Fate, Parcel};
use crate::store::Producers;
use crate::writer::{Append, Writer};

/// How much longer an attempt waits for the database's own word that it took too long.
const ATTEMPT_GRACE: Duration = Duration::from_secs(2);

/// What all streams of a domain share.
pub struct Streams<C> {
    /// Where rows wait for the insert workers.
    pub queue: Queue<Parcel<C>, Fate>,
    /// They say whether something can be stored.
    pub(crate) workers: Workers,
    /// The domain's producers.
    pub(crate) producers: Producers,
    /// How long a stream waits for its producer to be opened or forgotten.
    opening_wait_max: Duration,
    /// How many batches may be sent before they are acknowledged.
    batches_in_flight_max: u32,
    /// Says when a client was told something.
    clock: Arc<dyn Clock>,
    /// Begins when the server stops.
    pub drain: Drain,
    /// The streams that are read. The drain waits for them.
    pub tasks: Tasks,
    pub(crate) measured: Measured,
}

/// One message of a stream.
#[derive(Debug)]
pub enum Message<B> {
    /// Opens the producer.
    Open(proto::Open),
    /// A batch.
    Batch(B),
    /// Every batch is acknowledged, and the producer is not opened again.
    Done,
    /// Nothing that this server knows.
    Empty,
}

/// How a domain reads its batches. Each stream has one of its own.
pub trait Batches: Send + 'static {
    /// A message as it comes.
    type Message: Send + 'static;
    /// A batch.
    type Batch: Send;
    /// Makes rows of batches.
    type Builder: Builder;
    /// Why a batch cannot be stored.
    type Invalid: Invalid;

    /// In which namespace the producer is, and what its batches count in.
    fn namespace(&self) -> Namespace;

    /// What a message is.
    fn message(message: Self::Message) -> Message<Self::Batch>;

    /// A batch's number, as it was sent.
    fn sequence(batch: &Self::Batch) -> u64;

    /// Measures a batch and checks the limits, before the stream waits for room, so that nothing too
    /// large stays in memory.
    fn measure(&self, batch: &Self::Batch) -> Result<Size, Self::Invalid>;

    /// Notes what later batches build upon. Every batch comes here, even one that is stored already or
    /// on its way.
    fn learn(&mut self, _batch: &Self::Batch) -> Result<(), Self::Invalid> {
        Ok(())
    }

    /// Begins a run.
    fn builder(&self) -> Self::Builder;

    /// Adds the rows of a batch, or none of them.
    fn add(&mut self, batch: &Self::Batch, into: &mut Self::Builder) -> Result<(), Self::Invalid>;
}

/// Makes rows of batches.
pub trait Builder: Send {
    /// The rows.
    type Content: Content;

    /// How many there are so far.
    fn rows(&self) -> usize;
    /// How many days they have so far.
    fn days(&self) -> usize;
    /// The rows so far.
    fn finish(self) -> Self::Content;
}

/// How large a batch is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Size {
    /// How many rows it has at most.
    pub rows: usize,
    /// How much memory these take.
    pub bytes: usize,
    /// How many rows of each day the client has dropped before it.
    pub drops: Vec<(Day, i64)>,
    /// How far the client has come with it, if it says so.
    pub checkpoint: Option<Vec<u8>>,
}

/// What the client is told. A later state takes the place of one that was not sent yet.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// Once the producer is open: its epoch and its checkpoint.
    opened: Option<(i64, Vec<u8>)>,
    /// Every batch up to this one is committed.
    committed: i64,
    /// Counts duplicates, so that they are answered too.
    repeats: u64,
}

/// How a stream ended.
#[derive(Debug)]
struct Ending<R: Invalid> {
    /// The last batch of the stream that is or ever will be committed. `None` if that is unknown, or if
    /// the producer was not opened.
    committed: Option<i64>,
    error: Option<Error<R>>,
}

type ContentOf<B> = <<B as Batches>::Builder as Builder>::Content;

// === impl Streams ===

impl<C: Content> Streams<C> {
    /// Starts the insert workers of a domain. `window` is how many batches a client may have sent
    /// that are not acknowledged.
    pub fn start<A: Append<Content = C>>(
        store: A,
        producers: Producers,
        limits: Limits,
        mut workers: tally_ingest::Settings,
        window: u32,
        clock: Arc<dyn Clock>,
        drain: Drain,
    ) -> Self {
        if producers.has_one_writer() {
            workers.workers = 1;
        }
        let queue = Queue::new(limits);
        let attempt_max = workers.attempt_max() + ATTEMPT_GRACE;
        let writer = Writer::new(store, producers.clone(), attempt_max, Arc::clone(&clock));
        let workers = Workers::start(&queue, &Arc::new(writer), workers, &clock);
        Self {
            queue,
            workers,
            producers,
            opening_wait_max: limits.wait_max,
            batches_in_flight_max: window,
            clock,
            drain,
            tasks: Tasks::new(),
            measured: Measured::default(),
        }
    }

    /// Whether something can be stored now. If the last attempt failed, and nothing is there that
    /// would be another one, `try_write` says so. An error is one line.
    pub async fn ready(
        &self,
        try_write: impl Future<Output = Result<(), tally_store::Error>>,
    ) -> Result<(), String> {
        let Some(trouble) = self.workers.trouble() else { return Ok(()) };
        if trouble.is_trying {
            return Err(trouble.message);
        }
        try_write.await.map_err(|error| chain(&error))?;
        self.workers.recovered();
        Ok(())
    }

    /// How many rows wait or are being written.
    pub fn queued_rows(&self) -> usize {
        self.queue.rows()
    }

    /// Waits, after the drain has begun, until the streams are answered and the queue is written.
    pub async fn finished(&self) {
        self.tasks.finished().await;
        self.queue.close();
        self.workers.finished().await;
    }

    /// Takes a stream in. Whatever ends it, what came before is stored before this returns.
    async fn take<B, S>(
        &self,
        mut stream: S,
        batches: B,
        progress: &watch::Sender<Progress>,
    ) -> Ending<B::Invalid>
    where
        B: Batches,
        B::Builder: Builder<Content = C>,
        S: Stream<Item = Result<B::Message, Status>> + Unpin,
    {
        let producers = self.producers.of(batches.namespace());
        let (opening, standing) = match self.open::<B, S>(&producers, &mut stream).await {
            Ok(opened) => opened,
            Err(error) => return Ending { committed: None, error },
        };
        let Standing { epoch, sequence, last_seen_micros, is_shared, checkpoint, .. } = standing;
        progress.send_modify(|progress| {
            (progress.opened, progress.committed) = (Some((epoch, checkpoint)), sequence);
        });
        let mut recording =
            Recording::new(self, batches, progress, opening.id, epoch, is_shared, sequence);
        let mut ended = recording.run(stream).await;
        let (committed, is_done) = (recording.committed(), recording.is_done);
        let may_begin_again = || producers.terms().is_young(opening.id, self.clock.now());
        let leaving = Leaving { id: opening.id, epoch, sequence: 0, last_seen_micros: None };
        match committed {
            Some(sequence) if ended.is_ok() && is_done => {
                ended = self.forget(&producers, Leaving { sequence, ..leaving }).await;
            }
            // A producer that has stored nothing costs a row. If this fails, or the server stops,
            // housekeeping forgets it. A client that comes back later just opens it again, which it may
            // not if it is shared; one that has come back already, while this stream was not over, keeps
            // it.
            Some(0) if !self.drain.has_begun() && !opening.take_over && may_begin_again() => {
                let leaving = Leaving { last_seen_micros: Some(last_seen_micros), ..leaving };
                let _ = self.forget::<B::Invalid>(&producers, leaving).await;
            }
            _ => {}
        }
        Ending { committed, error: ended.err() }
    }

    /// The first message. An error of `None` is a stream that ended without one.
    async fn open<B, S>(
        &self,
        producers: &Producers,
        stream: &mut S,
    ) -> Result<(Opening, Standing), Option<Error<B::Invalid>>>
    where
        B: Batches,
        S: Stream<Item = Result<B::Message, Status>> + Unpin,
    {
        let first = tokio::select! {
            biased;
            () = self.drain.begun() => return Err(Some(Error::Draining)),
            first = stream.next() => first.ok_or(None)?,
        };
        let opening = match B::message(first.map_err(|status| Error::unreadable(1, &status))?) {
            Message::Open(open) => Opening::read(open, self.producers.terms(), self.clock.now()),
            _ => {
                let reason = "the first message must be open".into();
                return Err(Some(Error::Unexpected { position: 1, reason }));
            }
        };
        let opening = opening.map_err(Error::Open)?;
        let opened = timeout(self.opening_wait_max, producers.open(&opening)).await;
        let opened = opened.map_err(|_elapsed| Error::ProducerTimeout).and_then(|opened| {
            opened.map_err(|source| Error::Store(source.within("register the client")))
        });
        // An idle server learns of a full database by this alone.
        let opened = opened.inspect_err(|error| {
            let error = chain(error);
            tracing::warn!(error, "a producer could not be opened");
            self.workers.failed(&error);
        });
        let opened = opened?.inspect_err(|refusal| refusal.tell(opening.id));
        Ok((opening, opened.map_err(Error::Refused)?))
    }

    /// Forgets a producer that stands there, unless another process has opened it since.
    async fn forget<R: Invalid>(
        &self,
        producers: &Producers,
        leaving: Leaving,
    ) -> Result<(), Error<R>> {
        timeout(self.opening_wait_max, producers.forget(leaving))
            .await
            .map_err(|_elapsed| Error::ProducerTimeout)?
            .map_err(|source| Error::Store(source.within("forget a producer")))
    }

    /// Why the queue took nothing.
    pub fn no_room<R: Invalid>(&self) -> Error<R> {
        if self.drain.has_begun() { Error::Draining } else { Error::QueueFull }
    }
}
