//! The domain's part of `/`: today at a glance.

use maud::{Markup, html};
use tally_runtime::chain_for_clients;
use tally_serve::pages::{Glance, change, name, sparkline, thousands};

use super::ask::{Ask, REQUESTS};
use super::view::View;
use super::{first, parts, producers, rules};
use crate::model::Namespace;
use crate::service::Service;

/// What it asks for.
const ASKED: &str = "range=today&show=5";

pub(super) async fn part(service: &Service, namespace: Namespace, url: &str) -> Glance {
    let now = service.now();
    let ask = Ask::read(Some(ASKED), now).expect("it is a question");
    let firing = rules::firing(service, namespace).await;
    // The larger one last, so that few wait with it for the other.
    let view = match View::read(service, namespace, ask, now).await {
        Ok(view) => view,
        Err(error) => {
            let body = html! {
                section.card { h2 { a href=(REQUESTS) { "Requests" } } p.notice { (chain_for_clients(&error)) } }
            };
            return body.into();
        }
    };
    let body = html! {
        section.card aria-labelledby="requests" {
            header { h2 #requests { a href=(REQUESTS) { "Requests" } } p.muted { "Today, " (view.times.zone.name()) } }
            (firing)
            @if view.is_first_time() { (first::how(url)) } @else { (today(&view)) }
        }
    };
    let as_of = (!view.is_first_time()).then(|| parts::as_of(&view));
    Glance { body, as_of }
}

fn today(view: &View) -> Markup {
    let before = view.before.unwrap_or_default();
    let (text, _) = change(before, view.total);
    let points: Vec<i64> = view.bars.iter().map(|bar| bar.counts.iter().sum()).collect();
    html! {
        div.glance {
            div {
                p.figure { strong #total { (thousands(view.total)) } " " @if view.total == 1 { "request" } @else { "requests" } }
                p.against {
                    @if before > 0 { span.change { (text) } " against yesterday until this time" }
                    @else { "None yesterday until this time" }
                }
                p.completeness.short[!view.missing.is_complete()] {
                    (parts::badge(&view.missing))
                    @if !view.missing.is_complete() { a href=(producers::PATH) { "Whose?" } }
                }
            }
            a.wide-spark href="/requests?range=today" aria-label="Requests of today" { (sparkline(&points)) }
        }
        @if !view.endpoints.is_empty() {
            ol.top {
                @for one in view.endpoints.iter().filter(|one| one.count > 0) {
                    li {
                        a href=(view.ask.endpoint(&one.group)) {
                            @if !one.group.method.is_empty() { span.method { (name(&one.group.method, false)) } " " }
                            span.path { (name(&one.group.path, false)) }
                        }
                        span.number { (thousands(one.count)) }
                    }
                }
            }
        }
        p { a.button href="/requests" { "Look at 30 days" } }
    }
}
