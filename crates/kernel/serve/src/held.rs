//! A request while it is open: its place among all, its half-sent message, and the rest of a large answer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use futures_util::task::noop_waker_ref;
use http::{Response, header};
use http_body::{Frame, SizeHint};
use tally_runtime::Kind;
use tonic::Status;

use crate::admission::is_grpc;
use crate::api::{Kept, PART_BYTES, Problem, keep};
use crate::clients::{Data, Open, Ticket, Whose};
use crate::guard::Address;
use crate::half_sent::HalfSent;
use crate::tls::Peer;

/// What of gRPC's answers is more than this in one frame waits in the room of all answers.
const FRAME_BYTES_MAX: usize = 64 << 10;
/// A service's reading is noted in steps of this many bytes.
const NOTED_BYTES: usize = 4 << 10;
/// How many frames of a request that is over are taken out at once.
const LEFT_FRAMES_MAX: usize = 4_096;

/// A request's body.
struct Coming {
    body: Body,
    open: Arc<Open>,
    _ticket: Arc<Ticket>,
    /// Of gRPC.
    message: Option<HalfSent>,
    /// What was read and not noted.
    read: Data,
}

/// An answer's body.
struct Going {
    body: Body,
    _open: Arc<Open>,
    _ticket: Arc<Ticket>,
    is_grpc: bool,
    /// What is left of a large frame, from here on.
    rest: Option<(Arc<Kept<Bytes>>, usize)>,
    is_over: bool,
}

/// Keeps a request's places for as long as the request or its answer exists: a service may read on
/// after its call is cancelled. It learns who its peer is, and where.
pub(crate) async fn held(mut request: Request, next: Next) -> Response<Body> {
    let known = request.extensions_mut().remove::<(Ticket, Peer, Address)>();
    let Some((ticket, peer, address)) = known else {
        return next.run(request).await;
    };
    request.extensions_mut().insert(peer);
    request.extensions_mut().insert(address);
    let is_grpc = is_grpc(request.headers());
    let (open, ticket) = (Arc::new(ticket.open()), Arc::new(ticket));
    request.extensions_mut().insert(Arc::clone(&open));
    let coming = |body| {
        let (open, _ticket) = (Arc::clone(&open), Arc::clone(&ticket));
        Body::new(Coming {
            body,
            open,
            _ticket,
            message: is_grpc.then(HalfSent::new),
            read: Data::default(),
        })
    };
    let mut answer = open.asker().asks(next.run(request.map(coming))).await;
    open.note_answer();
    // A refusal waits for a client that does not take it, so it has a place like what anyone may ask for;
    // without one it has no text, because heads need not wait.
    if !open.has_place() && !open.take_place(Whose::Anyone) {
        answer.headers_mut().remove(header::CONTENT_LENGTH);
        answer = answer.map(|_| Body::empty());
    }
    answer.map(|body| {
        let going =
            Going { body, _open: open, _ticket: ticket, is_grpc, rest: None, is_over: false };
        Body::new(going)
    })
}

/// Takes a request's place, now that it is known whose it is. Returns what it is answered if there is none.
pub(crate) fn refused_place(request: &mut Request, whose: Whose) -> Option<Response<Body>> {
    let open = request.extensions_mut().remove::<Arc<Open>>();
    if open.is_none_or(|open| open.take_place(whose)) {
        return None;
    }
    let text = "this server has as many open requests as it takes; try again later";
    if is_grpc(request.headers()) {
        return Some(Status::unavailable(text).into_http());
    }
    Some(Problem::new(Kind::Unavailable, text).into_response())
}

// === impl Coming ===

impl Coming {
    fn note(&mut self) {
        self.open.note_read(std::mem::take(&mut self.read));
    }
}

impl HttpBody for Coming {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let failed = |status: Status| Poll::Ready(Some(Err(axum::Error::new(status))));
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            this.note();
            if let Some(message) = &mut this.message
                && let Poll::Ready(late) = message.poll_late(cx)
            {
                return failed(late);
            }
            return Poll::Pending;
        };
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.read += Data::frame(data.len());
            if this.read.size() > NOTED_BYTES {
                this.note();
            }
            if let Some(message) = &mut this.message
                && let Err(full) = message.note(data)
            {
                return failed(full);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What the service has not read goes, and does not count any more.
impl Drop for Coming {
    fn drop(&mut self) {
        let cx = &mut Context::from_waker(noop_waker_ref());
        for _ in 0..LEFT_FRAMES_MAX {
            if self.body.is_end_stream() {
                break;
            }
            let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut self.body).poll_frame(cx) else {
                break;
            };
            if let Some(data) = frame.data_ref() {
                self.read += Data::frame(data.len());
            }
        }
        self.note();
    }
}

// === impl Going ===

impl Going {
    /// The next part of what is left of a frame. It is a copy, because a part of a frame keeps all of it.
    fn part(&mut self) -> Option<Frame<Bytes>> {
        let (kept, at) = self.rest.take()?;
        let part = kept.read(|bytes| {
            let end = (at + PART_BYTES).min(bytes.len());
            (Bytes::copy_from_slice(&bytes[at..end]), end < bytes.len())
        });
        let Ok((part, is_more)) = part else {
            return Some(self.end("the answer was read too slowly, and others need its room"));
        };
        self.rest = is_more.then(|| (kept, at + part.len()));
        Some(Frame::data(part))
    }

    /// Puts a large frame into the room, and takes its first part.
    fn put(&mut self, bytes: Bytes) -> Frame<Bytes> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let (number, len) = (NUMBER.fetch_add(1, Ordering::Relaxed), bytes.len());
        self.rest = keep(number, bytes, len).ok().map(|kept| (kept, 0));
        self.part().unwrap_or_else(|| self.end("too many large answers are being read; try again"))
    }

    fn end(&mut self, text: &str) -> Frame<Bytes> {
        self.is_over = true;
        let status = Status::unavailable(text);
        let mut trailers = http::HeaderMap::new();
        // A status and a text are always headers.
        let _ = status.add_header(&mut trailers);
        Frame::trailers(trailers)
    }
}

impl HttpBody for Going {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.is_over {
            return Poll::Ready(None);
        }
        if let Some(part) = this.part() {
            return Poll::Ready(Some(Ok(part)));
        }
        let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(Ok(frame)) if this.is_grpc => frame,
            other => return Poll::Ready(other),
        };
        let frame = match frame.into_data() {
            Ok(data) if data.len() > FRAME_BYTES_MAX => this.put(data),
            Ok(data) => Frame::data(data),
            Err(frame) => frame,
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.rest.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_grpc { SizeHint::default() } else { self.body.size_hint() }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use tokio::time::advance;
    use tower_service::Service as _;

    use super::*;
    use crate::api::ALONE;
    use crate::clients::Clients;

    const BYTES: usize = 16 << 20;

    /// An answer in one large frame, to a call of gRPC.
    async fn answered() -> Body {
        let service = post(async || Bytes::from(vec![7; BYTES]));
        let mut router = Router::new().route("/large", service).layer(from_fn(held));
        let address = ([127, 0, 0, 1], 1).into();
        let client = Clients::new(1).admit(address).expect("room");
        let known = (Ticket::new(&client.state), Peer::default(), Address(address));
        let request = http::Request::post("/large").header("content-type", "application/grpc");
        let request = request.extension(known).body(Body::empty()).expect("a request");
        router.call(request).await.expect("an answer").into_body()
    }

    /// The next part, or the text of the status at the end.
    async fn next(body: &mut Body) -> Result<usize, String> {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        let frame = frame.expect("no end without a status").expect("no error");
        let status = |frame: Frame<Bytes>| {
            let trailers = frame.into_trailers().expect("trailers");
            Status::from_header_map(&trailers).expect("a status").to_string()
        };
        frame.into_data().map(|data| data.len()).map_err(status)
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_reader_of_large_frames_makes_room() {
        let _alone = ALONE.lock().await;
        let (mut slow, mut refused) = (answered().await, answered().await);
        assert_eq!(next(&mut slow).await, Ok(PART_BYTES));
        let full = next(&mut refused).await.expect_err("the slow one is new");
        assert!(full.contains("too many large answers are being read"), "{full}");
        assert!(refused.is_end_stream());
        advance(std::time::Duration::from_secs(3)).await;
        let mut other = answered().await;
        for _ in 0..BYTES / PART_BYTES {
            assert_eq!(next(&mut other).await, Ok(PART_BYTES));
        }
        assert!(other.is_end_stream());
        let given_up = next(&mut slow).await.expect_err("others need its room");
        assert!(given_up.contains("was read too slowly"), "{given_up}");
    }
}
