//! The domain's part of `/`: how debts stand, and which are overdue.

use maud::{Markup, html};
use tally_runtime::{Namespace, chain_for_clients};
use tally_serve::pages::{Glance, Link, as_of, name, thousands};

use super::parts::word;
use super::{BOARD, debt, path_of, snippets};
use crate::error::Error;
use crate::service::Service;
use crate::state::Standing;
use crate::store::Listing;

/// How many debts are named.
const NAMED_MAX: usize = 5;

pub(super) async fn part(service: &Service, namespace: Namespace, url: &str) -> Glance {
    let body = read(service, namespace, url).await.unwrap_or_else(|error| {
        html! { p.notice { (name(&chain_for_clients(&error), true)) } }
    });
    let body = html! {
        section.card aria-labelledby="of-debts" {
            h2 #of-debts { a href=(BOARD) { "Debts" } }
            (body)
        }
    };
    Glance { body, as_of: Some(as_of(service.now())) }
}

async fn read(service: &Service, namespace: Namespace, url: &str) -> Result<Markup, Error> {
    let now = service.now();
    let counts = service.counts(namespace).await?;
    if counts.all() == 0 {
        return Ok(snippets::first(url));
    }
    let standings = vec![Standing::Down];
    let listing = Listing { namespace, standings, limit: NAMED_MAX, ..Listing::default() };
    let (overdue, last) = service.list(&listing).await?;
    Ok(html! {
        p.completeness.failing[counts.down > 0] {
            span.badge { @match counts.down { 0 => "None is overdue", down => { (thousands(down)) " overdue" } } }
        }
        @if !overdue.is_empty() {
            ol.top {
                @for one in &overdue {
                    li {
                        a href=(path_of(&one.definition.slug)) { (name(one.definition.title(), false)) }
                        span.since { (debt::since(one, now)) }
                    }
                }
            }
            @if last.is_some() { p { a href=(Link::to(BOARD).with("status", "down")) { "All that are overdue" } } }
        }
        ul.legend {
            @for standing in Standing::WORST_FIRST.into_iter().filter(|of| counts.of(*of) > 0 && *of != Standing::Down) {
                li {
                    a href=(Link::to(BOARD).with("status", &word(standing).to_lowercase())) {
                        (thousands(counts.of(standing))) " " (word(standing).to_lowercase())
                    }
                }
            }
        }
    })
}
