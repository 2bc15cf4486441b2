//! The pages of debts. They translate and decide nothing. Where a page and a program have one path, browsers get
//! the page, and everybody else what compter answers.
//!
//! | file | what it owns |
//! |---|---|
//! | `board.rs` | all debts, the overdue ones first |
//! | `changing.rs` | what forms and buttons do |
//! | `debt.rs` | one debt |
//! | `fields.rs` | the fields of the form, and what is read from them |
//! | `form.rs` | the form of a debt that is added or changed |
//! | `overview.rs` | the domain's part of `/` |
//! | `parts.rs` | what the pages have in common: standings, schedules, lengths of time |
//! | `runs.rs` | the runs of a debt as bars, and how long they took |
//! | `snippets.rs` | lines to copy for those who pay |

mod board;
mod changing;
mod debt;
mod fields;
mod form;
mod overview;
mod parts;
mod runs;
mod snippets;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use http::StatusCode;
use maud::{Markup, html};
use tally_runtime::chain_for_clients;
use tally_serve::api::{Mistakes, wants_page};
use tally_serve::pages::{Frame, Page, Pages, as_of, name};

use crate::error::Error;
use crate::model::Named;
use crate::service::Service;

/// Where the board is. A slug has no part of these paths: a debt may be called `new`.
const BOARD: &str = "/debts";
const DEBT: &str = "/debts/{debt}";
const NEW: &str = "/debts/new/form";
const EDIT: &str = "/debts/{debt}/edit";
const PAUSE: &str = "/debts/{debt}/pause";
const RESUME: &str = "/debts/{debt}/resume";
const FORGET: &str = "/debts/{debt}/forget";

// === impl Service ===

impl Service {
    /// Its pages.
    pub(crate) fn pages(&self) -> Pages {
        let with = |does: MethodRouter<Self>| does.with_state(self.clone());
        let service = self.clone();
        Pages::new()
            .entry(BOARD, "Debts")
            .page(BOARD, with(get(board)))
            .page(DEBT, with(get(debt)))
            .form(NEW, with(get(changing::new).post(changing::add)))
            .form(EDIT, with(get(changing::edit).post(changing::change)))
            .form(PAUSE, with(post(changing::pause)))
            .form(RESUME, with(post(changing::resume)))
            .form(FORGET, with(get(changing::ask_to_forget).post(changing::forget)))
            .overview(move |namespace, url| {
                let service = service.clone();
                async move { overview::part(&service, namespace, &url).await }
            })
    }
}

async fn board(State(service): State<Service>, frame: Frame, request: Request) -> Response {
    if !wants_page(request.headers()) {
        return crate::doors::compter::list(State(service), request).await.into_response();
    }
    let asked = match board::Asked::read(request.uri().query()) {
        Ok(asked) => asked,
        Err(mistakes) => return Failure::Mistakes(mistakes).page(&frame),
    };
    match board::Board::read(&service, frame.namespace(), asked).await {
        Ok(board) => frame.page(Page {
            title: board.title(),
            is_live: true,
            as_of: Some(as_of(board.now)),
            ..Page::new(board::page(&board, &frame.url(), frame.may_change()))
        }),
        Err(error) => Failure::Failed(error).page(&frame),
    }
}

async fn debt(
    State(service): State<Service>,
    Path(debt): Path<String>,
    frame: Frame,
    request: Request,
) -> Response {
    if !wants_page(request.headers()) {
        return crate::doors::compter::show(State(service), Path(debt), request)
            .await
            .into_response();
    }
    match debt::View::read(&service, &named(&frame, &debt)).await {
        Ok(view) => frame.page(Page {
            title: view.title(),
            is_live: true,
            as_of: Some(as_of(view.now)),
            ..Page::new(debt::page(&view, &frame))
        }),
        Err(error) => Failure::Failed(error).page(&frame),
    }
}

fn named(frame: &Frame, debt: &str) -> Named {
    Service::named(frame.namespace(), debt)
}

/// Where a debt's page is. A slug needs no escape.
fn path_of(slug: &str) -> String {
    format!("{BOARD}/{slug}")
}

/// Why there is no page.
enum Failure {
    Mistakes(Mistakes),
    Failed(Error),
}

// === impl Failure ===

impl Failure {
    fn page(&self, frame: &Frame) -> Response {
        let (status, body) = match self {
            Self::Mistakes(mistakes) => (StatusCode::BAD_REQUEST, not_understood(mistakes)),
            Self::Failed(error) => {
                let status = StatusCode::from_u16(error.kind().http_status());
                (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), not_answered(error))
            }
        };
        frame.page(Page { title: "Not answered".into(), status, ..Page::new(body) })
    }
}

fn not_understood(mistakes: &Mistakes) -> Markup {
    html! {
        h1 { "This address asks for something that cannot be" }
        ul.mistakes {
            @for (field, text) in mistakes.all() {
                li { code { (name(field, false)) } " " (name(text, true)) }
            }
        }
        p { a.button href=(BOARD) { "All debts" } }
    }
}

fn not_answered(error: &Error) -> Markup {
    html! {
        @if let Error::Unknown(debt) = error {
            h1 { "There is no such debt" }
            p.notice { "No debt is called " code { (name(debt, false)) } ". It may have been forgotten." }
        } @else {
            h1 { "This cannot be done now" }
            p.notice role="alert" { (name(&chain_for_clients(error), true)) }
        }
        p { a.button href=(BOARD) { "All debts" } }
    }
}
