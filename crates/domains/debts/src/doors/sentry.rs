//! Sentry: check-ins of cron monitors.
//!
//! | call | content |
//! |---|---|
//! | GET, POST `/api/<project>/cron/<slug>/<key>` | query: `status`, `check_in_id`, `environment`, `duration` |
//! | the same, with `Content-Type: application/json` | JSON, with `monitor_config` as well; the query is not read |
//! | POST `/api/<project>/envelope/` | check-ins among other items, which are skipped; gzip and deflate |
//!
//! The key is one of the scope ingest: in the path, in the query (`sentry_key`) or in `X-Sentry-Auth`. A cron call is
//! answered 202 without a body, an envelope 200 with the id of its last check-in.
//!
//! | file | what it owns |
//! |---|---|
//! | `check_in.rs` | a check-in as it is written, and which payment it is |
//! | `envelope.rs` | check-ins in an envelope |
//! | `monitor.rs` | `monitor_config` as terms |

mod check_in;
mod envelope;
mod monitor;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{StatusCode, header};
use serde_json::json;
use tally_access::Refusal;
use tally_runtime::Kind as ErrorKind;
use tally_serve::api::{self, Coding, Problem, decoded, whole};
use tally_serve::{Foreign, Manner, Needs, Place};
use tokio::sync::RwLock;

use self::check_in::CheckIn;
use super::asked::Asked;
use super::{status, told};
use crate::error::Error;
use crate::model::Named;
use crate::service::{Said, Service};

const IN_HEADERS: [Place; 2] =
    [Place::Query("sentry_key"), Place::Member("x-sentry-auth", "sentry_key")];
const WITH_KEY: Manner =
    Manner { places: &[Place::Path, IN_HEADERS[0], IN_HEADERS[1]], refuse: Some(refuse) };
const WITHOUT_KEY: Manner = Manner { places: &IN_HEADERS, refuse: Some(refuse) };
const CRON: &[(&str, Needs)] = &[("get", Needs::Ingest), ("post", Needs::Ingest)];
const ENVELOPE: &[(&str, Needs)] = &[("post", Needs::Ingest)];
/// How large a body may be, as it comes and decompressed.
const BODY_BYTES_MAX: usize = 1 << 20;

type Answer = Result<Response, Response>;

/// What the routes have in common.
#[derive(Clone)]
struct Door {
    service: Service,
    /// Read while a check-in with a config is on its way. The SDK for JavaScript sends the beginning of a run, which
    /// makes its monitor, and its end at once by two connections: the end waits for those that are on their way,
    /// where its monitor is not known.
    configured: Arc<RwLock<()>>,
}

pub(super) fn routes(routes: Foreign, service: &Service) -> Foreign {
    let door = Door { service: service.clone(), configured: Arc::default() };
    let cron = || get(cron).post(cron).with_state(door.clone());
    let enveloped = || post(enveloped).with_state(door.clone());
    routes
        .route("/api/{project}/cron/{slug}/{key}", &WITH_KEY, CRON, cron())
        .route("/api/{project}/cron/{slug}/{key}/", &WITH_KEY, CRON, cron())
        .route("/api/{project}/cron/{slug}", &WITHOUT_KEY, CRON, cron())
        .route("/api/{project}/cron/{slug}/", &WITHOUT_KEY, CRON, cron())
        .route("/api/{project}/envelope", &WITHOUT_KEY, ENVELOPE, enveloped())
        .route("/api/{project}/envelope/", &WITHOUT_KEY, ENVELOPE, enveloped())
}

async fn cron(State(door): State<Door>, request: Request) -> Answer {
    let asked = Asked::of(&request, "sentry");
    let slug = asked.segment(2).unwrap_or_default().to_owned();
    let is_json = request.headers().get(header::CONTENT_TYPE).is_some_and(|content_type| {
        content_type.as_bytes().to_ascii_lowercase().starts_with(b"application/json")
    });
    let mut check_in: CheckIn = if is_json && request.method() == http::Method::POST {
        let body = whole(request, BODY_BYTES_MAX).await.map_err(Problem::into_response)?;
        serde_json::from_slice(&body.bytes).map_err(|error| wrong(&error.to_string()))?
    } else {
        CheckIn::of_query(&asked).map_err(|why| wrong(&why))?
    };
    check_in.monitor_slug = slug;
    pay(&door, asked, check_in).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

async fn enveloped(State(door): State<Door>, request: Request) -> Answer {
    let asked = Asked::of(&request, "sentry");
    let body = decoded(request, &[Coding::Gzip, Coding::Deflate], BODY_BYTES_MAX).await;
    let body = body.map_err(Problem::into_response)?;
    let check_ins = envelope::check_ins(&body.bytes).map_err(|why| wrong(&why))?;
    let mut id = None;
    for check_in in check_ins {
        id = check_in.check_in_id.clone().or(id);
        pay(&door, asked.clone(), check_in).await?;
    }
    let answer = id.map_or_else(|| json!({}), |id| json!({"id": id}));
    Ok(api::json(&answer))
}

async fn pay(door: &Door, asked: Asked, check_in: CheckIn) -> Result<(), Response> {
    let Door { service, configured } = door;
    let run = check_in.run().map_err(|why| wrong(&why))?;
    let (kind, took) = check_in.kind().map_err(|why| wrong(&why))?;
    let to = asked.of_slug(&check_in.slug());
    let said = Said { run, took, ..Said::default() };
    let paid = if check_in.monitor_config.is_some() {
        let _on_its_way = configured.read().await;
        let said = upserted(service, &to, &check_in, said).await;
        let said = said.map_err(|error| refused(&error))?;
        asked.pay(service, to, kind, said).await
    } else {
        let once = asked.clone().pay(service, to.clone(), kind.clone(), said.clone()).await;
        match once {
            Err(Error::Unknown(_)) => {
                drop(configured.write().await);
                asked.pay(service, to, kind, said).await
            }
            once => once,
        }
    };
    paid.map(drop).map_err(|error| refused(&error))
}

/// Gives the debt the terms of a check-in with a config, or says what it is to be made of, if there is none. A wrong
/// config leaves a debt as it is, and is told with the payment: its client would not send the check-in again.
async fn upserted(
    service: &Service,
    to: &Named,
    check_in: &CheckIn,
    said: Said,
) -> Result<Said, Error> {
    let Some(config) = &check_in.monitor_config else { return Ok(said) };
    let known = match service.find(to).await {
        Ok(debt) => Some(debt),
        Err(Error::Unknown(_)) => None,
        Err(error) => return Err(error),
    };
    let base = known.as_ref().map(|debt| debt.definition.written()).unwrap_or_default();
    let wanted = monitor::written(config, base, &check_in.slug())
        .map_err(|(field, why)| Error::wrong(&field, why));
    let wanted = wanted.and_then(|written| service.define(written));
    match (known, wanted) {
        (None, wanted) => Ok(Said { create: Some(wanted?), ..said }),
        (Some(debt), Ok(wanted)) => {
            if wanted != debt.definition {
                service.update(to.clone(), wanted).await?;
            }
            Ok(said)
        }
        (Some(_), Err(why)) => {
            let text = format!("the config of the check-in is left aside: {}", told(&why).1);
            Ok(Said { body: text.into_bytes(), ..said })
        }
    }
}

fn refused(error: &Error) -> Response {
    let (status, text) = told(error);
    // A client that is told 429 stops sending for a minute, of other monitors as well.
    let status =
        if status == StatusCode::TOO_MANY_REQUESTS { StatusCode::FORBIDDEN } else { status };
    detail(status, &text)
}

fn refuse(refusal: &Refusal) -> Response {
    let kind = match refusal.kind() {
        ErrorKind::ResourceExhausted => ErrorKind::PermissionDenied,
        kind => kind,
    };
    detail(status(kind), &refusal.to_string())
}

fn wrong(why: &str) -> Response {
    detail(StatusCode::BAD_REQUEST, why)
}

fn detail(status: StatusCode, text: &str) -> Response {
    (status, api::json(&json!({"detail": text}))).into_response()
}
