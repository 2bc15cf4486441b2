//! `Add`, whose messages bypass tonic: making and polling an object for each takes longer than
//! counting it.

pub(crate) mod message;
pub(crate) mod recent;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tally_access::Caller;
use tally_ingest::{Receipt, Rows as _};
use tally_producers::stream::{Builder as _, Streams};
use tally_producers::{Content as _, Fate, Parcel};
use tally_proto::count::v1::{AddRequest, AddResponse};
use tally_proto::methods;
use tally_proto::wire::{COUNTED_TRAILER, REFUSED_TRAILER};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::Body as _;
use tonic::{Request, Response, Status, Streaming};

use self::message::{Framing, Message, Plain};
use self::recent::Recent;
use super::unread;
use crate::error::{Ended, Error, InvalidTime, WrongTimes};
use crate::intake::{Intake, Rules};
use crate::model::{Namespace, Series, SeriesRef};
use crate::rows::{Rows, RowsBuilder};
use crate::series::View;
use crate::service::Service;

/// Counts the requests of a stream.
pub(super) async fn add(
    service: &Service,
    mut request: Request<Streaming<AddRequest>>,
) -> Result<Response<AddResponse>, Status> {
    let namespace = Caller::of(request.extensions()).namespace();
    let body = unread::body(&mut request);
    let (intake, streams) = (Arc::clone(&service.intake), Arc::clone(&service.streams));
    let adding = Adding { namespace, intake, streams };
    // If the client goes away, this call is dropped, but what was sent is still counted.
    let adding =
        async move { adding.streams.measured(adding.add(body), Ending::before_its_end).await };
    let ended = service.to_its_end("add stream", adding).await;
    let panicked = Ending { counted: None, refused: 0, error: Some(Ended::Panicked.into()) };
    let Ending { counted, refused, error } = ended.unwrap_or(panicked);
    let Some(error) = error else { return Ok(Response::new(AddResponse {})) };
    let mut status = Status::from(error);
    if let Some(counted) = counted {
        status.metadata_mut().insert(COUNTED_TRAILER, counted.into());
        if refused > 0 {
            status.metadata_mut().insert(REFUSED_TRAILER, refused.into());
        }
    }
    Err(status)
}

/// The largest message from a client that is not a batch.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// At most this many requests of a stream travel together, in at most so many rows and requests of new
/// series.
const CHUNK_REQUESTS_MAX: usize = 16_384;
const CHUNK_ROWS_MAX: usize = 1_024;

/// The memory of a stream whose requests wait to be stored. The queue counts it with the first of
/// them, because no connection limits cancelled streams, which wait as well.
const STREAM_BYTES: usize = 4 << 10;

/// After a drain begins, read a stream until nothing is ready, for about this long, checked between
/// chunks: a client of count.v1 that ignores its answer never resends what was not read, and more
/// arrives while the last chunk is stored.
const LATE_MAX: Duration = Duration::from_millis(250);

/// Takes in `Add` streams.
pub(crate) struct Adding {
    pub(crate) namespace: Namespace,
    pub(crate) intake: Arc<Intake>,
    pub(crate) streams: Arc<Streams<Rows>>,
}

/// How a stream ended.
#[derive(Debug)]
pub(crate) struct Ending {
    /// If known: all requests up to this position are stored, or refused for their times, and none
    /// after it is.
    pub(crate) counted: Option<u64>,
    /// How many of them are refused.
    pub(crate) refused: u64,
    pub(crate) error: Option<Error>,
}

/// Requests of a stream that are not in the queue yet.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) rows: RowsBuilder,
    namespace: Namespace,
    /// How many requests were read for it, including refused ones.
    pub(crate) len: usize,
    /// The rules at the chunk's first request. They hold for all, because a chunk waits for
    /// nothing.
    rules: Option<Rules>,
    /// Requests of new series, which are named together.
    unknown: Vec<(Series, i64)>,
}

/// Requests of a stream whose times are wrong.
#[derive(Debug, Default)]
pub(crate) struct Wrong {
    times: Option<WrongTimes>,
    /// How many came since the last push.
    pending: u64,
}

// === impl Ending ===

impl Ending {
    /// Why the stream ended before its end, if it did.
    fn before_its_end(&self) -> Option<&Ended> {
        match self.error.as_ref()? {
            Error::Ended(ended) => Some(ended),
            _ => None,
        }
    }
}

// === impl Adding ===

impl Adding {
    /// Takes in a stream. Returns once what came before its end is stored, however it ends.
    pub(crate) async fn add(&self, body: Body) -> Ending {
        let receipt = Receipt::new();
        let mut wrong = Wrong::default();
        let error = self.read(body, &receipt, &mut wrong).await.err();
        match receipt.settled().await {
            Ok(stored) => Ending {
                counted: Some(stored + wrong.pending),
                refused: receipt.skipped() + wrong.pending,
                error: error.or(wrong.times.map(Error::Times)),
            },
            Err(failure) => Ending {
                counted: failure.stored,
                refused: receipt.skipped(),
                error: Some(Ended::Write(failure).into()),
            },
        }
    }

    /// Pushes what the stream brings.
    async fn read(
        &self,
        mut body: Body,
        receipt: &Receipt<Fate>,
        wrong: &mut Wrong,
    ) -> Result<(), Error> {
        let mut framing = Framing::new(MESSAGE_BYTES_MAX);
        let mut chunk = Chunk::new(&self.intake, self.namespace);
        let mut late_since = None;
        loop {
            if receipt.has_failed() {
                // The stream cannot succeed, and settling it will say why.
                return Ok(());
            }
            let is_late = self.streams.drain.has_begun();
            if is_late {
                // The end checks the result.
                let _ = receipt.settled().await;
                if late_since.get_or_insert_with(Instant::now).elapsed() > LATE_MAX {
                    return Err(Ended::Draining.into());
                }
            }
            let ended = self.fill(&mut chunk, &mut framing, &mut body, wrong, is_late).await;
            self.push(&mut chunk, receipt, wrong).await?;
            if let Some(ending) = ended {
                return ending;
            }
        }
    }

    /// Fills a chunk until it is full or nothing more is ready; there is no timer. Returns how the
    /// stream ends, if it does. A late stream ends when nothing is ready.
    async fn fill(
        &self,
        chunk: &mut Chunk,
        framing: &mut Framing,
        body: &mut Body,
        wrong: &mut Wrong,
        is_late: bool,
    ) -> Option<Result<(), Error>> {
        while !chunk.is_full() {
            match chunk.take_all(&self.intake, framing, wrong) {
                Ok(()) if chunk.is_full() => break,
                Ok(()) => {}
                Err(error) => return Some(Err(error)),
            }
            // A stream that always has another frame must yield to other tasks.
            tokio::task::coop::consume_budget().await;
            let next = next_frame(body);
            let frame = if chunk.len > 0 {
                next.now_or_never()?
            } else if is_late {
                let Some(frame) = next.now_or_never() else {
                    return Some(Err(Ended::Draining.into()));
                };
                frame
            } else {
                let mut next = pin!(next);
                match next.as_mut().now_or_never() {
                    Some(frame) => frame,
                    None => {
                        chunk.rows.rest();
                        tokio::select! {
                            frame = next => frame,
                            () = self.streams.drain.begun() => return None,
                        }
                    }
                }
            };
            match frame {
                Ok(Some(frame)) => framing.put(frame),
                Ok(None) => return Some(framing.end()),
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }

    /// Puts a chunk into the queue. From then on it is stored, or the receipt says why not.
    async fn push(
        &self,
        chunk: &mut Chunk,
        receipt: &Receipt<Fate>,
        wrong: &mut Wrong,
    ) -> Result<(), Error> {
        (chunk.len, chunk.rules) = (0, None);
        let unknown = std::mem::take(&mut chunk.unknown);
        let rows = &mut chunk.rows;
        if rows.rows() == 0 && unknown.is_empty() {
            return Ok(());
        }
        self.intake.ahead.in_time(self.intake.rules(self.namespace).now_micros);
        let receipt = receipt.skipping(std::mem::take(&mut wrong.pending));
        if !unknown.is_empty() {
            let series = unknown.iter().map(|(series, _)| (SeriesRef::from(series), 1));
            let named = self.intake.series.resolve(series);
            for (named, (_, micros)) in named.iter().zip(&unknown) {
                rows.push(named.id, *micros, 1);
                rows.name(named);
            }
        }
        let rows = Parcel::new(self.namespace, rows.take(self.intake.series.belief()));
        let requests =
            rows.content.days().iter().map(|(_, requests)| requests.unsigned_abs()).sum();
        let stream = if receipt.is_settled() { STREAM_BYTES } else { 0 };
        let room = self.streams.queue.reserve(rows.rows(), rows.bytes() + stream).await;
        let queue = &self.streams.queue;
        let pushed = room.and_then(|room| queue.push_into(room, rows, requests, &receipt).ok());
        pushed.ok_or_else(|| self.streams.no_room().into())
    }
}

// === impl Chunk ===

impl Chunk {
    pub(crate) fn new(intake: &Intake, namespace: Namespace) -> Self {
        let (len, rules, unknown) = (0, None, Vec::new());
        Self { rows: intake.builder(), namespace, len, rules, unknown }
    }

    /// Takes the messages of a frame, until the chunk is full.
    pub(crate) fn take_all(
        &mut self,
        intake: &Intake,
        framing: &mut Framing,
        wrong: &mut Wrong,
    ) -> Result<(), Error> {
        recent::with(&intake.series, self.namespace, |recent| {
            let known = intake.series.view();
            while !self.is_full() {
                let Some(message) = framing.next()? else { break };
                self.len += 1;
                if let Err(reason) = self.take(intake, message, recent, &known) {
                    wrong.add(framing.position(), reason);
                }
            }
            Ok(())
        })
    }

    #[inline]
    fn take(
        &mut self,
        intake: &Intake,
        message: &[u8],
        recent: &mut Recent,
        known: &View<'_>,
    ) -> Result<(), InvalidTime> {
        let rules = *self.rules.get_or_insert_with(|| intake.rules(self.namespace));
        let rows = &mut self.rows;
        let plain = Plain::read(message);
        if let Some(Plain { method, path, time }) = plain
            && let Some(named) = recent.find(method, path)
        {
            rows.push(named.id, intake.time(rules, time)?, 1);
            rows.name(named);
            return Ok(());
        }
        let Message { method: number, path, time } = Message::read(message, plain);
        let micros = intake.time(rules, time)?;
        let method = methods::text(number);
        let series = SeriesRef {
            namespace: self.namespace,
            ..SeriesRef::of_endpoint(&method, rules.path(&path))
        };
        let Some(named) = known.find(series) else {
            self.unknown.push((series.to_owned(), micros));
            return Ok(());
        };
        recent.note(number, named);
        rows.push(named.id, micros, 1);
        rows.name(named);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.len >= CHUNK_REQUESTS_MAX || self.rows.rows() + self.unknown.len() >= CHUNK_ROWS_MAX
    }
}

// === impl Wrong ===

impl Wrong {
    fn add(&mut self, position: u64, reason: InvalidTime) {
        let first = WrongTimes { first: position, reason, count: 0 };
        self.times.get_or_insert(first).count += 1;
        self.pending += 1;
    }
}

/// The next frame of the body; `None` at its end.
async fn next_frame(body: &mut Body) -> Result<Option<Bytes>, Error> {
    match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        // Trailers come last and mean nothing.
        Some(Ok(frame)) => Ok(frame.into_data().ok()),
        Some(Err(status)) => Err(Ended::broken(&status).into()),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
