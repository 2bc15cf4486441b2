//! A service that does something with each request first, and leaves all else to the inner one.

use std::task::{Context, Poll};

use tower_service::Service;

/// What is done with a request before the inner service is called.
pub trait First {
    /// Sees the request, whose extensions it may add to.
    fn see<B>(&self, request: &mut http::Request<B>);
}

/// A service that does something with each request first. It wraps neither the future nor the body,
/// and takes a service of any response.
#[derive(Clone, Debug)]
pub struct Before<S, F> {
    pub(crate) first: F,
    pub(crate) inner: S,
}

// === impl Before ===

impl<S, B, F> Service<http::Request<B>> for Before<S, F>
where
    S: Service<http::Request<B>>,
    F: First,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<B>) -> S::Future {
        self.first.see(&mut request);
        self.inner.call(request)
    }
}

/// tonic serves it under the inner service's name.
impl<S: tonic::server::NamedService, F> tonic::server::NamedService for Before<S, F> {
    const NAME: &'static str = S::NAME;
}
