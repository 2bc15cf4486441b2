//! A tower layer that counts each request once, with its status.

mod arrival;
mod before;
mod count;
mod head;
mod pending;
mod rules;
mod status;

use std::borrow::Cow;
use std::sync::Arc;

use tower_layer::Layer;

use crate::Queue;
use rules::Rules;

pub use arrival::{ArrivalLayer, CountArrival};
pub(crate) use before::{Before, First};
pub use count::{Count, CountBody, CountFuture};
pub use head::Head;

/// The path of requests that match no route, unless [`CountLayer::unmatched`] changes it. It has no
/// leading slash, so no HTTP client can request it.
pub const UNMATCHED: &str = "_unmatched";

/// A tower layer that counts the requests of a service; [`Queue::layer`] makes it.
///
/// # With which status, and when
/// Each request is counted once, with the time at which it was received, as soon as its status is
/// known. The first of these that applies:
///
/// | what happens | status | when it is counted |
/// |---|---|---|
/// | the service answers: also 101, CONNECT, HEAD, 304, and bodies that break or never end | the HTTP status of the answer | at its head |
/// | a gRPC call is answered with an HTTP status other than 200, as a proxy does | the HTTP status | at the head |
/// | a gRPC call is answered by a head with a code | the code; OK is 200 | at the head |
/// | a gRPC-Web call is answered by a head without a code, which is in the body | 0, not known | at the head |
/// | a gRPC call is answered by a head without a code | the code in the trailers; OK is 200 | at the trailers |
/// | … whose body ends without a code, or with one that gRPC does not know | 2, UNKNOWN, as its client takes it; 499 if the server does not read to the end, as in HTTP/1 with a length | at the end of the body |
/// | … whose body fails or panics | 500 | then |
/// | … whose client goes away in the middle | 499 | then |
/// | … whose trailers do not come within [`status_timeout`](crate::QueueBuilder::status_timeout) of the head | 0, not known | then |
/// | the client goes away before the head, or an outer layer gives up | 499 | when the future is dropped |
/// | the service fails | 500 | when its future ends |
/// | the service panics, or a closure of this layer does | 500 | then; the panic goes on |
/// | the queue is closed a second after the server ended, and the request is still open | 0, not known | at the close |
/// | the queue is closed before the request begins | none | it is reported as dropped |
/// | `poll_ready` turns it away | none | it is not counted |
///
/// So a call of gRPC that says nothing of HTTP has 200 or a code from 1 to 16, and all else is a
/// status of HTTP. A status is what the service or an inner layer says. What an outer layer makes
/// of it is not seen, so add this one as the outermost: last in axum, first in tonic. Two nested
/// layers count a request twice. A layer inside a retry layer counts attempts, and one inside the
/// layer that translates gRPC-Web knows the codes.
///
/// [`at_receipt`](Self::at_receipt) counts when the service is called, without a status.
///
/// # Under which path
/// The first of these that applies:
///
/// 1. the result of the [`path`](Self::path) closure;
/// 2. for gRPC and gRPC-Web (a POST with content type `application/grpc` or a variant, counted
///    under [`Method::GRPC`](crate::Method::GRPC)): the full method path, `/package.Service/Method`,
///    from the first call on that the service confirms. Clients can invent paths, and an answer of
///    gRPC confirms one unless its head has the code 7, 8, 12 or 16, which do not depend on the
///    method;
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
/// # Where to put it in tonic
/// | where | counted |
/// |---|---|
/// | `Server::builder().layer(…)`, as the first layer | every call of every service, also of unknown ones, and what another layer answers |
/// | the same, after another layer | what that one lets pass |
/// | around one service, `queue.layer().layer(service)`, which is then added | the calls of that service |
/// | around a channel of a client | its calls, with what it gets: 499 if the caller does not read to the end |
///
/// tonic's own limits are outside of every layer. A call that `Server::timeout` or the client's
/// `grpc-timeout` ends counts with 499; what `load_shed` and `concurrency_limit_per_connection`
/// refuse is not counted.
#[derive(Clone, Debug)]
pub struct CountLayer {
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

    /// Counts on behalf of the customer that the closure names, such as the owner of an API key.
    /// Return few different ones, and no secrets: each is stored for good. Names longer than
    /// 256 bytes, and new ones beyond [`customers_max`](crate::QueueBuilder::customers_max), are
    /// `_other`. Only a request that an outer layer lets pass is known to be from whom it says.
    ///
    /// ```
    /// #[derive(Clone)]
    /// struct Owner(String);
    ///
    /// # let queue = tally_client::Queue::in_memory();
    /// let layer = queue.layer().customer(|head| {
    ///     head.extensions.get::<Owner>().map(|owner| owner.0.as_str().into())
    /// });
    /// ```
    #[must_use]
    pub fn customer<F>(mut self, customer: F) -> Self
    where
        F: for<'r> Fn(Head<'r>) -> Option<Cow<'r, str>> + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.rules).customer = Some(Arc::new(customer));
        self
    }

    /// Counts each request when the service is called, without a status: for services whose answer
    /// is not HTTP's, and where a process that is killed must not lose the requests it is serving.
    /// No answer confirms the path of a gRPC call: clients can invent paths.
    #[must_use]
    pub fn at_receipt(self) -> ArrivalLayer {
        ArrivalLayer { rules: self.rules }
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
