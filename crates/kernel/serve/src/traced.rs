//! What is done for a request, and for its answer, belongs to the trace that the request names.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use tally_runtime::trace::{self, Trace};

/// An answer's body: it may be made while it is sent.
struct Traced {
    body: Body,
    trace: Trace,
}

/// Lets the log know of the trace. A request without one costs a look at its headers.
pub(crate) async fn traced(request: Request, next: Next) -> Response<Body> {
    let Some(trace) = trace_of(request.headers()) else { return next.run(request).await };
    let answer = trace::within(Some(trace), next.run(request)).await;
    answer.map(|body| Body::new(Traced { body, trace }))
}

/// The trace that a request names, if it names one only.
fn trace_of(headers: &HeaderMap) -> Option<Trace> {
    let mut all = headers.get_all(trace::HEADER).iter();
    let header = all.next()?;
    if all.next().is_some() { None } else { Trace::read(header.as_bytes()) }
}

// === impl Traced ===

impl HttpBody for Traced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, trace } = self.get_mut();
        trace::within_now(Some(*trace), || Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use futures_util::StreamExt as _;
    use futures_util::stream::once;
    use tower_service::Service as _;

    use super::*;

    fn current() -> String {
        Trace::current().map(|trace| trace.span_id().to_owned()).unwrap_or_default()
    }

    #[tokio::test]
    async fn a_request_and_its_answer_belong_to_the_trace() {
        let handler = async || {
            let at_first = current();
            Body::from_stream(once(async move {
                Ok::<_, Infallible>(format!("{at_first} {}", current()))
            }))
        };
        let mut router = Router::new().route("/", get(handler)).layer(from_fn(traced));
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let id = "b7ad6b7169203331";
        for (headers, expected) in [
            (&[header][..], format!("{id} {id}")),
            (&[], " ".to_owned()),
            (&["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1"], " ".to_owned()),
            (&[header, header], " ".to_owned()),
        ] {
            let request = Request::builder().uri("/");
            let named = |request: http::request::Builder, header: &&str| {
                request.header(trace::HEADER, *header)
            };
            let request = headers.iter().fold(request, named).body(Body::empty());
            let answer = router.call(request.expect("a request")).await.expect("an answer");
            assert!(!answer.headers().contains_key(trace::HEADER));
            let body = answer.into_body().into_data_stream();
            let parts: Vec<_> = body.map(|part| part.expect("a part")).collect().await;
            assert_eq!(String::from_utf8_lossy(&parts.concat()), expected, "{headers:?}");
        }
    }
}
