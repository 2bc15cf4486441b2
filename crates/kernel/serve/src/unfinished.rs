//! How many requests of a connection are unfinished, and when its bytes wait for them.
//!
//! h2 bounds the streams that are open. A request whose stream was cancelled is still a task until
//! that has run, with its headers and what else it holds, and a client cancels faster than tasks
//! run. So a connection with too many of them is not read until some are over.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use futures_util::task::AtomicWaker;
use http::Response;
use http_body::{Frame, SizeHint};

use crate::server::STREAMS_MAX;

/// With how many unfinished requests a connection is not read. More than may be open at the same
/// time: those can end only when their connection is read. A request with the largest headers
/// takes some 13 KB.
const UNFINISHED_MAX: usize = STREAMS_MAX as usize / 4 * 5;

/// The requests of one connection.
#[derive(Debug, Default)]
struct Requests {
    unfinished: AtomicUsize,
    reader: AtomicWaker,
}

/// The side of the connection.
#[derive(Debug, Default)]
pub(crate) struct Unfinished(Arc<Requests>);

/// One unfinished request, until it is dropped.
///
/// It goes through tonic as what a request can know of its connection: tonic clones that with its
/// services, and hyper clones those in the task of the connection, before it spawns the request's.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Requests>);

/// A body whose request is unfinished as long as it lives.
struct Held {
    body: Body,
    _ticket: Arc<Ticket>,
}

// === impl Unfinished ===

impl Unfinished {
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket::new(&self.0)
    }

    /// Ready when the connection may be read.
    pub(crate) fn poll_few(&self, cx: &mut Context<'_>) -> Poll<()> {
        let are_few = || self.0.unfinished.load(Ordering::SeqCst) < UNFINISHED_MAX;
        if are_few() {
            return Poll::Ready(());
        }
        self.0.reader.register(cx.waker());
        if are_few() { Poll::Ready(()) } else { Poll::Pending }
    }
}

// === impl Ticket ===

impl Ticket {
    fn new(requests: &Arc<Requests>) -> Self {
        requests.unfinished.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(requests))
    }
}

impl Clone for Ticket {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.unfinished.fetch_sub(1, Ordering::SeqCst) == UNFINISHED_MAX {
            self.0.reader.wake();
        }
    }
}

/// Keeps a request's ticket as long as anything holds the request or its answer: a service may go
/// on reading a request after its call is cancelled.
pub(crate) async fn held(mut request: Request, next: Next) -> Response<Body> {
    let Some(ticket) = request.extensions_mut().remove::<Ticket>() else {
        return next.run(request).await;
    };
    let ticket = Arc::new(ticket);
    let held = |body| Body::new(Held { body, _ticket: Arc::clone(&ticket) });
    next.run(request.map(held)).await.map(held)
}

// === impl Held ===

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
