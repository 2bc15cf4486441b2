//! The pages of timelines. They translate and decide nothing.
//!
//! | file | what it owns |
//! |---|---|
//! | `context.rs` | the timelines of a context, and how long the events of its names take |
//! | `contexts.rs` | all contexts, the one that was heard of last first |
//! | `durations.rs` | how long the events of one name took, timeline by timeline |
//! | `first.rs` | what is shown before there is a timeline |
//! | `overview.rs` | the domain's part of `/` |
//! | `parts.rs` | what the pages have in common: states, trends, lengths of time |
//! | `timeline.rs`, `timeline/` | one timeline, drawn |

mod context;
mod contexts;
mod durations;
mod first;
mod overview;
mod parts;
mod timeline;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use http::StatusCode;
use maud::{Markup, html};
use tally_runtime::chain_for_clients;
use tally_serve::api::Mistakes;
use tally_serve::pages::{Frame, Page, Pages, as_of, name};

use crate::error::Error;
use crate::service::Service;

/// Where the contexts are.
const CONTEXTS: &str = "/timelines";
const CONTEXT: &str = "/timelines/{context}";
const TIMELINE: &str = "/timelines/{context}/{timeline}";
/// A timeline may be called `durations`: its page has one part less.
const DURATIONS: &str = "/timelines/{context}/durations/{name}";

// === impl Service ===

impl Service {
    /// Its pages.
    pub(crate) fn pages(&self) -> Pages {
        let with = |does: MethodRouter<Self>| does.with_state(self.clone());
        let service = self.clone();
        Pages::new()
            .entry(CONTEXTS, "Timelines")
            .page(CONTEXTS, with(get(contexts)))
            .page(CONTEXT, with(get(context)))
            .page(TIMELINE, with(get(timeline)))
            .page(DURATIONS, with(get(durations)))
            .overview(move |namespace, url| {
                let service = service.clone();
                async move { overview::part(&service, namespace, &url).await }
            })
    }
}

async fn contexts(State(service): State<Service>, query: RawQuery, frame: Frame) -> Response {
    let asked = match contexts::Asked::read(query.0.as_deref()) {
        Ok(asked) => asked,
        Err(mistakes) => return Failure::Mistakes(mistakes).page(&frame),
    };
    match contexts::View::read(&service, frame.namespace(), asked).await {
        Ok(view) => frame.page(Page {
            title: "Timelines".into(),
            is_live: true,
            as_of: Some(as_of(view.now)),
            ..Page::new(contexts::page(&view, &frame.url()))
        }),
        Err(error) => Failure::Failed(error).page(&frame),
    }
}

async fn context(
    State(service): State<Service>,
    Path(context): Path<String>,
    query: RawQuery,
    frame: Frame,
) -> Response {
    let before = match context::read(query.0.as_deref()) {
        Ok(before) => before,
        Err(mistakes) => return Failure::Mistakes(mistakes).page(&frame),
    };
    match context::View::read(&service, frame.namespace(), &context, before).await {
        Ok(view) => frame.page(Page {
            title: view.title(),
            is_live: true,
            as_of: Some(as_of(view.now)),
            ..Page::new(context::page(&view))
        }),
        Err(error) => Failure::Failed(error).page(&frame),
    }
}

async fn timeline(
    State(service): State<Service>,
    Path((context, timeline)): Path<(String, String)>,
    query: RawQuery,
    frame: Frame,
) -> Response {
    let asked = match timeline::Asked::read(query.0.as_deref()) {
        Ok(asked) => asked,
        Err(mistakes) => return Failure::Mistakes(mistakes).page(&frame),
    };
    match timeline::View::read(&service, frame.namespace(), (&context, &timeline), asked).await {
        Ok(view) => frame.page(Page {
            title: view.title(),
            is_live: true,
            as_of: Some(as_of(view.shown.now)),
            ..Page::new(timeline::page(&view))
        }),
        Err(error) => Failure::Failed(error).page(&frame),
    }
}

async fn durations(
    State(service): State<Service>,
    Path((context, name)): Path<(String, String)>,
    query: RawQuery,
    frame: Frame,
) -> Response {
    let before = match context::read(query.0.as_deref()) {
        Ok(before) => before,
        Err(mistakes) => return Failure::Mistakes(mistakes).page(&frame),
    };
    match durations::View::read(&service, frame.namespace(), &context, name, before).await {
        Ok(view) => frame.page(Page {
            title: view.title(),
            is_live: true,
            as_of: Some(as_of(view.now)),
            ..Page::new(durations::page(&view))
        }),
        Err(error) => Failure::Failed(error).page(&frame),
    }
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
        p { a.button href=(CONTEXTS) { "All timelines" } }
    }
}

fn not_answered(error: &Error) -> Markup {
    html! {
        @match error {
            Error::NoContext(context) => {
                h1 { "There is no such context" }
                p.notice { "Nothing was told of a context " code { (name(context, false)) } "." }
            },
            Error::NoTimeline(timeline) => {
                h1 { "There is no such timeline" }
                p.notice { "The context has no timeline " code { (name(timeline, false)) } ". It may not be kept any more." }
            },
            _ => {
                h1 { "This cannot be shown now" }
                p.notice role="alert" { (name(&chain_for_clients(error), true)) }
            },
        }
        p { a.button href=(CONTEXTS) { "All timelines" } }
    }
}
