//! A server with one service, which counts its calls and bytes and can be made to wait.

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
use tally_serve::{Domains, Doors, Listener, Needs, Server, Started};
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;

/// Limit for everything that is expected to happen. Only a failed test waits this long.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
/// The service's one method.
pub(crate) const METHOD: &str = "/test.Gate/Pass";

/// What its methods need.
pub(crate) const GATE: &[(&str, Needs)] = &[("Pass", Needs::Ingest), ("Rule", Needs::Admin)];

/// Waits at its gate, then handles its request and answers OK.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    is_open: watch::Sender<bool>,
    does: Does,
    calls: AtomicUsize,
    bytes: AtomicUsize,
}

/// How a service handles a request.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    /// Reads it to the end.
    Read,
    /// Ignores it.
    Answer,
    /// Reads it in a separate task, which continues when the call is cancelled.
    Detach,
}

/// A domain that is always ready, and has nothing to store.
pub(crate) struct Idle;

/// A running server.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) domains: Domains,
    pub(crate) drain: Drain,
    tasks: Tasks,
}

// === impl Gate ===

impl Gate {
    pub(crate) fn new(is_open: bool) -> Self {
        Self::with(is_open, Does::Read)
    }

    /// A gate that answers without reading.
    pub(crate) fn without_reading() -> Self {
        Self::with(true, Does::Answer)
    }

    /// A closed gate where even cancelled calls wait.
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

    /// How many bytes the service has read.
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

// === impl Idle ===

#[tonic::async_trait]
impl tally_serve::Running for Idle {
    async fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn queued_rows(&self) -> usize {
        0
    }

    async fn finished(&self) {}
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
        Self::on(gate, Listener::bind("127.0.0.1:0").await.expect("a free port")).await
    }

    pub(crate) async fn on(gate: &Gate, listener: Listener) -> Running {
        let doors = Doors::new().grpc(gate.clone(), GATE);
        let started = Started { name: "idle", running: Arc::new(Idle), doors, tasks: Tasks::new() };
        Self::with(vec![started], Drain::new(), listener).await
    }

    /// A server of these domains, which were started with this drain.
    pub(crate) async fn with(started: Vec<Started>, drain: Drain, listener: Listener) -> Running {
        let server = Server::open("a title", "a hint\n", started, &drain).await;
        Self::of(server.expect("its sockets are free"), drain, listener)
    }

    /// One that takes so many connections.
    pub(crate) async fn with_connections(gate: &Gate, connections_max: usize) -> Running {
        let (doors, drain) = (Doors::new().grpc(gate.clone(), GATE), Drain::new());
        let started = Started { name: "idle", running: Arc::new(Idle), doors, tasks: Tasks::new() };
        let server = Server::open("a title", "a hint\n", vec![started], &drain).await;
        let server = server.expect("it has no sockets").with_connections(connections_max);
        Self::of(server, drain, Listener::bind("127.0.0.1:0").await.expect("a free port"))
    }

    fn of(server: Server, drain: Drain, listener: Listener) -> Running {
        let (address, tasks) = (listener.address(), Tasks::new());
        let (domains, asked, until) = (server.domains(), server.domains(), drain.clone());
        tasks.spawn("server", async move {
            let probe = move || {
                let asked = asked.clone();
                async move { asked.ready().await }
            };
            server.run(listener, probe, &until).await.expect("it serves");
        });
        Running { address, domains, drain, tasks }
    }

    /// Waits until it has drained.
    pub(crate) async fn stop(self) {
        self.drain.begin();
        tokio::time::timeout(LIMIT, self.tasks.finished()).await.expect("it drains");
    }
}
