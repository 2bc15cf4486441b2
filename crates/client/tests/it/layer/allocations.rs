//! Counting a known endpoint allocates nothing.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use futures_util::future::MapOk;
use futures_util::{FutureExt as _, TryFutureExt as _};
use http::{Request, Response};
use tally_client::Queue;
use tower::layer::layer_fn;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

use super::support::request;
use crate::answer::Answer;

/// A service without work in a layer that gives answers a body of its own, as this one does.
#[derive(Clone)]
struct Through<S>(S, #[expect(dead_code, reason = "only its size matters")] Arc<()>);

/// Such a body, of the same size.
struct Other<B>(B, #[expect(dead_code, reason = "only its size matters")] [u64; 6]);

impl<S, R, B> Service<R> for Through<S>
where
    S: Service<R, Response = Response<B>>,
{
    type Response = Response<Other<B>>;
    type Error = S::Error;
    type Future = MapOk<S::Future, fn(Response<B>) -> Response<Other<B>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.0.call(request).map_ok(|answer| answer.map(|body| Other(body, [0; 6])))
    }
}

impl<B: http_body::Body + Unpin> http_body::Body for Other<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}

fn answer(_: Request<()>) -> Ready<Result<Response<Answer>, Infallible>> {
    let answer = Response::builder().header("content-type", "application/grpc");
    ready(Ok(answer.body(Answer::new(true)).expect("an answer")))
}

/// How many allocations ninety requests make, which are read to the end. They fit into the queue's
/// first chunk, and are too few for the warning about missing routes.
fn allocations<S, B>(mut service: S, head: &Request<()>) -> u64
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body + Unpin,
{
    let ask = |service: &mut S, request: Request<()>| {
        let answered = service.call(request).now_or_never().expect("it waits for nothing");
        let mut body = answered.expect("it is infallible").into_body();
        let context = &mut Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(_)) = Pin::new(&mut body).poll_frame(context) {}
    };
    ask(&mut service, head.clone());
    let requests = vec![head.clone(); 90];
    let measured = allocation_counter::measure(|| {
        for request in requests {
            ask(&mut service.clone(), request);
        }
    });
    measured.count_total
}

/// How many allocations one request makes in a router that has seen it before.
fn allocations_of_a_router(app: &Router) -> u64 {
    let ask = || {
        let answered = app.clone().oneshot(request("GET", "/users/7")).now_or_never();
        let Ok(response) = answered.expect("it waits for nothing");
        assert_eq!(response.status(), 200);
    };
    ask();
    allocation_counter::measure(ask).count_total
}

#[test]
fn a_known_endpoint_costs_none() {
    let raw = Request::builder().uri("/users/7?x=y").body(()).expect("a request");
    let grpc = Request::builder()
        .method("POST")
        .uri("/pkg.Service/Method")
        .header("content-type", "application/grpc")
        .body(())
        .expect("a request");
    let layer = || Queue::in_memory().layer();
    let layers = || {
        [
            layer(),
            layer().raw_path(),
            layer().path(|head| head.path().rsplit('/').next().map(Into::into)),
            layer().customer(|head| head.path().split('/').nth(1).map(Into::into)),
            layer().skip(|head| head.path() == "/healthz"),
            layer().skip(|_| true),
        ]
    };
    for (name, head) in [("HTTP", raw), ("gRPC", grpc)] {
        // Those of the answers themselves.
        let bare = allocations(service_fn(answer), &head);
        for (at, layer) in layers().into_iter().enumerate() {
            let counted = allocations(layer.layer(service_fn(answer)), &head);
            assert_eq!(counted, bare, "layer {at}, {name}");
        }
        for (at, layer) in layers().into_iter().enumerate() {
            let counted = allocations(layer.at_receipt().layer(service_fn(answer)), &head);
            assert_eq!(counted, bare, "layer {at} at receipt, {name}");
        }
    }
}

#[test]
fn a_route_costs_none_beyond_what_axum_needs_for_any_layer() {
    let queue = Queue::in_memory();
    let app = || Router::new().route("/users/{id}", get(|| async { Body::empty() }));
    // axum boxes a layer for each request, unless it has no size, and a body that is not its own.
    let sized = Arc::new(());
    let layer = layer_fn(move |inner| Through(inner, Arc::clone(&sized)));
    let through = allocations_of_a_router(&app().layer(layer));
    assert_eq!(allocations_of_a_router(&app().layer(queue.layer())), through);
}
