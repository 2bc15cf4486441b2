//! How many requests of a connection are unfinished, and when its bytes wait for them.
//!
//! h2 bounds the open streams. A request whose stream was cancelled remains a task that holds its
//! headers and more, and a client can cancel faster than tasks run. So a connection with too many of
//! them is not read until some are over.

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

use crate::guard::Address;
use crate::server::STREAMS_MAX;
use crate::tls::Peer;

/// A connection with this many unfinished requests is not read. This is more than may be open at the
/// same time, because those end only if their connection is read. A request with the largest headers
/// takes some 13 KB.
const UNFINISHED_MAX: usize = STREAMS_MAX as usize / 4 * 5;

/// The requests of one connection.
#[derive(Debug, Default)]
struct Requests {
    unfinished: AtomicUsize,
    reader: AtomicWaker,
}

/// The connection's side.
#[derive(Debug, Default)]
pub(crate) struct Unfinished(Arc<Requests>);

/// One unfinished request, until it is dropped.
///
/// tonic carries it as the request's connection information, which it clones with its services, and
/// hyper clones those in the connection's task, before it spawns the request's.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Requests>);

/// A body that keeps its request unfinished.
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

/// Keeps a request's ticket for as long as the request or its answer exists: a service may read on
/// after its call is cancelled. It learns who its peer is, and where.
pub(crate) async fn held(mut request: Request, next: Next) -> Response<Body> {
    let Some((ticket, peer, address)) =
        request.extensions_mut().remove::<(Ticket, Peer, Address)>()
    else {
        return next.run(request).await;
    };
    request.extensions_mut().insert(peer);
    request.extensions_mut().insert(address);
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
