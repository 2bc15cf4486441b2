//! What a browser or a load balancer sees, and calls to unknown services.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse as _;
use axum::routing::get;
use http::{Response, StatusCode};
use tokio::sync::watch;
use tonic::Status;

use crate::admission::{Names, admit, is_grpc, only_grpc};
use crate::metrics::{self, Metrics};
use crate::unfinished::held;

/// What `GET /` answers.
pub(crate) fn about(
    title: &str,
    services: impl Iterator<Item = &'static str>,
    hints: &str,
) -> String {
    let services: Vec<_> = services.chain(["grpc.health.v1.Health", "reflection"]).collect();
    format!(
        "{title}\n\n\
         gRPC   {}\n\
         HTTP   GET /healthz: 200 while the domains can store, 503 otherwise\n       \
         GET /metrics: for Prometheus\n\n\
         {hints}",
        services.join("\n       ")
    )
}

/// Joins the gRPC services, the domains' HTTP routes and the server's own, and says who may ask for
/// what.
pub(crate) fn with_pages(
    grpc: Router,
    routes: Router,
    names: Names,
    about: String,
    serving: watch::Receiver<bool>,
    measured: Arc<Metrics>,
) -> Router {
    let health = async move || {
        if *serving.borrow() {
            return (StatusCode::OK, "serving\n");
        }
        let reason = "not serving: the domains cannot store now, or the server is stopping; its log \
                      says why\n";
        (StatusCode::SERVICE_UNAVAILABLE, reason)
    };
    for route in ["/", "/healthz", "/metrics"] {
        measured.requests.know(route, &["GET"]);
    }
    let routes = routes
        .route("/", get(async move || about.clone()))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics::scrape).with_state(Arc::clone(&measured)))
        .fallback(unknown)
        .layer(from_fn_with_state(measured, metrics::count));
    grpc.layer(from_fn(only_grpc))
        .merge(routes)
        .layer(from_fn_with_state(Arc::new(names), admit))
        .layer(from_fn(held))
}

async fn unknown(request: Request) -> Response<Body> {
    let path = request.uri().path();
    if is_grpc(request.headers()) {
        return Status::unimplemented(format!("this server has no method {path}")).into_http();
    }
    let reason = format!("not found: {path}; GET / lists what is served\n");
    (StatusCode::NOT_FOUND, reason).into_response()
}
