//! What the pages have in common: numbers, statuses, rankings.

use std::cmp::Ordering;

use maud::{Markup, html};
use tally_serve::pages::{change, name, percent, thousands};

use super::ask::Ask;
use super::producers;
use super::times::{Span, date, dates};
use super::view::{CLASSES, Ranking, View};
use crate::missing::Missing;
use crate::periods::Granularity;
use crate::totals::StatusIs;

/// What each class of statuses is called, and its class in the style sheet; from the bottom of a bar up.
pub(super) const KINDS: [(usize, &str, &str); CLASSES] = [
    (5, "s5", "server errors"),
    (4, "s4", "client errors"),
    (3, "s3", "redirects"),
    (2, "s2", "successes"),
    (1, "s1", "informational"),
    (0, "s0", "no status"),
];
/// How many names a ranking at the side has.
const RANKED_MAX: usize = 12;

/// When the numbers are from.
pub(super) fn as_of(view: &View) -> Markup {
    let zone = &view.times.zone;
    let shown = zone.shown_at(view.as_of);
    html! {
        "As of "
        time datetime=(view.as_of.strftime("%Y-%m-%dT%H:%M:%SZ")) data-zone=(zone.name()) {
            (shown.strftime("%H:%M:%S"))
        }
        " " (zone.name())
    }
}

/// The number of requests, its change, and whether it is complete.
pub(super) fn figures(view: &View) -> Markup {
    html! {
        section.figures aria-label="In all" {
            p.figure {
                strong #total { (thousands(view.total)) }
                " " @if view.total == 1 { "request" } @else { "requests" }
            }
            p.against { (against(view)) }
            (completeness(view))
        }
    }
}

/// How the number has changed against the time before.
fn against(view: &View) -> Markup {
    let times = &view.times;
    let words = match view.ask.span {
        Span::Today => "yesterday until this time",
        Span::Week => "in the 7 days before",
        Span::Month => "in the 30 days before",
        Span::Year => "in the 12 months before",
        Span::Dates(first, last) if first == last => "on the day before",
        Span::Dates(..) => "in as many days before",
    };
    let then = dates(times.before_first, times.before_last);
    html! {
        @match view.before {
            None => span.muted {
                "Not compared: there are no quarter-hours of " (then) "."
            },
            Some(0) => span.muted { "None " (words) },
            Some(before) => {
                @let (text, direction) = change(before, view.total);
                span.change.(way(direction)) { (text) }
                " against "
                span title=(then) { (thousands(before)) " " (words) }
            },
        }
    }
}

fn way(direction: Ordering) -> &'static str {
    match direction {
        Ordering::Less => "down",
        Ordering::Equal => "level",
        Ordering::Greater => "up",
    }
}

/// Complete, or short by how many.
pub(super) fn badge(missing: &Missing) -> Markup {
    let batches = missing.batches();
    html! {
        span.badge {
            @if missing.is_complete() { "Complete" } @else { "Short by " }
            @if missing.dropped == i64::MAX { "at least " }
            @if missing.dropped > 0 { (thousands(missing.dropped)) }
            @if missing.dropped > 0 && batches > 0 { " and " }
            @if batches > 0 { "at least " (thousands(batches)) @if batches == 1 { " batch" } @else { " batches" } }
        }
        " "
    }
}

/// Why it is short.
pub(super) fn reasons(missing: &Missing) -> Markup {
    html! {
        @if missing.dropped > 0 { "Clients gave requests up before they could send them. " }
        @if !missing.setbacks.is_empty() { "The database went back and lost batches that it had acknowledged. " }
    }
}

/// Complete, or short by how many, and how far it is rolled up, if that may be said.
fn completeness(view: &View) -> Markup {
    let missing = &view.missing;
    html! {
        p #complete.completeness.short[!missing.is_complete()] {
            (badge(missing))
            @if missing.is_complete() { "Everything that clients sent for these days is counted." }
            @else { (reasons(missing)) a href=(producers::PATH) { "Whose?" } }
            " "
            @match view.rolled_up_through {
                Some(Some(day)) => { "Rolled up through " (date(day.date())) ", live since." },
                Some(None) => "Live; no day is rolled up yet.",
                None => {},
            }
        }
    }
}

/// The shares of statuses, each a filter.
pub(super) fn shares(view: &View) -> Markup {
    let sum: i64 = view.classes.iter().sum();
    let mut at = 0;
    let mut kinds = KINDS;
    // The best on the left, and what says little on the right.
    kinds.sort_by_key(|(class, ..)| (*class < 2, *class));
    let part = |(class, style, text): (usize, _, _)| {
        let start = at;
        at += view.classes[class];
        (class, style, text, view.classes[class], start)
    };
    let parts: Vec<_> = kinds.into_iter().map(part).filter(|(.., count, _)| *count > 0).collect();
    let place = |count: i64| format!("{:.3}%", 100.0 * count as f64 / sum.max(1) as f64);
    html! {
        @if view.has_statuses() {
            section.shares aria-labelledby="shares" {
                h2 #shares.visually-hidden { "Classes of statuses" }
                svg.share-bar width="100%" height="12" aria-hidden="true" {
                    @for (_, style, _, count, start) in &parts {
                        rect.(style) x=(place(*start)) width=(place(*count)) y="0" height="12" {}
                    }
                }
                ul.legend {
                    @for (class, style, text, count, _) in &parts {
                        li {
                            svg.key width="10" height="10" aria-hidden="true" { rect.(style) width="10" height="10" rx="2" {} }
                            @let words = if *class == 0 { (*text).to_owned() } else { format!("{class}xx {text}") };
                            @match u8::try_from(*class) {
                                Ok(class @ 1..) => {
                                    @let is_chosen = view.ask.status == Some(StatusIs::Class(class));
                                    a href=(view.ask.with(|ask| ask.status = (!is_chosen).then_some(StatusIs::Class(class))))
                                        aria-current=[is_chosen.then_some("true")] { (words) }
                                },
                                _ => span { (words) },
                            }
                            " " span.share { (percent(*count, sum)) }
                        }
                    }
                }
            }
        }
    }
}

/// Names with their counts, each a filter.
pub(super) fn ranking(
    view: &View,
    (id, title, csv): (&str, &str, &str),
    ranking: &Ranking<Box<str>>,
    chosen: Option<&str>,
    choose: impl Fn(&mut Ask, Option<String>),
) -> Markup {
    let sum: i64 = ranking.iter().map(|(_, count)| count).sum();
    // One without a name says nothing.
    if ranking.iter().all(|(one, _)| one.is_empty()) {
        return html! {};
    }
    html! {
        section.ranking aria-labelledby=(id) {
            header { h2 id=(id) { (title) } a.csv href=(view.ask.csv(Granularity::Whole, csv)) download { "CSV" span.visually-hidden { " of " (title) } } }
            ol {
                @for (one, count) in ranking.iter().take(RANKED_MAX) {
                    @let is_chosen = chosen == Some(one);
                    li {
                        (share_bar(*count, ranking[0].1))
                        span.name {
                            a href=(view.ask.with(|ask| choose(ask, (!is_chosen).then(|| one.to_string()))))
                                aria-current=[is_chosen.then_some("true")] { (name(one, false)) }
                        }
                        span.number { (thousands(*count)) }
                        span.share { (percent(*count, sum)) }
                    }
                }
            }
            @if ranking.len() > RANKED_MAX {
                p.muted { "and " (thousands((ranking.len() - RANKED_MAX) as i64)) " more, all of them in the CSV" }
            }
        }
    }
}

/// Every status, each a filter.
pub(super) fn statuses(view: &View) -> Markup {
    let sum: i64 = view.statuses.iter().map(|(_, count)| count).sum();
    html! {
        @if view.has_statuses() {
            section.ranking aria-labelledby="statuses" {
                header { h2 #statuses { "Statuses" } a.csv href=(view.ask.csv(Granularity::Whole, "status")) download { "CSV" span.visually-hidden { " of statuses" } } }
                ol {
                    @for ((status, class), count) in view.statuses.iter().take(RANKED_MAX) {
                        @let is_chosen = view.ask.status == Some(StatusIs::One(*status));
                        li {
                            (share_bar(*count, view.statuses[0].1))
                            span.name {
                                svg.key width="10" height="10" aria-hidden="true" { rect.(format!("s{class}")) width="10" height="10" rx="2" {} }
                                @if *status == 0 {
                                    a href=(view.ask.with(|ask| ask.status = (!is_chosen).then_some(StatusIs::One(*status))))
                                        aria-current=[is_chosen.then_some("true")] { em.muted { "not known" } }
                                } @else {
                                    a href=(view.ask.with(|ask| ask.status = (!is_chosen).then_some(StatusIs::One(*status))))
                                        aria-current=[is_chosen.then_some("true")] { (status_name(*status, *class)) }
                                }
                            }
                            span.number { (thousands(*count)) }
                            span.share { (percent(*count, sum)) }
                        }
                    }
                }
            }
        }
    }
}

/// What a status is called. Below 100 those of gRPC alone have a class.
fn status_name(status: u16, class: u8) -> Markup {
    html! {
        @match (status, class) {
            (0, _) => em.muted { "none" },
            (1..100, 1..) => { "GRPC " (status) },
            _ => (status),
        }
    }
}

/// How large a part is beside the largest one.
pub(super) fn share_bar(count: i64, max: i64) -> Markup {
    let width = format!("{:.1}%", 100.0 * count as f64 / max.max(1) as f64);
    html! { svg.bar width="100%" height="100%" aria-hidden="true" { rect width=(width) height="100%" rx="3" {} } }
}

/// A change, as it is said in a table.
pub(super) fn change_cell(before: i64, now: i64) -> Markup {
    let (text, direction) = change(before, now);
    html! { span.change.(way(direction)) title=(format!("{} before", thousands(before))) { (text) } }
}

/// A notice that nothing was found.
pub(super) fn nothing(view: &View) -> Markup {
    let times = &view.times;
    html! {
        p.notice {
            "No requests were counted "
            @if times.first == times.last { "on " (date(times.first)) } @else { "in " (dates(times.first, times.last)) }
            @if !view.ask.is_unfiltered() { " with these filters" }
            ". "
            @if view.ask.span != Span::Year { a href=(view.ask.with(|ask| (ask.span, ask.by) = (Span::Year, None))) { "Look at 12 months" } }
        }
    }
}
