//! `Record`, the one gRPC method, as generated code would have it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use tally_producers::stream::Answers;
use tally_proto::tally::producers::v1::{Acknowledgement, Opened};
use tally_runtime::Day;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service as HttpService, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::batches::{BATCH_MARKS_MAX, MarkBatches};
use crate::message::MarkRequest;
use crate::service::{Service, WINDOW};

/// The method's path.
pub const RECORD: &str = "/tally.marks.v1.MarkService/Record";

/// The gRPC service.
#[derive(Clone)]
pub(crate) struct MarkServer(pub(crate) Arc<Service>);

// === impl MarkServer ===

impl NamedService for MarkServer {
    const NAME: &'static str = "tally.marks.v1.MarkService";
}

impl HttpService<http::Request<Body>> for MarkServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let server = self.clone();
        let codec = ProstCodec::<Acknowledgement, MarkRequest>::default();
        Box::pin(async move { Ok(Grpc::new(codec).streaming(server, request).await) })
    }
}

impl StreamingService<MarkRequest> for MarkServer {
    type Response = Acknowledgement;
    type ResponseStream = Answers;
    type Future = Ready<Result<Response<Answers>, Status>>;

    fn call(&mut self, request: Request<Streaming<MarkRequest>>) -> Self::Future {
        let opened = Opened {
            batch_rows_max: BATCH_MARKS_MAX as u32,
            batches_in_flight_max: WINDOW,
            ..Opened::default()
        };
        let (streams, batches) = (&self.0.streams, MarkBatches(Day::of(self.0.clock.now())));
        ready(Ok(Response::new(Arc::clone(streams).answers(request.into_inner(), batches, opened))))
    }
}
