//! `/about`: the server and its settings.

use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use tally_runtime::text::bytes;

use super::{Frame, Page};
use crate::facts::{DomainFacts, Fact, Facts, Value, in_words, label};

/// What a server says of itself.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Tally's version.
    pub version: &'static str,
    /// The namespace that the pages show.
    pub namespace: String,
    /// The settings in force.
    pub settings: Vec<Setting>,
}

/// A setting in force. A secret has no value here.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its variable.
    pub name: String,
    /// What it is set to.
    pub value: String,
    /// Where that comes from.
    pub source: &'static str,
    /// What it is for.
    pub help: String,
}

pub(super) async fn page(frame: Frame) -> Response {
    let about = &frame.site.about;
    let facts = match &frame.site.origin {
        Some((domains, origin)) => Some(domains.facts(origin).await),
        None => None,
    };
    let body = html! {
        h1 { "About this server" }
        @if let Some(facts) = &facts { (server(facts, &about.namespace)) }
        @for (domain, now) in facts.iter().flat_map(|facts| facts.domains.iter().map(|one| (one, facts.now))) { (of_domain(domain, now)) }
        section aria-labelledby="settings" {
            h2 #settings { "Settings in force" }
            p.muted {
                "Set by flags, the environment, a file .env, or by default. "
                code { "tally config" } " shows them before a server starts."
            }
            div.table-frame tabindex="0" role="group" aria-label="Settings in force" {
                table.settings {
                    caption.visually-hidden { "Settings in force" }
                    thead { tr { th scope="col" { "Setting" } th scope="col" { "Value" } th scope="col" { "From" } } }
                    tbody {
                        @for setting in &about.settings {
                            tr {
                                th scope="row" {
                                    code { (setting.name) }
                                    span.help { (setting.help) }
                                }
                                td { @if setting.value.is_empty() { em.muted { "none" } } @else { code { (setting.value) } } }
                                td { (setting.source) }
                            }
                        }
                    }
                }
            }
        }
    };
    frame.page(Page { title: "About".into(), ..Page::new(body) })
}

/// What the server is, and which database it has.
fn server(facts: &Facts, namespace: &str) -> Markup {
    let database = &facts.database;
    html! {
        dl.facts {
            (entry("Health", &html! {
                @match &facts.trouble {
                    None => span.badge { "Ready" },
                    Some(trouble) => span.short { span.badge { "Not ready" } " " (trouble) },
                }
            }))
            (entry("Version", &html! { (facts.version) }))
            (entry("Started", &html! { (moment(facts.started_at)) ", as process " (facts.process) }))
            (entry("Database", &html! {
                (database.kind) ", " code { (database.address) }
                @if let Some(size) = database.bytes { ", " (bytes(size)) }
                @if let Some(free) = database.free_bytes { "; its disk has " (bytes(free)) " free" }
            }))
            (entry("Schema", &html! {
                @for (at, (set, version)) in database.schemas.iter().enumerate() {
                    @if at > 0 { ", " }
                    (set) " " (version)
                }
            }))
            (entry("Namespace", &html! { (namespace) }))
            (entries(&facts.facts, facts.now))
        }
    }
}

fn of_domain(domain: &DomainFacts, now: Timestamp) -> Markup {
    html! {
        section aria-label=(domain.name) {
            h2 { (capitalized(domain.name)) }
            dl.facts {
                (entries(&domain.facts, now))
                @if let Some(missing) = &domain.missing { (entry("The rest", &html! { (missing) })) }
            }
        }
    }
}

fn entries(facts: &[Fact], now: Timestamp) -> Markup {
    html! {
        @for fact in facts {
            (entry(&capitalized(&label(&fact.name)), &html! {
                (value(fact, now))
                @if let Some(note) = &fact.note { span.help { (note) } }
            }))
        }
    }
}

fn entry(title: &str, text: &Markup) -> Markup {
    html! { div { dt { (title) } dd { (text) } } }
}

fn value(fact: &Fact, now: Timestamp) -> Markup {
    let words = in_words(&fact.name, fact.value.as_ref(), fact.max, now);
    match &fact.value {
        None => html! { span.muted { (words) } },
        Some(Value::Time(at)) => html! { time datetime=(at) { (words) } },
        Some(_) => html! { (words) },
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|one| one.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn moment(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (at.strftime("%-d %b %Y, %H:%M:%S")) " UTC" } }
}
