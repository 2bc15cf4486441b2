//! The layer that counts each request without a status, when the service is called.

use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::Head;
use super::rules::Rules;

/// A tower layer that counts each request when the service is called, without a status;
/// [`CountLayer::at_receipt`](super::CountLayer::at_receipt) makes it.
///
/// Errors, panics, disconnects, upgrades and futures that are never polled do not change the count.
/// It wraps neither the future nor the body, and takes a service of any response.
#[derive(Clone, Debug)]
pub struct ArrivalLayer {
    pub(super) rules: Arc<Rules>,
}

/// A service that counts its requests when it is called; [`ArrivalLayer`] makes it.
#[derive(Clone, Debug)]
pub struct CountArrival<S> {
    inner: S,
    rules: Arc<Rules>,
}

// === impl ArrivalLayer ===

impl<S> Layer<S> for ArrivalLayer {
    type Service = CountArrival<S>;

    fn layer(&self, inner: S) -> CountArrival<S> {
        CountArrival { inner, rules: Arc::clone(&self.rules) }
    }
}

// === impl CountArrival ===

impl<S, B> Service<http::Request<B>> for CountArrival<S>
where
    S: Service<http::Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> S::Future {
        self.rules.count(Head::of(&request));
        self.inner.call(request)
    }
}

/// tonic serves it under the inner service's name.
impl<S: tonic::server::NamedService> tonic::server::NamedService for CountArrival<S> {
    const NAME: &'static str = S::NAME;
}
