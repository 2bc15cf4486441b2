//! A tower layer that counts each request once, when the service is called.

mod head;
mod rules;

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use crate::Queue;
use rules::Rules;

pub use head::Head;

/// The path of requests that match no route, unless [`CountLayer::unmatched`] changes it. It has no
/// leading slash, so no HTTP client can request it.
pub const UNMATCHED: &str = "_unmatched";

/// A tower layer that counts the requests of a service; [`Queue::layer`] makes it.
///
/// # When a request is counted
/// Once, when the service is called. Errors, panics, disconnects, upgrades and futures that are
/// never polled do not change that. Requests that `poll_ready` turns away are not counted.
///
/// Two nested layers count a request twice. A layer inside a retry layer counts attempts.
///
/// # Under which path
/// The first of these that applies:
///
/// 1. the result of the [`path`](Self::path) closure;
/// 2. for gRPC and gRPC-Web (a POST with content type `application/grpc` or a variant): the full
///    method path, `/package.Service/Method`, under [`Method::GRPC`](crate::Method::GRPC);
/// 3. with the feature `axum`: the matched route, `/users/{id}`, with the prefixes of all routers
///    that it is nested in;
/// 4. with [`raw_path`](Self::raw_path): the path without the query, percent escapes as sent;
/// 5. [`UNMATCHED`], or the name given to [`unmatched`](Self::unmatched). Requests without a path,
///    such as CONNECT, are counted here too.
///
/// Paths longer than 2,048 bytes, and new ones once the list of series is full, are counted
/// under `_other`. The method is [`Method::from`](crate::Method).
///
/// # Where to put it in axum
/// | where | counted | path |
/// |---|---|---|
/// | `Router::layer`, as the last layer | every request of the routes above it, including 404, 405 and what another layer answers | the route; `_unmatched` for fallbacks and 404 |
/// | `Router::route_layer` | the same without fallbacks and 404 | the route |
/// | `get(handler).layer(…)` | one route | the route |
/// | on a router that is then nested | that router's requests; what it does not match goes to the outer router, uncounted, unless it has a fallback of its own | the route with its prefix |
/// | on the router around a `nest_service` or a `fallback_service` | every request | `_unmatched` below these: axum knows no route yet, so put the layer on the inner router |
/// | around the whole router, as in `queue.layer().layer(router)` | every request | `_unmatched`: the router has not run yet, so say [`path`](Self::path) or [`raw_path`](Self::raw_path) |
///
/// `Router::layer` does not count routes added after it, or what an outer layer answers itself.
///
/// In tonic, `Server::builder().layer(queue.layer())` counts every call of every service.
#[derive(Clone, Debug)]
pub struct CountLayer {
    rules: Arc<Rules>,
}

/// A service that counts its requests; [`CountLayer`] makes it.
#[derive(Clone, Debug)]
pub struct Count<S> {
    inner: S,
    rules: Arc<Rules>,
}

// === impl Queue ===

impl Queue {
    /// A layer that counts the requests of any tower service over HTTP.
    #[must_use]
    pub fn layer(&self) -> CountLayer {
        CountLayer { rules: Arc::new(Rules::new(self.clone())) }
    }
}

// === impl CountLayer ===

impl CountLayer {
    /// Counts under the path that the closure returns; after `None`, as without the closure.
    /// Borrowed paths cost no allocation. Return few different ones: each is stored for good.
    ///
    /// ```
    /// # let queue = tally_client::Queue::in_memory();
    /// let layer = queue.layer().path(|head| {
    ///     head.path().starts_with("/downloads/").then(|| "/downloads".into())
    /// });
    /// ```
    #[must_use]
    pub fn path<F>(mut self, path: F) -> Self
    where
        F: for<'r> Fn(Head<'r>) -> Option<Cow<'r, str>> + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.rules).path = Some(Arc::new(path));
        self
    }

    /// Does not count requests for which the closure returns true, such as health checks; see
    /// [`Report::skipped`](crate::Report::skipped).
    #[must_use]
    pub fn skip<F>(mut self, skip: F) -> Self
    where
        F: for<'r> Fn(Head<'r>) -> bool + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.rules).skip = Some(Arc::new(skip));
        self
    }

    /// Counts requests without a route under their path, without the query. For services without a
    /// router: clients can invent paths, and each fills the list of series for good.
    #[must_use]
    pub fn raw_path(mut self) -> Self {
        Arc::make_mut(&mut self.rules).raw_path = true;
        self
    }

    /// The path of requests that match no route; empty means [`UNMATCHED`], the default.
    #[must_use]
    pub fn unmatched(mut self, path: &str) -> Self {
        let path = if path.is_empty() { UNMATCHED } else { path };
        Arc::make_mut(&mut self.rules).unmatched = path.into();
        self
    }
}

impl<S> Layer<S> for CountLayer {
    type Service = Count<S>;

    fn layer(&self, inner: S) -> Count<S> {
        Count { inner, rules: Arc::clone(&self.rules) }
    }
}

// === impl Count ===

impl<S, B> Service<http::Request<B>> for Count<S>
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
impl<S: tonic::server::NamedService> tonic::server::NamedService for Count<S> {
    const NAME: &'static str = S::NAME;
}
