//! Counting when requests arrive: a service of any response, whatever becomes of the request.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use futures_util::FutureExt as _;
use http::Request;
use tally_client::Queue;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use super::support::assert_counts;

fn get(uri: &str) -> Request<()> {
    Request::builder().uri(uri).body(()).expect("a request that can be made")
}

#[tokio::test]
async fn a_plain_answer_is_counted_once() {
    let queue = Queue::in_memory();
    let inner = service_fn(|request: Request<()>| async move {
        Ok::<_, Infallible>(request.uri().path().len())
    });
    let service = queue.layer().raw_path().at_receipt().layer(inner);
    assert_eq!(service.oneshot(get("/hello?q=1")).await, Ok(6));
    assert_counts(&queue, [("GET /hello 0", 1)]);
}

#[test]
fn a_request_is_counted_whatever_becomes_of_it() {
    let queue = Queue::in_memory();
    let layer = queue.layer().raw_path().at_receipt();
    let mut fails = layer.layer(service_fn(|_: Request<()>| ready(Err::<(), _>("broken"))));
    assert_eq!(fails.call(get("/fails")).now_or_never(), Some(Err("broken")));
    let mut panics = layer.layer(service_fn(|request: Request<()>| async move {
        assert!(request.uri().path().is_empty(), "on purpose");
        Ok::<_, Infallible>(())
    }));
    let call = AssertUnwindSafe(panics.call(get("/panics")));
    assert!(call.catch_unwind().now_or_never().expect("an end").is_err());
    let mut never_begins = layer.layer(service_fn(|request: Request<()>| {
        assert!(request.uri().path().is_empty(), "on purpose");
        ready(Ok::<_, Infallible>(()))
    }));
    let call = AssertUnwindSafe(|| never_begins.call(get("/never_begins")));
    assert!(catch_unwind(call).is_err());
    let mut waits = layer.layer(service_fn(|_: Request<()>| pending::<Result<(), Infallible>>()));
    drop(waits.call(get("/unpolled")));
    assert!(waits.call(get("/halfway")).now_or_never().is_none());
    let expected = [
        ("GET /fails 0", 1),
        ("GET /halfway 0", 1),
        ("GET /never_begins 0", 1),
        ("GET /panics 0", 1),
        ("GET /unpolled 0", 1),
    ];
    assert_counts(&queue, expected);
}

/// A service of this thread alone that borrows, with a body that is neither `Send` nor a body.
#[test]
fn the_service_needs_to_be_neither_send_nor_static_nor_clone() {
    let queue = Queue::in_memory();
    let calls = Cell::new(0);
    let borrowed = &calls;
    let inner = service_fn(move |request: Request<Rc<str>>| {
        borrowed.set(borrowed.get() + request.body().len());
        ready(Ok::<_, Rc<str>>(Rc::clone(request.body())))
    });
    let mut service = queue.layer().raw_path().at_receipt().layer(inner);
    // The future is the inner one itself.
    let future: Ready<Result<Rc<str>, Rc<str>>> = service.call(get("/a").map(|()| "four".into()));
    assert_eq!(future.into_inner(), Ok("four".into()));
    assert_eq!(calls.get(), 4);
    assert_counts(&queue, [("GET /a 0", 1)]);
}
