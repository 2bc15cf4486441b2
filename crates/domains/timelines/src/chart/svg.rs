//! The chart as SVG, without a script: a picture of its own, for a README, a report or a wall.
//!
//! What an event is, is never said by colour alone: failed ones have a cross, skipped ones are hollow, what waits
//! is hatched, what is open ends in an arrow, and of what is abandoned nobody knows how it goes on.
//!
//! | file | what it owns |
//! |---|---|
//! | `scale.rs` | where times are, and the marks below which they are read |
//! | `svg.css` | how it looks, in light and dark |

mod scale;
#[cfg(test)]
mod tests;

use maud::{Markup, PreEscaped, html};
use tally_runtime::text::{is_hidden, lasted};

use self::scale::{Scale, ticks};
use super::lanes::Lane;
use super::{Bar, Row};
use crate::message::{Phase, Status};
use crate::model::{Event, Standing};
use crate::service::Shown;

/// How wide the picture is, and its columns: names, bars, and what is said of each. In pixels, like the rest.
const WIDTH: i64 = 1_000;
const NAMES: i64 = 250;
const NOTES: i64 = 170;
const GAP: i64 = 12;
/// How far names are indented, and how deep.
const INDENT: i64 = 12;
const DEPTH_MAX: usize = 10;
/// How high the head is, a row, and what is in it.
const HEAD: i64 = 64;
const ROW: i64 = 22;
const BAR: i64 = 10;
const FOOT: i64 = 40;
/// The least that a bar has, so that none is invisible.
const BAR_MIN: f64 = 2.0;
/// How many names the description has of the critical path.
const NAMED_MAX: usize = 10;

const STYLE: &str = include_str!("svg/svg.css");

/// What is drawn, and what it is called.
pub(crate) struct Picture<'a> {
    /// A word that no other picture on the page has, for what refers to its parts.
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    pub(crate) shown: &'a Shown,
    pub(crate) lanes: &'a [Lane],
}

// === impl Picture ===

impl Picture<'_> {
    /// A file of its own.
    pub(crate) fn file(&self) -> String {
        let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
        format!("{head}{}\n", self.draw(Some(STYLE)).into_string())
    }

    /// The picture; without its style, for a page that has these classes in its own.
    pub(crate) fn draw(&self, style: Option<&str>) -> Markup {
        let shown = self.shown;
        let lines =
            self.lanes.iter().map(|lane| lane.rows.len() + usize::from(lane.host.is_some()));
        let rows: i64 = lines.sum::<usize>().try_into().unwrap_or(i64::MAX / ROW);
        let bottom = HEAD + rows * ROW;
        let height = bottom + FOOT + clock_lines(shown) * ROW;
        let scale = Scale {
            from: shown.chart.from,
            until: shown.chart.until,
            left: (NAMES + GAP) as f64,
            width: (WIDTH - NAMES - NOTES - 2 * GAP) as f64,
        };
        let (title, about) = (format!("{}-title", self.id), format!("{}-about", self.id));
        let hatch = format!("{}-hatch", self.id);
        html! {
            svg.timeline xmlns="http://www.w3.org/2000/svg" role="img" width=(WIDTH) height=(height)
                viewBox=(format!("0 0 {WIDTH} {height}")) aria-labelledby=(format!("{title} {about}")) {
                title id=(title) { (plain(self.title)) }
                desc id=(about) { (self.about()) }
                @if let Some(style) = style { style { (PreEscaped(style)) } }
                defs {
                    pattern id=(hatch) width="6" height="6" patternUnits="userSpaceOnUse"
                        patternTransform="rotate(45)" { rect.hatch width="3" height="6" {} }
                }
                rect.paper width=(WIDTH) height=(height) {}
                text.heading x="12" y="24" { (plain(self.title)) }
                text.muted x="12" y="42" { (self.summary()) }
                @for (x, label) in ticks(&scale) {
                    line.grid x1=(px(x)) x2=(px(x)) y1=(HEAD - 4) y2=(bottom) {}
                    text.muted x=(px(x + 3.0)) y=(HEAD - 8) { (label) }
                }
                (self.rows(&scale, &hatch))
                (legend(bottom + 24, &hatch))
                @for (at, (host, behind)) in shown.chart.clocks.iter().enumerate() {
                    @let side = if behind.is_negative() { "ahead of" } else { "behind" };
                    @let host = if host.is_empty() { "a sender".to_owned() } else { plain(host) };
                    text.muted x="12" y=(bottom + FOOT + 4 + i64::try_from(at).unwrap_or(0) * ROW) {
                        "The clock of " (host) " is " (lasted(behind.abs())) " " (side) " the server's."
                    }
                }
            }
        }
    }

    /// The rows: names in one column, bars, and what is said of each in another one. Columns are cut off where
    /// they end.
    fn rows(&self, scale: &Scale, hatch: &str) -> Markup {
        let (mut names, mut bars, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        let mut y = HEAD;
        for lane in self.lanes {
            if let Some(host) = &lane.host {
                let host = if host.is_empty() { "without a host".to_owned() } else { plain(host) };
                names.push(html! { text.lane x="12" y=(y + 15) { (host) } });
                bars.push(html! { line.lane x1="0" x2=(WIDTH) y1=(y) y2=(y) {} });
                y += ROW;
            }
            for row in &lane.rows {
                let event = row.event.and_then(|at| self.shown.events.get(at));
                let drawn = Drawn { row, event, scale, hatch, y };
                names.push(drawn.name(lane.host.is_some()));
                bars.push(drawn.bars());
                notes.push(drawn.note());
                y += ROW;
            }
        }
        html! {
            @for bars in bars { (bars) }
            svg width=(NAMES) height=(y) { @for name in names { (name) } }
            svg x=(WIDTH - NOTES) width=(NOTES) height=(y) { @for note in notes { (note) } }
        }
    }

    /// What it reaches over, in a line.
    fn summary(&self) -> String {
        let chart = &self.shown.chart;
        if chart.rows.is_empty() {
            return "It has no events.".to_owned();
        }
        let whole = lasted(chart.until.duration_since(chart.from));
        let open = if self.shown.timeline.counts.open > 0 { " so far" } else { "" };
        format!("from {}, {whole}{open}", chart.from)
    }

    /// The same as the picture, in words.
    fn about(&self) -> String {
        let Shown { timeline, chart, .. } = self.shown;
        let counts = timeline.counts;
        let mut about = format!("{} events", counts.events);
        for (count, word) in
            [(counts.open, "open"), (counts.failed, "failed"), (counts.abandoned, "abandoned")]
        {
            if count > 0 {
                about += &format!(", {count} {word}");
            }
        }
        about += &format!("; {}.", self.summary());
        if !chart.spent.waiting.is_zero() {
            let (waited, worked) = (lasted(chart.spent.waiting), lasted(chart.spent.working));
            about += &format!(" Waited {waited}, worked {worked}.");
        }
        let critical = chart.rows.iter().filter(|row| row.is_critical && row.event.is_some());
        let mut names: Vec<_> = critical.map(|row| plain(&row.name)).collect();
        if !names.is_empty() {
            let more = names.len().saturating_sub(NAMED_MAX);
            names.truncate(NAMED_MAX);
            about += &format!(" Critical path: {}", names.join(", "));
            about += &if more > 0 { format!(", and {more} more.") } else { ".".to_owned() };
        }
        about
    }
}

/// A row where it is drawn.
struct Drawn<'a> {
    row: &'a Row,
    event: Option<&'a Event>,
    scale: &'a Scale,
    hatch: &'a str,
    y: i64,
}

// === impl Drawn ===

impl Drawn<'_> {
    /// The last part of its name, with what tells its event apart.
    fn name(&self, is_in_lane: bool) -> Markup {
        let depth = i64::try_from(self.row.depth.min(DEPTH_MAX)).unwrap_or(0);
        let last = self.row.name.rsplit('.').next().unwrap_or_default();
        let mut name = plain(last);
        if let Some(event) = self.event {
            let host = Some(&event.key.host).filter(|host| !is_in_lane && !host.is_empty());
            if let Some(host) = host {
                name += &format!(" ({})", plain(host));
            }
            if event.rank > 1 {
                name += &format!(" #{}", event.rank);
            }
        }
        html! {
            text.name.critical[self.row.is_critical] x=(12 + depth * INDENT) y=(self.y + 15) { (name) }
        }
    }

    fn bars(&self) -> Markup {
        let Row { from, until, is_open, typical, .. } = self.row;
        let (left, right) = (self.scale.x(*from), self.scale.x(*until));
        let (middle, bar_y) = (self.y + ROW / 2, self.y + (ROW - BAR) / 2);
        let usual =
            typical.filter(|_| self.event.is_some() && !self.row.bars.is_empty()).map(|usual| {
                let at = |took| self.scale.x(from.saturating_add(took).unwrap_or(*until));
                (at(usual.shortest), at(usual.median), at(usual.longest))
            });
        html! {
            g class=(self.standing()) {
                title { (self.tip()) }
                @if let Some((shortest, median, longest)) = usual {
                    rect.usual x=(px(shortest)) y=(bar_y - 3) height=(BAR + 6)
                        width=(px((longest - shortest).max(BAR_MIN))) {}
                    line.usual x1=(px(median)) x2=(px(median)) y1=(bar_y - 3) y2=(bar_y + BAR + 3) {}
                }
                @match self.event {
                    None => path.several d=(format!(
                        "M{} {}v6M{0} {}H{}{}", px(left), middle - 3, middle, px(right),
                        if *is_open { "" } else { "m0 -3v6" }
                    )) {},
                    Some(_) if self.row.bars.is_empty() =>
                        path.point d=(format!("M{} {}l5 5 -5 5 -5 -5z", px(left), middle - 5)) {},
                    Some(_) => @for bar in &self.row.bars { (self.bar(bar, bar_y)) },
                }
                (self.end(right, middle))
            }
        }
    }

    fn bar(&self, bar: &Bar, y: i64) -> Markup {
        let (left, right) = (self.scale.x(bar.from), self.scale.x(bar.until));
        let width = px((right - left).max(BAR_MIN));
        html! {
            @match bar.phase {
                Phase::Working => rect.bar x=(px(left)) y=(y) width=(width) height=(BAR) {},
                Phase::Waiting => {
                    rect.waiting x=(px(left)) y=(y) width=(width) height=(BAR) {}
                    rect x=(px(left)) y=(y) width=(width) height=(BAR) fill=(format!("url(#{})", self.hatch)) {}
                },
            }
        }
    }

    /// The mark where it ends: an arrow if it goes on, dots if nobody knows, a cross if it failed.
    fn end(&self, x: f64, y: i64) -> Markup {
        let standing = self.event.map(Event::standing);
        html! {
            @match standing {
                _ if self.row.is_open => path.on d=(format!("M{} {}l9 8 -9 8z", px(x), y - 8)) {},
                Some(Standing::Abandoned) =>
                    path.unknown d=(format!("M{} {y}h16", px(x + 2.0))) {},
                Some(Standing::Ended(Status::Failed)) =>
                    path.cross d=(format!("M{} {}l8 8m0 -8l-8 8", px(x + 3.0), y - 4)) {},
                _ => {},
            }
        }
    }

    fn standing(&self) -> &'static str {
        self.event.map_or("group", |event| event.standing().name())
    }

    /// How long it took, and how it stands.
    fn note(&self) -> Markup {
        html! { text.note.critical[self.row.is_critical] x="4" y=(self.y + 15) { (self.words()) } }
    }

    fn words(&self) -> String {
        let Row { from, until, .. } = self.row;
        let mark = if self.row.is_critical { "! " } else { "" };
        let took = lasted(until.duration_since(*from));
        match self.event.map(|event| (event.standing(), event.attempt.reversed())) {
            None | Some((Standing::Ended(Status::Ok), None)) => format!("{mark}{took}"),
            Some((standing @ (Standing::Point | Standing::Unstarted), _)) => {
                format!("{mark}{}", standing.name())
            }
            Some((standing, None)) => format!("{mark}{took} {}", standing.name()),
            Some((_, Some(reversed))) => format!("{mark}ends {} early", lasted(reversed)),
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

fn clock_lines(shown: &Shown) -> i64 {
    i64::try_from(shown.chart.clocks.len()).unwrap_or(0)
}

/// What the marks mean.
fn legend(y: i64, hatch: &str) -> Markup {
    let text = |x: i64, words: &str| html! { text.muted x=(x) y=(y) { (words) } };
    html! {
        g.legend aria-hidden="true" {
            g.ok { rect.bar x="12" y=(y - 9) width="18" height=(BAR) {} }
            (text(36, "works"))
            rect.waiting x="90" y=(y - 9) width="18" height=(BAR) {}
            rect x="90" y=(y - 9) width="18" height=(BAR) fill=(format!("url(#{hatch})")) {}
            (text(114, "waits"))
            g.failed { path.cross d=(format!("M164 {}l8 8m0 -8l-8 8", y - 8)) {} }
            (text(178, "failed"))
            g.skipped { rect.bar x="230" y=(y - 9) width="18" height=(BAR) {} }
            (text(254, "skipped"))
            g.open { path.on d=(format!("M320 {}l9 8 -9 8z", y - 12)) {} }
            (text(335, "open"))
            g.abandoned { path.unknown d=(format!("M384 {}h16", y - 4)) {} }
            (text(406, "abandoned"))
            rect.usual x="486" y=(y - 12) width="18" height=(BAR + 6) {}
            (text(510, "usual"))
            (text(560, "! critical path"))
        }
    }
}

/// A text from a stranger as XML can have it, without what steers or reorders what is around it.
fn plain(text: &str) -> String {
    let is_none = |one: char| matches!(one, '\u{fffe}' | '\u{ffff}') || is_hidden(one);
    text.chars().map(|one| if is_none(one) { char::REPLACEMENT_CHARACTER } else { one }).collect()
}

fn px(x: f64) -> String {
    format!("{x:.1}")
}
