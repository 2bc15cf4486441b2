//! Real connections: disconnecting clients, upgrades, tunnels, and requests of odd shapes.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::routing::{any, get};
use futures_util::{StreamExt as _, stream};
use http::{Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tally_client::Queue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, mpsc};

use super::support::{Server, assert_counts, assert_paths, read_until, send};

/// Signals its drop.
struct Dropped(mpsc::UnboundedSender<&'static str>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

#[tokio::test]
async fn a_client_that_goes_before_the_head_is_counted_once() {
    let queue = Queue::in_memory();
    let (says, mut said) = mpsc::unbounded_channel();
    let slow = move || {
        let guard = Dropped(says.clone());
        async move {
            let _ = guard.0.send("called");
            std::future::pending::<()>().await;
            drop(guard);
        }
    };
    let app = Router::new().route("/slow/{id}", get(slow)).layer(queue.layer());
    let server = Server::http(app).await;
    let connection = server.send("GET /slow/1 HTTP/1.1").await;
    assert_eq!(said.recv().await, Some("called"));
    assert_counts(&queue, []);
    drop(connection);
    assert_eq!(said.recv().await, Some("dropped"));
    assert_counts(&queue, [("GET /slow/{id} 499", 1)]);
}

#[tokio::test]
async fn a_client_that_goes_in_the_middle_of_the_body_is_counted_once() {
    let queue = Queue::in_memory();
    let (says, mut said) = mpsc::unbounded_channel();
    let endless = move || {
        let guard = Dropped(says.clone());
        let chunks = stream::repeat_with(move || {
            let _ = &guard;
            Ok::<_, io::Error>(Bytes::from_static(&[b'x'; 1024]))
        });
        async { Body::from_stream(chunks) }
    };
    let app = Router::new().route("/endless", get(endless)).layer(queue.layer());
    let server = Server::http(app).await;
    let mut connection = server.send("GET /endless HTTP/1.1").await;
    let start = read_until(&mut connection, "xxxx").await;
    assert!(start.starts_with("HTTP/1.1 200"), "{start}");
    drop(connection);
    assert_eq!(said.recv().await, Some("dropped"));
    assert_counts(&queue, [("GET /endless 200", 1)]);
}

#[tokio::test]
async fn a_body_that_breaks_is_counted_once() {
    let queue = Queue::in_memory();
    let seen = Arc::new(Notify::new());
    let on_seen = Arc::clone(&seen);
    let breaks = || async {
        let start = stream::iter([Ok(Bytes::from_static(b"start"))]);
        let broken = async move {
            on_seen.notified().await;
            Err(io::Error::other("on purpose"))
        };
        Body::from_stream(start.chain(stream::once(broken)))
    };
    let app = Router::new().route("/breaks", get(breaks)).layer(queue.layer());
    let server = Server::http(app).await;
    let mut connection = server.send("GET /breaks HTTP/1.1").await;
    read_until(&mut connection, "start").await;
    seen.notify_one();
    let mut rest = Vec::new();
    connection.read_to_end(&mut rest).await.expect("it ends");
    assert!(!rest.ends_with(b"0\r\n\r\n"), "the body is whole");
    assert_counts(&queue, [("GET /breaks 200", 1)]);
}

/// The service hears of it, and its answer counts, even if there is no reader left.
#[tokio::test]
async fn a_client_that_goes_while_it_sends_is_counted_once() {
    let queue = Queue::in_memory();
    let (says, mut said) = mpsc::unbounded_channel();
    let upload = move |body: Body| {
        let guard = Dropped(says.clone());
        async move {
            let mut chunks = body.into_data_stream();
            let _ = guard.0.send(if chunks.next().await.is_some() { "began" } else { "empty" });
            while let Some(Ok(_)) = chunks.next().await {}
        }
    };
    let app = Router::new().route("/upload", any(upload)).layer(queue.layer());
    let server = Server::http(app).await;
    let mut connection = server.send("PUT /upload HTTP/1.1\r\nContent-Length: 100").await;
    connection.write_all(b"half").await.expect("the server reads");
    assert_eq!(said.recv().await, Some("began"));
    drop(connection);
    assert_eq!(said.recv().await, Some("dropped"));
    assert_counts(&queue, [("PUT /upload 200", 1)]);
}

#[tokio::test]
async fn a_handler_that_panics_is_counted_once() {
    let queue = Queue::in_memory();
    let panics = |request: Request| async move {
        assert!(request.uri().path().is_empty(), "on purpose");
    };
    let app = Router::new().route("/panics", get(panics)).layer(queue.layer());
    assert_eq!(Server::http(app).await.ask("GET /panics HTTP/1.1").await, "");
    assert_counts(&queue, [("GET /panics 500", 1)]);
}

#[tokio::test]
async fn requests_on_one_connection_are_counted_each() {
    let queue = Queue::in_memory();
    let app = Router::new().route("/{id}", get(|| async { "end" })).layer(queue.layer());
    let server = Server::http(app).await;
    let mut connection = server.connect().await;
    for _ in 0..3 {
        send(&mut connection, "GET /1 HTTP/1.1").await;
        read_until(&mut connection, "end").await;
    }
    // Pipelined: the second is sent before the first is answered.
    send(&mut connection, "GET /2 HTTP/1.1\r\nHost: test\r\n\r\nGET /3 HTTP/1.1").await;
    drop(read_until(&mut connection, "end").await);
    let closes = "GET /4 HTTP/1.1\r\nConnection: close";
    send(&mut connection, closes).await;
    connection.read_to_end(&mut Vec::new()).await.expect("the answers are read");
    assert_counts(&queue, [("GET /{id} 200", 6)]);
}

/// A server that answers with this status and gives the connection to the test.
async fn upgrading(
    queue: &Queue,
    status: StatusCode,
) -> (Server, mpsc::UnboundedReceiver<OnUpgrade>) {
    let (gives, given) = mpsc::unbounded_channel();
    let upgrade = move |mut request: Request| async move {
        let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
        let _ = gives.send(on_upgrade.expect("hyper can upgrade"));
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            let headers = response.headers_mut();
            headers.insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, header::HeaderValue::from_static("echo"));
        }
        response
    };
    let app = Router::new().route("/socket/{id}", any(upgrade.clone()));
    (Server::http(app.fallback(upgrade).layer(queue.layer())).await, given)
}

/// Sends a head that takes over the connection, and then bytes in both directions.
async fn talk(server: &Server, head: &str, given: &mut mpsc::UnboundedReceiver<OnUpgrade>) {
    let mut connection = server.send(head).await;
    read_until(&mut connection, "\r\n\r\n").await;
    let upgraded = given.recv().await.expect("it was called").await.expect("it was upgraded");
    let mut other = TokioIo::new(upgraded);
    for word in ["ping", "pong"] {
        connection.write_all(word.as_bytes()).await.expect("it is open");
        let mut heard = [0; 4];
        other.read_exact(&mut heard).await.expect("it is open");
        other.write_all(&heard).await.expect("it is open");
        assert_eq!(read_until(&mut connection, word).await, word);
    }
}

#[tokio::test]
async fn an_upgrade_is_counted_once() {
    let queue = Queue::in_memory();
    let (server, mut given) = upgrading(&queue, StatusCode::SWITCHING_PROTOCOLS).await;
    let head = "GET /socket/1 HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: echo";
    talk(&server, head, &mut given).await;
    assert_counts(&queue, [("GET /socket/{id} 101", 1)]);
}

#[tokio::test]
async fn a_tunnel_is_counted_once() {
    let queue = Queue::in_memory();
    let (server, mut given) = upgrading(&queue, StatusCode::OK).await;
    talk(&server, "CONNECT example.com:443 HTTP/1.1", &mut given).await;
    assert_counts(&queue, [("CONNECT _unmatched 200", 1)]);
}

#[tokio::test]
async fn odd_methods_are_counted() {
    let queue = Queue::in_memory();
    let app = Router::new().route("/pot/{id}", any(|| async { "tea" })).layer(queue.layer());
    let server = Server::http(app).await;
    for method in ["HEAD", "OPTIONS", "PATCH", "BREW"] {
        let answer = server.ask(&format!("{method} /pot/1 HTTP/1.1")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{method}: {answer}");
    }
    // The server as a whole, for which axum has no route.
    let answer = server.ask("OPTIONS * HTTP/1.1").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let expected = [
        ("? /pot/{id} 200", 1),
        ("HEAD /pot/{id} 200", 1),
        ("OPTIONS /pot/{id} 200", 1),
        ("OPTIONS _unmatched 404", 1),
        ("PATCH /pot/{id} 200", 1),
    ];
    assert_counts(&queue, expected);
}

#[tokio::test]
async fn odd_paths_are_counted() {
    let queue = Queue::in_memory();
    let app = Router::new().route("/a/{id}", get(|| async {})).layer(queue.layer().raw_path());
    let server = Server::http(app).await;
    let ten_kb = "x".repeat(10 * 1024);
    for path in [&*format!("/{ten_kb}"), &*format!("/a/{ten_kb}"), "/b/%ff%FE", "/a/%ff"] {
        server.ask(&format!("GET {path} HTTP/1.1")).await;
    }
    let expected = [("GET /a/{id}", 2), ("GET /b/%ff%FE", 1), ("GET _other", 1)];
    assert_paths(&queue, expected);
}

/// A request that hyper refuses never reaches the service.
#[tokio::test]
async fn bytes_that_are_no_request_are_not_counted() {
    let queue = Queue::in_memory();
    let app = Router::new().layer(queue.layer());
    let server = Server::http(app).await;
    let mut connection = server.connect().await;
    connection.write_all(b"GET /\xff HTTP/1.1\r\n\r\n").await.expect("the server reads");
    let answer = read_until(&mut connection, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_counts(&queue, []);
}
