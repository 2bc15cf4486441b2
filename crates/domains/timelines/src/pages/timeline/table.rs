//! The table, and what its marks mean. It is the truth; what is drawn in its rows is hidden from assistive tools.

use jiff::SignedDuration;
use maud::{Markup, html};
use tally_runtime::hash;
use tally_runtime::text::lasted;
use tally_serve::pages::{name, thousands};

use super::rows::{Line, Lines, ROWS_MAX};
use super::view::{Other, View};
use super::{controls, detail};
use crate::chart::Row;
use crate::chart::svg::{self, Scale, Strip};
use crate::model::{Event, Standing};

/// The pattern of what waits, and that of the lines below the axis.
const HATCH: &str = "hatch";
const GRID: &str = "grid";
/// How far marks of the axis are apart, at least: a part of its width in percent.
const TICK_MIN: f64 = 16.0;
const COLUMNS: usize = 6;
/// How deep names are indented.
const DEPTH_MAX: usize = 10;
/// How many rows are named that only the other one has.
const NAMED_MAX: usize = 10;

pub(super) fn section(view: &View) -> Markup {
    let shown = view.lines();
    let rows = view.other.as_ref().map(|other| other.rows(&shown.lines, &view.shown.events));
    let scale = view.scale();
    let ticks = svg::ticks(&scale, TICK_MIN);
    html! {
        section aria-labelledby="chart" {
            header {
                h2 #chart { @match &view.other {
                    Some(other) => { "Events, above those of " (other.shown.timeline.number) },
                    None => "Events",
                } }
                (controls::exports(view))
            }
            (patterns(&ticks))
            div.chart-frame.gantt-frame {
                table.gantt {
                    thead { tr {
                        th scope="col" { "Event" }
                        th.strip scope="col" { span.visually-hidden { "Drawn" } (axis(&ticks)) }
                        th.number.began scope="col" { "Began" }
                        th.number scope="col" { "Took" }
                        @match &view.other {
                            Some(other) => th.number scope="col" { "In " (other.shown.timeline.number) },
                            None => th.number scope="col" { "Usually" },
                        }
                        th.stands scope="col" { "State" }
                    } }
                    tbody {
                        @for (at, line) in shown.lines.iter().enumerate() {
                            @let other = rows.as_ref().and_then(|rows| rows[at]);
                            (row(view, line, &scale, other))
                            @if let Some(event) = view.event(&line.row).filter(|event| view.asked.event == Some(event.number)) {
                                (detail::row(view, &line.row, event, COLUMNS))
                            }
                        }
                    }
                }
                (legend())
            }
            (missing(&shown))
            @if let Some(other) = &view.other { (only_there(view, other)) }
        }
    }
}

/// What the strips refer to.
fn patterns(ticks: &[(f64, String)]) -> Markup {
    let first = ticks.first().map_or(0.0, |(x, _)| *x);
    let step = ticks.get(1).map_or(200.0, |(x, _)| x - first);
    html! {
        svg.patterns width="0" height="0" aria-hidden="true" { defs {
            (svg::hatch(HATCH))
            pattern id=(GRID) x=(format!("{:.4}", first / 100.0)) width=(format!("{:.4}", step / 100.0)) height="1" {
                line.grid x1="0.5" x2="0.5" y1="0" y2="100" {}
            }
        } }
    }
}

fn axis(ticks: &[(f64, String)]) -> Markup {
    html! {
        svg.axis width="100%" height="20" aria-hidden="true" {
            @for (at, (x, text)) in ticks.iter().enumerate() {
                @let anchor = if *x > 90.0 { "end" } else if *x < 3.0 { "start" } else { "middle" };
                text.minor[at % 2 == 1] x=(format!("{x:.2}%")) y="14" text-anchor=(anchor) { (text) }
            }
        }
    }
}

fn row(view: &View, line: &Line<'_>, scale: &Scale, other: Option<&Row>) -> Markup {
    let row = &*line.row;
    let event = view.event(row);
    let id = id(line, event);
    let is_selected = event.is_some_and(|event| view.asked.event == Some(event.number));
    let began = view.since(row.from);
    html! {
        tr id=(id) .critical[row.is_critical && event.is_some()] .host[line.is_host] .selected[is_selected] {
            th.name.(format!("d{}", line.depth.min(DEPTH_MAX))) scope="row" { div.names { (names(view, line, event, &id)) } }
            td.strip {
                (strip(&Strip { row, event, scale, hatch: HATCH }, false))
                @if let Some(beside) = &view.other {
                    @let of_other = other.map(|row| Row { typical: None, ..row.clone() });
                    @match &of_other {
                        Some(row) => (strip(&Strip {
                            row, event: row.event.and_then(|at| beside.shown.events.get(at)),
                            scale: &view.scale_of(beside), hatch: HATCH,
                        }, true)),
                        None => (strip_of(&html! {}, true)),
                    }
                }
            }
            td.number.began { span.label { "+" } (lasted(began)) }
            td.number { (took(row, event)) }
            td.number.usually { @match &view.other {
                Some(_) => (difference(row, event, other)),
                None => (usually(row)),
            } }
            td.stands { (state(row, event)) }
        }
    }
}

/// What a row is called, wherever it stands.
fn id(line: &Line<'_>, event: Option<&Event>) -> String {
    let number = event.map_or(0, |event| event.number).to_le_bytes();
    let host = line.host.unwrap_or_default();
    format!("r{:x}", hash::short(&[line.row.name.as_bytes(), host.as_bytes(), &number]))
}

fn names(view: &View, line: &Line<'_>, event: Option<&Event>, id: &str) -> Markup {
    let row = &*line.row;
    let last =
        if line.is_host { &*row.name } else { row.name.rsplit('.').next().unwrap_or_default() };
    html! {
        @if let Some(key) = &line.fold {
            a.fold href=(view.but(|asked| asked.turn(key, line.is_folded)).at(id)) aria-expanded=(if line.is_folded { "false" } else { "true" }) {
                span aria-hidden="true" { @if line.is_folded { "▸" } @else { "▾" } }
                span.visually-hidden { @if line.is_folded { "Unfold " } @else { "Fold " } (name(last, false)) }
            }
        } @else { span.fold {} }
        span.what {
            @match event {
                Some(event) => {
                    @let is_selected = view.asked.event == Some(event.number);
                    a href=(view.but(|asked| asked.event = (!is_selected).then_some(event.number)).at(id)) { (name(last, false)) }
                    @if event.rank > 1 { " " span.muted { "attempt " (event.rank) } }
                    @if !event.key.host.is_empty() && line.host.is_none() { " " span.muted { (name(&event.key.host, false)) } }
                    @if !event.key.span.is_empty() { " " span.muted { (name(&event.key.span, false)) } }
                },
                None if line.is_host && last.is_empty() => em.muted { "without a host" },
                None => (name(last, false)),
            }
            @if line.is_folded { " " span.count { (thousands(line.below as i64)) } }
        }
    }
}

fn strip(strip: &Strip<'_>, is_other: bool) -> Markup {
    strip_of(&strip.draw(), is_other)
}

fn strip_of(drawn: &Markup, is_other: bool) -> Markup {
    html! {
        svg.timeline.other[is_other] width="100%" height=(svg::HEIGHT) aria-hidden="true" {
            rect width="100%" height="100%" fill=(format!("url(#{GRID})")) {}
            (drawn)
        }
    }
}

/// How long a row takes, if it does.
fn length(row: &Row, event: Option<&Event>) -> Option<SignedDuration> {
    match event.map(Event::standing) {
        Some(Standing::Point | Standing::Unstarted) => None,
        _ => Some(row.until.duration_since(row.from)),
    }
}

fn took(row: &Row, event: Option<&Event>) -> Markup {
    html! { @if let Some(length) = length(row, event) {
        (lasted(length))
        @if row.is_open { span.muted { " so far" } }
    } }
}

fn usually(row: &Row) -> Markup {
    html! {
        @if let Some(usual) = &row.typical {
            @let words = format!("from {} to {}, of {} timelines", lasted(usual.shortest), lasted(usual.longest), usual.timelines);
            span title=(words) { (lasted(usual.median)) span.visually-hidden { ", " (words) } }
        }
    }
}

/// How long it took in the other one, and how much longer it takes here.
fn difference(row: &Row, event: Option<&Event>, other: Option<&Row>) -> Markup {
    let there = other.filter(|other| other.until > other.from || length(row, event).is_some());
    let Some((here, other)) = length(row, event).zip(there) else { return html! {} };
    let there = other.until.duration_since(other.from);
    let more = here - there;
    html! {
        (lasted(there))
        @if !row.is_open && !more.is_zero() {
            " " span.muted { @if more.is_negative() { "\u{2212}" } @else { "+" } (lasted(more.abs())) }
        }
    }
}

/// How it stands, in words.
fn state(row: &Row, event: Option<&Event>) -> Markup {
    html! {
        @match event.map(Event::standing) {
            Some(standing) => {
                span.(standing.name()) { (standing.name()) }
                @if event.is_some_and(|event| event.attempt.reversed().is_some()) { " " span.errors title="Its end is before its start" { "clock" } }
            },
            None if row.is_open => "open",
            None => {},
        }
        @if row.is_critical && event.is_some() { span.visually-hidden { ", on the critical path" } }
    }
}

fn legend() -> Markup {
    html! {
        ul.legend aria-label="Marks" {
            @for (drawn, words) in svg::marks(HATCH) {
                li { svg.key.timeline width="22" height=(svg::HEIGHT) aria-hidden="true" { (drawn) } (words) }
            }
        }
    }
}

/// What is not shown, and why.
fn missing(shown: &Lines<'_>) -> Markup {
    html! {
        @if shown.beyond > 0 {
            p.notice #beyond {
                "There are more than " (ROWS_MAX) " rows: " (thousands(shown.beyond as i64))
                " are not drawn. Those that failed, are open, on the critical path or take longest are. Zoom in, or fold \
                 what does not matter, to see the others; the CSV has all."
            }
        }
        @if shown.folded + shown.outside + shown.others > 0 {
            p.muted #missing {
                "Of " (thousands(shown.all as i64)) " rows, "
                @for (at, (count, why)) in [
                    (shown.folded, "are folded"), (shown.outside, "are not in this time"), (shown.others, "are not on the critical path"),
                ].iter().filter(|(count, _)| *count > 0).enumerate() {
                    @if at > 0 { ", " } (thousands(*count as i64)) " " (why)
                }
                "."
            }
        }
    }
}

/// What only the other one has.
fn only_there(view: &View, other: &Other) -> Markup {
    let here: std::collections::HashSet<&str> =
        view.shown.chart.rows.iter().map(|row| &*row.name).collect();
    let rows = other.shown.chart.rows.iter();
    let mut names: Vec<&str> =
        rows.map(|row| &*row.name).filter(|name| !here.contains(name)).collect();
    names.dedup();
    html! {
        @if !names.is_empty() {
            p #only {
                "Only in " (other.shown.timeline.number) ": "
                @for (at, one) in names.iter().take(NAMED_MAX).enumerate() { @if at > 0 { ", " } (name(one, false)) }
                @if names.len() > NAMED_MAX { ", and " (thousands((names.len() - NAMED_MAX) as i64)) " more" }
                "."
            }
        }
    }
}
