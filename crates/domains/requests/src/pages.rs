//! The pages of requests. They translate and decide nothing: what they show is in a view.
//!
//! | file | what it owns |
//! |---|---|
//! | `ask.rs` | what an address asks for: range, zone, filters, order |
//! | `chart.rs` | the chart of a range, and its numbers as a table |
//! | `controls.rs` | what a page can be asked for: range, dates, zone, filters |
//! | `endpoint.rs` | one endpoint's page |
//! | `first.rs` | what is shown before the first request is counted |
//! | `overview.rs` | the domain's part of `/` |
//! | `parts.rs` | what the pages have in common: numbers, statuses, rankings |
//! | `producers.rs` | who counts |
//! | `requests.rs` | the page of all requests |
//! | `rules.rs` | the rules about counts, and how each stands |
//! | `sums.rs` | one answer added up in several ways, and the endpoints in order |
//! | `times.rs` | a range, the one before it, its periods, and what they are called |
//! | `view.rs` | what a page shows, from one snapshot |

mod ask;
mod chart;
mod controls;
mod endpoint;
mod first;
mod overview;
mod parts;
mod producers;
mod requests;
mod rules;
mod sums;
mod times;
mod view;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use http::StatusCode;
use jiff::Timestamp;
use maud::{Markup, html};
use tally_runtime::chain_for_clients;
use tally_serve::api::{Mistakes, Parameters};
use tally_serve::pages::{Frame, Page, Pages, name};

use self::ask::Ask;
use self::view::View;
use crate::error::Error;
use crate::service::Service;

// === impl Service ===

impl Service {
    /// Its pages.
    pub(crate) fn pages(&self) -> Pages {
        let with = |does: MethodRouter<Self>| does.with_state(self.clone());
        let service = self.clone();
        Pages::new()
            .entry(ask::REQUESTS, "Requests")
            .entry(producers::PATH, "Producers")
            .entry(rules::PATH, "Rules")
            .page(ask::REQUESTS, with(get(requests)))
            .page(ask::ENDPOINT, with(get(endpoint)))
            .page(producers::PATH, with(get(producers)))
            .page(rules::PATH, with(get(rules)))
            .overview(move |namespace, url| {
                let service = service.clone();
                async move { overview::part(&service, namespace, &url).await }
            })
    }
}

async fn requests(State(service): State<Service>, query: RawQuery, frame: Frame) -> Response {
    match read(&service, &frame, query, Ask::read).await {
        Ok(view) if view.is_first_time() => {
            let body = first::page(&frame.url());
            frame.page(Page { title: "Requests".into(), is_live: true, ..Page::new(body) })
        }
        Ok(view) => frame.page(Page {
            title: "Requests".into(),
            is_live: view.times.is_open,
            as_of: Some(parts::as_of(&view)),
            ..Page::new(requests::page(&view))
        }),
        Err(failure) => failure.page(&frame),
    }
}

async fn endpoint(State(service): State<Service>, query: RawQuery, frame: Frame) -> Response {
    match read(&service, &frame, query, Ask::read_endpoint).await {
        Ok(view) => frame.page(Page {
            title: endpoint::title(&view.ask),
            is_live: view.times.is_open,
            as_of: Some(parts::as_of(&view)),
            ..Page::new(endpoint::page(&view))
        }),
        Err(failure) => failure.page(&frame),
    }
}

async fn producers(State(service): State<Service>, query: RawQuery, frame: Frame) -> Response {
    of_now("Producers", query, &frame, producers::page(&service, frame.namespace())).await
}

async fn rules(State(service): State<Service>, query: RawQuery, frame: Frame) -> Response {
    of_now("Rules", query, &frame, rules::page(&service, frame.namespace())).await
}

/// A page that takes no parameters: what there is now, and when that is.
async fn of_now(
    title: &str,
    RawQuery(query): RawQuery,
    frame: &Frame,
    page: impl Future<Output = Result<(Markup, Markup), Error>>,
) -> Response {
    let mistakes = Parameters::of(query.as_deref(), &[]).mistakes;
    if !mistakes.is_empty() {
        return Failure::Mistakes(mistakes).page(frame);
    }
    match page.await {
        Ok((body, as_of)) => frame.page(Page {
            title: title.into(),
            is_live: true,
            as_of: Some(as_of),
            ..Page::new(body)
        }),
        Err(error) => Failure::Failed(error).page(frame),
    }
}

async fn read(
    service: &Service,
    frame: &Frame,
    RawQuery(query): RawQuery,
    read: fn(Option<&str>, Timestamp) -> Result<Ask, Mistakes>,
) -> Result<View, Failure> {
    let now = service.now();
    let ask = read(query.as_deref(), now).map_err(Failure::Mistakes)?;
    View::read(service, frame.namespace(), ask, now).await.map_err(Failure::Failed)
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
                li { code { (field) } " " (name(text, true)) }
            }
        }
        p { a.button href=(ask::REQUESTS) { "All requests of the last 30 days" } }
    }
}

fn not_answered(error: &Error) -> Markup {
    html! {
        h1 { "The numbers cannot be shown" }
        p.notice { (chain_for_clients(error)) }
        p { "Nothing is lost by this. " a href=(ask::REQUESTS) { "Requests of the last 30 days" } }
    }
}
