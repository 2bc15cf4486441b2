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
pub struct ReceiptLayer {
    pub(super) rules: Arc<Rules>,
}

/// A service that counts its requests when it is called; [`ReceiptLayer`] makes it.
#[derive(Clone, Debug)]
pub struct CountReceipt<S> {
    inner: S,
    rules: Arc<Rules>,
}

// === impl ReceiptLayer ===

impl<S> Layer<S> for ReceiptLayer {
    type Service = CountReceipt<S>;

    fn layer(&self, inner: S) -> CountReceipt<S> {
        CountReceipt { inner, rules: Arc::clone(&self.rules) }
    }
}

// === impl CountReceipt ===

impl<S, B> Service<http::Request<B>> for CountReceipt<S>
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
impl<S: tonic::server::NamedService> tonic::server::NamedService for CountReceipt<S> {
    const NAME: &'static str = S::NAME;
}
