//! The domain's part of `/`: what runs, and what was heard of last.

use maud::{Markup, html};
use tally_runtime::text::lasted;
use tally_runtime::{Namespace, chain_for_clients};
use tally_serve::pages::{Glance, as_of, name};

use super::parts::{TREND_MAX, badge, context_link, so_far, timeline_link, trend};
use super::{CONTEXTS, first};
use crate::error::Error;
use crate::service::Service;

/// How many contexts are named.
const NAMED_MAX: u32 = 5;

pub(super) async fn part(service: &Service, namespace: Namespace, url: &str) -> Glance {
    let body = read(service, namespace, url).await.unwrap_or_else(|error| {
        html! { p.notice { (name(&chain_for_clients(&error), true)) } }
    });
    let body = html! {
        section.card aria-labelledby="of-timelines" {
            h2 #of-timelines { a href=(CONTEXTS) { "Timelines" } }
            (body)
        }
    };
    Glance { body, as_of: Some(as_of(service.now())) }
}

async fn read(service: &Service, namespace: Namespace, url: &str) -> Result<Markup, Error> {
    let now = service.now();
    let (contexts, has_more) = service.latest(namespace, "", None, NAMED_MAX, TREND_MAX).await?;
    if contexts.is_empty() {
        return Ok(first::how(url));
    }
    Ok(html! {
        ol.top.latest {
            @for listed in &contexts {
                li {
                    a href=(context_link(&listed.context.name)) { (name(&listed.context.name, false)) }
                    @if let Some(newest) = &listed.newest {
                        span { a.plain href=(timeline_link(&listed.context.name, newest.number)) { (badge(newest)) } " " span.since { (so_far(newest, now).map(lasted).unwrap_or_default()) } }
                    }
                    span.trend { (trend(&listed.latest, now)) }
                }
            }
        }
        @if has_more { p { a href=(CONTEXTS) { "All contexts" } } }
    })
}
