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

/// The path under which requests are counted that match no route, unless
/// [`CountLayer::unmatched`] gives another. No path of HTTP begins without a slash, so it is
/// never a path that a client asked for.
pub const UNMATCHED: &str = "_unmatched";

/// A tower layer that counts the requests of a service; [`Queue::layer`] makes it.
///
/// # When a request is counted
/// Once, when the service is called: it was received. Nothing that comes later changes this: not
/// an error, a panic, a client that goes away, an upgrade, nor a future that is dropped before it
/// was ever polled. What `poll_ready` refuses was never called, and is not counted. The response
/// future is that of the inner service itself.
///
/// Each layer counts each call that it sees. So use one for a request: two nested routers with
/// a layer each count twice. Outside of a retry layer it counts requests, inside it counts
/// tries.
///
/// # Under which path
/// The first of these that there is:
///
/// 1. what the closure of [`path`](Self::path) gives;
/// 2. for gRPC the full method path, `/package.Service/Method`, under
///    [`Method::GRPC`](crate::Method::GRPC). gRPC is a POST whose content type is
///    `application/grpc`, with or without `+proto` and the like. gRPC-Web calls the same
///    methods, so it counts as the same, whether the layer is inside or outside of what
///    translates it;
/// 3. with the feature `axum`: the route that axum matched, `/users/{id}`, with the prefixes
///    of all routers that it is nested in;
/// 4. with [`raw_path`](Self::raw_path): the path as it is, without the query;
/// 5. [`UNMATCHED`], or the name that [`unmatched`](Self::unmatched) was given.
///
/// A request without a path, such as CONNECT, goes by that last name too. A path that is longer
/// than 2,048 bytes is counted under `_other`, as all are for which there is no room, so that the
/// sum stays exact. Percent escapes are counted as they were sent. `PROPFIND`, `PURGE` and further
/// methods are kept apart, in upper or lower case; a method without a number is
/// [`Method::UNSPECIFIED`](crate::Method::UNSPECIFIED).
///
/// # Where to put it in axum
/// | where | counted | path |
/// |---|---|---|
/// | `Router::layer`, as the last layer | every request of the routes above it, 404 and 405 as well, also when another layer answers | the route; `_unmatched` for fallbacks and 404 |
/// | `Router::route_layer` | the same without fallbacks and 404 | the route |
/// | `get(handler).layer(…)` | one route | the route |
/// | on a router that is then nested | that router's requests; what it does not match goes to the outer router, uncounted, unless it has a fallback of its own | the route with its prefix |
/// | on the router around a `nest_service` or a `fallback_service` | every request | `_unmatched` below these: axum knows no route yet, so put the layer on the inner router |
/// | around the whole router, as in `queue.layer().layer(router)` | every request | `_unmatched`: the router has not run yet, so say [`path`](Self::path) or [`raw_path`](Self::raw_path) |
///
/// Routes that are added after `Router::layer` are not counted. A layer that is added later is
/// outside: what it answers itself never comes here.
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
    /// Counts requests under the path that the closure gives, and as without it where it gives
    /// `None`.
    ///
    /// What is borrowed from the request, or from the program, costs no allocation. Keep the
    /// paths few: each is stored for good.
    ///
    /// ```
    /// # let queue = tally_client::Queue::in_memory();
    /// let layer = queue.layer().path(|head| {
    ///     let mut parts = head.path().split('/');
    ///     let is_download = parts.nth(1) == Some("downloads");
    ///     is_download.then(|| "/downloads".into())
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

    /// Does not count the requests for which the closure says so, such as health checks. How
    /// many they were is in the [`Report`](crate::Report).
    #[must_use]
    pub fn skip<F>(mut self, skip: F) -> Self
    where
        F: for<'r> Fn(Head<'r>) -> bool + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.rules).skip = Some(Arc::new(skip));
        self
    }

    /// Counts requests that match no route under their path without the query, for a service
    /// that has no router.
    ///
    /// Everyone who can send requests can make paths: a scanner's thousands are stored for good
    /// and fill the list of endpoints. Where there are routes, count by them.
    #[must_use]
    pub fn raw_path(mut self) -> Self {
        Arc::make_mut(&mut self.rules).raw_path = true;
        self
    }

    /// The path under which requests are counted that match no route: [`UNMATCHED`] by
    /// default, and when it is empty.
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

/// A counted tonic service is served under its own name.
impl<S: tonic::server::NamedService> tonic::server::NamedService for Count<S> {
    const NAME: &'static str = S::NAME;
}
