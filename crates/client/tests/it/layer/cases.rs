//! Each case in the documentation's table of statuses, for any tower service.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use tally_client::{CountBody, Queue};
use tower::{Layer as _, Service as _, service_fn};

use super::support::assert_counts;

/// What a body does when it is asked for more.
enum Step {
    Data,
    Trailers(Option<&'static str>),
    Fail,
    Panic,
    /// Nothing yet, for ever.
    Wait,
}

/// A body that does these, and then ends.
struct Script {
    steps: VecDeque<Step>,
    /// It says with the last step that it has ended.
    tells_end: bool,
}

/// How a test reads a body.
#[derive(Clone, Copy)]
enum Read {
    /// As a server does: until it ends, fails, waits, or says that nothing will follow.
    ToTheEnd,
    Once,
    Never,
}

impl Body for Script {
    type Data = &'static [u8];
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<&'static [u8]>, &'static str>>> {
        let Some(step) = self.steps.pop_front() else { return Poll::Ready(None) };
        Poll::Ready(Some(match step {
            Step::Data => Ok(Frame::data(b"data")),
            Step::Trailers(code) => {
                let mut trailers = HeaderMap::new();
                trailers.extend(code.map(|code| {
                    (http::HeaderName::from_static("grpc-status"), HeaderValue::from_static(code))
                }));
                Ok(Frame::trailers(trailers))
            }
            Step::Fail => Err("on purpose"),
            Step::Panic => panic!("on purpose"),
            Step::Wait => {
                self.steps.push_front(Step::Wait);
                return Poll::Pending;
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        if !self.tells_end {
            return false;
        }
        assert!(!matches!(self.steps.front(), Some(Step::Panic)), "on purpose");
        self.steps.is_empty()
    }
}

fn script<const N: usize>(steps: [Step; N]) -> Script {
    Script { steps: steps.into(), tells_end: false }
}

fn ending<const N: usize>(steps: [Step; N]) -> Script {
    Script { steps: steps.into(), tells_end: true }
}

fn request(is_grpc: bool) -> Request<()> {
    let request = Request::post("/a.B/C");
    let kind = if is_grpc { "application/grpc" } else { "application/json" };
    request.header("content-type", kind).body(()).expect("a request")
}

fn read(mut body: CountBody<Script>, read: Read) {
    let mut context = Context::from_waker(Waker::noop());
    let mut left = match read {
        Read::ToTheEnd => 100,
        Read::Once => 1,
        Read::Never => 0,
    };
    while left > 0 && !body.is_end_stream() {
        match Pin::new(&mut body).poll_frame(&mut context) {
            Poll::Ready(Some(Ok(_))) => left -= 1,
            Poll::Ready(None | Some(Err(_))) | Poll::Pending => break,
        }
    }
}

/// What a request counts as whose answer has this head and body.
#[track_caller]
fn counts_as(is_grpc: bool, head: (u16, Option<&str>), body: Script, how: Read, status: u16) {
    let queue = Queue::in_memory();
    let mut answer = Response::builder().status(head.0);
    if let Some(code) = head.1 {
        answer = answer.header("grpc-status", code);
    }
    let mut answer = Some(answer.body(body).expect("an answer"));
    let inner =
        service_fn(|_| ready(Ok::<_, Infallible>(answer.take().expect("it is asked once"))));
    let mut service = queue.layer().raw_path().layer(inner);
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let answered = service.call(request(is_grpc)).now_or_never().expect("it does not wait");
        read(answered.expect("it is infallible").into_body(), how);
    }));
    let method = if is_grpc { "GRPC" } else { "POST" };
    assert_counts(&queue, [(&*format!("{method} /a.B/C {status}"), 1)]);
}

#[test]
fn http_counts_with_the_status_of_its_head_whatever_becomes_of_the_body() {
    use Read::{Never, Once, ToTheEnd};
    for status in [100, 101, 200, 204, 304, 404, 500, 599, 999] {
        counts_as(false, (status, None), script([Step::Data]), ToTheEnd, status);
    }
    counts_as(false, (200, None), script([Step::Data, Step::Fail]), ToTheEnd, 200);
    counts_as(false, (200, None), script([Step::Data, Step::Panic]), ToTheEnd, 200);
    counts_as(false, (200, None), script([Step::Data, Step::Wait]), ToTheEnd, 200);
    counts_as(false, (200, None), script([Step::Data, Step::Data]), Once, 200);
    counts_as(false, (200, None), script([Step::Data]), Never, 200);
    // What is not gRPC has no code.
    counts_as(false, (200, Some("5")), script([Step::Trailers(Some("5"))]), ToTheEnd, 200);
}

#[test]
fn grpc_counts_with_its_code() {
    use Read::{Never, Once, ToTheEnd};
    // In the head.
    counts_as(true, (200, Some("0")), ending([]), ToTheEnd, 200);
    counts_as(true, (200, Some("7")), ending([]), Never, 7);
    counts_as(true, (503, None), script([Step::Data]), Never, 503);
    counts_as(true, (503, Some("14")), ending([]), ToTheEnd, 503);
    // In the trailers.
    for (code, status) in [("0", 200), ("5", 5), ("16", 16), ("17", 2), ("five", 2)] {
        let body = || script([Step::Data, Step::Trailers(Some(code))]);
        counts_as(true, (200, None), body(), ToTheEnd, status);
        let body = || script([Step::Trailers(Some(code)), Step::Fail]);
        counts_as(true, (200, None), body(), ToTheEnd, status);
    }
    // Nowhere.
    counts_as(true, (200, None), ending([]), Never, 2);
    counts_as(true, (200, None), ending([Step::Data]), ToTheEnd, 2);
    counts_as(true, (200, None), script([Step::Data]), ToTheEnd, 2);
    counts_as(true, (200, None), script([Step::Trailers(None)]), ToTheEnd, 2);
    counts_as(true, (200, None), script([Step::Data, Step::Fail]), ToTheEnd, 500);
    counts_as(true, (200, None), script([Step::Data, Step::Panic]), ToTheEnd, 500);
    counts_as(true, (200, None), ending([Step::Data, Step::Panic]), ToTheEnd, 500);
    counts_as(true, (200, None), ending([Step::Panic]), Never, 500);
    // The client goes away.
    counts_as(true, (200, None), script([Step::Data, Step::Trailers(Some("0"))]), Never, 499);
    counts_as(true, (200, None), script([Step::Data, Step::Trailers(Some("0"))]), Once, 499);
    counts_as(true, (200, None), script([Step::Data, Step::Wait]), ToTheEnd, 499);
}

#[test]
fn without_a_head_it_counts_by_what_prevents_it() {
    for (name, is_grpc) in [("POST", false), ("GRPC", true)] {
        let queue = Queue::in_memory();
        let layer = queue.layer().raw_path();
        let mut waits = layer.layer(service_fn(|_| pending::<Result<Response<Script>, &str>>()));
        drop(waits.call(request(is_grpc)));
        assert!(waits.call(request(is_grpc)).now_or_never().is_none());
        assert_counts(&queue, [(&*format!("{name} /a.B/C 499"), 2)]);

        let queue = Queue::in_memory();
        let layer = queue.layer().raw_path();
        let mut fails = layer.layer(service_fn(|_| ready(Err::<Response<Script>, _>("broken"))));
        assert!(fails.call(request(is_grpc)).now_or_never().expect("an end").is_err());
        let mut panics = layer.layer(service_fn(|request: Request<()>| async move {
            assert!(request.uri().path().is_empty(), "on purpose");
            Ok::<_, Infallible>(Response::new(script([])))
        }));
        let call = panics.call(request(is_grpc));
        assert!(AssertUnwindSafe(call).catch_unwind().now_or_never().expect("an end").is_err());
        let mut never_begins = layer.layer(service_fn(|request: Request<()>| {
            assert!(request.uri().path().is_empty(), "on purpose");
            ready(Ok::<_, Infallible>(Response::new(script([]))))
        }));
        let call = AssertUnwindSafe(|| never_begins.call(request(is_grpc)));
        assert!(catch_unwind(call).is_err());
        assert_counts(&queue, [(&*format!("{name} /a.B/C 500"), 3)]);
    }
}
