//! Calls whose messages are not decoded by tonic: making an object for each takes longer than counting it, or
//! more memory than the message itself.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tonic::Request;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service as HttpService, http};
use tonic::server::NamedService;

/// A gRPC server of which one method reads the body itself.
#[derive(Clone)]
pub struct Unreading<S> {
    pub(super) server: S,
    /// The method.
    pub(super) path: &'static str,
}

/// The body of such a call, passed beside a call with an empty one, so that tonic does everything but read the
/// messages.
#[derive(Debug, Clone)]
struct Unread(Arc<Mutex<Body>>);

/// The body of a call of the method that reads it itself.
pub(super) fn body<T>(request: &mut Request<T>) -> Body {
    let unread = request.extensions_mut().remove::<Unread>();
    let Unread(body) = unread.expect("`Unreading` puts it into every call");
    std::mem::take(&mut *body.lock().unwrap_or_else(PoisonError::into_inner))
}

// === impl Unreading ===

impl<S: NamedService> NamedService for Unreading<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> HttpService<http::Request<Body>> for Unreading<S>
where
    S: HttpService<
            http::Request<Body>,
            Response = http::Response<Body>,
            Error = Infallible,
            Future = BoxFuture<http::Response<Body>, Infallible>,
        >,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if request.uri().path() == self.path {
            let body = std::mem::take(request.body_mut());
            request.extensions_mut().insert(Unread(Arc::new(Mutex::new(body))));
        }
        self.server.call(request)
    }
}
