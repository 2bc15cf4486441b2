//! Links that change what is shown. Each is an address, so that all works without a script.

use maud::{Markup, html};
use tally_serve::pages::{Link, plain};

use super::view::View;
use crate::pages::parts::context_link;

/// Formats that viewers open, and whose they are.
const EXPORTS: [(&str, &str); 6] = [
    ("csv", "CSV"),
    ("svg", "SVG"),
    ("chrome", "Perfetto"),
    ("otlp", "OTLP"),
    ("jaeger", "Jaeger"),
    ("markdown", "Mermaid"),
];
/// How much of what is shown an event has beside it, when it is looked at closely.
const PART: f64 = 0.5;

pub(super) fn all(view: &View) -> Markup {
    let has_hosts = {
        let mut hosts: Vec<_> = view.shown.events.iter().map(|event| &event.key.host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts.len() > 1
    };
    let asked = &view.asked;
    let option = |text: &str, is_chosen: bool, link: Link| {
        html! { a href=(link) aria-current=[is_chosen.then_some("true")] { (text) } }
    };
    html! {
        div.controls {
            @if has_hosts {
                nav.segments aria-label="Order" {
                    (option("By name", !asked.is_by_host, view.but(|asked| asked.is_by_host = false)))
                    (option("By host", asked.is_by_host, view.but(|asked| asked.is_by_host = true)))
                }
            }
            nav.segments aria-label="Rows" {
                (option("All", !asked.is_critical, view.but(|asked| asked.is_critical = false)))
                (option("Critical path", asked.is_critical, view.but(|asked| asked.is_critical = true)))
            }
            (zoom(view))
            (compare(view))
        }
    }
}

/// Other parts of the time.
fn zoom(view: &View) -> Markup {
    html! {
        nav.segments aria-label="Time" {
            a href=(view.but(|asked| (asked.from, asked.to) = (None, None))) aria-current=[(!view.is_zoomed()).then_some("true")] { "Whole" }
            @if view.is_zoomed() {
                @if view.asked.from.is_some() { a href=(view.moved(-PART, 1.0)) { "Earlier" } }
                a href=(view.moved(PART, 1.0)) { "Later" }
                a href=(view.moved(0.0, 2.0)) { "Zoom out" }
            }
            a href=(view.moved(0.0, 0.5)) { "Zoom in" }
        }
    }
}

/// Another timeline to be beside it.
fn compare(view: &View) -> Markup {
    let asked = &view.asked;
    let others = view.earlier.iter();
    html! {
        @if let Some(other) = &view.other {
            p.chips { a.chip href=(view.but(|asked| asked.with = None)) title="Alone" {
                "beside " (other.shown.timeline.number) span.lift aria-hidden="true" { "×" }
            } }
        } @else if !view.earlier.is_empty() {
            form.beside action=(context_link(&view.context.name).part(&view.which)) {
                @if asked.is_by_host { input type="hidden" name="by" value="host"; }
                @if asked.is_critical { input type="hidden" name="only" value="critical"; }
                label { span.visually-hidden { "Beside which timeline" }
                    select name="with" {
                        @for other in others {
                            option value=(other.number) { (other.number) " " (plain(&other.label)) " " (other.standing()) }
                        }
                    }
                }
                button.second type="submit" { "Compare" }
            }
        }
    }
}

/// The same in other formats.
pub(super) fn exports(view: &View) -> Markup {
    let link = |format: &str| {
        let link = Link::to("/api/v1/timelines/contexts").part(&view.context.name);
        link.part(&view.which).part("export").with("format", format)
    };
    html! {
        span.csv {
            @for (at, (format, words)) in EXPORTS.iter().enumerate() {
                @if at > 0 { " " }
                a href=(link(format)) download { (words) }
            }
        }
    }
}
