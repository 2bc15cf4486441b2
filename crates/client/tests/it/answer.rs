//! An answer of one piece of data, as the layer's tests and benchmarks need it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};

/// The body; a gRPC answer has its code in the trailers.
pub(crate) struct Answer {
    trailers: Option<HeaderMap>,
    is_sent: bool,
}

// === impl Answer ===

impl Answer {
    pub(crate) fn new(is_grpc: bool) -> Self {
        let mut trailers = HeaderMap::new();
        if is_grpc {
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
        }
        Self { trailers: is_grpc.then_some(trailers), is_sent: false }
    }
}

impl Body for Answer {
    type Data = &'static [u8];
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<&'static [u8]>, Infallible>>> {
        let is_first = !std::mem::replace(&mut self.is_sent, true);
        Poll::Ready(match is_first {
            true => Some(Ok(Frame::data(&[0; 5]))),
            false => self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_sent && self.trailers.is_none()
    }
}
