//! The service that counts its requests with their status, its future and its body.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::pending::{OnPanic, Pending};
use super::rules::Rules;
use super::{Head, status};

/// A service that counts its requests; [`CountLayer`](super::CountLayer) makes it.
#[derive(Clone, Debug)]
pub struct Count<S> {
    pub(super) inner: S,
    pub(super) rules: Arc<Rules>,
}

pin_project! {
    /// The future of [`Count`].
    #[derive(Debug)]
    pub struct CountFuture<F> {
        #[pin]
        inner: F,
        pending: Option<Pending>,
    }
}

pin_project! {
    /// The body of an answer of [`Count`]. It looks for the trailers of gRPC, and changes nothing.
    #[derive(Debug)]
    pub struct CountBody<B> {
        #[pin]
        inner: B,
        pending: Option<Pending>,
    }
}

// === impl Count ===

impl<S, B, R> Service<http::Request<B>> for Count<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    R: Body,
{
    type Response = http::Response<CountBody<R>>;
    type Error = S::Error;
    type Future = CountFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let mut pending = self.rules.begin(Head::of(&request));
        let on_panic = OnPanic(&mut pending);
        let inner = self.inner.call(request);
        on_panic.disarm();
        CountFuture { inner, pending }
    }
}

/// tonic serves it under the inner service's name.
impl<S: tonic::server::NamedService> tonic::server::NamedService for Count<S> {
    const NAME: &'static str = S::NAME;
}

// === impl CountFuture ===

impl<F, R, E> Future for CountFuture<F>
where
    F: Future<Output = Result<http::Response<R>, E>>,
    R: Body,
{
    type Output = Result<http::Response<CountBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let on_panic = OnPanic(this.pending);
        let answered = this.inner.poll(context);
        on_panic.disarm();
        let answered = ready!(answered);
        let status = match (&answered, this.pending.as_mut()) {
            (Ok(answer), Some(pending)) => pending.answered(answer),
            (Err(_), Some(_)) => Some(status::FAILED),
            (_, None) => None,
        };
        if let Some(status) = status {
            Pending::end(this.pending, status);
        }
        let pending = this.pending.take();
        Poll::Ready(answered.map(|answer| answer.map(|inner| CountBody { inner, pending })))
    }
}

// === impl CountBody ===

impl<B: Body> Body for CountBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        if this.pending.is_none() {
            return this.inner.poll_frame(context);
        }
        let on_panic = OnPanic(this.pending);
        let frame = this.inner.as_mut().poll_frame(context);
        // Servers do not ask such a body for more.
        let is_last = matches!(frame, Poll::Ready(Some(Ok(_)))) && this.inner.is_end_stream();
        on_panic.disarm();
        let frame = ready!(frame);
        let status = match &frame {
            Some(Ok(frame)) => match frame.trailers_ref() {
                Some(trailers) => status::of_trailers(trailers).or(Some(status::UNKNOWN)),
                None => is_last.then_some(status::UNKNOWN),
            },
            Some(Err(_)) => Some(status::FAILED),
            None => Some(status::UNKNOWN),
        };
        if let Some(status) = status {
            Pending::end(this.pending, status);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: Default> Default for CountBody<B> {
    fn default() -> Self {
        Self { inner: B::default(), pending: None }
    }
}
