//! The layer that counts each request without a status, when the service is called.

use std::sync::Arc;

use tower_layer::Layer;

use super::Head;
use super::before::{Before, First};
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

/// A service that counts its requests when it is called; [`ArrivalLayer`] makes it. A `Service` of the
/// same requests, answers and errors as `S`; `Clone` if `S` is; a tonic `NamedService` if `S` is.
pub type CountArrival<S> = Before<S, ArrivalLayer>;

// === impl ArrivalLayer ===

impl<S> Layer<S> for ArrivalLayer {
    type Service = CountArrival<S>;

    fn layer(&self, inner: S) -> CountArrival<S> {
        Before { first: self.clone(), inner }
    }
}

impl First for ArrivalLayer {
    fn see<B>(&self, request: &mut http::Request<B>) {
        self.rules.count(Head::of(request));
    }
}
