//! What forms and buttons do. Only those reach what changes anything who may: the server asks for a key of the
//! scope admin, and a browser that is logged in only looks.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;
use maud::html;
use tally_runtime::Kind;
use tally_serve::api::{self, Problem};
use tally_serve::pages::{Frame, Page, name};

use super::fields::Filled;
use super::form::Form;
use super::{BOARD, Failure, named, path_of, snippets};
use crate::definition::{Definition, Wrong};
use crate::error::Error;
use crate::model::Debt;
use crate::service::Service;

/// How large a form may be, in bytes.
const FORM_BYTES_MAX: usize = 64 << 10;
const FORM: &[&str] = &["application/x-www-form-urlencoded"];

/// The form of a new debt.
pub(super) async fn new(frame: Frame) -> Response {
    let form = Form { filled: Filled::default(), wrong: Wrong::new(), of: None };
    shown(&frame, &form, StatusCode::OK)
}

/// Adds a debt.
pub(super) async fn add(
    State(service): State<Service>,
    frame: Frame,
    request: Request,
) -> Response {
    let (filled, wrong) = match read(request).await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    let added = match define(&service, &filled, wrong, None) {
        Ok(definition) => service.add(frame.namespace(), definition).await.map(|(debt, _)| debt),
        Err(error) => Err(error),
    };
    done(&frame, added, filled, None)
}

/// The form of a debt that is there.
pub(super) async fn edit(
    State(service): State<Service>,
    Path(debt): Path<String>,
    frame: Frame,
) -> Response {
    match service.find(&named(&frame, &debt)).await {
        Ok(debt) => {
            let (filled, of) = (Filled::of(&debt.definition), Some(debt.definition.slug));
            shown(&frame, &Form { filled, wrong: Wrong::new(), of }, StatusCode::OK)
        }
        Err(error) => Failure::Failed(error).page(&frame),
    }
}

/// Gives a debt other terms.
pub(super) async fn change(
    State(service): State<Service>,
    Path(debt): Path<String>,
    frame: Frame,
    request: Request,
) -> Response {
    let (filled, wrong) = match read(request).await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    let known = match service.find(&named(&frame, &debt)).await {
        Ok(known) => known,
        Err(error) => return Failure::Failed(error).page(&frame),
    };
    let changed = match define(&service, &filled, wrong, Some(&known.definition)) {
        Ok(definition) => {
            service.update(named(&frame, &debt), definition).await.map(|done| done.debt)
        }
        Err(error) => Err(error),
    };
    done(&frame, changed, filled, Some(known.definition.slug))
}

pub(super) async fn pause(
    State(service): State<Service>,
    Path(debt): Path<String>,
    frame: Frame,
) -> Response {
    led(&frame, service.pause(named(&frame, &debt)).await)
}

pub(super) async fn resume(
    State(service): State<Service>,
    Path(debt): Path<String>,
    frame: Frame,
) -> Response {
    led(&frame, service.resume(named(&frame, &debt)).await)
}

/// Asks whether a debt is really to be forgotten.
pub(super) async fn ask_to_forget(
    State(service): State<Service>,
    Path(debt): Path<String>,
    frame: Frame,
) -> Response {
    let debt = match service.find(&named(&frame, &debt)).await {
        Ok(debt) => debt,
        Err(error) => return Failure::Failed(error).page(&frame),
    };
    let slug = &debt.definition.slug;
    let body = html! {
        p.trail { a href=(BOARD) { "Debts" } " / " a href=(path_of(slug)) { code { (slug) } } }
        h1 { "Forget " (name(debt.definition.title(), false)) "?" }
        p.lead { "Its payments (" (debt.payments) "), its runs (" (debt.runs) ") and its alarms go with it. This cannot be undone." }
        @if frame.may_change() {
            div.actions {
                form method="post" action={ (path_of(slug)) "/forget" } { button.danger type="submit" { "Forget it" } }
                a.button.second href=(path_of(slug)) { "Keep it" }
            }
        } @else {
            p { "This browser only looks. From the command line:" }
            (snippets::command(&format!("forget {slug}"), &frame))
        }
    };
    frame.page(Page { title: format!("Forget {slug}"), ..Page::new(body) })
}

pub(super) async fn forget(
    State(service): State<Service>,
    Path(debt): Path<String>,
    frame: Frame,
) -> Response {
    match service.forget(&named(&frame, &debt)).await {
        Ok(_) => Redirect::to(BOARD).into_response(),
        Err(error) => Failure::Failed(error).page(&frame),
    }
}

/// What the fields have in them, and what cannot be read.
async fn read(request: Request) -> Result<(Filled, Wrong), Problem> {
    let body = api::read(request, FORM, FORM_BYTES_MAX).await?;
    let text = String::from_utf8_lossy(&body.bytes);
    Ok(Filled::read(&text))
}

/// The definition, or all that is wrong.
fn define(
    service: &Service,
    filled: &Filled,
    mut wrong: Wrong,
    known: Option<&Definition>,
) -> Result<Definition, Error> {
    let mut written = filled.written(&mut wrong);
    if let Some(known) = known {
        known.restore(&mut written.notify);
    }
    match service.define(written) {
        Ok(definition) if wrong.is_empty() => return Ok(definition),
        Ok(_) => {}
        // What was not read at all is told once.
        Err(Error::Wrong(more)) => {
            let is_new = |(of, _): &(String, String)| wrong.iter().all(|(told, _)| told != of);
            let more: Wrong = more.into_iter().filter(is_new).collect();
            wrong.extend(more);
        }
        Err(error) => return Err(error),
    }
    Err(Error::Wrong(wrong))
}

/// The page of the debt, or the form again with what is wrong.
fn done(frame: &Frame, done: Result<Debt, Error>, filled: Filled, of: Option<String>) -> Response {
    let wrong = match done {
        Ok(debt) => return led(frame, Ok(debt)),
        Err(Error::Wrong(wrong)) => wrong,
        Err(Error::Refused(Kind::AlreadyExists, why)) => {
            let why = why.strip_prefix("slug: ").unwrap_or(&why);
            vec![("slug".to_owned(), why.to_owned())]
        }
        Err(error) => return Failure::Failed(error).page(frame),
    };
    shown(frame, &Form { filled, wrong, of }, StatusCode::BAD_REQUEST)
}

fn led(frame: &Frame, done: Result<Debt, Error>) -> Response {
    match done {
        Ok(debt) => Redirect::to(&path_of(&debt.definition.slug)).into_response(),
        Err(error) => Failure::Failed(error).page(frame),
    }
}

fn shown(frame: &Frame, form: &Form, status: StatusCode) -> Response {
    frame.page(Page { title: form.title(), status, ..Page::new(form.page(frame)) })
}
