//! Shared by these tests: counts as text, a server over loopback, and bytes on a connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use http::Request;
use tally_client::{Method, Queue, SeriesKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

/// Methods by name; all without a number are `?`.
const METHODS: [(Method, &str); 12] = [
    (Method::UNSPECIFIED, "?"),
    (Method::CONNECT, "CONNECT"),
    (Method::DELETE, "DELETE"),
    (Method::GET, "GET"),
    (Method::HEAD, "HEAD"),
    (Method::OPTIONS, "OPTIONS"),
    (Method::POST, "POST"),
    (Method::PUT, "PUT"),
    (Method::TRACE, "TRACE"),
    (Method::PATCH, "PATCH"),
    (Method::GRPC, "GRPC"),
    (Method(101), "PROPFIND"),
];

/// A server on its own port, which ends with this.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _task: JoinSet<()>,
}

/// Asserts that a queue has counted exactly this, by method, path and status.
#[track_caller]
pub(crate) fn assert_counts<const N: usize>(queue: &Queue, expected: [(&str, u64); N]) {
    assert_named(queue, expected, |method, path, status| format!("{method} {path} {status}"));
}

/// Asserts that a queue has counted exactly this, by method and path.
#[track_caller]
pub(crate) fn assert_paths<const N: usize>(queue: &Queue, expected: [(&str, u64); N]) {
    assert_named(queue, expected, |method, path, _| format!("{method} {path}"));
}

#[track_caller]
fn assert_named<const N: usize>(
    queue: &Queue,
    expected: [(&str, u64); N],
    name: fn(&str, &str, u16) -> String,
) {
    let mut counted: BTreeMap<String, u64> = BTreeMap::new();
    for (SeriesKey { method, path, status, .. }, count) in queue.series_counts() {
        let (_, method) =
            METHODS.iter().find(|(known, _)| *known == method).expect("a method of the tests");
        *counted.entry(name(method, path, status)).or_default() += count;
    }
    let expected = expected.map(|(name, count)| (name.to_owned(), count)).into();
    assert_eq!(counted, expected);
}

/// A request without a body.
pub(crate) fn request(method: &str, uri: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(uri).body(Body::empty());
    request.expect("a request that can be made")
}

/// Asks a router, and returns the status.
pub(crate) async fn status(app: &Router, method: &str, uri: &str) -> u16 {
    let Ok(response) = app.clone().oneshot(request(method, uri)).await;
    response.status().as_u16()
}

// === impl Server ===

impl Server {
    /// Serves HTTP/1 and HTTP/2.
    pub(crate) async fn http(app: Router) -> Server {
        let listener = listen().await;
        let address = listener.local_addr().expect("it listens");
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        Server { address, _task: task }
    }

    /// Serves on the listener.
    pub(crate) async fn with<F>(serve: impl FnOnce(TcpListener) -> F) -> Server
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = listen().await;
        let address = listener.local_addr().expect("it listens");
        let mut task = JoinSet::new();
        task.spawn(serve(listener));
        Server { address, _task: task }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    /// Sends the head of a request, without a body, on its own connection.
    pub(crate) async fn send(&self, head: &str) -> TcpStream {
        let mut connection = self.connect().await;
        send(&mut connection, head).await;
        connection
    }

    /// Sends a head, and returns the whole answer.
    pub(crate) async fn ask(&self, head: &str) -> String {
        let mut connection = self.send(&format!("{head}\r\nConnection: close")).await;
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.expect("the answer is read");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// Sends the lines of a head; the host is added.
pub(crate) async fn send(connection: &mut TcpStream, head: &str) {
    let head = format!("{head}\r\nHost: test\r\n\r\n");
    connection.write_all(head.as_bytes()).await.expect("the server reads");
}

/// Reads until these bytes arrive, and returns all that arrived.
pub(crate) async fn read_until(connection: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read);
        if text.contains(end) {
            return text.into_owned();
        }
        let length = connection.read(&mut chunk).await.expect("the server writes");
        assert_ne!(length, 0, "the connection ended before {end:?}: {text}");
        read.extend_from_slice(&chunk[..length]);
    }
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}
