//! The bars of one row, in a strip of their own: across in percent, so that a strip is as wide as there is room, and
//! in pixels otherwise. Pictures and pages are made of these.

use jiff::Timestamp;
use maud::{Markup, html};
use tally_runtime::text::lasted;

use super::plain;
use super::scale::Scale;
use crate::chart::{Bar, Row};
use crate::message::{Phase, Status};
use crate::model::{Event, Standing};

/// How high a strip is, and a bar in it, in pixels.
pub(crate) const HEIGHT: i64 = 22;
const BAR: i64 = 10;
const MIDDLE: i64 = HEIGHT / 2;
const TOP: i64 = (HEIGHT - BAR) / 2;
/// The least that a bar has, so that none is invisible, in percent.
const LEAST: f64 = 0.3;

/// A row where it is drawn.
pub(crate) struct Strip<'a> {
    pub(crate) row: &'a Row,
    pub(crate) event: Option<&'a Event>,
    pub(crate) scale: &'a Scale,
    /// The id of the pattern for what waits.
    pub(crate) hatch: &'a str,
}

// === impl Strip ===

impl Strip<'_> {
    /// What is usual, the bars over it, and the mark where they end.
    pub(crate) fn draw(&self) -> Markup {
        let Row { from, until, is_open, is_critical, .. } = self.row;
        let ends_here = self.scale.has(*until);
        html! {
            g class=(self.standing()) {
                title { (self.tip()) }
                (self.usual())
                @match self.event {
                    None if self.row.bars.is_empty() => {
                        @let (left, right) = (percent(self.scale.x(*from)), percent(self.scale.x(*until)));
                        line.several x1=(left) x2=(right) y1=(MIDDLE) y2=(MIDDLE) {}
                        @if self.scale.has(*from) { line.several x1=(left) x2=(left) y1=(MIDDLE - 3) y2=(MIDDLE + 3) {} }
                        @if ends_here && !is_open { line.several x1=(right) x2=(right) y1=(MIDDLE - 3) y2=(MIDDLE + 3) {} }
                    },
                    Some(_) if self.row.bars.is_empty() => @if self.scale.has(*from) {
                        (mark(self.scale.x(*from), &html! { path.point d="M0 -5l5 5 -5 5 -5 -5z" {} }))
                    },
                    _ => @for bar in &self.row.bars { (self.bar(bar)) },
                }
                @if *is_critical && self.event.is_some() && self.scale.overlaps(*from, *until) {
                    @let (left, width) = self.reach(*from, *until);
                    rect.path x=(left) width=(width) y=(TOP + BAR + 2) height="2" {}
                }
                @if ends_here { (self.end(self.scale.x(*until))) }
            }
        }
    }

    /// From the shortest to the longest that such an event usually takes, and their median.
    fn usual(&self) -> Markup {
        let usual = self.row.typical.filter(|_| self.event.is_some() && !self.row.bars.is_empty());
        let from = self.row.from;
        let at = |took| from.saturating_add(took).unwrap_or(Timestamp::MAX);
        html! {
            @if let Some(usual) = usual {
                @let (shortest, longest) = (at(usual.shortest), at(usual.longest));
                @if self.scale.overlaps(shortest, longest) {
                    @let (left, width) = self.reach(shortest, longest);
                    rect.usual x=(left) y=(TOP - 3) height=(BAR + 6) width=(width) {}
                }
                @if self.scale.has(at(usual.median)) {
                    @let median = percent(self.scale.x(at(usual.median)));
                    line.usual x1=(median) x2=(median) y1=(TOP - 3) y2=(TOP + BAR + 3) {}
                }
            }
        }
    }

    fn bar(&self, bar: &Bar) -> Markup {
        let (left, width) = self.reach(bar.from, bar.until);
        html! {
            @if self.scale.overlaps(bar.from, bar.until) {
                @match bar.phase {
                    Phase::Working => rect.bar x=(left) y=(TOP) width=(width) height=(BAR) {},
                    Phase::Waiting => {
                        rect.waiting x=(left) y=(TOP) width=(width) height=(BAR) {}
                        rect x=(left) y=(TOP) width=(width) height=(BAR) fill=(format!("url(#{})", self.hatch)) {}
                    },
                }
            }
        }
    }

    /// Where something begins, and how wide it is.
    fn reach(&self, from: Timestamp, until: Timestamp) -> (String, String) {
        let (left, right) = (self.scale.x(from), self.scale.x(until));
        let width = (right - left).max(LEAST);
        (percent(left.min(100.0 - LEAST)), percent(width))
    }

    /// The mark where it ends: an arrow if it goes on, dots if nobody knows, a cross if it failed.
    fn end(&self, x: f64) -> Markup {
        let standing = self.event.map(Event::standing);
        html! {
            @match standing {
                _ if self.row.is_open => (mark(x, &arrow())),
                Some(Standing::Abandoned) => (mark(x, &dots())),
                Some(Standing::Ended(Status::Failed)) => (mark(x, &cross())),
                _ => {},
            }
        }
    }

    fn standing(&self) -> &'static str {
        self.event.map_or("group", |event| event.standing().name())
    }

    /// How long it took, and how it stands.
    pub(crate) fn words(&self) -> String {
        let Row { from, until, .. } = self.row;
        let took = lasted(until.duration_since(*from));
        match self.event.map(|event| (event.standing(), event.attempt.reversed())) {
            None | Some((Standing::Ended(Status::Ok), None)) => took,
            Some((standing @ (Standing::Point | Standing::Unstarted), _)) => {
                standing.name().to_owned()
            }
            Some((standing, None)) => format!("{took} {}", standing.name()),
            Some((_, Some(reversed))) => format!("ends {} early", lasted(reversed)),
        }
    }

    /// All that is said of it, for whoever points at it.
    fn tip(&self) -> String {
        let Row { name, from, until, typical, .. } = self.row;
        let mut tip = format!("{}: {}, from {from}", plain(name), self.words());
        if let Some(event) = self.event {
            if !event.key.host.is_empty() {
                tip += &format!(", on {}", plain(&event.key.host));
            }
            if let Some(end) = event.end() {
                tip += &format!(" to {}", end.time);
            }
            let spent = event.spent(*until);
            if !spent.waiting.is_zero() {
                tip += &format!(", of which it waited {}", lasted(spent.waiting));
            }
        }
        if let Some(usual) = typical {
            let (median, runs) = (lasted(usual.median), usual.timelines);
            tip += &format!("; usually {median}, of {runs} runs");
        }
        tip
    }
}

/// The pattern for what waits.
pub(crate) fn hatch(id: &str) -> Markup {
    html! {
        pattern id=(id) width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
            rect.hatch width="3" height="6" {}
        }
    }
}

/// What the marks look like, 22 pixels wide, and what they mean.
pub(crate) fn marks(hatch: &str) -> [(Markup, &'static str); 8] {
    let bar = |class: &str| html! { rect.(class) x="1" width="18" y=(TOP) height=(BAR) {} };
    let waits = html! { (bar("waiting")) rect x="1" width="18" y=(TOP) height=(BAR) fill=(format!("url(#{hatch})")) {} };
    let at = |x: i64, path: &Markup| html! { svg x=(x) y=(MIDDLE) overflow="visible" { (path) } };
    [
        (html! { g.ok { (bar("bar")) } }, "works"),
        (waits, "waits"),
        (
            html! { g.failed { rect.bar x="1" width="9" y=(TOP) height=(BAR) {} (at(10, &cross())) } },
            "failed",
        ),
        (html! { g.skipped { (bar("bar")) } }, "skipped"),
        (
            html! { g.open { rect.bar x="1" width="10" y=(TOP) height=(BAR) {} (at(11, &arrow())) } },
            "open",
        ),
        (
            html! { g.abandoned { rect.bar x="1" width="5" y=(TOP) height=(BAR) {} (at(6, &dots())) } },
            "abandoned",
        ),
        (
            html! { rect.usual x="1" width="18" y=(TOP - 3) height=(BAR + 6) {} line.usual x1="11" x2="11" y1=(TOP - 3) y2=(TOP + BAR + 3) {} },
            "usual",
        ),
        (html! { rect.path x="1" width="18" y=(TOP + BAR + 2) height="2" {} }, "critical path"),
    ]
}

fn arrow() -> Markup {
    html! { path.on d="M0 -8l9 8 -9 8z" {} }
}

fn dots() -> Markup {
    html! { path.unknown d="M2 0h16" {} }
}

fn cross() -> Markup {
    html! { path.cross d="M3 -4l8 8m0 -8l-8 8" {} }
}

/// Something that is as large as it is, at a place across.
fn mark(x: f64, path: &Markup) -> Markup {
    html! { svg x=(percent(x)) y=(MIDDLE) overflow="visible" { (path) } }
}

fn percent(x: f64) -> String {
    format!("{x:.2}%")
}
