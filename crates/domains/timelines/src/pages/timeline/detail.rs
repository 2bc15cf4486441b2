//! Everything that is known of one event.

use jiff::Timestamp;
use maud::{Markup, html};
use tally_runtime::text::lasted;
use tally_serve::pages::{Link, name};

use super::view::View;
use crate::chart::Row;
use crate::message::Phase;
use crate::model::Event;
use crate::pages::parts::name_link;

/// From how far on the difference of a message's time and its reception is told: senders may collect some.
const LATE_MILLIS: i128 = 1_000;

/// A row below that of the event.
pub(super) fn row(view: &View, row: &Row, event: &Event, columns: usize) -> Markup {
    let now = view.shown.now;
    let (start, end) = (event.attempt.start.as_ref(), event.end());
    let spent = event.spent(now);
    html! {
        tr.detail { td colspan=(columns) {
            dl.facts {
                (fact("Event", &html! { (name(&event.key.name, true)) }))
                @if !event.key.host.is_empty() { (fact("Host", &html! { (name(&event.key.host, true)) })) }
                @if !event.key.span.is_empty() { (fact("Span", &html! { (name(&event.key.span, true)) })) }
                @if event.rank > 1 { (fact("Attempt", &html! { (event.rank) })) }
                (fact("State", &html! {
                    (event.standing().name())
                    @if let Some(abandoned) = event.abandoned { ", since " (exact(abandoned)) }
                }))
                @if let Some(start) = start { (fact("Start", &told(start.time, start.received))) }
                @for shift in &event.attempt.shifts {
                    (fact(if shift.phase == Phase::Waiting { "Waits" } else { "Works" }, &told(shift.time, shift.received)))
                }
                @if let Some(end) = end { (fact("End", &told(end.time, end.received))) }
                @if let Some(early) = event.attempt.reversed() {
                    (fact("Clock", &html! { span.errors { "its end is " (lasted(early)) " before its start" } ", as it was told: it counts as no time" }))
                }
                @if let Some(took) = event.took() {
                    (fact("Took", &html! {
                        (lasted(took))
                        @if !spent.waiting.is_zero() { ", of which it waited " (lasted(spent.waiting)) }
                    }))
                }
                @if let Some(usual) = row.typical {
                    (fact("Usually", &html! {
                        (lasted(usual.median)) ", from " (lasted(usual.shortest)) " to " (lasted(usual.longest))
                        ", in " (usual.timelines) " timelines before"
                        @if usual.failed > 0 { "; " (usual.failed) " failed" }
                    }))
                }
                @for (of, value) in event.attributes() { (fact_of(&name(&of, true), &html! { (name(&value, true)) })) }
            }
            p.actions {
                @if row.until > row.from { a.button.second href=(closely(view, row)) { "Zoom to it" } }
                a.button.second href=(name_link(&view.context.name, &event.key.name)) { "In other timelines" }
                a.button.second href=(view.but(|asked| asked.event = None)) { "Close" }
            }
        } }
    }
}

/// The address of the time of a row, with a little on both sides.
fn closely(view: &View, row: &Row) -> Link {
    let (from, until) = (view.since(row.from), view.since(row.until));
    let beside = (until - from) / 5;
    view.but(|asked| {
        let from = from.saturating_sub(beside).max(jiff::SignedDuration::ZERO);
        (asked.from, asked.to) = (Some(from), Some(until + beside));
    })
}

fn fact(term: &str, text: &Markup) -> Markup {
    fact_of(&html! { (term) }, text)
}

fn fact_of(term: &Markup, text: &Markup) -> Markup {
    html! { div { dt { (term) } dd { (text) } } }
}

/// A sender's time, and the server's where it is another one.
fn told(time: Timestamp, received: Timestamp) -> Markup {
    let behind = received.duration_since(time);
    html! {
        (exact(time))
        @if behind.as_millis().abs() >= LATE_MILLIS {
            span.muted { ", received " (lasted(behind.abs())) @if behind.is_negative() { " before" } @else { " after" } " that" }
        }
    }
}

/// A moment, to the nanosecond if it was told so.
fn exact(at: Timestamp) -> Markup {
    html! { time datetime=(at.to_string()) { (at.strftime("%-d %b %Y %H:%M:%S%.f")) " UTC" } }
}
