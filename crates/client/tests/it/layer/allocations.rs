//! Counting a known endpoint allocates nothing.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use futures_util::FutureExt as _;
use http::Request;
use tally_client::{CountLayer, Queue};
use tower::layer::layer_fn;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

use super::support::request;

/// A service without work, as a layer would wrap one.
#[derive(Clone)]
struct Through<S>(S, #[expect(dead_code, reason = "only its size matters")] Arc<()>);

impl<S: Service<R>, R> Service<R> for Through<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}

fn answer(_: Request<()>) -> Ready<Result<(), Infallible>> {
    ready(Ok(()))
}

/// How many allocations ninety requests make in the layer, after a first one. They fit into the
/// queue's first chunk, and are too few for the warning about missing routes.
fn allocations(layer: &CountLayer, head: &Request<()>) -> u64 {
    let mut service = layer.layer(service_fn(answer));
    drop(service.call(head.clone()));
    let requests = vec![head.clone(); 90];
    let measured = allocation_counter::measure(|| {
        for request in requests {
            drop(service.clone().call(request));
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
    let layers = [
        layer(),
        layer().raw_path(),
        layer().path(|head| head.path().rsplit('/').next().map(Into::into)),
        layer().skip(|head| head.path() == "/healthz"),
        layer().skip(|_| true),
    ];
    for (at, layer) in layers.iter().enumerate() {
        assert_eq!(allocations(layer, &raw), 0, "layer {at}, HTTP");
        assert_eq!(allocations(layer, &grpc), 0, "layer {at}, gRPC");
    }
}

#[test]
fn a_route_costs_none_beyond_what_axum_needs_for_any_layer() {
    let queue = Queue::in_memory();
    let app = || Router::new().route("/users/{id}", get(|| async { Body::empty() }));
    // axum boxes a layer for each request, unless it has no size.
    let sized = Arc::new(());
    let layer = layer_fn(move |inner| Through(inner, Arc::clone(&sized)));
    let through = allocations_of_a_router(&app().layer(layer));
    assert_eq!(allocations_of_a_router(&app().layer(queue.layer())), through);
}
