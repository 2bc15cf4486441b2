//! How requests end on real connections: panics, resets of HTTP/2, answers without a body.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::StatusCode;
use http_body::Body as _;
use tally_client::Queue;
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tower::ServiceExt as _;

use super::grpc::channel;
use super::support::{Server, assert_counts};

/// Signals its drop.
struct Dropped(mpsc::UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// Turns a panic into an answer.
async fn catch_panic(request: Request, next: Next) -> Response {
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answer.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn panics(request: Request) {
    assert!(request.uri().path().is_empty(), "on purpose");
}

/// Asks over HTTP/2.
async fn ask(channel: &Channel, uri: &str) -> http::Response<tonic::body::Body> {
    let request = http::Request::get(uri).body(tonic::body::Body::empty()).expect("a request");
    channel.clone().oneshot(request).await.expect("an answer")
}

#[tokio::test]
async fn a_panic_counts_once_wherever_it_is_caught() {
    for is_outside in [false, true] {
        let queue = Queue::in_memory();
        let app = Router::new().route("/panics", get(panics));
        let app = match is_outside {
            true => app.layer(queue.layer()).layer(from_fn(catch_panic)),
            false => app.layer(from_fn(catch_panic)).layer(queue.layer()),
        };
        let server = Server::http(app).await;
        let answer = server.ask("GET /panics HTTP/1.1").await;
        assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
        assert_eq!(ask(&channel(&server).await, "/panics").await.status(), 500);
        assert_counts(&queue, [("GET /panics 500", 2)]);
    }
}

#[tokio::test]
async fn a_panic_that_is_not_caught_resets_a_stream_of_http2_and_counts() {
    let queue = Queue::in_memory();
    let app = Router::new().route("/panics", get(panics)).layer(queue.layer());
    let server = Server::http(app).await;
    let request = http::Request::get("/panics").body(tonic::body::Body::empty());
    let answer = channel(&server).await.oneshot(request.expect("a request")).await;
    answer.expect_err("no answer");
    assert_counts(&queue, [("GET /panics 500", 1)]);
}

#[tokio::test]
async fn a_stream_of_http2_that_is_reset_counts_once() {
    let queue = Queue::in_memory();
    let (says, mut said) = mpsc::unbounded_channel();
    let (calls, mut called) = mpsc::unbounded_channel();
    let also_says = says.clone();
    let slow = move || {
        let guard = Dropped(says.clone());
        let _ = calls.send(());
        async move {
            std::future::pending::<()>().await;
            drop(guard);
        }
    };
    let endless = move || {
        let guard = Dropped(also_says.clone());
        let chunks = stream::repeat_with(move || {
            let _ = &guard;
            Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 1024]))
        });
        async { Body::from_stream(chunks) }
    };
    let app = Router::new().route("/slow", get(slow)).route("/endless", get(endless));
    let server = Server::http(app.layer(queue.layer())).await;
    let channel = channel(&server).await;
    tokio::select! {
        _ = ask(&channel, "/slow") => unreachable!("it never answers"),
        _ = called.recv() => {}
    }
    said.recv().await.expect("it is dropped");
    assert_counts(&queue, [("GET /slow 499", 1)]);

    let mut body = Body::new(ask(&channel, "/endless").await.into_body()).into_data_stream();
    assert!(body.next().await.expect("a chunk").is_ok());
    drop(body);
    said.recv().await.expect("it is dropped");
    assert_counts(&queue, [("GET /endless 200", 1), ("GET /slow 499", 1)]);
}

#[tokio::test]
async fn answers_without_a_body_count_and_keep_their_length() {
    let queue = Queue::in_memory();
    let app = Router::new()
        .route("/page", get(|| async { "twelve bytes" }))
        .route("/same", get(|| async { StatusCode::NOT_MODIFIED }))
        .route("/gone", get(|| async { StatusCode::NO_CONTENT }))
        .layer(queue.layer());
    let server = Server::http(app).await;
    let answer = server.ask("HEAD /page HTTP/1.1").await;
    assert!(answer.contains("content-length: 12"), "{answer}");
    assert!(server.ask("GET /same HTTP/1.1").await.starts_with("HTTP/1.1 304"));
    assert!(server.ask("GET /gone HTTP/1.1").await.starts_with("HTTP/1.1 204"));
    let answer = ask(&channel(&server).await, "/page").await;
    assert_eq!(answer.body().size_hint().exact(), Some(12));
    let expected =
        [("GET /gone 204", 1), ("GET /page 200", 1), ("GET /same 304", 1), ("HEAD /page 200", 1)];
    assert_counts(&queue, expected);
}

/// A layer outside of this one decides without being seen; one inside answers.
#[tokio::test(start_paused = true)]
async fn a_time_limit_outside_of_it_is_a_client_that_went_away() {
    async fn limit(request: Request, next: Next) -> Response {
        let answer = tokio::time::timeout(std::time::Duration::from_secs(1), next.run(request));
        answer.await.unwrap_or_else(|_| StatusCode::GATEWAY_TIMEOUT.into_response())
    }
    for (is_outside, status) in [(true, "GET /slow 499"), (false, "GET /slow 504")] {
        let queue = Queue::in_memory();
        let app = Router::new().route("/slow", get(std::future::pending::<()>));
        let app = match is_outside {
            true => app.layer(queue.layer()).layer(from_fn(limit)),
            false => app.layer(from_fn(limit)).layer(queue.layer()),
        };
        assert_eq!(super::support::status(&app, "GET", "/slow").await, 504);
        assert_counts(&queue, [(status, 1)]);
    }
}
