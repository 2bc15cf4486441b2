//! The chart as SVG, without a script: a picture of its own, for a README, a report or a wall.
//!
//! What an event is, is never said by colour alone: failed ones have a cross, skipped ones are hollow, what waits
//! is hatched, what is open ends in an arrow, and of what is abandoned nobody knows how it goes on.
//!
//! | file | what it owns |
//! |---|---|
//! | `scale.rs` | where times are, and the marks below which they are read |
//! | `strip.rs` | the bars of one row, in the picture or on a page |
//! | `svg.css` | how it looks, in light and dark |

mod scale;
mod strip;
#[cfg(test)]
mod tests;

use maud::{Markup, PreEscaped, html};
use tally_runtime::text::{is_hidden, lasted};

pub(crate) use self::scale::{Scale, ticks};
pub(crate) use self::strip::{HEIGHT, Strip, hatch, marks};
use super::lanes::Lane;
use super::{CLOCKS_MAX, Row};
use crate::model::Event;
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
const ROW: i64 = HEIGHT;
const FOOT: i64 = 40;
/// Where the bars are.
const LEFT: i64 = NAMES + GAP;
const BARS: i64 = WIDTH - NAMES - NOTES - 2 * GAP;
/// How far marks of the axis are apart, at least: a part of its width in percent.
const TICK_MIN: f64 = 12.5;
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
        let (from, until) = (shown.chart.from, shown.chart.until);
        let scale = Scale { origin: from, from, until };
        let (title, about) = (format!("{}-title", self.id), format!("{}-about", self.id));
        let hatch = format!("{}-hatch", self.id);
        html! {
            svg.timeline xmlns="http://www.w3.org/2000/svg" role="img" width=(WIDTH) height=(height)
                viewBox=(format!("0 0 {WIDTH} {height}")) aria-labelledby=(format!("{title} {about}")) {
                title id=(title) { (plain(self.title)) }
                desc id=(about) { (self.about()) }
                @if let Some(style) = style { style { (PreEscaped(style)) } }
                defs { (self::hatch(&hatch)) }
                rect.paper width=(WIDTH) height=(height) {}
                text.heading x="12" y="24" { (plain(self.title)) }
                text.muted x="12" y="42" { (self.summary()) }
                @for (part, label) in ticks(&scale, TICK_MIN) {
                    @let x = LEFT as f64 + BARS as f64 * part / 100.0;
                    line.grid x1=(px(x)) x2=(px(x)) y1=(HEAD - 4) y2=(bottom) {}
                    text.muted x=(px(x + 3.0)) y=(HEAD - 8) { (label) }
                }
                (self.rows(&scale, &hatch))
                (legend(bottom + 24, &hatch))
                @for (at, (host, behind)) in shown.chart.clocks.iter().take(CLOCKS_MAX).enumerate() {
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
                let strip = Strip { row, event, scale, hatch };
                names.push(name(row, event, y, lane.host.is_some()));
                bars.push(html! { svg x=(LEFT) y=(y) width=(BARS) height=(ROW) overflow="visible" { (strip.draw()) } });
                notes.push(note(row, &strip.words(), y));
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

/// The last part of a name, with what tells its event apart.
fn name(row: &Row, event: Option<&Event>, y: i64, is_in_lane: bool) -> Markup {
    let depth = i64::try_from(row.depth.min(DEPTH_MAX)).unwrap_or(0);
    let mut name = plain(row.name.rsplit('.').next().unwrap_or_default());
    if let Some(event) = event {
        let host = Some(&event.key.host).filter(|host| !is_in_lane && !host.is_empty());
        if let Some(host) = host {
            name += &format!(" ({})", plain(host));
        }
        if event.rank > 1 {
            name += &format!(" #{}", event.rank);
        }
    }
    html! {
        text.name.critical[row.is_critical] x=(12 + depth * INDENT) y=(y + 15) { (name) }
    }
}

/// How long it took, and how it stands.
fn note(row: &Row, words: &str, y: i64) -> Markup {
    html! {
        text.note.critical[row.is_critical] x="4" y=(y + 15) { @if row.is_critical { "! " } (words) }
    }
}

fn clock_lines(shown: &Shown) -> i64 {
    i64::try_from(shown.chart.clocks.len().min(CLOCKS_MAX)).unwrap_or(0)
}

/// What the marks mean.
fn legend(y: i64, hatch: &str) -> Markup {
    html! {
        g.legend aria-hidden="true" {
            @for (at, (drawn, words)) in (0..).zip(marks(hatch)) {
                @let x = 12 + at * 118;
                svg x=(x) y=(y - ROW / 2 - 4) width="22" height=(ROW) overflow="visible" { (drawn) }
                text.muted x=(x + 28) y=(y) { (words) }
            }
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
