//! `Add`, whose messages bypass tonic: making and polling an object for each takes longer than
//! counting it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tally_proto::count::v1::count_service_server::{CountServiceServer, SERVICE_NAME};
use tally_proto::count::v1::{AddRequest, AddResponse};
use tally_proto::wire::{COUNTED_TRAILER, REFUSED_TRAILER};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service as HttpService, http};
use tonic::server::NamedService;
use tonic::{Request, Response, Status, Streaming};

use crate::add::{Adding, Ending};
use crate::error::Ended;
use crate::service::Service;

/// The method whose bodies are read here.
const ADD: &str = "/count.v1.CountService/Add";

/// `count.v1.CountService`.
#[derive(Clone)]
pub struct CountServer(pub(super) CountServiceServer<Service>);

/// The body of an `Add` call, passed beside a call with an empty one, so that tonic does everything
/// but read the messages.
#[derive(Debug, Clone)]
struct Unread(Arc<Mutex<Body>>);

// === impl CountServer ===

impl NamedService for CountServer {
    const NAME: &'static str = SERVICE_NAME;
}

impl HttpService<http::Request<Body>> for CountServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if request.uri().path() == ADD {
            let body = std::mem::take(request.body_mut());
            request.extensions_mut().insert(Unread(Arc::new(Mutex::new(body))));
        }
        HttpService::call(&mut self.0, request)
    }
}

/// Counts the requests of a stream.
pub(super) async fn add(
    service: &Service,
    mut request: Request<Streaming<AddRequest>>,
) -> Result<Response<AddResponse>, Status> {
    let unread = request.extensions_mut().remove::<Unread>();
    let Unread(body) = unread.expect("`CountServer` puts it into every call");
    let body = std::mem::take(&mut *body.lock().unwrap_or_else(PoisonError::into_inner));
    let (intake, streams) = (Arc::clone(&service.intake), Arc::clone(&service.streams));
    let adding = Adding { intake, streams };
    // If the client goes away, this call is dropped, but what was sent is still counted.
    let ended = service.to_its_end("add stream", async move { adding.add(body).await }).await;
    let panicked = Ending { counted: None, refused: 0, error: Some(Ended::Panicked.into()) };
    let Ending { counted, refused, error } = ended.unwrap_or(panicked);
    let Some(error) = error else { return Ok(Response::new(AddResponse {})) };
    let mut status = Status::from(error);
    if let Some(counted) = counted {
        status.metadata_mut().insert(COUNTED_TRAILER, counted.into());
        if refused > 0 {
            status.metadata_mut().insert(REFUSED_TRAILER, refused.into());
        }
    }
    Err(status)
}
