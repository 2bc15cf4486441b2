//! `/marks`, and the domain's part of `/`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use tally_runtime::tell;
use tally_serve::pages::{Frame, Page, Pages, thousands};

use crate::service::Service;

const PATH: &str = "/marks";

pub(crate) fn pages(service: Arc<Service>) -> Pages {
    let does = get(page).with_state(Arc::clone(&service));
    Pages::new().entry(PATH, "Marks").page(PATH, does).overview(move |_, _| {
        let service = Arc::clone(&service);
        async move { part(&service).await }
    })
}

async fn page(State(service): State<Arc<Service>>, frame: Frame) -> Response {
    let body = html! { h1 { "Marks" } (part(&service).await) };
    frame.page(Page { title: "Marks".into(), is_live: true, ..Page::new(body) })
}

async fn part(service: &Service) -> Markup {
    match service.count().await {
        Ok((count, _)) => html! { p { strong { (thousands(count)) } " marks are stored." } },
        Err(error) => html! { p.notice { (tell(&error, error.kind())) } },
    }
}
