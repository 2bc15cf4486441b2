//! One timeline: a table whose rows are drawn.
//!
//! | file | what it owns |
//! |---|---|
//! | `asked.rs` | what an address asks for |
//! | `controls.rs` | links that change what is shown |
//! | `detail.rs` | everything that is known of one event |
//! | `rows.rs` | which rows are shown |
//! | `table.rs` | the table, and what its marks mean |
//! | `view.rs` | what is read, and where it is drawn |

mod asked;
mod controls;
mod detail;
mod rows;
mod table;
mod view;

use maud::{Markup, html};
use tally_runtime::text::lasted;
use tally_serve::pages::{moment, name, relative, thousands};

pub(super) use self::asked::Asked;
pub(super) use self::view::View;
use super::CONTEXTS;
use super::parts::{badge, context_link, so_far, timeline_link, title, usual};
use crate::chart::CLOCKS_MAX;

/// How many hosts are named at once.
const OPEN_MAX: usize = 2;

/// The whole page.
pub(super) fn page(view: &View) -> Markup {
    let context = &view.context.name;
    let timeline = &view.shown.timeline;
    html! {
        p.trail {
            a href=(CONTEXTS) { "Timelines" } " / " a href=(context_link(context)) { (name(context, false)) }
        }
        header.heading {
            h1 { (name(context, true)) " " (title(timeline)) " " (badge(timeline)) }
            nav.actions aria-label="Other timelines" {
                @if let Some(before) = view.earlier.first() { a.button.second href=(timeline_link(context, before.number)) { "The one before" } }
                @if timeline.number < view.context.timelines {
                    a.button.second href=(timeline_link(context, timeline.number + 1)) { "The next one" }
                    a.button.second href=(context_link(context).part("newest")) { "The newest" }
                }
            }
        }
        (summary(view))
        (clocks(view))
        @if view.shown.events.is_empty() {
            p.notice { "Nothing has happened in it yet." }
        } @else {
            (controls::all(view))
            (table::section(view))
        }
    }
}

/// When it began, how long it took, and what is usual.
fn summary(view: &View) -> Markup {
    let timeline = &view.shown.timeline;
    let (counts, spent, now) = (&timeline.counts, &view.shown.chart.spent, view.shown.now);
    html! {
        p.standing #standing {
            @if let Some(first) = timeline.first {
                "Began " (moment(first, None)) " " span.since { (relative(first, now)) } "; "
                @if counts.open > 0 { "runs for " } @else { "took " }
                strong { (so_far(timeline, now).map(lasted).unwrap_or_default()) }
                @if let Some(usual) = usual(&view.earlier) {
                    ", usually " (lasted(usual.median))
                    span.muted { " (from " (lasted(usual.shortest)) " to " (lasted(usual.longest)) ", of " (usual.timelines) " before it)" }
                }
                "."
            }
        }
        ul.legend #counts {
            li { (thousands(counts.events)) @if counts.events == 1 { " event" } @else { " events" } }
            @if counts.open > 0 { li { (thousands(counts.open)) " open" } }
            @if counts.failed > 0 { li { span.errors { (thousands(counts.failed)) " failed" } } }
            @if counts.abandoned > 0 { li { (thousands(counts.abandoned)) " abandoned: nothing was heard of them for long" } }
            @if !spent.waiting.is_zero() { li { "waited " (lasted(spent.waiting)) " in all, and worked " (lasted(spent.working)) } }
        }
    }
}

/// Hosts whose times are far from those of the server. Nothing is shifted.
fn clocks(view: &View) -> Markup {
    let clocks = &view.shown.chart.clocks;
    let most = clocks.iter().map(|(_, behind)| behind.abs()).max().unwrap_or_default();
    let (count, is_one) = (clocks.len(), clocks.len() == 1);
    html! {
        @if !clocks.is_empty() {
            details.notice #clocks open[count <= OPEN_MAX] {
                summary {
                    "The times of " (count) @if is_one { " host are " } @else { " hosts are " }
                    (lasted(most)) @if !is_one { " and less" } " from when the server heard of them"
                }
                p { @if is_one { "Its clock is" } @else { "Their clocks are" } " off, or it was told later. Nothing is shifted: all is drawn as it was told." }
                ul {
                    @for (host, behind) in clocks.iter().take(CLOCKS_MAX) {
                        li {
                            @if host.is_empty() { "senders without a host" } @else { (name(host, false)) }
                            ": " (lasted(behind.abs()))
                            @if behind.is_negative() { " ahead of" } @else { " behind" } " the server's clock"
                        }
                    }
                    @if count > CLOCKS_MAX { li { "and " (count - CLOCKS_MAX) " more" } }
                }
            }
        }
    }
}
