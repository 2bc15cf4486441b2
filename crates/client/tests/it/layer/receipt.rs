//! Counting at receipt: a service of any response, whatever becomes of the request.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Waker};

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

#[tokio::test]
async fn an_error_is_counted_once() {
    let queue = Queue::in_memory();
    let inner = service_fn(|_: Request<()>| async { Err::<(), _>("broken") });
    let service = queue.layer().raw_path().at_receipt().layer(inner);
    assert_eq!(service.oneshot(get("/a")).await, Err("broken"));
    assert_counts(&queue, [("GET /a 0", 1)]);
}

#[tokio::test]
async fn a_panic_in_the_future_is_counted_once() {
    let queue = Queue::in_memory();
    let inner = service_fn(|request: Request<()>| async move {
        assert!(request.uri().path().is_empty(), "on purpose");
        Ok::<_, Infallible>(())
    });
    let service = queue.layer().raw_path().at_receipt().layer(inner);
    let call = AssertUnwindSafe(service.oneshot(get("/a")));
    assert!(call.catch_unwind().await.is_err());
    assert_counts(&queue, [("GET /a 0", 1)]);
}

#[test]
fn a_panic_in_the_call_itself_is_counted_once() {
    let queue = Queue::in_memory();
    let inner = service_fn(|request: Request<()>| {
        assert!(request.uri().path().is_empty(), "on purpose");
        ready(Ok::<_, Infallible>(()))
    });
    let mut service = queue.layer().raw_path().at_receipt().layer(inner);
    assert!(catch_unwind(AssertUnwindSafe(|| service.call(get("/a")))).is_err());
    assert_counts(&queue, [("GET /a 0", 1)]);
}

#[test]
fn a_future_that_is_dropped_unpolled_is_counted_once() {
    let queue = Queue::in_memory();
    let inner = service_fn(|_: Request<()>| pending::<Result<(), Infallible>>());
    let mut service = queue.layer().raw_path().at_receipt().layer(inner);
    drop(service.call(get("/unpolled")));
    assert_counts(&queue, [("GET /unpolled 0", 1)]);
}

#[test]
fn a_future_that_is_dropped_halfway_is_counted_once() {
    let queue = Queue::in_memory();
    let inner = service_fn(|_: Request<()>| pending::<Result<(), Infallible>>());
    let mut service = queue.layer().raw_path().at_receipt().layer(inner);
    {
        let mut call = pin!(service.call(get("/halfway")));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_counts(&queue, [("GET /halfway 0", 1)]);
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
