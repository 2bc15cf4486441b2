//! Sends calls with a key, and turns answers that are not gRPC into errors.

use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response, header};
use tonic::codegen::{BoxFuture, Service, StdError};
use tonic::transport::Channel;

use super::why::Foreign;

/// A connection that sends the key with every call. An answer that is not gRPC, such as a proxy's,
/// is an error that says so.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    channel: Channel,
    authorization: Option<HeaderValue>,
}

// === impl Caller ===

impl Caller {
    pub(super) fn new(channel: Channel, authorization: Option<HeaderValue>) -> Self {
        Self { channel, authorization }
    }
}

impl Service<Request<Body>> for Caller {
    type Response = Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<Response<Body>, StdError>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.channel.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(value) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value.clone());
        }
        let answer = self.channel.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if is_grpc(answer.headers()) {
                return Ok(answer);
            }
            let text = |name| {
                let value = answer.headers().get(name)?;
                Some(value.to_str().ok()?.to_owned())
            };
            let (location, kind) = (text(header::LOCATION), text(header::CONTENT_TYPE));
            Err(Foreign { status: answer.status().as_u16(), location, kind }.into())
        })
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    headers.contains_key("grpc-status") || kind.starts_with(b"application/grpc")
}
