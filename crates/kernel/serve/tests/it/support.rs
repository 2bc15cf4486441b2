//! A server with one service, which counts what reaches it and can be told to wait.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Bytes, HttpBody as _};
use tally_runtime::{Drain, Tasks};
use tally_serve::{Listener, Server};
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;

/// How long anything may take that is expected to happen. Only a failed test waits so long.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
/// The service's one method.
pub(crate) const METHOD: &str = "/test.Gate/Pass";

/// Waits at its gate, then does with its request what it is there for, and says OK.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    is_open: watch::Sender<bool>,
    does: Does,
    calls: AtomicUsize,
    bytes: AtomicUsize,
}

/// What a service does with a request.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    /// Reads it to the end.
    Read,
    /// Nothing.
    Answer,
    /// Reads it in a task of its own, which goes on when the call is cancelled.
    Detach,
}

/// A running server.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) drain: Drain,
    pub(crate) tasks: Tasks,
}

// === impl Gate ===

impl Gate {
    pub(crate) fn new(is_open: bool) -> Self {
        Self::with(is_open, Does::Read)
    }

    /// A gate that turns everybody away, and reads nothing.
    pub(crate) fn without_reading() -> Self {
        Self::with(true, Does::Answer)
    }

    /// A closed gate where cancelled calls wait too.
    pub(crate) fn of_detached_calls() -> Self {
        Self::with(false, Does::Detach)
    }

    fn with(is_open: bool, does: Does) -> Self {
        let (calls, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self(Arc::new(Inner { is_open: watch::Sender::new(is_open), does, calls, bytes }))
    }

    pub(crate) fn open(&self) {
        self.0.is_open.send_replace(true);
    }

    /// How many calls have reached the service.
    pub(crate) fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }

    /// How many bytes it has read.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::SeqCst)
    }
}

impl tonic::server::NamedService for Gate {
    const NAME: &'static str = "test.Gate";
}

impl tower_service::Service<http::Request<Body>> for Gate {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            inner.calls.fetch_add(1, Ordering::SeqCst);
            let does = inner.does;
            let passed = inner.passed(request.into_body());
            match does {
                Does::Detach => Tasks::detach("call", passed).await.expect("it ends"),
                Does::Read | Does::Answer => passed.await,
            }
            Ok(Status::ok("").into_http())
        })
    }
}

// === impl Inner ===

impl Inner {
    async fn passed(self: Arc<Self>, request: Body) {
        let mut is_open = self.is_open.subscribe();
        is_open.wait_for(|is_open| *is_open).await.expect("the sender is ours");
        if self.does != Does::Answer {
            read(request, &self.bytes).await;
        }
    }
}

async fn read(body: Body, bytes: &AtomicUsize) {
    let mut body = pin!(body);
    while let Some(Ok(frame)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let read = frame.data_ref().map_or(0, Bytes::len);
        bytes.fetch_add(read, Ordering::SeqCst);
    }
}

// === impl Running ===

impl Running {
    pub(crate) async fn start(gate: &Gate) -> Running {
        Self::on(gate, Listener::bind("127.0.0.1:0").await.expect("a free port"))
    }

    pub(crate) fn on(gate: &Gate, listener: Listener) -> Running {
        let (address, drain, tasks) = (listener.address(), Drain::new(), Tasks::new());
        let server = Server::new("a gate").service(gate.clone());
        let of_server = drain.clone();
        tasks.spawn("server", async move {
            server.run(listener, async || Ok(()), &of_server).await.expect("it serves");
        });
        Running { address, drain, tasks }
    }

    /// Waits until it has drained.
    pub(crate) async fn stop(self) {
        self.drain.begin();
        self.tasks.close();
        tokio::time::timeout(LIMIT, self.tasks.finished()).await.expect("it drains");
    }
}
