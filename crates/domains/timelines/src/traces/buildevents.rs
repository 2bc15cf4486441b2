//! Honeycomb's events, as `buildevents` sends them: each build is a timeline, and what was done in it events.
//!
//! | request | answer |
//! |---|---|
//! | `GET /1/auth` | 200 with names for the team and the environment |
//! | `POST /1/batch/<dataset>`, JSON, also `zstd` and `gzip` | 200 with a status for each: 202, or 400 and why |
//! | `POST /1/events/<dataset>`, JSON; the time in `X-Honeycomb-Event-Time` | 200, or 400 and why |
//!
//! The key is in `X-Honeycomb-Team`. An error is `{"error": "…"}`.
//!
//! | there | here |
//! |---|---|
//! | the dataset | the context |
//! | `trace.trace_id` | the label of the timeline |
//! | `name`, or else `command_name` | the event |
//! | `trace.span_id`, `trace.parent_id` | its span, and that of the event that it is below |
//! | `time`, and `duration_ms` after it | its start and its end; without a duration it is open |
//! | `status` `failure` | failed |
//! | everything else in `data` | attributes, as far as there is room |
//!
//! Source: honeycombio/buildevents and libhoney-go.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tally_access::{Caller, Refusal};
use tally_serve::api::{self, Coding, Problem};
use tally_serve::{Foreign, Manner, Needs, Place};

use super::span::{Gathered, Span};
use super::{BODY_BYTES_MAX, parts};
use crate::message::Status;
use crate::service::Service;

const TEAM: &str = "x-honeycomb-team";
const EVENT_TIME: &str = "x-honeycomb-event-time";
const CODINGS: &[Coding] = &[Coding::Zstd, Coding::Gzip];

static MANNER: Manner = Manner { places: &[Place::Header(TEAM)], refuse: Some(no_key) };

/// An event as it is sent.
#[derive(Debug, Deserialize)]
struct Sent {
    #[serde(default)]
    data: Map<String, Value>,
    #[serde(default)]
    time: Option<String>,
}

pub(super) fn routes(routes: Foreign, service: &Service) -> Foreign {
    let (batch, event) = (post(batch).with_state(service.clone()), post(event));
    let event = event.with_state(service.clone());
    routes
        .route("/1/auth", &MANNER, &[("get", Needs::Ingest)], get(auth))
        .route("/1/batch/{dataset}", &MANNER, &[("post", Needs::Ingest)], batch)
        .route("/1/events/{dataset}", &MANNER, &[("post", Needs::Ingest)], event)
}

async fn auth(request: Request) -> Response {
    let namespace = Caller::of(request.extensions()).namespace().0.to_string();
    api::json(&json!({"team": {"slug": "tally"}, "environment": {"slug": namespace}}))
}

async fn batch(
    State(service): State<Service>,
    Path(dataset): Path<String>,
    request: Request,
) -> Result<Response, Declined> {
    let namespace = Caller::of(request.extensions()).namespace();
    let body = api::decoded(request, CODINGS, BODY_BYTES_MAX).await?;
    few_enough(&body.bytes)?;
    let sent: Vec<Value> = serde_json::from_slice(&body.bytes).map_err(wrong)?;
    drop(body);
    let read = |one: Value| {
        let sent: Sent = serde_json::from_value(one).map_err(|error| error.to_string())?;
        let time = sent.time.as_deref().map(moment).transpose()?;
        span(&dataset, sent.data, time)
    };
    let spans = sent.into_iter().map(read).collect();
    let outcome = service.record_spans(namespace, spans).await.map_err(Problem::from)?;
    let answer = |refused: Option<String>| match refused {
        None => json!({"status": 202}),
        Some(why) => json!({"status": 400, "error": why}),
    };
    Ok(api::json(&outcome.refused.into_iter().map(answer).collect::<Vec<_>>()))
}

async fn event(
    State(service): State<Service>,
    Path(dataset): Path<String>,
    request: Request,
) -> Result<Response, Declined> {
    let namespace = Caller::of(request.extensions()).namespace();
    let time = event_time(request.headers());
    let body = api::decoded(request, CODINGS, BODY_BYTES_MAX).await?;
    few_enough(&body.bytes)?;
    let data: Map<String, Value> = serde_json::from_slice(&body.bytes).map_err(wrong)?;
    drop(body);
    let read = time.and_then(|time| span(&dataset, data, time));
    let outcome = service.record_spans(namespace, vec![read]).await.map_err(Problem::from)?;
    match outcome.refused.into_iter().flatten().next() {
        None => Ok(StatusCode::OK.into_response()),
        Some(why) => Err(Declined(Box::new(declined(StatusCode::BAD_REQUEST, &why)))),
    }
}

fn few_enough(text: &[u8]) -> Result<(), Declined> {
    let is_wrong = !parts::are_few_enough_in_json(text);
    if is_wrong { Err(Problem::of_field("body", parts::TOO_MANY).into()) } else { Ok(()) }
}

fn span(
    dataset: &str,
    mut data: Map<String, Value>,
    time: Option<Timestamp>,
) -> Result<Span, String> {
    let mut take =
        |name: &str| data.remove(name).map(|value| shown(&value)).filter(|text| !text.is_empty());
    let command = take("command_name");
    let name = take("name").or_else(|| command.clone()).unwrap_or_default();
    let shown_name = tally_runtime::text::beginning(&name);
    let missing = |what: &str| format!("{shown_name:?}: it has no {what}");
    let trace = take("trace.trace_id").ok_or_else(|| missing("trace.trace_id"))?;
    let id = take("trace.span_id").ok_or_else(|| missing("trace.span_id"))?;
    let parent = take("trace.parent_id").unwrap_or_default();
    let start = time.ok_or_else(|| missing("time"))?;
    let status = match take("status").as_deref() {
        Some("failure") => Status::Failed,
        _ => Status::Ok,
    };
    let end = match data.remove("duration_ms").filter(|value| !value.is_null()) {
        None => None,
        Some(value) => {
            let millis =
                value.as_f64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
            let end = millis.and_then(of_millis).and_then(|took| start.checked_add(took).ok());
            Some(end.ok_or_else(|| format!("{shown_name:?}: duration_ms is no length of time"))?)
        }
    };
    let mut attributes = Gathered::default();
    if let Some(command) = command {
        attributes.put("command_name", &command);
    }
    for (name, value) in data {
        attributes.put(&name, &shown(&value));
    }
    Ok(Span {
        context: dataset.to_owned(),
        trace,
        name,
        id,
        parent,
        start: Some(start),
        end,
        status,
        attributes: attributes.finish(),
        ..Span::default()
    })
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn of_millis(millis: f64) -> Option<SignedDuration> {
    let nanos = (millis * 1_000_000.0).round();
    // As long as times are apart that can be stored.
    let is_length = nanos.abs() <= i64::MAX as f64;
    is_length.then(|| SignedDuration::from_nanos(nanos as i64))
}

/// RFC 3339, or seconds since 1970.
fn moment(text: &str) -> Result<Timestamp, String> {
    let seconds = || {
        let seconds = text.parse::<f64>().ok()?;
        Timestamp::UNIX_EPOCH.checked_add(SignedDuration::try_from_secs_f64(seconds).ok()?).ok()
    };
    let read = text.parse().ok().or_else(seconds);
    read.ok_or_else(|| format!("time: {:?} is no moment", tally_runtime::text::beginning(text)))
}

fn event_time(headers: &HeaderMap) -> Result<Option<Timestamp>, String> {
    let value = headers.get(EVENT_TIME).map(|value| value.to_str().unwrap_or_default());
    value.map(moment).transpose()
}

/// An answer that is not what was asked for.
struct Declined(Box<Response>);

impl From<Problem> for Declined {
    fn from(problem: Problem) -> Self {
        let (status, why) = (problem.status(), problem.detail().to_owned());
        let mut response = problem.into_response();
        let told = declined(status, &why);
        for (name, value) in told.headers() {
            response.headers_mut().insert(name, value.clone());
        }
        *response.body_mut() = told.into_body();
        Self(Box::new(response))
    }
}

impl IntoResponse for Declined {
    fn into_response(self) -> Response {
        *self.0
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn wrong(error: serde_json::Error) -> Declined {
    Problem::of_field("body", error.to_string()).into()
}

fn no_key(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.kind().http_status());
    declined(status.unwrap_or(StatusCode::UNAUTHORIZED), &refusal.to_string())
}

fn declined(status: StatusCode, why: &str) -> Response {
    let mut response = api::json(&json!({"error": why}));
    *response.status_mut() = status;
    response
}
