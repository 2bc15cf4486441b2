//! The HTTP API: one operation, on the frame that all domains share.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;
use tally_runtime::tell;
use tally_serve::api::{Api, Operation, Problem, Reply, json};
use tally_store::Error;

use crate::domain::NAME;
use crate::service::Service;

static COUNT: Operation = Operation {
    method: "get",
    path: "/api/v1/marks/count",
    id: "countMarks",
    summary: "How many marks there are",
    about: "And how often their producers were looked after.",
    parameters: &[],
    headers: &[],
    body: None,
    replies: &[Reply {
        status: 200,
        about: "The numbers.",
        media_types: &[("application/json", Some("MarkCount"))],
    }],
};

pub(crate) fn api(service: Arc<Service>) -> Api {
    Api::new(NAME, "Numbers, each stored once.")
        .route(&COUNT, get(count).with_state(service))
        .schema(
            "MarkCount",
            json!({
                "type": "object",
                "required": ["count", "rounds"],
                "properties": {"count": {"type": "integer"}, "rounds": {"type": "integer"}},
            }),
        )
}

async fn count(State(service): State<Arc<Service>>) -> Result<Response, Problem> {
    let problem = |error: Error| Problem::new(error.kind(), tell(&error, error.kind()));
    let (count, rounds) = service.count().await.map_err(problem)?;
    Ok(json(&json!({"count": count, "rounds": rounds})))
}
