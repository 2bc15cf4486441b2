//! The timelines of a context, and how long the events of its names take.

use jiff::Timestamp;
use maud::{Markup, html};
use tally_runtime::Namespace;
use tally_runtime::text::lasted;
use tally_serve::api::{Mistakes, Parameter, Parameters, Values};
use tally_serve::pages::{Length, Lengths, Link, moment, name, plain, relative, thousands};

use super::CONTEXTS;
use super::parts::{
    badge, class, context_link, name_link, range, so_far, timeline_link, title, unsigned, usual,
};
use crate::error::Error;
use crate::model::{Context, Timeline};
use crate::service::Service;
use crate::typical::{LAST_MAX, Typical, typical};

/// How many timelines a page has, and how many names.
const SHOWN_MAX: u32 = 50;
const NAMES_MAX: usize = 50;

const BEFORE: Parameter = Parameter {
    name: "before",
    about: "",
    values: Values::Whole(1, i64::MAX as u64),
    is_repeated: false,
};

/// How timelines stand: the class in the style sheet, and the word.
const KINDS: &[(&str, &str)] =
    &[("s2", "ok"), ("s3", "open"), ("s5", "failed"), ("s4", "abandoned"), ("s0", "empty")];

/// What the page shows.
pub(super) struct View {
    pub(super) now: Timestamp,
    context: Context,
    newest: Option<Timeline>,
    /// The last one first.
    timelines: Vec<Timeline>,
    before: Option<i64>,
    /// How long the events of each name usually take, the longest first.
    names: Vec<(String, Typical)>,
}

/// Before which timeline an address asks for those that are shown.
pub(super) fn read(query: Option<&str>) -> Result<Option<i64>, Mistakes> {
    let mut given = Parameters::of(query, &[BEFORE]);
    let before = given.whole(&BEFORE);
    if given.mistakes.is_empty() { Ok(before) } else { Err(given.mistakes) }
}

// === impl View ===

impl View {
    pub(super) async fn read(
        service: &Service,
        namespace: Namespace,
        context: &str,
        before: Option<i64>,
    ) -> Result<Self, Error> {
        let now = service.now();
        let context = service.context(namespace, context).await?;
        let newest = service.newest(&context).await?;
        let timelines = service.timelines(&context, before.unwrap_or(i64::MAX), SHOWN_MAX).await?;
        let took = service.took(context.id, context.timelines.saturating_add(1)).await?;
        let mut names: Vec<_> =
            typical(&took).into_iter().map(|(name, usual)| (name.to_owned(), usual)).collect();
        names.sort_by(|(one, of_one), (other, of_other)| {
            (of_other.median, one).cmp(&(of_one.median, other))
        });
        Ok(Self { now, context, newest, timelines, before, names })
    }

    pub(super) fn title(&self) -> String {
        let state = self.newest.as_ref().map_or("", Timeline::standing);
        match state {
            "open" | "failed" => format!("{}: {state}", plain(&self.context.name)),
            _ => plain(&self.context.name),
        }
    }

    /// The address of what comes next.
    fn next(&self) -> Option<Link> {
        let last = self
            .timelines
            .last()
            .filter(|last| last.number > 1 && self.timelines.len() == SHOWN_MAX as usize)?;
        Some(context_link(&self.context.name).with("before", &last.number.to_string()))
    }
}

pub(super) fn page(view: &View) -> Markup {
    let context = &view.context.name;
    html! {
        p.trail { a href=(CONTEXTS) { "Timelines" } }
        header.heading {
            h1 { (name(context, true)) @if let Some(newest) = &view.newest { " " (badge(newest)) } }
            @if view.before.is_some() { a.button href=(context_link(context)) { "The latest" } }
        }
        @if let Some(typical) = usual(&view.timelines) { p.standing #usual { (range(&typical, "timeline")) } }
        @if view.timelines.is_empty() {
            p.notice { "None of its timelines is kept any more." }
        } @else {
            (table(view))
        }
        @if !view.names.is_empty() { (names(view)) }
    }
}

fn lengths(view: &View) -> Markup {
    let one = |timeline: &Timeline| {
        let took = so_far(timeline, view.now);
        let label = if timeline.label.is_empty() {
            timeline.number.to_string()
        } else {
            format!("{} {}", timeline.number, plain(&timeline.label))
        };
        let state = timeline.standing();
        let after = took.map(|took| format!(" after {}", lasted(took))).unwrap_or_default();
        Length {
            took: took.map(unsigned),
            kind: KINDS.iter().position(|(of, _)| *of == class(timeline)).unwrap_or_default(),
            label: format!("Timeline {label}: {state}{after}"),
            tick: timeline.number.to_string(),
            link: Some(timeline_link(&view.context.name, timeline.number)),
            is_open: state == "open",
        }
    };
    Lengths { kinds: KINDS, all: view.timelines.iter().rev().map(one).collect() }.draw()
}

fn table(view: &View) -> Markup {
    let csv = Link::to("/api/v1/timelines/contexts").part(&view.context.name);
    let csv = csv.with("format", "csv").with("limit", "1000");
    html! {
        section aria-labelledby="timelines" {
            header {
                h2 #timelines { @if view.before.is_some() { "Earlier timelines" } @else { "The latest timelines" } }
                a.csv href=(csv) download { "CSV" span.visually-hidden { " of timelines" } }
            }
            (lengths(view))
            table.list.timelines {
                thead { tr {
                    th scope="col" { "Timeline" } th.stands scope="col" { "State" } th scope="col" { "Began" }
                    th.number scope="col" { "Took" } th.number.count scope="col" { "Events" }
                    th.number.count scope="col" { "Failed" } th.number.count scope="col" { "Open" }
                } }
                tbody { @for timeline in &view.timelines { (row(&view.context.name, timeline, view.now)) } }
            }
            @if let Some(next) = view.next() { p.more { a.button href=(next) { "The " (SHOWN_MAX) " before" } } }
        }
    }
}

fn row(context: &str, timeline: &Timeline, now: Timestamp) -> Markup {
    let counts = &timeline.counts;
    html! {
        tr {
            th.name scope="row" { a href=(timeline_link(context, timeline.number)) { (title(timeline)) } }
            td { (badge(timeline)) }
            td {
                @match timeline.first {
                    Some(first) => { (moment(first, None)) " " span.since { (relative(first, now)) } }
                    None => { (moment(timeline.begun, None)) }
                }
            }
            td.number { span.label { "Took " } (so_far(timeline, now).map(lasted).unwrap_or_default()) }
            td.number { (thousands(counts.events)) span.label { " events" } }
            td.number { @if counts.failed > 0 { span.errors { (thousands(counts.failed)) } span.label { " failed" } } }
            td.number { @if counts.open > 0 { (thousands(counts.open)) span.label { " open" } } }
        }
    }
}

fn names(view: &View) -> Markup {
    let longest = view.names.first().map_or(1, |(_, of)| of.median.as_millis()).max(1);
    let share =
        |of: &Typical| format!("{:.1}%", 100.0 * of.median.as_millis() as f64 / longest as f64);
    html! {
        section aria-labelledby="names" {
            header { h2 #names { "How long events usually take, in the last " (LAST_MAX) " finished timelines" } }
            div.table-frame tabindex="0" role="group" aria-label="How long events usually take" { table.usual {
                thead { tr {
                    th scope="col" { "Event" } th.number scope="col" { "Median" } th.number scope="col" { "Shortest" }
                    th.number scope="col" { "Longest" } th.number scope="col" { "Timelines" } th.number scope="col" { "Failed" }
                } }
                tbody { @for (event, of) in view.names.iter().take(NAMES_MAX) {
                    tr {
                        th.name scope="row" {
                            svg.bar width="100%" height="100%" aria-hidden="true" { rect width=(share(of)) height="100%" rx="3" {} }
                            a href=(name_link(&view.context.name, event)) { (name(event, false)) }
                        }
                        td.number { (lasted(of.median)) } td.number { (lasted(of.shortest)) } td.number { (lasted(of.longest)) }
                        td.number { (of.timelines) }
                        td.number { @if of.failed > 0 { span.errors { (of.failed) } } }
                    }
                } }
            } }
            @if view.names.len() > NAMES_MAX {
                p.muted { "and " (thousands((view.names.len() - NAMES_MAX) as i64)) " shorter ones" }
            }
        }
    }
}
