//! A tonic interceptor that counts calls, and the layer that gives it their path.

use tonic::service::Interceptor;
use tonic::{GrpcMethod, Status};
use tower_layer::Layer;

use crate::layer::{Before, First, Head};
use crate::{Method, Queue, Series};

/// Counts the calls of a tonic service or client; [`Queue::interceptor`] makes it.
///
/// Prefer [`CountLayer`](crate::CountLayer), which sees the path and the status, and counts what
/// other layers refuse. Use an interceptor where only an interceptor fits, such as behind
/// one that authenticates. It counts each call once, when it runs, without a status, and takes the
/// path for one of the service's, although clients can invent methods.
///
/// tonic hides the URI from a server's interceptors, so the path is the first of these:
///
/// 1. the full method path, `/package.Service/Method`, from a [`PathLayer`] around the service;
/// 2. in a client: the full method path that generated code sets;
/// 3. the name that the interceptor was made with.
#[derive(Clone, Debug)]
pub struct CountInterceptor {
    queue: Queue,
    /// For calls of an unknown path.
    fallback: Series,
}

/// Puts the path of each request into its extensions, for [`CountInterceptor`].
#[derive(Clone, Copy, Debug, Default)]
pub struct PathLayer;

/// A service whose requests have their path in their extensions; [`PathLayer`] makes it. A `Service` of
/// the same requests, answers and errors as `S`; `Clone` if `S` is; a tonic `NamedService` if `S` is.
pub type WithPath<S> = Before<S, PathLayer>;

/// What [`PathLayer`] puts into the extensions: the URI, which is cheap to clone.
#[derive(Clone)]
struct CallUri(http::Uri);

// === impl Queue ===

impl Queue {
    /// An interceptor for a service or a client. Calls of unknown methods count under `name`.
    #[must_use]
    pub fn interceptor(&self, name: &str) -> CountInterceptor {
        CountInterceptor { fallback: self.endpoint(Method::GRPC, name), queue: self.clone() }
    }
}

// === impl CountInterceptor ===

impl CountInterceptor {
    fn series(&self, extensions: &tonic::Extensions) -> Series {
        if let Some(CallUri(uri)) = extensions.get() {
            return self.queue.endpoint(Method::GRPC, uri.path());
        }
        if let Some(call) = extensions.get::<GrpcMethod<'static>>() {
            let path = format!("/{}/{}", call.service(), call.method());
            return self.queue.endpoint(Method::GRPC, &path);
        }
        self.fallback
    }
}

impl Interceptor for CountInterceptor {
    fn call(&mut self, request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        self.queue.record_or_drop(self.series(request.extensions()));
        Ok(request)
    }
}

// === impl PathLayer ===

impl<S> Layer<S> for PathLayer {
    type Service = WithPath<S>;

    fn layer(&self, inner: S) -> WithPath<S> {
        Before { first: *self, inner }
    }
}

impl First for PathLayer {
    fn see<B>(&self, request: &mut http::Request<B>) {
        let uri = Head::of(request).original_uri().clone();
        request.extensions_mut().insert(CallUri(uri));
    }
}
