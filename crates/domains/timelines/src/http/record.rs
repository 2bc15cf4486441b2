//! Messages from JSON.

use axum::extract::{Request, State};
use axum::response::Response;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tally_access::Caller;
use tally_runtime::tell;
use tally_serve::api::{self, Problem, idempotency_key};

use super::answers;
use crate::error::Error;
use crate::ledger::Done;
use crate::message::{Attributes, Kind, Phase, Status, Written, Wrong, wrong_key};
use crate::service::{MESSAGES_MAX, Service};

/// How large the body of one message, and that of several, may be.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
const MESSAGES_BYTES_MAX: usize = 8 << 20;

/// A message as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenMessage {
    kind: String,
    context: String,
    timeline: String,
    name: String,
    host: String,
    span: String,
    time: Option<String>,
    status: Option<String>,
    phase: Option<String>,
    attributes: Attributes,
    idempotency_key: Option<String>,
}

/// A message as it was read, its idempotency key, and what is wrong with it already.
pub(crate) type Read = (Written, Option<String>, Wrong);

pub(super) async fn record(
    State(service): State<Service>,
    request: Request,
) -> Result<Response, Problem> {
    let namespace = Caller::of(request.extensions()).namespace();
    let (said, key, wrong) = one(request).await?;
    let message = service.message(namespace, said, key.as_deref(), wrong)?;
    let done = service.record(vec![message]).await?.pop().ok_or(Error::Panicked)??;
    Ok(api::json(&recorded(&done)))
}

pub(super) async fn record_all(
    State(service): State<Service>,
    request: Request,
) -> Result<Response, Problem> {
    let namespace = Caller::of(request.extensions()).namespace();
    let message =
        |(said, key, wrong): Read| service.message(namespace, said, key.as_deref(), wrong);
    let read = all(request).await?.into_iter().map(message).collect();
    let results = service.record_all(read).await?;
    let results: Vec<Value> = results.iter().map(result).collect();
    Ok(api::json(&json!({"results": results})))
}

/// Reads the body of one message.
pub(crate) async fn one(request: Request) -> Result<Read, Problem> {
    let key = idempotency_key(request.headers());
    let mut written: WrittenMessage = api::json_of(request, MESSAGE_BYTES_MAX).await?;
    let mut wrong = Wrong::new();
    let of_field = written.idempotency_key.take().filter(|_| {
        let is_twice = !matches!(key, Ok(None));
        if is_twice {
            let why = "it is in the header Idempotency-Key already".to_owned();
            wrong.push(("idempotency_key".to_owned(), why));
        }
        !is_twice
    });
    written.idempotency_key = of_field;
    let key = key.unwrap_or_else(|why| {
        wrong.push(("Idempotency-Key".to_owned(), why));
        None
    });
    Ok(written.read(key, wrong))
}

/// Reads the body of several.
pub(crate) async fn all(request: Request) -> Result<Vec<Read>, Problem> {
    let written: Vec<WrittenMessage> = api::json_of(request, MESSAGES_BYTES_MAX).await?;
    if written.len() > MESSAGES_MAX {
        let why = format!("it has {} messages, and may have {MESSAGES_MAX}", written.len());
        return Err(Problem::of_field("body", why));
    }
    Ok(written.into_iter().map(|one| one.read(None, Wrong::new())).collect())
}

// === impl WrittenMessage ===

impl WrittenMessage {
    /// Reads it, with everything that is wrong with how it is written.
    fn read(self, key: Option<String>, mut wrong: Wrong) -> Read {
        let mut note = |field: &str, why: &str| wrong.push((field.to_owned(), why.to_owned()));
        let kind = match &*self.kind {
            "new" => Some(Kind::New),
            "start" => Some(Kind::Start),
            "end" => Some(Kind::End),
            "point" => Some(Kind::Point),
            "phase" => Some(Kind::Phase),
            _ => {
                note("kind", "it is none of new, start, end, point and phase");
                None
            }
        };
        let status = match self.status.as_deref() {
            None | Some("ok") => Status::Ok,
            Some("failed") => Status::Failed,
            Some("skipped") => Status::Skipped,
            Some(_) => {
                note("status", "it is none of ok, failed and skipped");
                Status::Ok
            }
        };
        let phase = match self.phase.as_deref() {
            None => None,
            Some("waiting") => Some(Phase::Waiting),
            Some("working") => Some(Phase::Working),
            Some(_) => {
                note("phase", "it is none of waiting and working");
                Some(Phase::Working)
            }
        };
        let time: Option<Timestamp> = self.time.and_then(|time| {
            let read = time.parse().ok();
            if read.is_none() {
                note("time", "it is no moment: write it as in 2030-01-31T12:00:00.25Z");
            }
            read
        });
        if let Some(why) = self.idempotency_key.as_deref().and_then(wrong_key) {
            note("idempotency_key", &why);
        }
        let said = Written {
            // What else is wrong is told of what a message of any kind may have.
            kind: kind.unwrap_or_default(),
            context: self.context,
            timeline: self.timeline,
            name: self.name,
            host: self.host,
            span: self.span,
            time,
            status,
            phase: phase.filter(|_| kind.is_some()),
            attributes: self.attributes,
        };
        (said, key.or(self.idempotency_key), wrong)
    }
}

fn recorded(done: &Done) -> Value {
    json!({"timeline": answers::timeline(&done.timeline), "is_repeated": done.is_repeated})
}

fn result(result: &Result<Done, Error>) -> Value {
    match result {
        Ok(done) => json!({"recorded": recorded(done), "refusal": null}),
        Err(error) => {
            let (status, detail) = (error.kind().http_status(), tell(error, error.kind()));
            let refusal = json!({"status": status, "detail": detail, "reason": error.reason()});
            json!({"recorded": null, "refusal": refusal})
        }
    }
}
