//! Debts, payments, runs and flips as JSON and CSV.

use axum::response::Response;
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Value, json};
use tally_access::{Caller, Scope};
use tally_outbox::{Delivery, State as Told};
use tally_runtime::durations;
use tally_serve::api::{self, Format, csv, tag_of};

use super::schemas;
use crate::definition::Written;
use crate::model::{Debt, KeptRun, ShownPayment, stage_of};
use crate::service::ToldFlip;
use crate::state::{Kind, Outcome, Standing};

/// A debt. Whoever knows its ping id can pay, so only those who may pay see it.
pub(super) fn debt(debt: &Debt, caller: &Caller, now: Timestamp) -> Value {
    let (state, definition) = (&debt.state, &debt.definition);
    let written = Written { notify: definition.shown_notify(), ..definition.written() };
    let ping_id = caller.may(Scope::Ingest).then(|| debt.ping_id.to_string());
    json!({
        "id": debt.id.to_string(),
        "number": debt.number,
        "definition": written,
        "ping_id": ping_id,
        "created_at": debt.created.to_string(),
        "status": status(state.standing(now)),
        "since": state.since.to_string(),
        "payments": debt.payments,
        "paid_at": time(state.last_payment),
        "due_at": time(state.due),
        "overdue_at": time(state.deadline),
        "failures": state.failures,
        "open_runs": debt.open_runs,
    })
}

pub(super) fn payment(payment: &ShownPayment) -> Value {
    let noted = &payment.noted;
    json!({
        "number": payment.number,
        "kind": kind(&payment.kind),
        "run": payment.run,
        "stage": stage_of(&payment.kind),
        "exit_status": payment.exit_status,
        "received_at": payment.received.to_string(),
        "time": time(payment.said),
        "took": noted.took.map(|took| took.as_secs_f64()),
        "body": String::from_utf8_lossy(&payment.body),
        "body_bytes": payment.body_bytes,
        "key": payment.key_name,
        "source": payment.source,
        "slot": time(noted.slot),
        "is_early": noted.early,
        "is_over_rate": noted.over_rate,
        "is_too_short": noted.too_short,
        "is_moot": noted.moot,
    })
}

pub(super) fn run(kept: &KeptRun) -> Value {
    let run = &kept.run;
    let outcome = match run.outcome {
        None => "open",
        Some(Outcome::Succeeded) => "succeeded",
        Some(Outcome::Failed) => "failed",
        Some(Outcome::TimedOut) => "timed-out",
        Some(Outcome::Abandoned) => "abandoned",
    };
    json!({
        "number": kept.number,
        "run": run.id,
        "started_at": time(run.started),
        "heard_at": run.heard.to_string(),
        "stages": run.stages,
        "overdue_at": time(run.deadline),
        "outcome": outcome,
        "ended_at": time(run.ended),
    })
}

pub(super) fn flip(told: &ToldFlip) -> Value {
    let flip = &told.flip;
    json!({
        "number": flip.number,
        "is_alarm": flip.is_alarm(),
        "at": flip.at.to_string(),
        "noticed_at": flip.noticed.to_string(),
        "cause": flip.cause,
        "deliveries": told.deliveries.iter().map(delivery).collect::<Value>(),
    })
}

fn delivery(delivery: &Delivery) -> Value {
    let (state, at) = match delivery.state {
        Told::Waiting => ("waiting", None),
        Told::Pending { due } => ("pending", Some(due)),
        Told::Delivered { at } => ("delivered", Some(at)),
        Told::Dead { at } => ("given-up", Some(at)),
    };
    json!({
        "receiver": delivery.receiver,
        "event_id": delivery.id.to_string(),
        "state": state,
        "at": time(at),
        "attempts": delivery.attempts,
        "answer": delivery.answer,
    })
}

/// A list, as JSON, or its items as CSV.
pub(super) fn list(asked: &HeaderMap, format: Format, name: &str, answer: &Value) -> Response {
    match format {
        Format::Json => api::one(asked, answer),
        Format::Csv => {
            let items = answer[name].as_array().map(Vec::as_slice).unwrap_or_default();
            let text = csv::table(&columns(name), items);
            api::text(asked, tag_of(&text), format.content_type(), text)
        }
    }
}

/// What the items of a list have, as the OpenAPI document says it; of a debt the slug and the name in place of the
/// definition.
fn columns(list: &str) -> Vec<(String, String)> {
    let properties = schemas::item(list);
    let mut columns = Vec::new();
    for (name, _) in properties.as_object().into_iter().flatten() {
        match name.as_str() {
            "definition" => columns.extend(
                ["slug", "name"].map(|name| (name.to_owned(), format!("/definition/{name}"))),
            ),
            _ => columns.push((name.clone(), format!("/{name}"))),
        }
    }
    columns
}

fn status(standing: Standing) -> &'static str {
    match standing {
        Standing::New => "new",
        Standing::Up => "up",
        Standing::Down => "down",
        Standing::Paused => "paused",
        Standing::Late => "late",
    }
}

pub(super) fn standing_of(name: &str) -> Option<Standing> {
    Standing::WORST_FIRST.into_iter().find(|one| status(*one) == name)
}

pub(crate) fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::Start => "start",
        Kind::Stage(_) => "stage",
        Kind::Heartbeat => "heartbeat",
        Kind::Success => "success",
        Kind::Fail => "fail",
        Kind::Log => "log",
    }
}

fn time(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

/// A length of time as it is written, if it is there.
pub(super) fn read_duration(text: Option<&str>) -> Result<Option<std::time::Duration>, String> {
    text.map(durations::parse).transpose().map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KeptFlip;

    #[test]
    fn a_list_of_nothing_has_its_columns() {
        for list in ["debts", "payments", "runs", "flips"] {
            let text = String::from_utf8(csv::table(&columns(list), &[])).expect("UTF-8");
            assert!(text.contains("number") && text.lines().count() == 1, "{list}: {text}");
        }
    }

    #[test]
    fn cells_stand_under_their_columns() {
        let flip = KeptFlip {
            debt: uuid::Uuid::nil(),
            number: 1,
            at: jiff::Timestamp::UNIX_EPOCH,
            noticed: jiff::Timestamp::UNIX_EPOCH,
            cause: "a, b".to_owned(),
        };
        let shown = self::flip(&ToldFlip { flip, deliveries: Vec::new() });
        let text = String::from_utf8(csv::table(&columns("flips"), std::slice::from_ref(&shown)))
            .expect("UTF-8");
        let (names, cells) = text.split_once("\r\n").or(text.split_once('\n')).expect("two lines");
        assert_eq!(names.split(',').count(), shown.as_object().expect("members").len(), "{text}");
        assert!(cells.contains("\"a, b\"") && !text.contains("null"), "{text}");
    }
}
