//! Uptime Kuma: push monitors.
//!
//! | path, by any method | |
//! |---|---|
//! | `/api/push/<ping id>` | `status=up`, which is usual, is a success; anything else is a failure. `ping` is how long it took in milliseconds, `msg` is kept |
//! | `/api/push/<key>/<slug>` | the same by slug; `create=1` makes the debt |
//!
//! The answer is `{"ok":true}`, or `{"ok":false,"msg":…}`.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::StatusCode;
use serde_json::json;
use tally_access::Refusal;
use tally_runtime::Kind as ErrorKind;
use tally_serve::{Foreign, Manner, Needs, Place, api};

use super::asked::Asked;
use super::{create, status, told};
use crate::error::Error;
use crate::service::{Said, Service};
use crate::state::Kind;

const MANNER: Manner = Manner { places: &[Place::Link, Place::Path], refuse: Some(refuse) };
const NEEDS: &[(&str, Needs)] = &[("any", Needs::Ingest)];

pub(super) fn routes(routes: Foreign, service: &Service) -> Foreign {
    ["/api/push/{key}", "/api/push/{key}/{slug}"].into_iter().fold(routes, |routes, path| {
        routes.route(path, &MANNER, NEEDS, any(push).with_state(service.clone()))
    })
}

async fn push(State(service): State<Service>, request: Request) -> Response {
    match paid(&service, Asked::of(&request, "uptime-kuma")).await {
        Ok(()) => api::json(&json!({"ok": true})).into_response(),
        Err(Error::Unknown(_)) => not_found(),
        Err(error) => {
            let (status, text) = told(&error);
            failed(status, &text)
        }
    }
}

async fn paid(service: &Service, asked: Asked) -> Result<(), Error> {
    // The path is `/api/push/<key>/<slug>`.
    let slug = asked.segment(2).map(str::to_owned);
    let (to, create) = match (asked.linked(), &slug) {
        (Some(linked), None) => (linked, None),
        (None, Some(slug)) => {
            let others = ["status", "msg", "ping"];
            (asked.of_slug(slug), create::definition(service, &asked, slug, &others)?)
        }
        _ => return Err(Error::Unknown("this push URL".to_owned())),
    };
    let is_up = asked.one("status").is_none_or(|status| status == "up");
    let kind = if is_up { Kind::Success } else { Kind::Fail };
    let took = asked.one("ping").map(|millis| {
        let seconds = millis.parse::<f64>().map(|millis| millis / 1_000.0);
        let took = seconds.ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        took.ok_or_else(|| Error::wrong("ping", "write a number of milliseconds, from 0 on"))
    });
    let (took, body) = (took.transpose()?, asked.one("msg").unwrap_or_default().into());
    let said = Said { took, body, create, ..Said::default() };
    asked.pay(service, to, kind, said).await.map(drop)
}

fn refuse(refusal: &Refusal) -> Response {
    match refusal.kind() {
        ErrorKind::Unauthenticated => not_found(),
        kind => failed(status(kind), &refusal.to_string()),
    }
}

fn not_found() -> Response {
    failed(StatusCode::NOT_FOUND, "Monitor not found or not active.")
}

fn failed(status: StatusCode, text: &str) -> Response {
    (status, api::json(&json!({"ok": false, "msg": text}))).into_response()
}
