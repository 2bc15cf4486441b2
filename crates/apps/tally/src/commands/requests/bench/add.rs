//! A stream of calls of `count.v1`'s `Add`: one is sent after another, and a few may wait for their
//! answers.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::Frame;
use tally_proto::wire;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, header};
use tonic::codegen::{Body as _, Service as _, StdError};

use super::pace::{Next, Turn};
use super::stream::{Patience, Shared};
use crate::client::Caller;

const ADD: &str = "/count.v1.CountService/Add";

/// How many frames wait for HTTP/2.
const WAITING_MAX: usize = 2;

/// A stream of calls.
pub(super) struct Adder {
    shared: Arc<Shared>,
    caller: Caller,
    turn: Turn,
    /// Which of the run's streams this is.
    stream: usize,
    /// How many requests the first call has.
    first: u64,
    /// How many requests were sent.
    at: u64,
    /// The number of the last call.
    last: u64,
    calls: JoinSet<Ended>,
    unacknowledged: BTreeMap<u64, Sent>,
    patience: Patience,
}

/// What a call was sent.
struct Sent {
    rows: u64,
    /// When the last of it should have been sent.
    due: Instant,
}

/// How a call ended.
struct Ended {
    call: u64,
    at: Instant,
    result: Result<(), Status>,
}

/// The body of a call, sent as it comes.
struct Frames(mpsc::Receiver<Bytes>);

// === impl Adder ===

impl Adder {
    pub(super) fn new(
        shared: Arc<Shared>,
        caller: Caller,
        turn: Turn,
        (stream, streams): (usize, usize),
    ) -> Self {
        let first = (shared.shape.call * (stream as u64 + 1)).div_ceil(streams as u64);
        let patience = Patience::new(shared.patience);
        let (calls, unacknowledged) = (JoinSet::new(), BTreeMap::new());
        // Streams begin at different ones of the requests that were drawn.
        let at = stream as u64 * 7_919;
        Self { shared, caller, turn, stream, first, at, last: 0, calls, unacknowledged, patience }
    }

    /// Sends until its turn is over and all is acknowledged, or until it gives up.
    pub(super) async fn run(mut self) {
        if let Err(why) = self.go().await {
            self.shared.meter.failed(why);
            self.shared.meter.in_doubt(self.unacknowledged.values().map(|sent| sent.rows).sum());
        }
        self.shared.meter.unsent(self.turn.unsent());
    }

    async fn go(&mut self) -> Result<(), String> {
        loop {
            let mut is_over = false;
            while !is_over {
                while self.calls.len() >= self.shared.in_flight {
                    self.answer().await?;
                }
                is_over = self.call().await?;
            }
            while !self.calls.is_empty() {
                self.answer().await?;
            }
            // Calls that ended late may have given requests back.
            if self.turn.is_over(Instant::now()) {
                return Ok(());
            }
        }
    }

    /// Sends a call, and returns whether the turn is over. It may end before it is sent.
    async fn call(&mut self) -> Result<bool, String> {
        let (sender, frames) = mpsc::channel(WAITING_MAX);
        let mut frames = Some(frames);
        self.last += 1;
        let call = self.last;
        // The first one is shorter, so that those of all streams do not end at the same moment.
        let mut left = if call == 1 { self.first } else { self.shared.shape.call };
        while left > 0 {
            let (is_waiting, due) = (!self.calls.is_empty(), self.turn.next_due());
            tokio::select! {
                biased;
                Some(ended) = self.calls.join_next(), if is_waiting => {
                    let is_this = self.take(ended).await?;
                    if is_this == Some(call) {
                        return Ok(false);
                    }
                }
                next = self.turn.next(&sender) => match next {
                    Next::Send(due, room) => {
                        let rows = self.turn.rows().min(left);
                        let micros = self.shared.micros(self.stream, call);
                        room.send(self.shared.work.messages(self.at, rows, micros));
                        let sent = Sent { rows: 0, due };
                        let sent = self.unacknowledged.entry(call).or_insert(sent);
                        (sent.rows, sent.due) = (sent.rows + rows, due);
                        self.at += rows;
                        left -= rows;
                        self.turn.sent(rows);
                        self.shared.meter.sent(rows);
                        self.patience.sent(Instant::now());
                        // A call begins with its first requests.
                        if let Some(frames) = frames.take() {
                            self.calls.spawn(add(self.caller.clone(), call, frames));
                        }
                    }
                    Next::Over => return Ok(true),
                    // Its end says why.
                    Next::Ended => {
                        self.answer().await?;
                        if !self.unacknowledged.contains_key(&call) {
                            return Ok(false);
                        }
                    }
                },
                ended = self.patience.end(due), if is_waiting => {
                    return Err(ended.message().to_owned());
                }
            }
        }
        Ok(false)
    }

    /// Waits until a call ends.
    async fn answer(&mut self) -> Result<(), String> {
        tokio::select! {
            biased;
            Some(ended) = self.calls.join_next() => self.take(ended).await.map(drop),
            ended = self.patience.end(None) => Err(ended.message().to_owned()),
        }
    }

    /// Notes how a call ended, and returns which it was.
    async fn take(
        &mut self,
        ended: Result<Ended, tokio::task::JoinError>,
    ) -> Result<Option<u64>, String> {
        let Ok(Ended { call, at, result }) = ended else {
            return Err("a call panicked".to_owned());
        };
        let Some(Sent { rows, due }) = self.unacknowledged.remove(&call) else {
            return Ok(None);
        };
        let Err(status) = result else {
            self.patience.renew(at);
            self.shared.meter.acknowledged(rows, due, at);
            return Ok(Some(call));
        };
        self.shared.meter.refused(&status);
        match wire::number(&status, wire::COUNTED_TRAILER) {
            Some(through) => {
                let refused = wire::number(&status, wire::REFUSED_TRAILER).unwrap_or(0);
                let counted = through.min(rows).saturating_sub(refused);
                self.shared.meter.acknowledged(counted, due, at);
                self.turn.give_back(rows - counted);
            }
            None => self.shared.meter.in_doubt(rows),
        }
        self.patience.pause(&status).await.map(|()| Some(call))
    }
}

/// One call.
async fn add(mut caller: Caller, call: u64, frames: mpsc::Receiver<Bytes>) -> Ended {
    let result = async {
        let mut request = Request::new(Body::new(Frames(frames)));
        *request.method_mut() = tonic::codegen::http::Method::POST;
        *request.uri_mut() = tonic::codegen::http::Uri::from_static(ADD);
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        std::future::poll_fn(|context| caller.poll_ready(context)).await?;
        let answer = caller.call(request).await?;
        let mut status = Status::from_header_map(answer.headers());
        let mut body = answer.into_body();
        while let Some(frame) =
            std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
        {
            let of_trailers = |trailers: HeaderMap| Status::from_header_map(&trailers);
            status = frame?.into_trailers().ok().and_then(of_trailers).or(status);
        }
        Ok::<_, StdError>(status.unwrap_or_else(|| Status::unknown("the call has no status")))
    };
    let status = result.await.unwrap_or_else(Status::from_error);
    let result = if status.code() == tonic::Code::Ok { Ok(()) } else { Err(status) };
    Ended { call, at: Instant::now(), result }
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.0.poll_recv(context).map(|frame| frame.map(|bytes| Ok(Frame::data(bytes))))
    }
}
