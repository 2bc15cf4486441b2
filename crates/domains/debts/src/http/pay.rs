//! A payment from JSON.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tally_access::Caller;
use tally_serve::api::{self, Mistakes, Problem, idempotency_key};

use super::answers;
use crate::definition::{Definition, Written};
use crate::error::Error;
use crate::model::wrong_run;
use crate::schedule::storable;
use crate::service::{Said, Service};
use crate::state::Kind;

/// How large the body of a payment may be.
pub(super) const PAYMENT_BYTES_MAX: usize = 128 << 10;

/// A payment as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenPayment {
    kind: Option<String>,
    run: Option<String>,
    stage: Option<String>,
    exit_status: Option<Value>,
    time: Option<String>,
    took: Option<String>,
    body: Option<String>,
    create: Option<Written>,
}

pub(super) async fn pay(
    State(service): State<Service>,
    Path(debt): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(request.extensions()).clone();
    let mut mistakes = Mistakes::default();
    let key = mistakes.take("Idempotency-Key", idempotency_key(request.headers())).flatten();
    let written: WrittenPayment = api::json_of(request, PAYMENT_BYTES_MAX).await?;
    let create = read_create(&service, written.create, &debt, &mut mistakes)?;
    let exit_status = written.exit_status.and_then(|status| {
        let read = status.as_u64().and_then(|status| status.try_into().ok());
        let read = read.ok_or_else(|| format!("it is {status}, and may be 0 to 255"));
        mistakes.take("exit_status", read)
    });
    let time = written.time.and_then(|time| {
        let why = "it is no moment: write it as in 2030-01-31T12:00:00Z";
        mistakes.take("time", time.parse().ok().and_then(storable).ok_or(why))
    });
    let took = mistakes.take("took", answers::read_duration(written.took.as_deref())).flatten();
    let stage = written.stage.unwrap_or_default();
    let kind = read_kind(written.kind.as_deref(), stage, exit_status, &mut mistakes);
    let run = written.run.filter(|run| !run.is_empty());
    if let Some(why) = run.as_deref().and_then(wrong_run) {
        mistakes.note("run", why);
    }
    mistakes.check()?;
    let said = Said {
        run,
        exit_status,
        time,
        took,
        body: written.body.unwrap_or_default().into_bytes(),
        idempotency_key: key,
        create,
        key_name: caller.key().unwrap_or_default().to_owned(),
        source: "http".to_owned(),
    };
    let payment = service.payment(Service::named(caller.namespace(), &debt), kind, said);
    let paid = Service::pay(&service, vec![payment]).await?.pop().ok_or(Error::Panicked)??;
    let status = if paid.is_created { StatusCode::CREATED } else { StatusCode::OK };
    let answer = json!({
        "debt": answers::debt(&paid.debt, &caller, service.now()),
        "payment": paid.payment,
        "is_repeated": paid.is_repeated,
        "is_created": paid.is_created,
        "is_moot": paid.noted.moot,
        "is_over_rate": paid.noted.over_rate,
        "is_too_short": paid.noted.too_short,
    });
    Ok((status, api::json(&answer)).into_response())
}

/// What the debt is made of if there is none.
fn read_create(
    service: &Service,
    create: Option<Written>,
    debt: &str,
    mistakes: &mut Mistakes,
) -> Result<Option<Definition>, Problem> {
    let Some(mut create) = create else { return Ok(None) };
    if create.slug.is_empty() {
        debt.clone_into(&mut create.slug);
    }
    if create.slug != debt {
        mistakes.note("create.slug", "the debt to be made is the one that is paid: leave it out");
    }
    match service.define(create) {
        Ok(create) => Ok(Some(create)),
        Err(Error::Wrong(wrong)) => {
            wrong.iter().for_each(|(field, why)| mistakes.note(&format!("create.{field}"), why));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn read_kind(
    kind: Option<&str>,
    stage: String,
    exit_status: Option<u8>,
    mistakes: &mut Mistakes,
) -> Kind {
    let has_stage = !stage.is_empty();
    let kind = match (kind, exit_status) {
        (None, None | Some(0)) | (Some("success"), _) => Kind::Success,
        (None, Some(_)) | (Some("fail"), _) => Kind::Fail,
        (Some("start"), _) => Kind::Start,
        (Some("stage"), _) => Kind::Stage(stage),
        (Some("heartbeat"), _) => Kind::Heartbeat,
        (Some("log"), _) => Kind::Log,
        (Some(_), _) => {
            let why = "it is none of success, fail, start, stage, heartbeat and log";
            mistakes.note("kind", why);
            Kind::Log
        }
    };
    if matches!(kind, Kind::Stage(_)) != has_stage {
        mistakes.note("stage", "a payment of the kind stage has one, and no other has");
    }
    kind
}
