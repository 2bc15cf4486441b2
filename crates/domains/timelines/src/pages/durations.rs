//! How long the events of one name took, timeline by timeline, also in those that are not kept any more.

use std::collections::HashSet;

use jiff::Timestamp;
use maud::{Markup, html};
use tally_runtime::Namespace;
use tally_runtime::text::lasted;
use tally_serve::pages::{Length, Lengths, Link, moment, name, plain};

use super::CONTEXTS;
use super::parts::{context_link, name_link, range, timeline_link, unsigned};
use crate::error::Error;
use crate::model::Context;
use crate::service::Service;
use crate::store::look::Lasted;
use crate::typical::Typical;

/// How many timelines are looked at.
const TIMELINES_MAX: u32 = 100;

/// How it ended: the class in the style sheet, and the word.
const KINDS: &[(&str, &str)] = &[("s2", "ended well"), ("s5", "failed")];

/// What the page shows.
pub(super) struct View {
    pub(super) now: Timestamp,
    context: Context,
    name: String,
    /// The timelines that were looked at are before this number.
    before: i64,
    /// The last one first.
    all: Vec<Lasted>,
    /// Those of the timelines that are kept.
    kept: HashSet<i64>,
}

// === impl View ===

impl View {
    pub(super) async fn read(
        service: &Service,
        namespace: Namespace,
        context: &str,
        name: String,
        before: Option<i64>,
    ) -> Result<Self, Error> {
        let now = service.now();
        let context = service.context(namespace, context).await?;
        let end = context.timelines.saturating_add(1);
        let before = before.map_or(end, |before| before.min(end));
        let all = service.durations(&context, &name, before, TIMELINES_MAX.into()).await?;
        let kept = service.timelines(&context, before, TIMELINES_MAX).await?;
        let kept = kept.into_iter().map(|one| one.number).collect();
        Ok(Self { now, context, name, before, all, kept })
    }

    pub(super) fn title(&self) -> String {
        format!("{} in {}", plain(&self.name), plain(&self.context.name))
    }

    fn typical(&self) -> Option<Typical> {
        let failed = self.all.iter().filter(|one| one.took.is_none() && one.failed > 0).count();
        let well = self.all.iter().filter_map(|one| one.took).collect();
        Typical::of(well, u32::try_from(failed).unwrap_or(u32::MAX))
    }

    /// The first timeline that was looked at.
    fn first(&self) -> i64 {
        self.before.saturating_sub(TIMELINES_MAX.into()).max(1)
    }

    fn earlier(&self) -> Option<Link> {
        let first = self.first();
        let link = || name_link(&self.context.name, &self.name).with("before", &first.to_string());
        (first > 1).then(link)
    }
}

pub(super) fn page(view: &View) -> Markup {
    let context = &view.context.name;
    let is_latest = view.before > view.context.timelines;
    html! {
        p.trail { a href=(CONTEXTS) { "Timelines" } " / " a href=(context_link(context)) { (name(context, false)) } }
        header.heading {
            h1 { (name(&view.name, true)) }
            @if !is_latest { a.button href=(name_link(context, &view.name)) { "The latest" } }
        }
        @if let Some(typical) = view.typical() { p.standing #usual { (range(&typical, "timeline")) } }
        @if view.all.is_empty() {
            p.notice {
                "No event of this name has ended in timelines " (view.first()) " to " (view.before - 1) "."
            }
        } @else {
            (table(view))
        }
        @if let Some(earlier) = view.earlier() { p.more { a.button href=(earlier) { "Earlier timelines" } } }
    }
}

fn lengths(view: &View) -> Markup {
    let one = |lasts: &Lasted| {
        let number = lasts.timeline_number;
        Length {
            took: Some(lasts.took.map(unsigned).unwrap_or_default()),
            kind: usize::from(lasts.took.is_none()),
            label: match lasts.took {
                Some(took) => format!("Timeline {number}: {}", lasted(took)),
                None => format!("Timeline {number}: failed"),
            },
            tick: number.to_string(),
            link: view.kept.contains(&number).then(|| timeline_link(&view.context.name, number)),
            is_open: false,
        }
    };
    Lengths { kinds: KINDS, all: view.all.iter().rev().map(one).collect() }.draw()
}

fn table(view: &View) -> Markup {
    html! {
        section aria-labelledby="durations" {
            header { h2 #durations { "Timelines " (view.first()) " to " (view.before - 1) } }
            (lengths(view))
            div.table-frame tabindex="0" role="group" aria-label="Durations" { table {
                thead { tr {
                    th.number scope="col" { "Timeline" } th scope="col" { "Made" }
                    th.number scope="col" { "Took" } th.number scope="col" { "Attempts that failed" }
                } }
                tbody { @for one in &view.all {
                    tr {
                        th.number scope="row" {
                            @if view.kept.contains(&one.timeline_number) {
                                a href=(timeline_link(&view.context.name, one.timeline_number)) { (one.timeline_number) }
                            } @else { (one.timeline_number) }
                        }
                        td { (moment(one.begun, None)) }
                        td.number { @match one.took { Some(took) => (lasted(took)), None => span.muted { "did not end well" } } }
                        td.number { @if one.failed > 0 { span.errors { (one.failed) } } }
                    }
                } }
            } }
        }
    }
}
