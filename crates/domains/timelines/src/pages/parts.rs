//! What the pages have in common: states, trends, lengths of time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use tally_runtime::text::lasted;
use tally_serve::pages::{Link, name};

use super::CONTEXTS;
use crate::model::Timeline;
use crate::service::look::ended_after;
use crate::typical::Typical;

/// How high a trend is, and how wide each of its bars.
const TREND_UNITS: i128 = 20;
const TREND_STEP: usize = 4;
/// How many timelines a trend has.
pub(super) const TREND_MAX: u32 = 20;

/// Where the page of a context is.
pub(super) fn context_link(context: &str) -> Link {
    Link::to(CONTEXTS).part(context)
}

/// Where the page of a timeline is.
pub(super) fn timeline_link(context: &str, number: i64) -> Link {
    context_link(context).part(&number.to_string())
}

/// Where the page of a name is.
pub(super) fn name_link(context: &str, name: &str) -> Link {
    context_link(context).part("durations").part(name)
}

/// A timeline's class in the style sheet, of what its bars are filled with.
pub(super) fn class(timeline: &Timeline) -> &'static str {
    match timeline.standing() {
        "open" => "s3",
        "failed" => "s5",
        "abandoned" => "s4",
        "ok" => "s2",
        _ => "s0",
    }
}

/// How a timeline stands, to be seen at a glance: by its word, and by its colour too.
pub(super) fn badge(timeline: &Timeline) -> Markup {
    let state = timeline.standing();
    let class = match state {
        "open" => "open",
        "failed" => "down",
        "abandoned" => "late",
        "ok" => "up",
        _ => "idle",
    };
    html! { span.badge.(class) { (state) } }
}

/// What a timeline is called: its number, and its label if it has one.
pub(super) fn title(timeline: &Timeline) -> Markup {
    html! {
        (timeline.number)
        @if !timeline.label.is_empty() { " " span.muted { (name(&timeline.label, false)) } }
    }
}

/// How long a timeline took, or takes already.
pub(super) fn so_far(timeline: &Timeline, now: Timestamp) -> Option<SignedDuration> {
    let from = timeline.first?;
    let so_far = || now.duration_since(from).max(SignedDuration::ZERO);
    Some(ended_after(timeline).unwrap_or_else(so_far))
}

/// A length of time, which is at least nothing.
pub(super) fn unsigned(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or_default()
}

/// What is usual among timelines that have ended well.
pub(super) fn usual(timelines: &[Timeline]) -> Option<Typical> {
    let is = |standing: &'static str| move |one: &&Timeline| one.standing() == standing;
    let failed = timelines.iter().filter(is("failed")).count();
    let well = timelines.iter().filter(is("ok")).filter_map(ended_after).collect();
    Typical::of(well, u32::try_from(failed).unwrap_or(u32::MAX))
}

/// Median and range, and of how many.
pub(super) fn range(typical: &Typical, of: &str) -> Markup {
    let Typical { median, shortest, longest, timelines, failed } = *typical;
    html! {
        "Median " strong { (lasted(median)) }
        ", from " (lasted(shortest)) " to " (lasted(longest))
        span.muted {
            ", of " (timelines) " " (of) @if timelines != 1 { "s" } " that ended well"
            @if failed > 0 { "; " (failed) " failed" }
        }
    }
}

/// How long the latest timelines took, as small bars, the last on the right. It is hidden from assistive tools:
/// what is usual stands beside it.
pub(super) fn trend(latest: &[Timeline], now: Timestamp) -> Markup {
    let took = |one: &Timeline| so_far(one, now).unwrap_or_default().as_nanos();
    let max = latest.iter().map(took).max().unwrap_or(0).max(1);
    let slots = TREND_MAX as usize;
    let shown = latest.len().min(slots);
    html! {
        svg.spark viewBox=(format!("0 0 {} {TREND_UNITS}", slots * TREND_STEP))
            preserveAspectRatio="none" aria-hidden="true" {
            @for (at, one) in latest[..shown].iter().rev().enumerate() {
                @let height = (took(one) * TREND_UNITS / max).max(1);
                rect.(class(one)) x=((slots - shown + at) * TREND_STEP) width=(TREND_STEP - 1)
                    y=(TREND_UNITS - height) height=(height) {}
            }
        }
    }
}
