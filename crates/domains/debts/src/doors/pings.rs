//! healthchecks: pings, and the webhooks of Alertmanager.
//!
//! | path, by any method | |
//! |---|---|
//! | `/ping/<ping id>` | a success |
//! | `/ping/<ping id>/start`, `/fail`, `/log`, `/<0..255>` | a start, a failure, a note, an exit status |
//! | `/ping/<key>/<slug>` and the same four | the same by slug; `create=1` makes the debt |
//!
//! `rid=<UUID>` names the run. The answers are those of healthchecks: `OK`, `Created`, `invalid url format`,
//! `invalid uuid format`, `not found`.
//!
//! A webhook of Alertmanager whose group is resolved is a note: it says that the alert has ended that is to
//! come again and again.

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use tally_access::Refusal;
use tally_runtime::Kind as ErrorKind;
use tally_serve::api::{Problem, beginning, whole};
use tally_serve::{Foreign, Manner, Needs, Place};
use uuid::Uuid;

use super::asked::Asked;
use super::{Declined, create, status, told};
use crate::error::Error;
use crate::model::{BODY_BYTES_MAX, Named};
use crate::service::{Said, Service};
use crate::state::Kind;

const MANNER: Manner = Manner { places: &[Place::Link, Place::Path], refuse: Some(refuse) };
const NEEDS: &[(&str, Needs)] = &[("any", Needs::Ingest)];
/// How large a webhook may be.
const WEBHOOK_BYTES_MAX: usize = 1 << 20;
const BODY_LIMIT: HeaderName = HeaderName::from_static("ping-body-limit");

/// A webhook, as far as it matters.
#[derive(Deserialize)]
struct Webhook {
    status: String,
}

pub(super) fn routes(routes: Foreign, service: &Service) -> Foreign {
    let paths = ["/ping/{key}", "/ping/{key}/", "/ping/{key}/{slug}", "/ping/{key}/{slug}/{kind}"];
    paths.into_iter().fold(routes, |routes, path| {
        routes.route(path, &MANNER, NEEDS, any(ping).with_state(service.clone()))
    })
}

async fn ping(State(service): State<Service>, request: Request) -> Response {
    match paid(&service, request).await {
        Ok(response) | Err(response) => response,
    }
}

async fn paid(service: &Service, request: Request) -> Result<Response, Response> {
    let asked = Asked::of(&request, "healthchecks");
    let (to, slug, what) = which(&asked).ok_or_else(not_found)?;
    if slug.as_deref().is_some_and(|slug| slug.bytes().any(|byte| byte.is_ascii_uppercase())) {
        return Err(wrong_url());
    }
    let (mut kind, exit_status) = read_kind(what.as_deref())?;
    let run = asked.one("rid").map(read_run).transpose()?;
    let create = slug.map(|slug| create::definition(service, &asked, &slug, &["rid", "api_key"]));
    let create = create.transpose().map_err(|error| refused(&error))?.flatten();
    let (body, is_resolved) = read_body(request).await.map_err(Problem::into_response)?;
    if is_resolved && kind == Kind::Success {
        kind = Kind::Log;
    }
    let said = Said { run, exit_status, body, create, ..Said::default() };
    let done = asked.pay(service, to, kind, said).await.map_err(|error| refused(&error))?;
    Ok(match done.is_created {
        true => answer(StatusCode::CREATED, "Created"),
        false => answer(StatusCode::OK, "OK"),
    })
}

/// The debt, its slug if it is named by one, and what is said of it.
fn which(asked: &Asked) -> Option<(Named, Option<String>, Option<String>)> {
    let own = |at| asked.segment(at).map(str::to_owned);
    match asked.linked() {
        Some(linked) => own(2).is_none().then(|| (linked, None, own(1))),
        None => own(1).map(|slug| (asked.of_slug(&slug), Some(slug), own(2))),
    }
    .filter(|(_, slug, _)| slug.as_deref().is_none_or(|slug| !slug.is_empty()))
}

fn read_kind(what: Option<&str>) -> Result<(Kind, Option<u8>), Declined> {
    match what {
        None => Ok((Kind::Success, None)),
        Some("start") => Ok((Kind::Start, None)),
        Some("fail") => Ok((Kind::Fail, None)),
        Some("log") => Ok((Kind::Log, None)),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            let exit_status = digits.parse::<u8>().map_err(|_| Declined::from(wrong_url()))?;
            let kind = if exit_status == 0 { Kind::Success } else { Kind::Fail };
            Ok((kind, Some(exit_status)))
        }
        // What systemd says of a service that was killed: the name of a signal.
        Some(name) if name.bytes().any(|byte| byte.is_ascii_uppercase()) => Err(wrong_url().into()),
        Some(_) => Err(not_found().into()),
    }
}

/// The id of a run: a UUID as it is written, in lower case.
fn read_run(rid: &str) -> Result<String, Declined> {
    let uuid = Uuid::try_parse(rid).ok().map(|uuid| uuid.to_string());
    let is_same = |uuid: &String| uuid.eq_ignore_ascii_case(rid);
    let wrong = || answer(StatusCode::BAD_REQUEST, "invalid uuid format");
    uuid.filter(is_same).ok_or_else(|| wrong().into())
}

/// What is kept of the body, and whether it is a webhook about the end of an alert.
async fn read_body(request: Request) -> Result<(Vec<u8>, bool), Problem> {
    if !is_of_alertmanager(request.headers()) {
        return Ok((beginning(request, BODY_BYTES_MAX).await?.bytes, false));
    }
    let bytes = whole(request, WEBHOOK_BYTES_MAX).await?.bytes;
    let webhook: Webhook = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::of_field("body", error.to_string()))?;
    Ok((bytes, webhook.status == "resolved"))
}

fn is_of_alertmanager(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
    agent.is_some_and(|agent| agent.starts_with(b"Alertmanager/"))
}

fn refused(error: &Error) -> Response {
    if matches!(error, Error::Unknown(_)) {
        return not_found();
    }
    if let Error::Wrong(wrong) = error
        && wrong.iter().any(|(field, _)| field == "slug")
    {
        return wrong_url();
    }
    let (status, text) = told(error);
    answer(status, text)
}

fn refuse(refusal: &Refusal) -> Response {
    match refusal.kind() {
        // As of an unknown key: whoever guesses learns nothing.
        ErrorKind::Unauthenticated => not_found(),
        kind => answer(status(kind), refusal.to_string()),
    }
}

fn not_found() -> Response {
    answer(StatusCode::NOT_FOUND, "not found")
}

fn wrong_url() -> Response {
    answer(StatusCode::BAD_REQUEST, "invalid url format")
}

fn answer(status: StatusCode, text: impl Into<String>) -> Response {
    let text: String = text.into();
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "max-age=0, no-cache, no-store, must-revalidate, private"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (BODY_LIMIT, "10000"),
    ];
    (status, headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_is_told_is_the_limit() {
        let told = answer(StatusCode::OK, "OK").headers()[BODY_LIMIT].clone();
        assert_eq!(told, BODY_BYTES_MAX.to_string());
    }
}
