//! OpenTelemetry's traces (OTLP 1), over HTTP and gRPC.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/traces`, `application/x-protobuf` or `application/json`, also `gzip` | 200 of the same type, with what was refused; 400, 413, 415, 503 with a `google.rpc.Status` |
//! | gRPC `opentelemetry.proto.collector.trace.v1.TraceService/Export`, also `gzip` | the same |
//!
//! | there | here |
//! |---|---|
//! | the header `tally-context`, or `cicd.pipeline.name`, or `service.name` | the context |
//! | `cicd.pipeline.run.id`, or the id of the trace | the label of the timeline |
//! | a span | an event with the span's id, below the event of the parent's id |
//! | `host.name`; where the context is not that of `service.name`, `service.name` | the host |
//! | status 2, or a result of `cicd.pipeline…` that is a failure | failed |
//! | an event of a span | a point below it |
//! | an end of 0 | the event is open |
//!
//! A span whose end is before its start is kept as it was sent. Of attributes those of the span are kept, as far as
//! there is room.
//!
//! Source: OpenTelemetry's protocol specification and its semantic conventions for CI/CD.
//!
//! | file | what it owns |
//! |---|---|
//! | `json.rs` | the JSON form of the messages |
//! | `read.rs` | from a span there to a span here |

mod json;
mod read;

use std::fmt::Display;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use prost::Message as _;
use serde_json::json;
use tally_access::Caller;
use tally_proto::opentelemetry as proto;
use tally_proto::opentelemetry::trace_service_server::{TraceService, TraceServiceServer};
use tally_runtime::{Kind, Namespace};
use tally_serve::api::{self, Coding, Problem};
use tally_serve::{Foreign, Manner, Needs};
use tonic::codec::CompressionEncoding;

use super::{BODY_BYTES_MAX, parts};
use crate::error::Error;
use crate::service::Service;

/// What the method needs.
pub(crate) const TRACE_SERVICE: &[(&str, Needs)] = &[("Export", Needs::Ingest)];
/// The header, and the metadata, that names the context.
const CONTEXT: &str = "tally-context";
/// How many refusals are told.
const TOLD_MAX: usize = 10;
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// The key is where Tally's own API has it.
static MANNER: Manner = Manner { places: &[], refuse: None };

pub(super) fn routes(routes: Foreign, service: &Service) -> Foreign {
    let export = post(export).with_state(service.clone());
    routes.route("/v1/traces", &MANNER, &[("post", Needs::Ingest)], export)
}

// === impl Service ===

impl Service {
    pub(crate) fn trace_service(&self) -> TraceServiceServer<Self> {
        TraceServiceServer::new(self.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(BODY_BYTES_MAX)
    }

    async fn take(
        &self,
        namespace: Namespace,
        context: Option<&str>,
        all: Vec<proto::ResourceSpans>,
    ) -> Result<proto::ExportTraceServiceResponse, Error> {
        let spans = read::spans(all, context);
        let refused: Vec<_> =
            self.record_spans(namespace, spans).await?.refused.into_iter().flatten().collect();
        let told = told(&refused);
        let partial_success = told.map(|error_message| proto::ExportTracePartialSuccess {
            rejected_spans: i64::try_from(refused.len()).unwrap_or(i64::MAX),
            error_message,
        });
        Ok(proto::ExportTraceServiceResponse { partial_success })
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: tonic::Request<proto::ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<proto::ExportTraceServiceResponse>, tonic::Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let context = request.metadata().get(CONTEXT).and_then(|value| value.to_str().ok());
        let context = context.map(str::to_owned);
        let all = of_protobuf(&request.into_inner()).map_err(|why| Error::wrong("body", why))?;
        let taken = self.take(namespace, context.as_deref(), all).await?;
        Ok(tonic::Response::new(taken))
    }
}

async fn export(State(service): State<Service>, request: Request) -> Response {
    let content_type = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let content_type = content_type.unwrap_or_default();
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let is_json = essence.eq_ignore_ascii_case(JSON.as_bytes());
    if !is_json && !essence.eq_ignore_ascii_case(PROTOBUF.as_bytes()) {
        let detail = format!("Content-Type: the body must be {PROTOBUF} or {JSON}");
        return Problem::of_protocol(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).into_response();
    }
    match exported(&service, request, is_json).await {
        Ok(response) if is_json => api::json(&answer(&response)),
        Ok(response) => api::untagged(PROTOBUF, response.encode_to_vec().into()),
        Err(problem) => refused(problem, is_json),
    }
}

async fn exported(
    service: &Service,
    request: Request,
    is_json: bool,
) -> Result<proto::ExportTraceServiceResponse, Problem> {
    let namespace = Caller::of(request.extensions()).namespace();
    let context = context(request.headers())?;
    let body = api::decoded(request, &[Coding::Gzip], BODY_BYTES_MAX).await?;
    let read = if is_json { of_json(&body.bytes) } else { of_bytes(&body.bytes) };
    let read = read.map_err(|why| Problem::of_field("body", why))?;
    drop(body);
    Ok(service.take(namespace, context.as_deref(), read).await?)
}

fn of_json(text: &[u8]) -> Result<Vec<proto::ResourceSpans>, String> {
    if !parts::are_few_enough_in_json(text) {
        return Err(parts::TOO_MANY.to_owned());
    }
    json::read(text).map_err(|why| no_trace(&why))
}

fn of_bytes(bytes: &[u8]) -> Result<Vec<proto::ResourceSpans>, String> {
    let request = proto::ExportTraceServiceRequest::decode(bytes);
    of_protobuf(&request.map_err(|why| no_trace(&why))?)
}

fn of_protobuf(
    request: &proto::ExportTraceServiceRequest,
) -> Result<Vec<proto::ResourceSpans>, String> {
    if !parts::are_few_enough(&request.resource_spans) {
        return Err(parts::TOO_MANY.to_owned());
    }
    let read = request.resource_spans.iter().map(|one| proto::ResourceSpans::decode(&**one));
    read.collect::<Result<_, _>>().map_err(|why| no_trace(&why))
}

fn no_trace(why: &impl Display) -> String {
    format!("it is no trace: {why}")
}

fn context(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(CONTEXT) else { return Ok(None) };
    let text = str::from_utf8(value.as_bytes());
    let text = text.map_err(|_| Problem::of_field(CONTEXT, "it is not UTF-8"))?;
    Ok(Some(text.to_owned()))
}

/// A problem, in the words of the protocol and the type of the request.
fn refused(problem: Problem, is_json: bool) -> Response {
    let (status, message) = (problem.status(), problem.detail().to_owned());
    let code = match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Kind::InvalidArgument,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => Kind::Unavailable,
        StatusCode::TOO_MANY_REQUESTS => Kind::ResourceExhausted,
        _ => Kind::Internal,
    };
    let refusal = proto::Refusal { code: code.grpc_code(), message };
    let (content_type, body) = if is_json {
        let proto::Refusal { code, message } = &refusal;
        (JSON, json!({"code": code, "message": message}).to_string().into_bytes())
    } else {
        (PROTOBUF, refusal.encode_to_vec())
    };
    let mut response = problem.into_response();
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    *response.body_mut() = body.into();
    response
}

fn answer(response: &proto::ExportTraceServiceResponse) -> serde_json::Value {
    match &response.partial_success {
        None => json!({}),
        Some(part) => json!({"partialSuccess": {
            "rejectedSpans": part.rejected_spans.to_string(),
            "errorMessage": part.error_message,
        }}),
    }
}

/// What was refused, and why.
fn told(refused: &[String]) -> Option<String> {
    let more = refused.len().saturating_sub(TOLD_MAX);
    let named: Vec<_> = refused.iter().take(TOLD_MAX).map(String::as_str).collect();
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    (!refused.is_empty()).then(|| format!("refused: {}{more}", named.join("; ")))
}
