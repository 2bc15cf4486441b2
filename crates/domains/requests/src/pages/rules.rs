//! The rules about counts, and how each stands.

use jiff::Timestamp;
use maud::{Markup, html};
use tally_serve::pages::{Link, name};

use super::ask::REQUESTS;
use super::producers::moment;
use crate::error::Error;
use crate::model::Namespace;
use crate::rules::{KeptRule, Rule};
use crate::service::Service;

pub(super) const PATH: &str = "/requests/rules";

/// What an example of the command line has.
const EXAMPLE: &str = "tally rules add 'shop is silent' --service shop --below 1 --in 15m\n\
                       tally rules add 'errors' --service shop --status 5xx --above 5% --in 15m";

/// The page, and when it is from.
pub(super) async fn page(
    service: &Service,
    namespace: Namespace,
) -> Result<(Markup, Markup), Error> {
    let now = service.now();
    let mut rules = service.rules(namespace).await?;
    // Those that fire first.
    rules.sort_by_key(|kept| kept.firing_since.is_none());
    let body = html! {
        h1 { "Rules" }
        p.lead { "Conditions on counts. A webhook is told when one fires, and when it is fine again." }
        @if rules.is_empty() {
            p.notice { "There are no rules yet. This is how to add some; each can have a " code { "--webhook" } "." }
            pre tabindex="0" { code { (EXAMPLE) } }
        } @else {
            p.completeness.short[is_any_firing(&rules)] { (badge(&rules)) }
            (list(&rules))
        }
    };
    let as_of = html! {
        "As of " time datetime=(now.strftime("%Y-%m-%dT%H:%M:%SZ")) data-zone="UTC" { (now.strftime("%H:%M:%S")) } " UTC"
    };
    Ok((body, as_of))
}

/// Those that fire, for `/`: nothing if none does.
pub(super) async fn firing(service: &Service, namespace: Namespace) -> Markup {
    let rules = service.rules(namespace).await.unwrap_or_default();
    html! {
        @if is_any_firing(&rules) {
            p.completeness.short {
                (badge(&rules))
                @for (at, kept) in rules.iter().filter(|kept| kept.firing_since.is_some()).take(3).enumerate() {
                    @if at > 0 { ", " } (name(&kept.rule.name, false))
                }
                ". " a href=(PATH) { "Look at rules" }
            }
        }
    }
}

fn is_any_firing(rules: &[KeptRule]) -> bool {
    rules.iter().any(|kept| kept.firing_since.is_some())
}

fn badge(rules: &[KeptRule]) -> Markup {
    let firing = rules.iter().filter(|kept| kept.firing_since.is_some()).count();
    html! {
        span.badge {
            @match firing {
                0 => "No rule fires",
                1 => "1 rule fires",
                _ => { (firing) " rules fire" },
            }
        }
        " "
    }
}

fn list(rules: &[KeptRule]) -> Markup {
    html! {
        ul.rules {
            @for kept in rules {
                li {
                    h2 { (name(&kept.rule.name, false)) }
                    p { (state(kept.firing_since)) }
                    p {
                        "Fires at " (kept.rule.condition()) ": " (filters(&kept.rule))
                    }
                    p.muted {
                        @if kept.webhook.is_empty() { "Tells nobody: it has no webhook" }
                        @else { "Tells " (name(&kept.shown_webhook(), false)) }
                    }
                }
            }
        }
    }
}

fn state(firing_since: Option<Timestamp>) -> Markup {
    html! {
        @match firing_since {
            Some(since) => span.errors { "Fires since " (moment(since.as_microsecond())) },
            None => span.muted { "Fine" },
        }
    }
}

/// Which requests it is about, each a link to them where a page can show them.
fn filters(rule: &Rule) -> Markup {
    let texts = [
        ("service", &rule.services),
        ("method", &rule.methods),
        ("path", &rule.paths),
        ("customer", &rule.customers),
    ];
    let statuses = rule.statuses.iter().map(u16::to_string);
    let statuses = statuses.chain(rule.status_classes.iter().map(|class| format!("{class}xx")));
    let mut all: Vec<(&str, String)> = Vec::new();
    for (kind, values) in texts {
        all.extend(values.iter().map(|value| (kind, value.clone())));
    }
    if !rule.path_prefix.is_empty() {
        all.push(("path_prefix", rule.path_prefix.clone()));
    }
    all.extend(statuses.map(|status| ("status", status)));
    html! {
        @if all.is_empty() { a href=(REQUESTS) { "every request" } }
        @for (at, (kind, value)) in all.iter().enumerate() {
            @if at > 0 { ", " }
            span.muted { (kind.replace('_', " ")) } " "
            // A series without a method has an empty one, which in a query would be none.
            @let asked = if *kind == "method" && value.is_empty() { "UNSPECIFIED" } else { value };
            a href=(Link::to(REQUESTS).with("range", "today").with(kind, asked)) { (name(value, false)) }
        }
    }
}
