//! What a browser or a load balancer sees, and calls to unknown services.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::get;
use http::{HeaderMap, Response, StatusCode, header};
use tokio::sync::watch;
use tonic::Status;

/// Adds the HTTP pages to the gRPC services.
pub(crate) fn with_pages(grpc: Router, about: String, serving: watch::Receiver<bool>) -> Router {
    let health = move || {
        let is_serving = *serving.borrow();
        async move {
            if is_serving {
                (StatusCode::OK, "serving\n")
            } else {
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "not serving: what is sent cannot be stored now, or the server is stopping\n",
                )
            }
        }
    };
    // tonic's own fallback answers plain HTTP with 200 and a gRPC status.
    grpc.reset_fallback()
        .route("/", get(async move || about.clone()))
        .route("/healthz", get(health))
        .fallback(unknown)
}

async fn unknown(request: Request) -> Response<Body> {
    let path = request.uri().path();
    if is_grpc(request.headers()) {
        return Status::unimplemented(format!("this server has no method {path}")).into_http();
    }
    let mut response =
        Response::new(Body::from(format!("nothing is served at {path}; see / for what is\n")));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
