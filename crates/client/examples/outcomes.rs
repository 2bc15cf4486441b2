//! An axum and a tonic service that answer, fail, panic and dawdle at random, and note for
//! themselves how each request ended, to compare with the totals.
//!
//! `cargo run -p tally-client --features axum --example outcomes [127.0.0.1:3000 127.0.0.1:3001]`,
//! then send requests, end it with ctrl-c, and compare what it prints with
//! `tally totals --live --by whole --group-by method,status`.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{env, error, io, thread};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use tally_client::Queue;
use tally_proto::count::v1::count_service_server::{CountService, CountServiceServer};
use tally_proto::count::v1::{
    AddRequest, AddResponse, CountDailyTotalsRequest, CountDailyTotalsResponse,
    GetPeriodTotalsRequest, GetPeriodTotalsResponse, ListDailyTotalsRequest,
    ListDailyTotalsResponse,
};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Status, Streaming};
use tower::{Layer, Service};

/// How many requests ended with each status, by method.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<BTreeMap<(String, u16), u64>>>);

/// A service whose requests are noted. It knows nothing of Tally.
#[derive(Clone)]
struct Noted<S> {
    inner: S,
    notes: Notes,
}

/// A request that is being served; it is noted when this is dropped.
struct Note {
    notes: Notes,
    method: String,
    status: Option<u16>,
}

/// A body of gRPC, whose trailers have the code.
struct NotedBody {
    inner: Body,
    note: Option<Note>,
}

/// A service of gRPC.
struct Counts;

#[tokio::main]
async fn main() -> Result<(), Box<dyn error::Error>> {
    let tally = env::var("TALLY_SERVER").unwrap_or_else(|_| "http://127.0.0.1:7777".to_owned());
    let mut addresses = env::args().skip(1);
    let http = addresses.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let grpc = addresses.next().unwrap_or_else(|| "127.0.0.1:3001".to_owned());

    let queue = Queue::connect(tally).await?;
    let notes = Notes::default();
    let (_reporter, health) = tonic_health::server::health_reporter();

    // In axum the last layer is the outermost, in tonic the first.
    let app = Router::new()
        .route("/orders/{id}", get(order))
        .route("/reports", get(report))
        .route("/events", get(events))
        .layer(queue.layer())
        .layer(notes.clone());
    let calls = Server::builder()
        .layer(notes.clone())
        .layer(queue.layer())
        .add_service(CountServiceServer::new(Counts))
        .add_service(health);

    let listener = TcpListener::bind(http).await?;
    println!("listens on http://{}", listener.local_addr()?);
    let incoming = TcpIncoming::bind(grpc.parse()?)?;
    println!("speaks gRPC on http://{}", incoming.local_addr()?);
    let app = async { axum::serve(listener, app).with_graceful_shutdown(stopped()).await };
    let calls = calls.serve_with_incoming_shutdown(incoming, stopped());
    let (app, calls) = tokio::join!(app, calls);
    app?;
    calls?;

    let report = queue.close().await;
    for ((method, status), count) in &*notes.0.lock().unwrap_or_else(PoisonError::into_inner) {
        println!("noted {method} {status} {count}");
    }
    println!("{} counted, {} lost", report.acknowledged, report.lost());
    Ok(())
}

async fn order() -> Result<&'static str, StatusCode> {
    match one_of(10) {
        0 => panic!("on purpose"),
        1 => return Err(StatusCode::SERVICE_UNAVAILABLE),
        2 => return Err(StatusCode::NOT_FOUND),
        3 => dawdle().await,
        _ => {}
    }
    Ok("an order\n")
}

/// It takes so long that clients lose patience.
async fn report() -> &'static str {
    tokio::time::sleep(Duration::from_millis(50)).await;
    "a report\n"
}

/// A body in pieces, which may break.
async fn events() -> Body {
    let pieces = (0..100).map(|_| match one_of(200) {
        0 => Err(io::Error::other("on purpose")),
        _ => Ok(Bytes::from_static(&[b'.'; 16_384])),
    });
    Body::from_stream(tokio_stream::iter(pieces))
}

async fn dawdle() {
    tokio::time::sleep(Duration::from_millis(one_of(20))).await;
}

/// A random number below this.
fn one_of(many: u64) -> u64 {
    RandomState::new().build_hasher().finish() % many
}

/// Waits for the first SIGTERM or ctrl-c.
async fn stopped() {
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

// === impl Counts ===

#[tonic::async_trait]
impl CountService for Counts {
    async fn add(
        &self,
        request: tonic::Request<Streaming<AddRequest>>,
    ) -> Result<tonic::Response<AddResponse>, Status> {
        let mut requests = request.into_inner();
        while requests.message().await?.is_some() {
            dawdle().await;
        }
        Ok(tonic::Response::new(AddResponse::default()))
    }

    async fn list_daily_totals(
        &self,
        _: tonic::Request<ListDailyTotalsRequest>,
    ) -> Result<tonic::Response<ListDailyTotalsResponse>, Status> {
        match one_of(10) {
            0 => panic!("on purpose"),
            1 => return Err(Status::unavailable("on purpose")),
            2 => return Err(Status::not_found("on purpose")),
            3 => dawdle().await,
            _ => {}
        }
        Ok(tonic::Response::new(ListDailyTotalsResponse::default()))
    }

    async fn get_period_totals(
        &self,
        _: tonic::Request<GetPeriodTotalsRequest>,
    ) -> Result<tonic::Response<GetPeriodTotalsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn count_daily_totals(
        &self,
        _: tonic::Request<CountDailyTotalsRequest>,
    ) -> Result<tonic::Response<CountDailyTotalsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

// === impl Notes ===

impl<S> Layer<S> for Notes {
    type Service = Noted<S>;

    fn layer(&self, inner: S) -> Noted<S> {
        Noted { inner, notes: self.clone() }
    }
}

// === impl Noted ===

impl<S, B, R> Service<Request<B>> for Noted<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<tower::BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let kind = request.headers().get("content-type").map(|kind| kind.as_bytes().to_vec());
        let is_grpc = kind.is_some_and(|kind| kind.starts_with(b"application/grpc"));
        let method = if is_grpc { "GRPC".to_owned() } else { request.method().to_string() };
        let mut note = Note { notes: self.notes.clone(), method, status: None };
        let answered = self.inner.call(request);
        Box::pin(async move {
            let answer = answered.await.inspect_err(|_| note.status = Some(500))?;
            let (head, body) = answer.into_parts();
            note.status = match is_grpc && head.status == StatusCode::OK {
                false => Some(head.status.as_u16()),
                true => code(&head.headers),
            };
            let note = note.status.is_none().then_some(note);
            let body = NotedBody { inner: Body::new(body), note };
            Ok(Response::from_parts(head, Body::new(body)))
        })
    }
}

// === impl NotedBody ===

impl http_body::Body for NotedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
            && let Some(mut note) = self.note.take()
        {
            note.status = code(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

// === impl Note ===

impl Drop for Note {
    fn drop(&mut self) {
        let status = self.status.unwrap_or(if thread::panicking() { 500 } else { 499 });
        let mut notes = self.notes.0.lock().unwrap_or_else(PoisonError::into_inner);
        *notes.entry((std::mem::take(&mut self.method), status)).or_default() += 1;
    }
}

/// The code of gRPC, with 200 for OK.
fn code(headers: &HeaderMap) -> Option<u16> {
    let code: u16 = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    Some(if code == 0 { 200 } else { code })
}
