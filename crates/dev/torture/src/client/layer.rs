//! Calls of a service that the layer of `tally_client` counts, each with the status that it ends with.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use tally_client::{CountBody, Method, Queue};
use tower::{Layer as _, Service};

use super::load::{Row, SERVICE};
use super::queue::SetClock;
use crate::journal::Series;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

const HTTP: Method = Method::GET;
const GRPC: Method = Method::GRPC;

/// Calls that end differently share a path.
const PATHS: usize = 3;

/// How calls end, and the status that each counts with.
const ENDINGS: [(Method, Deed, u16); 20] = [
    (HTTP, Deed::Answer(200, None, &[Step::Data, Step::Data]), 200),
    (HTTP, Deed::Answer(404, None, &[]), 404),
    (HTTP, Deed::Answer(503, None, &[Step::Data]), 503),
    (HTTP, Deed::Answer(200, None, &[Step::Data, Step::Fail]), 200),
    (HTTP, Deed::Answer(206, None, &[Step::Panic]), 206),
    (HTTP, Deed::Answer(206, None, &[Step::Data, Step::Wait]), 206),
    (HTTP, Deed::Wait, 499),
    (HTTP, Deed::Fail, 500),
    (HTTP, Deed::Panic, 500),
    (GRPC, Deed::Answer(200, None, &[Step::Data, Step::Code("0")]), 200),
    (GRPC, Deed::Answer(200, None, &[Step::Data, Step::Code("14")]), 14),
    (GRPC, Deed::Answer(200, Some("5"), &[]), 5),
    (GRPC, Deed::Answer(503, None, &[]), 503),
    (GRPC, Deed::Answer(200, None, &[Step::Data]), 2),
    (GRPC, Deed::Answer(200, None, &[Step::Data, Step::Fail]), 500),
    (GRPC, Deed::Answer(200, None, &[Step::Panic]), 500),
    (GRPC, Deed::Answer(200, None, &[Step::Data, Step::Wait]), 499),
    (GRPC, Deed::Wait, 499),
    (GRPC, Deed::Fail, 500),
    (GRPC, Deed::Panic, 500),
];

/// What the service does when it is called.
#[derive(Clone, Copy)]
enum Deed {
    /// It answers with this status of HTTP, this code of gRPC in the head, and a body.
    Answer(u16, Option<&'static str>, &'static [Step]),
    /// Nothing, until the caller goes away.
    Wait,
    Fail,
    Panic,
}

/// What a body does when it is read; after its last step it ends.
#[derive(Clone, Copy)]
enum Step {
    Data,
    /// Trailers with this code of gRPC.
    Code(&'static str),
    /// Nothing, until the caller goes away.
    Wait,
    Fail,
    Panic,
}

/// A service that does what its caller says.
struct Scripted;

/// The body of an answer.
struct Script(std::slice::Iter<'static, Step>);

/// What the calls count under, in the order of [`ENDINGS`].
pub(super) fn series(prefix: &str) -> Vec<Series> {
    let endings = ENDINGS.iter().enumerate();
    let series = endings.map(|(at, (method, _, status))| Series {
        path: format!("{prefix}/{}", at % PATHS),
        method: method.0,
        service: SERVICE.to_owned(),
        status: *status,
        ..Series::default()
    });
    series.collect()
}

/// Makes calls, and returns those that the queue had no room for.
pub(super) fn call(
    queue: &Queue,
    clock: &SetClock,
    calls: &[(Row, &Series)],
    counted_twice: bool,
) -> Vec<Row> {
    let layer = queue.layer().raw_path();
    let service = layer.layer(Scripted);
    match counted_twice {
        false => call_through(service, queue, clock, calls),
        true => call_through(layer.at_receipt().layer(service), queue, clock, calls),
    }
}

/// All calls begin before the first ends, and end in 1970: they count when they were received.
fn call_through<S>(
    mut service: S,
    queue: &Queue,
    clock: &SetClock,
    calls: &[(Row, &Series)],
) -> Vec<Row>
where
    S: Service<Request<Deed>, Response = Response<CountBody<Script>>>,
{
    let begin = |(row, series): &(Row, &Series)| {
        clock.set(row.micros);
        let (method, deed, _) = ENDINGS[row.series];
        (*row, Box::pin(service.call(request(method, &series.path, deed))))
    };
    let begun: Vec<_> = calls.iter().map(begin).collect();
    clock.set(0);
    let mut dropped = Vec::new();
    for (row, answer) in begun.into_iter().rev() {
        let before = queue.stats().refused;
        end(answer);
        if queue.stats().refused > before {
            dropped.push(row);
        }
    }
    dropped
}

fn request(method: Method, path: &str, deed: Deed) -> Request<Deed> {
    let request = Request::builder().uri(path);
    let request = match method {
        GRPC => request.method("POST").header("content-type", "application/grpc"),
        _ => request,
    };
    request.body(deed).expect("a request that can be made")
}

/// Reads an answer as a server does, and goes away if that waits.
fn end<E>(answer: impl Future<Output = Result<Response<CountBody<Script>>, E>>) {
    // That the service panics is its script.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let Some(Ok(answer)) = answer.now_or_never() else { return };
        let mut body = pin!(answer.into_body());
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(_))) = body.as_mut().poll_frame(&mut context) {}
    }));
}

/// Panics without a message in the log, where the run looks for others.
fn panic() -> ! {
    resume_unwind(Box::new("scripted"))
}

// === impl Scripted ===

impl Service<Request<Deed>> for Scripted {
    type Response = Response<Script>;
    type Error = &'static str;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Script>, &'static str>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Deed>) -> Self::Future {
        Box::pin(async move {
            match request.into_body() {
                Deed::Answer(status, code, steps) => {
                    let mut answer = Response::builder().status(status);
                    if let Some(code) = code {
                        answer = answer.header(GRPC_STATUS, code);
                    }
                    Ok(answer.body(Script(steps.iter())).expect("an answer that can be made"))
                }
                Deed::Wait => pending().await,
                Deed::Fail => Err("scripted"),
                Deed::Panic => panic(),
            }
        })
    }
}

// === impl Script ===

impl Body for Script {
    type Data = &'static [u8];
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<&'static [u8]>, &'static str>>> {
        Poll::Ready(match self.0.next() {
            None => None,
            Some(Step::Data) => Some(Ok(Frame::data(b"data"))),
            Some(Step::Code(code)) => {
                let code = (GRPC_STATUS, HeaderValue::from_static(code));
                Some(Ok(Frame::trailers(HeaderMap::from_iter([code]))))
            }
            Some(Step::Wait) => return Poll::Pending,
            Some(Step::Fail) => Some(Err("scripted")),
            Some(Step::Panic) => panic(),
        })
    }
}
