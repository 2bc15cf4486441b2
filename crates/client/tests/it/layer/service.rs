//! The service in the layer: its readiness, its clones, its types.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body as _;
use tally_client::{Method, Queue};
use tonic::service::Interceptor as _;
use tower::limit::ConcurrencyLimit;
use tower::retry::{Policy, Retry};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

use super::support::{assert_counts, assert_paths};

/// Is ready on command, and only for the instance that was asked: tower allows clones to be
/// unready.
struct Gate {
    open: Rc<Cell<bool>>,
    is_ready: bool,
}

/// Retries an error twice.
#[derive(Clone)]
struct TwoMore(u32);

// === impl Gate ===

impl Clone for Gate {
    fn clone(&self) -> Self {
        Gate { open: Rc::clone(&self.open), is_ready: false }
    }
}

impl Service<Request<()>> for Gate {
    type Response = Response<String>;
    type Error = &'static str;
    type Future = Ready<Result<Response<String>, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.is_ready = self.open.get();
        if self.is_ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        assert!(self.is_ready, "called without having been ready");
        self.is_ready = false;
        ready(Ok(Response::default()))
    }
}

// === impl TwoMore ===

impl<R> Policy<Request<()>, R, &'static str> for TwoMore {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<()>,
        result: &mut Result<R, &'static str>,
    ) -> Option<Ready<()>> {
        if result.is_ok() || self.0 == 0 {
            return None;
        }
        self.0 -= 1;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<()>) -> Option<Request<()>> {
        Some(request.clone())
    }
}

fn get(uri: &str) -> Request<()> {
    Request::builder().uri(uri).body(()).expect("a request that can be made")
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

#[tokio::test]
async fn an_answer_is_counted_with_its_status() {
    let queue = Queue::in_memory();
    let inner = service_fn(|request: Request<()>| async move {
        let found = request.uri().path() == "/hello";
        let answer = Response::builder().status(if found { 200 } else { 404 });
        Ok::<_, Infallible>(answer.body(request.uri().path().to_owned()).expect("an answer"))
    });
    let service = queue.layer().raw_path().layer(inner);
    for (uri, status) in [("/hello?q=1", 200), ("/nothing", 404)] {
        let answer = service.clone().oneshot(get(uri)).await.expect("an answer");
        assert_eq!(answer.status(), status);
        let length = answer.body().size_hint().exact();
        assert_eq!(length, Some(uri.len() as u64 - if status == 200 { 4 } else { 0 }));
    }
    assert_counts(&queue, [("GET /hello 200", 1), ("GET /nothing 404", 1)]);
}

#[tokio::test]
async fn readiness_is_that_of_the_instance_that_is_called() {
    let queue = Queue::in_memory();
    let open = Rc::new(Cell::new(false));
    let gate = Gate { open: Rc::clone(&open), is_ready: false };
    let mut service = queue.layer().raw_path().layer(gate);
    assert!(poll_ready(&mut service).is_pending());
    assert!(poll_ready(&mut service).is_pending());
    assert_counts(&queue, []);

    open.set(true);
    assert_eq!(poll_ready(&mut service), Poll::Ready(Ok(())));
    // The gate would panic if a clone were called.
    assert!(service.call(get("/a")).await.is_ok());
    assert_paths(&queue, [("GET /a", 1)]);

    let mut clone = service.clone();
    assert_eq!(poll_ready(&mut clone), Poll::Ready(Ok(())));
    assert!(clone.call(get("/a")).await.is_ok());
    assert_paths(&queue, [("GET /a", 2)]);
}

fn poll_ready<S: Service<Request<()>>>(service: &mut S) -> Poll<Result<(), S::Error>> {
    service.poll_ready(&mut context())
}

#[test]
fn an_error_of_readiness_is_passed_on_and_not_counted() {
    struct Broken;
    impl Service<Request<()>> for Broken {
        type Response = Response<String>;
        type Error = &'static str;
        type Future = Ready<Result<Response<String>, &'static str>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Err("broken"))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            unreachable!("it is never ready")
        }
    }

    let queue = Queue::in_memory();
    let mut service = queue.layer().raw_path().layer(Broken);
    assert_eq!(poll_ready(&mut service), Poll::Ready(Err("broken")));
    assert_counts(&queue, []);
}

#[test]
fn backpressure_is_passed_on() {
    let queue = Queue::in_memory();
    let inner = service_fn(|_: Request<()>| pending::<Result<Response<String>, Infallible>>());
    let mut first = queue.layer().raw_path().layer(ConcurrencyLimit::new(inner, 1));
    let mut second = first.clone();

    assert!(poll_ready(&mut first).is_ready());
    let call = first.call(get("/a"));
    assert!(poll_ready(&mut second).is_pending());
    assert_counts(&queue, []);
    drop(call);
    assert_counts(&queue, [("GET /a 499", 1)]);
    assert!(poll_ready(&mut second).is_ready());
    drop(second.call(get("/a")));
    assert_paths(&queue, [("GET /a", 2)]);
}

#[test]
fn clones_count_into_the_same_queue() {
    let queue = Queue::in_memory();
    let layer = queue.layer().raw_path();
    let inner =
        service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::<String>::default())));
    let service = layer.clone().layer(inner);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let mut service = service.clone();
            std::thread::spawn(move || {
                for _ in 0..250 {
                    drop(service.call(get("/a")));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    drop(layer.layer(inner).call(get("/a")));
    assert_paths(&queue, [("GET /a", 1_001)]);
}

#[tokio::test]
async fn outside_of_a_retry_layer_it_counts_requests_and_inside_tries() {
    let broken = service_fn(|_: Request<()>| ready(Err::<Response<String>, _>("broken")));

    let requests = Queue::in_memory();
    let service = requests.layer().raw_path().layer(Retry::new(TwoMore(2), broken));
    assert_eq!(service.oneshot(get("/a")).await.expect_err("on purpose"), "broken");
    assert_counts(&requests, [("GET /a 500", 1)]);

    let tries = Queue::in_memory();
    let service = Retry::new(TwoMore(2), tries.layer().raw_path().layer(broken));
    assert_eq!(service.oneshot(get("/a")).await.expect_err("on purpose"), "broken");
    assert_counts(&tries, [("GET /a 500", 3)]);
}

/// An in-memory queue is never full.
#[tokio::test]
async fn a_close_makes_room_for_open_requests() {
    let queue = Queue::in_memory();
    let inner = service_fn(|_: Request<()>| pending::<Result<Response<String>, Infallible>>());
    let open = queue.layer().raw_path().layer(inner).call(get("/open"));
    let full = queue.endpoint(Method::GET, "/a");
    for _ in 0..100_000 {
        queue.try_record(full).expect("room");
    }
    let report = queue.close().await;
    drop(open);
    assert_eq!((report.recorded, report.refused), (100_001, 0), "{report:?}");
    assert_counts(&queue, [("GET /a 0", 100_000), ("GET /open 0", 1)]);
}

/// A layer cannot give requests back.
#[tokio::test]
async fn requests_for_which_there_is_no_room_are_noted() {
    // Nothing listens on port 1.
    let builder = Queue::builder("http://127.0.0.1:1").queue_rows_max(10);
    let queue = builder.connect().await.expect("a good address");
    let inner =
        service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::<String>::default())));
    let mut service = queue.layer().raw_path().layer(inner);
    for _ in 0..50 {
        drop(service.call(get("/a")));
    }
    queue.interceptor("pkg.Service").call(tonic::Request::new(())).expect("it refuses none");
    let report = queue.stats();
    assert_eq!((report.refused, report.queued), (41, 10), "{report:?}");
    queue.close_within(Duration::ZERO).await;
    drop(service.call(get("/a")));
    let report = queue.stats();
    assert_eq!((report.refused, report.dropped), (42, 10), "closed: {report:?}");
}

/// A service of this thread alone that borrows, with a body of a request that is not `Send`.
#[tokio::test]
async fn the_service_needs_to_be_neither_send_nor_static_nor_clone() {
    let queue = Queue::in_memory();
    let calls = Cell::new(0);
    let borrowed = &calls;
    let inner = service_fn(move |request: Request<Rc<str>>| {
        borrowed.set(borrowed.get() + request.body().len());
        ready(Ok::<_, Rc<str>>(Response::new(request.body().to_string())))
    });
    let mut service = queue.layer().raw_path().layer(inner);
    let answer = service.call(get("/a").map(|()| "four".into())).await.expect("an answer");
    assert_eq!(answer.body().size_hint().exact(), Some(4));
    assert_eq!(calls.get(), 4);
    assert_counts(&queue, [("GET /a 200", 1)]);
}
