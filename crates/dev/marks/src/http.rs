//! `GET /api/v1/marks/count`.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tally_runtime::chain_for_clients;

use crate::service::Service;

pub(crate) fn routes(service: Arc<Service>) -> Router {
    Router::new().route("/api/v1/marks/count", get(async move || count(&service).await))
}

async fn count(service: &Service) -> Response {
    match service.count().await {
        Ok((count, rounds)) => {
            let json = format!("{{\"count\":{count},\"rounds\":{rounds}}}\n");
            ([(CONTENT_TYPE, "application/json")], json).into_response()
        }
        Err(error) => {
            let status = StatusCode::from_u16(error.kind().http_status());
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, chain_for_clients(&error)).into_response()
        }
    }
}
