//! One attempt to tell something, and what its answer means.

use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tally_proto::tally::timelines::v1::record_result::Result as RecordResult;
use tally_proto::tally::timelines::v1::timeline_service_client::TimelineServiceClient;
use tally_proto::tally::timelines::v1::{
    Kind, Phase, RecordAllRequest, RecordRequest, Status as Ended,
};
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::door::{Door, Link};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// What became of an attempt.
#[derive(Debug)]
pub(crate) enum Told {
    Stored,
    /// It may be stored, or not.
    Unknown,
    /// The server broke a rule.
    Broken(String),
}

/// Tells one thing by gRPC.
pub(crate) async fn one(link: Link, message: RecordRequest) -> Told {
    let telling = async { TimelineServiceClient::new(link).record(message).await };
    match timeout(PATIENCE, telling).await {
        Ok(Ok(_)) => Told::Stored,
        Ok(Err(status)) => judge(&status),
        Err(_) => Told::Unknown,
    }
}

/// Tells several things by one call. All of them are stored, or it is to be sent again.
pub(crate) async fn all(link: Link, messages: Vec<RecordRequest>) -> Told {
    let telling =
        async { TimelineServiceClient::new(link).record_all(RecordAllRequest { messages }).await };
    let answer = match timeout(PATIENCE, telling).await {
        Ok(Ok(answer)) => answer.into_inner(),
        Ok(Err(status)) => return judge(&status),
        Err(_) => return Told::Unknown,
    };
    for one in answer.results {
        match one.result {
            Some(RecordResult::Recorded(_)) => {}
            Some(RecordResult::Refusal(no)) => {
                return judge(&Status::new(Code::from_i32(no.code), no.message));
            }
            None => return Told::Broken("no result".to_owned()),
        }
    }
    Told::Stored
}

/// Tells one thing over HTTP.
pub(crate) async fn post(door: &Door, message: &RecordRequest) -> Told {
    match timeout(PATIENCE, ask(door, message)).await {
        Ok(Ok((200, _))) => Told::Stored,
        Ok(Ok((408 | 429 | 500.., _)) | Err(_)) | Err(_) => Told::Unknown,
        Ok(Ok((status, body))) => Told::Broken(format!("{status} {body}")),
    }
}

async fn ask(door: &Door, message: &RecordRequest) -> anyhow::Result<(u16, String)> {
    let key = match &*message.idempotency_key {
        "" => String::new(),
        key => format!("Idempotency-Key: \"{key}\"\r\n"),
    };
    let head =
        format!("POST /api/v1/timelines HTTP/1.1\r\n{key}Content-Type: application/json\r\n");
    let (answer, _) = door.ask(&head, &json(message)?).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, body.to_owned()))
}

/// As HTTP has it.
fn json(message: &RecordRequest) -> anyhow::Result<String> {
    let RecordRequest { context, timeline, name, host, span, attributes, .. } = message;
    let kind = match message.kind() {
        Kind::New => "new",
        Kind::Start => "start",
        Kind::End => "end",
        Kind::Point => "point",
        Kind::Phase | Kind::Unspecified => "phase",
    };
    let time = message.time.context("each has a time")?;
    let time = Timestamp::new(time.seconds, time.nanos)?.to_string();
    let mut json = serde_json::json!({"kind": kind, "context": context, "time": time});
    for (field, text) in [("timeline", timeline), ("name", name), ("host", host), ("span", span)] {
        if !text.is_empty() {
            json[field] = text.as_str().into();
        }
    }
    for (name, text) in attributes {
        json["attributes"][name] = text.as_str().into();
    }
    match message.status() {
        Ended::Unspecified => {}
        Ended::Failed => json["status"] = "failed".into(),
        Ended::Skipped => json["status"] = "skipped".into(),
    }
    match message.phase() {
        Phase::Unspecified => {}
        Phase::Waiting => json["phase"] = "waiting".into(),
        Phase::Working => json["phase"] = "working".into(),
    }
    Ok(json.to_string())
}

/// A failure that says that nobody knows, or that it can be sent again.
fn judge(status: &Status) -> Told {
    let again =
        [Code::Unavailable, Code::Cancelled, Code::DeadlineExceeded, Code::Unknown, Code::Aborted];
    if again.contains(&status.code()) {
        return Told::Unknown;
    }
    Told::Broken(format!("{:?} {}", status.code(), status.message()))
}
