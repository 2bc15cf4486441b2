//! What a browser or a load balancer sees, and calls to unknown services.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::{Extension, Router};
use http::{Response, StatusCode, header};
use serde_json::Value;
use tally_proto::tally::server::v1::server_service_server::ServerServiceServer;
use tokio::sync::watch;
use tonic::Status;
use tonic::server::NamedService as _;

use crate::Needs;
use crate::admission::{admit, is_grpc, only_grpc};
use crate::api::{DOCUMENT_PATH, Problem, tag_of, tagged, wants_page};
use crate::grpc::Answering;
use crate::guard::{Guard, check};
use crate::health::Readiness;
use crate::held::held;
use crate::metrics::{self, Metrics};
use crate::pages::{Frame, Site, api};
use crate::traced::traced;

/// What `GET /` answers.
pub(crate) fn about(
    title: &str,
    services: impl Iterator<Item = &'static str>,
    hints: &str,
) -> String {
    let own = [ServerServiceServer::<Answering>::NAME, "grpc.health.v1.Health", "reflection"];
    let services: Vec<_> = services.chain(own).collect();
    format!(
        "{title}\n\n\
         gRPC   {}\n\
         HTTP   GET /livez: 200 while the server runs\n\
         \x20      GET /readyz, /healthz: 200 while it is ready, 503 and why otherwise\n\
         \x20      GET /metrics: for Prometheus\n\
         \x20      GET {DOCUMENT_PATH}: what else there is; {} as a page\n\
         \x20      in a browser, pages of what is counted and of this server\n\n\
         {hints}",
        services.join("\n       "),
        api::PATH
    )
}

/// What the server's own routes need.
pub(crate) const OWN: [(&str, Needs); 6] = [
    ("/livez", Needs::Nothing),
    ("/readyz", Needs::Nothing),
    ("/healthz", Needs::Nothing),
    ("/metrics", Needs::OperatorRead),
    (DOCUMENT_PATH, Needs::Key),
    (api::PATH, Needs::Read),
];

/// Joins the gRPC services, the domains' HTTP routes and the server's own, and says who may ask for
/// what.
pub(crate) fn all(
    grpc: Router,
    routes: Router,
    guard: Arc<Guard>,
    site: Arc<Site>,
    document: Value,
    readiness: watch::Receiver<Readiness>,
    measured: Arc<Metrics>,
) -> Router {
    let health = async move || {
        let now = readiness.borrow();
        let status = if now.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, now.sentence())
    };
    let text = Bytes::from(format!("{document:#}\n"));
    let described = async move |request: Request| {
        tagged(request.headers(), tag_of(&text), "application/json", || text.clone().into())
    };
    let own = Router::new()
        // Whether the process runs at all: it does, if it can say so.
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(health.clone()))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics::scrape).with_state(Arc::clone(&measured)))
        .route(DOCUMENT_PATH, get(described))
        .route(api::PATH, get(api::page).with_state(Arc::new(document)));
    let http = routes
        .merge(own)
        .layer(map_response(not_allowed))
        .fallback(unknown)
        .layer(from_fn_with_state(measured, metrics::count));
    grpc.layer(from_fn(only_grpc))
        .merge(http)
        .layer(from_fn_with_state(Arc::clone(&guard), check))
        .layer(Extension(site))
        .layer(from_fn_with_state(guard, admit))
        .layer(from_fn(held))
        .layer(from_fn(traced))
}

/// There is such a path, but not for this method. axum adds `Allow`, with those that there are.
async fn not_allowed(response: Response<Body>) -> Response<Body> {
    let is_explained = response.headers().contains_key(header::CONTENT_TYPE);
    if response.status() != StatusCode::METHOD_NOT_ALLOWED || is_explained {
        return response;
    }
    let detail = "this path does not take this method; the header Allow says which it takes";
    Problem::of_protocol(StatusCode::METHOD_NOT_ALLOWED, detail).into_response()
}

async fn unknown(frame: Frame, request: Request) -> Response<Body> {
    // Somebody's log may have what this answers, and the path of a misspelled URL may have a key in it.
    let path = Some(request.uri().path()).filter(|path| !path.contains("/tally_"));
    let path = path.unwrap_or("a path with a key in it");
    if is_grpc(request.headers()) {
        return Status::unimplemented(format!("this server has no method {path}")).into_http();
    }
    let detail = format!("not found: {path}; GET / lists what is served");
    if wants_page(request.headers()) {
        return frame.unknown();
    }
    Problem::of_protocol(StatusCode::NOT_FOUND, detail).into_response()
}
