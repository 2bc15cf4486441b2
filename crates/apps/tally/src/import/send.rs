//! One acknowledged stream after the other.
//!
//! The server acknowledges a stream as a whole, once all of it is committed. So a long import
//! is cut into streams, and what the progress bar shows is counted, not merely sent.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tally_proto::count::v1::AddRequest;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tonic::Status;
use tonic::transport::Channel;

use super::feed::{Chunk, Failure, Fed, LineCounts};
use crate::client::counted;

/// How many requests one stream carries at most.
pub(crate) const STREAM_REQUESTS_MAX: usize = 100_000;

/// A stream is ended when its input pauses for this long, so that what was read from a slow
/// pipe is acknowledged too.
const IDLE: Duration = Duration::from_secs(1);

/// How many chunks may wait inside a stream.
const STREAM_CHUNKS_MAX: usize = 2;

/// A line of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) input: usize,
    pub(crate) line: u64,
}

/// What is known at the end.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// So many requests are counted for certain.
    pub(crate) counted: u64,
    /// Every request up to this line is counted.
    pub(crate) through: Option<Place>,
    pub(crate) counts: LineCounts,
    pub(crate) failures: Vec<Failure>,
    pub(crate) stop: Option<Stop>,
}

/// Why not everything was sent.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The person asked for it.
    Interrupted,
    /// The server ended a stream.
    Refused {
        status: Box<Status>,
        /// How many requests of that stream may be counted beyond those that are; 0 when the
        /// server said exactly how many are.
        maybe: u64,
        /// The first request that is not known to be counted.
        next: Option<Place>,
    },
}

/// Sends what the reader thread gives until it ends, `stop` turns true or the server refuses.
/// After each acknowledged stream, `acknowledged` is told how many requests are counted and
/// how many bytes were read for them.
pub(crate) async fn send_all(
    client: CountServiceClient<Channel>,
    chunks: mpsc::Receiver<Fed>,
    stop: watch::Receiver<bool>,
    acknowledged: &mut dyn FnMut(u64, u64),
) -> Outcome {
    let mut sender = Sender {
        client,
        chunks,
        stop,
        held: None,
        read: Read::default(),
        outcome: Outcome::default(),
    };
    while sender.outcome.stop.is_none() {
        match sender.next().await {
            Next::Chunk(chunk) => sender.send_stream(chunk, acknowledged).await,
            Next::End => break,
            Next::Stop => sender.outcome.stop = Some(Stop::Interrupted),
        }
    }
    if !matches!(sender.outcome.stop, Some(Stop::Refused { .. })) {
        sender.settle(0, acknowledged);
    }
    sender.outcome
}

struct Sender {
    client: CountServiceClient<Channel>,
    chunks: mpsc::Receiver<Fed>,
    stop: watch::Receiver<bool>,
    /// A chunk that did not fit into the stream before it.
    held: Option<Chunk>,
    read: Read,
    outcome: Outcome,
}

/// How far the inputs are read, counted or not.
#[derive(Debug, Default, Clone, Copy)]
struct Read {
    through: Option<Place>,
    bytes: u64,
}

enum Next {
    /// Never without requests.
    Chunk(Chunk),
    Stop,
    End,
}

/// The messages of a stream, out of whole chunks.
struct Messages {
    chunks: mpsc::Receiver<Vec<AddRequest>>,
    chunk: std::vec::IntoIter<AddRequest>,
}

// === impl Sender ===

impl Sender {
    /// The next chunk that has requests. Dropping this future loses nothing.
    async fn next(&mut self) -> Next {
        loop {
            // A chunk is taken in before anything is looked at that may end the loop, and
            // each wait below gives up nothing that it has taken.
            if let Some(chunk) = self.held.take() {
                self.read = Read {
                    through: Some(Place { input: chunk.input, line: chunk.through }),
                    bytes: chunk.bytes,
                };
                return Next::Chunk(chunk);
            }
            let fed = tokio::select! {
                biased;
                Ok(_) = self.stop.wait_for(|stop| *stop) => return Next::Stop,
                fed = self.chunks.recv() => fed,
            };
            match fed {
                None => return Next::End,
                Some(Fed::Failed(failure)) => self.outcome.failures.push(failure),
                Some(Fed::Chunk(mut chunk)) => {
                    self.outcome.counts.add(std::mem::take(&mut chunk.counts));
                    if chunk.requests.is_empty() {
                        let place = Place { input: chunk.input, line: chunk.through };
                        self.read = Read { through: Some(place), bytes: chunk.bytes };
                    } else {
                        self.held = Some(chunk);
                    }
                }
            }
        }
    }

    /// Sends one stream, beginning with `first`, and waits for its acknowledgement.
    async fn send_stream(&mut self, first: Chunk, acknowledged: &mut dyn FnMut(u64, u64)) {
        let (messages, receiver) = mpsc::channel(STREAM_CHUNKS_MAX);
        let mut client = self.client.clone();
        let mut call =
            pin!(client.add(Messages { chunks: receiver, chunk: Vec::new().into_iter() }));
        let mut places = Vec::new();
        let mut chunk = first;
        let answer = loop {
            let input = chunk.input;
            places.extend(chunk.lines.iter().map(|&line| Place { input, line }));
            let sent = tokio::select! {
                biased;
                answer = &mut call => break Err(answer),
                sent = messages.send(chunk.requests) => sent,
            };
            if sent.is_err() {
                break Err(call.as_mut().await);
            }
            let next = tokio::select! {
                biased;
                answer = &mut call => break Err(answer),
                next = tokio::time::timeout(IDLE, self.next()) => next,
            };
            match next {
                Ok(Next::Chunk(more))
                    if places.len() + more.requests.len() <= STREAM_REQUESTS_MAX =>
                {
                    chunk = more;
                }
                Ok(Next::Chunk(more)) => {
                    self.held = Some(more);
                    self.read.through = places.last().copied();
                    break Ok(());
                }
                Ok(Next::Stop) => {
                    self.outcome.stop = Some(Stop::Interrupted);
                    break Ok(());
                }
                Ok(Next::End) | Err(_) => break Ok(()),
            }
        };
        drop(messages);
        let answer = match answer {
            Ok(()) => call.await,
            Err(early) => early.and_then(|_| {
                Err(Status::internal("the server answered before the end of the stream"))
            }),
        };
        match answer {
            Ok(_) => self.settle(places.len() as u64, acknowledged),
            Err(status) => self.refused(status, &places),
        }
    }

    /// Everything that was read up to here is counted.
    fn settle(&mut self, requests: u64, acknowledged: &mut dyn FnMut(u64, u64)) {
        self.outcome.counted += requests;
        self.outcome.through = self.read.through;
        acknowledged(self.outcome.counted, self.read.bytes);
    }

    /// A part of the stream is counted, if the server says so.
    fn refused(&mut self, status: Status, places: &[Place]) {
        let sent = places.len();
        let known = counted(&status).and_then(|known| usize::try_from(known).ok());
        let (known, maybe) = match known.filter(|known| *known <= sent) {
            Some(known) => (known, 0),
            None => (0, sent as u64),
        };
        self.outcome.counted += known as u64;
        if let Some(last) = known.checked_sub(1) {
            self.outcome.through = places.get(last).copied();
        }
        let next = places.get(known).copied();
        self.outcome.stop = Some(Stop::Refused { status: Box::new(status), maybe, next });
    }
}

// === impl Messages ===

impl Stream for Messages {
    type Item = AddRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AddRequest>> {
        loop {
            if let Some(request) = self.chunk.next() {
                return Poll::Ready(Some(request));
            }
            match self.chunks.poll_recv(cx) {
                Poll::Ready(Some(chunk)) => self.chunk = chunk.into_iter(),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests;
