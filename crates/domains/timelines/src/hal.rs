//! upto's HTTP for reading, in HAL: on paths of its own. What Tally has and upto does not, other names have.
//!
//! | path | answer |
//! |---|---|
//! | `/api/` | where contexts are |
//! | `/api/contexts` | the first 10,000 contexts |
//! | `/api/contexts/<context>` | the latest 1,000 timelines in which something has ended, and the newest one; of an unknown context, none |
//! | `/api/contexts/<context>/<timeline>` | its events; of an unknown timeline, none; of an unknown context, 404 |
//!
//! GET only, `application/hal+json`. `self` is `/api` and the path; all other `href` are names, escaped as URLs
//! have them, that are appended to it with `/`. What has not ended is no event of upto's, whose page needs an end
//! of each: it is in `Unfinished`, without one. Source: <https://github.com/Redundancy/upto>.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get};
use http::{StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tally_access::{Caller, Refusal};
use tally_runtime::tell;
use tally_serve::{Foreign, Manner, Needs};

use crate::error::Error;
use crate::model::{Event, Timeline};
use crate::service::Service;

const ROOT: &str = "/api/";
const CONTEXTS: &str = "/api/contexts";
const CONTEXT: &str = "/api/contexts/{context}";
const TIMELINE: &str = "/api/contexts/{context}/{timeline}";
const MANNER: Manner = Manner { places: &[], refuse: Some(refuse) };

const CONTEXTS_MAX: usize = 10_000;
const CONTEXTS_READ: u32 = 1_000;
const TIMELINES_MAX: u32 = 1_000;

/// What Go has where no time is set.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// An event, and its two times.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    host: String,
    start: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
}

// === impl Service ===

impl Service {
    /// The routes of other products.
    pub(crate) fn foreign(&self) -> Foreign {
        let all = |does: MethodRouter<Self>| does.fallback(wrong_method).with_state(self.clone());
        [
            (ROOT, all(get(root))),
            (CONTEXTS, all(get(contexts))),
            (CONTEXT, all(get(context))),
            (TIMELINE, all(get(timeline))),
        ]
        .into_iter()
        .fold(Foreign::new(), |routes, (path, does)| {
            routes.route(path, &MANNER, &[("get", Needs::Read)], does)
        })
    }
}

async fn root() -> Response {
    hal(&json!({"_links": {"contexts": {"href": "contexts"}, "self": {"href": ROOT}}}))
}

async fn contexts(State(service): State<Service>, request: Request) -> Response {
    let namespace = Caller::of(request.extensions()).namespace();
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let (contexts, has_more) = match service.contexts(namespace, &after, CONTEXTS_READ).await {
            Ok(found) => found,
            Err(error) => return failed(&error),
        };
        items.extend(contexts.iter().map(|(context, _)| href(&context.name)));
        match contexts.last().filter(|_| has_more && items.len() < CONTEXTS_MAX) {
            Some((last, _)) => after.clone_from(&last.name),
            None => break,
        }
    }
    hal(&json!({"_links": {"items": items, "self": {"href": CONTEXTS}}}))
}

async fn context(
    State(service): State<Service>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let namespace = Caller::of(request.extensions()).namespace();
    let mut links = Map::new();
    links.insert("items".to_owned(), json!([]));
    links.insert("self".to_owned(), json!({"href": request.uri().path()}));
    let found = async {
        let context = service.context(namespace, &name).await?;
        service.timelines(&context, i64::MAX, TIMELINES_MAX).await
    };
    match found.await {
        Ok(timelines) => {
            if let Some(newest) = timelines.first() {
                links.insert("latest".to_owned(), href(&newest.id.to_string()));
            }
            let ended = timelines.iter().filter(|timeline| has_ended(timeline));
            let items: Vec<Value> = ended.map(|timeline| href(&timeline.id.to_string())).collect();
            links.insert("items".to_owned(), items.into());
        }
        Err(Error::NoContext(_)) => {}
        Err(error) => return failed(&error),
    }
    hal(&json!({"_links": links, "Name": name, "Description": ""}))
}

async fn timeline(
    State(service): State<Service>,
    Path((context, which)): Path<(String, String)>,
    request: Request,
) -> Response {
    let namespace = Caller::of(request.extensions()).namespace();
    let found = async {
        let context = service.context(namespace, &context).await?;
        let timeline = service.timeline(&context, &which).await?;
        service.events(&timeline, 0, u32::MAX).await
    };
    let events = match found.await {
        Ok(events) => events,
        Err(Error::NoTimeline(_)) => Vec::new(),
        Err(error) => return failed(&error),
    };
    let is_whole = |event: &&Event| event.attempt.start.is_some() && event.attempt.end.is_some();
    let whole: Vec<&Event> = events.iter().filter(is_whole).collect();
    let open: Vec<Told> =
        events.iter().filter(|event| event.attempt.end.is_none()).filter_map(told).collect();
    let first = whole.iter().filter_map(|event| event.attempt.start.as_ref()).map(|one| one.time);
    let last = whole.iter().filter_map(|event| event.attempt.end.as_ref()).map(|one| one.time);
    let or_never = |time: Option<jiff::Timestamp>| {
        time.map_or_else(|| NEVER.to_owned(), |time| time.to_string())
    };
    let mut answer = json!({
        "_links": {"self": {"href": request.uri().path()}},
        "First": or_never(first.min()),
        "Last": or_never(last.max()),
    });
    let whole: Vec<Told> = whole.into_iter().filter_map(told).collect();
    for (name, events) in [("Events", whole), ("Unfinished", open)] {
        if !events.is_empty() {
            answer[name] = json!(events);
        }
    }
    hal(&answer)
}

/// Whether something has ended in it.
fn has_ended(timeline: &Timeline) -> bool {
    let counts = timeline.counts;
    counts.events > counts.open + counts.abandoned
}

/// An event that has a start.
fn told(event: &Event) -> Option<Told> {
    let start = event.attempt.start.as_ref()?.time.to_string();
    let end = event.attempt.end.as_ref().map(|end| end.time.to_string());
    Some(Told { name: event.key.name.clone(), host: event.key.host.clone(), start, end })
}

/// A name, as one segment of a path.
fn href(name: &str) -> Value {
    use std::fmt::Write as _;

    let mut escaped = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    json!({"href": escaped})
}

fn hal(answer: &Value) -> Response {
    let text = serde_json::to_string_pretty(answer).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/hal+json")], text).into_response()
}

async fn wrong_method() -> Response {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed");
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET,HEAD"));
    response
}

fn failed(why: &Error) -> Response {
    let status = StatusCode::from_u16(why.kind().http_status());
    match status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR) {
        StatusCode::NOT_FOUND => error(StatusCode::NOT_FOUND, "Resource not found"),
        status => error(status, &tell(why, why.kind())),
    }
}

/// A request whose key is missing, or may not read.
fn refuse(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.kind().http_status());
    error(status.unwrap_or(StatusCode::FORBIDDEN), &refusal.to_string())
}

fn error(status: StatusCode, why: &str) -> Response {
    let json = (header::CONTENT_TYPE, "application/json; charset=utf-8");
    (status, [json], Body::from(json!({"Error": why}).to_string())).into_response()
}
