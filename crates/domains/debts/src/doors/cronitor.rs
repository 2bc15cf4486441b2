//! Cronitor: telemetry.
//!
//! `/p/<key>/<slug>`, by any method: `state` is `run` for a start, `complete` or `ok` (which is usual) for a success and
//! `fail` for a failure; `series` names the run, `status_code` is an exit status and `message` is kept. `env` other than
//! `production` is a debt of its own, `<slug>--<env>`. `create=1` makes the debt, with terms in the query.

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::StatusCode;
use tally_access::Refusal;
use tally_serve::{Foreign, Manner, Needs, Place};

use super::asked::Asked;
use super::{create, of_environment, status, told};
use crate::error::Error;
use crate::model::wrong_run;
use crate::service::{Said, Service};
use crate::state::Kind;

const MANNER: Manner = Manner { places: &[Place::Path], refuse: Some(refuse) };
const NEEDS: &[(&str, Needs)] = &[("any", Needs::Ingest)];
/// What is said beside the terms of a debt that is to be made.
const SAID: &[&str] =
    &["state", "series", "host", "env", "message", "status_code", "metric", "auth_key", "stamp"];

pub(super) fn routes(routes: Foreign, service: &Service) -> Foreign {
    routes.route("/p/{key}/{slug}", &MANNER, NEEDS, any(tell).with_state(service.clone()))
}

async fn tell(State(service): State<Service>, request: Request) -> Response {
    match paid(&service, Asked::of(&request, "cronitor")).await {
        Ok(true) => answer(StatusCode::CREATED, "Created"),
        Ok(false) => answer(StatusCode::OK, "OK"),
        Err(error) => {
            let (status, text) = told(&error);
            answer(status, &text)
        }
    }
}

async fn paid(service: &Service, asked: Asked) -> Result<bool, Error> {
    let slug = of_environment(asked.segment(1).unwrap_or_default(), asked.one("env"));
    let kind = match asked.one("state") {
        None | Some("ok" | "complete") => Kind::Success,
        Some("run") => Kind::Start,
        Some("fail") => Kind::Fail,
        Some(_) => return Err(Error::wrong("state", "it is none of run, complete, ok and fail")),
    };
    let exit_status = asked.one("status_code").map(|status| {
        status.parse::<u8>().map_err(|_| Error::wrong("status_code", "write 0 to 255"))
    });
    let exit_status = exit_status.transpose()?;
    let run = asked.one("series").map(str::to_owned);
    if let Some(why) = run.as_deref().and_then(wrong_run) {
        return Err(Error::wrong("series", why));
    }
    let create = create::definition(service, &asked, &slug, SAID)?;
    let body = asked.one("message").unwrap_or_default().into();
    let (to, said) =
        (asked.of_slug(&slug), Said { run, exit_status, body, create, ..Said::default() });
    asked.pay(service, to, kind, said).await.map(|done| done.is_created)
}

fn refuse(refusal: &Refusal) -> Response {
    answer(status(refusal.kind()), &refusal.to_string())
}

fn answer(status: StatusCode, text: &str) -> Response {
    (status, text.to_owned()).into_response()
}
