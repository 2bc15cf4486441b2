//! What the pages have in common: controls, numbers, the chart, rankings.

use std::cmp::Ordering;

use maud::{Markup, html};
use tally_serve::pages::{Bar, Chart, Link, change, name, percent, plain, thousands};

use super::ask::Ask;
use super::times::{BY_DEFAULT, Span, date, dates};
use super::view::{CLASSES, Ranking, View};
use super::{ask, producers};
use crate::periods::Granularity;
use crate::totals::StatusIs;

/// What each class of statuses is called, and its class in the style sheet; from the bottom of a bar up.
const KINDS: [(usize, &str, &str); CLASSES] = [
    (5, "s5", "server errors"),
    (4, "s4", "client errors"),
    (3, "s3", "redirects"),
    (2, "s2", "successes"),
    (1, "s1", "informational"),
    (0, "s0", "no status"),
];
const STYLES: [&str; CLASSES] = ["s5", "s4", "s3", "s2", "s1", "s0"];
/// The same where no request has a status, which is then nothing to be told by a colour.
const STYLES_WITHOUT: [&str; CLASSES] = ["s5", "s4", "s3", "s2", "s1", "s2"];
/// How many names a ranking at the side has.
const RANKED_MAX: usize = 12;
/// How many services the form offers; the ranking's CSV has all.
const SERVICES_MAX: usize = 200;
/// Zones that are offered; any other can be written.
const ZONES: [&str; 24] = [
    "UTC",
    "Africa/Cairo",
    "Africa/Johannesburg",
    "Africa/Lagos",
    "Africa/Nairobi",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Dubai",
    "Asia/Hong_Kong",
    "Asia/Jakarta",
    "Asia/Karachi",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Asia/Singapore",
    "Asia/Tokyo",
    "Australia/Sydney",
    "Europe/Berlin",
    "Europe/Istanbul",
    "Europe/London",
    "Europe/Moscow",
    "Pacific/Auckland",
];

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

/// The range, and under a fold the dates, the zone and the filters.
pub(super) fn controls(view: &View) -> Markup {
    let (ask, times) = (&view.ask, &view.times);
    let preset = |span: Span| ask.with(|ask| (ask.span, ask.by) = (span, None));
    html! {
        div.controls {
            nav.segments aria-label="Range" {
                @for (span, text) in Span::PRESETS {
                    a href=(preset(span)) aria-current=[(ask.span == span).then_some("true")] { (text) }
                }
            }
            details.chooser {
                summary {
                    span.range { (dates(times.first, times.last)) }
                    span.muted { (times.zone.name()) }
                }
                (form(view))
            }
        }
        (chips(ask))
    }
}

fn form(view: &View) -> Markup {
    let (ask, times) = (&view.ask, &view.times);
    let action =
        if ask.path.is_some() && ask.method.is_some() { ask::ENDPOINT } else { ask::REQUESTS };
    let is_listed = |service: &str| view.services.iter().any(|(one, _)| **one == *service);
    html! {
        form method="get" action=(action) {
            label { "From" input type="date" name="from" value=(times.first) max="9999-12-31"; }
            label { "To" input type="date" name="to" value=(times.last) max="9999-12-31"; }
            label { "Time zone" input name="tz" value=(times.zone.name()) list="zones" autocomplete="off" spellcheck="false"; }
            datalist #zones { @for zone in ZONES { option value=(zone) {} } }
            label { "Service"
                select name="service" {
                    option value="" { "All services" }
                    @if let Some(service) = ask.service.as_deref().filter(|one| !is_listed(one)) {
                        option value=(service) selected { (plain(service)) }
                    }
                    @for (service, _) in view.services.iter().filter(|(one, _)| !one.is_empty()).take(SERVICES_MAX) {
                        option value=(service) selected[ask.service.as_deref() == Some(service)] { (plain(service)) }
                    }
                }
            }
            @if let (Some(method), Some(path)) = (ask.method_in_query(), &ask.path) {
                input type="hidden" name="method" value=(method);
                input type="hidden" name="path" value=(path);
            } @else {
                label { "Path begins with"
                    input name="path_prefix" value=[ask.path_prefix.as_ref()] placeholder="/" autocomplete="off" spellcheck="false";
                }
            }
            @if let Some(status) = ask.status { input type="hidden" name="status" value=(status.to_string()); }
            @if let Some(customer) = &ask.customer { input type="hidden" name="customer" value=(customer); }
            button type="submit" { "Show" }
        }
    }
}

/// The filters, each with a way to lift it.
fn chips(ask: &Ask) -> Markup {
    let chip = |kind: &str, value: &str, without: Link| {
        html! {
            li { a.chip href=(without) { span.muted { (kind) } " " (name(value, false)) span.lift aria-hidden="true" { "×" } span.visually-hidden { ", lift this filter" } } }
        }
    };
    html! {
        @if ask.service.is_some() || ask.path_prefix.is_some() || ask.status.is_some() || ask.customer.is_some() {
            ul.chips aria-label="Filters" {
                @if let Some(one) = &ask.service { (chip("Service", one, ask.with(|ask| ask.service = None))) }
                @if let Some(one) = &ask.path_prefix { (chip("Path begins with", one, ask.with(|ask| ask.path_prefix = None))) }
                @if let Some(one) = ask.status { (chip("Status", &one.to_string(), ask.with(|ask| ask.status = None))) }
                @if let Some(one) = &ask.customer { (chip("Customer", one, ask.with(|ask| ask.customer = None))) }
            }
        }
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
                "Not compared: the quarter-hours of " (then) " are not kept any more."
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

/// Complete, or short by how many, and how far it is rolled up.
fn completeness(view: &View) -> Markup {
    let batches: i64 = view.setbacks.iter().map(|one| one.batches).sum();
    html! {
        p #complete.completeness.short[view.dropped > 0 || batches > 0] {
            @if view.dropped == 0 && batches == 0 {
                span.badge { "Complete" }
                " Everything that clients sent for these days is counted."
            } @else {
                @if view.dropped > 0 {
                    span.badge { "Short by " (thousands(view.dropped)) }
                    " Clients gave these requests up before they could send them. "
                } @else { span.badge { "Short" } " " }
                @if batches > 0 {
                    "The database went back and lost at least " (thousands(batches))
                    @if batches == 1 { " batch" } @else { " batches" } " that it had acknowledged. "
                }
                a href=(producers::PATH) { "Whose?" }
            }
            " "
            @match view.rolled_up_through {
                Some(day) => { "Rolled up through " (date(day.date())) ", live since." },
                None => "Live; no day is rolled up yet.",
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

/// The chart with its numbers.
pub(super) fn chart(view: &View) -> Markup {
    let times = &view.times;
    let labels: Vec<_> = view.bars.iter().map(|bar| bar.label).collect();
    let said = |bar: &super::view::Period| {
        let total: i64 = bar.counts.iter().sum();
        let errors = percent(bar.counts[5], total);
        let errors = if errors.is_empty() { errors } else { format!(", {errors} server errors") };
        let open = if bar.is_open { ", not over yet" } else { "" };
        format!("{}: {}{errors}{open}", times.period(&bar.label), thousands(total))
    };
    let link = |bar: &super::view::Period| {
        let span = times.dates_of(&bar.label)?;
        Some(view.ask.with(|ask| (ask.span, ask.by) = (span, None)))
    };
    let bars = view.bars.iter().map(|bar| Bar {
        parts: KINDS.map(|(class, ..)| bar.counts[class]).to_vec(),
        label: said(bar),
        link: link(bar),
        is_open: bar.is_open,
    });
    let classes = if view.has_statuses() { &STYLES } else { &STYLES_WITHOUT };
    let chart = Chart { classes, bars: bars.collect(), ticks: times.ticks(&labels) };
    html! {
        figure.chart-frame aria-labelledby="chart" {
            figcaption {
                h2 #chart { "Requests by " (by_words(times.by)) }
                p #readout.readout aria-hidden="true" {}
                nav.segments.small aria-label="By" {
                    @for by in &times.choices {
                        a href=(view.ask.with(|ask| ask.by = Some(*by)))
                            aria-current=[(*by == times.by).then_some("true")] { (by_words(*by)) }
                    }
                }
            }
            (chart.draw())
            (numbers(view))
        }
    }
}

/// The same as a table, under a fold.
fn numbers(view: &View) -> Markup {
    let times = &view.times;
    html! {
        details.numbers {
            summary { "The numbers of this chart" }
            p { a href=(view.ask.csv(times.by, "none")) download { "As CSV" } }
            div.table-frame tabindex="0" role="region" aria-label="The numbers of this chart" {
                table {
                    caption.visually-hidden { "Requests by " (by_words(times.by)) }
                    thead { tr { th scope="col" { "From" } th.number scope="col" { "Requests" } th.number scope="col" { "Server errors" } } }
                    tbody {
                        @for bar in view.bars.iter().rev() {
                            tr {
                                th scope="row" {
                                    // Those of one day would all lead to it.
                                    @match times.dates_of(&bar.label).filter(|_| times.has_dates()) {
                                        Some(span) => a href=(view.ask.with(|ask| (ask.span, ask.by) = (span, None))) { (times.period(&bar.label)) },
                                        None => (times.period(&bar.label)),
                                    }
                                }
                                td.number { (thousands(bar.counts.iter().sum())) }
                                td.number { (thousands(bar.counts[5])) }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn by_words(by: Granularity) -> &'static str {
    let found = BY_DEFAULT.into_iter().find(|(of, _)| *of == by);
    match found {
        Some((Granularity::Quarter, _)) => "quarter-hour",
        Some((_, name)) => name,
        None => "whole",
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
                            @if one.is_empty() { (name("", false)) }
                            @else {
                                a href=(view.ask.with(|ask| choose(ask, (!is_chosen).then(|| one.to_string()))))
                                    aria-current=[is_chosen.then_some("true")] { (name(one, false)) }
                            }
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
                                @if *status == 0 { em.muted { "none" } }
                                @else {
                                    a href=(view.ask.with(|ask| ask.status = (!is_chosen).then_some(StatusIs::One(*status))))
                                        aria-current=[is_chosen.then_some("true")] { (status) }
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
