//! Charts as SVG, without a script: they are as wide as there is room, print, and follow the theme.
//!
//! Positions across are in percent, and bars are stretched, so that texts are not. Colours are classes.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::{Link, compact};

/// The room for bars, and above and below them, in pixels.
const BARS_PX: i64 = 200;
const ABOVE_PX: i64 = 18;
const BELOW_PX: i64 = 26;
/// How many units high a bar may be, whatever its pixels are.
const UNITS: i64 = 1_000;
/// What a bar that is not empty has at least: half a pixel.
const UNITS_MIN: i64 = 3;
/// How high a sparkline is.
const SPARK_UNITS: i64 = 20;
/// At most this many lines across.
const LINES_MAX: i64 = 6;

/// Bars over time, of parts that are stacked.
#[derive(Debug, Clone, Default)]
pub struct Chart {
    /// The classes of the parts, from the bottom up.
    pub classes: Vec<&'static str>,
    /// One for each period.
    pub bars: Vec<Bar>,
    /// What is written below.
    pub ticks: Vec<Tick>,
}

/// One period.
#[derive(Debug, Clone, Default)]
pub struct Bar {
    /// How many of each class.
    pub parts: Vec<i64>,
    /// What it says when somebody points at it.
    pub label: String,
    /// Where a click on it leads.
    pub link: Option<Link>,
    /// Whether it may still grow.
    pub is_open: bool,
}

/// A text below a bar.
#[derive(Debug, Clone)]
pub struct Tick {
    /// Which bar.
    pub at: usize,
    /// The text.
    pub text: String,
    /// Whether it is left out where there is little room.
    pub is_minor: bool,
}

// === impl Chart ===

impl Chart {
    /// Draws it. It is hidden from assistive tools: a table beside it has the same numbers.
    #[must_use]
    pub fn draw(&self) -> Markup {
        let max = self.bars.iter().map(Bar::sum).max().unwrap_or(0).max(1);
        let step = line_step(max);
        let top = (max + step - 1) / step * step;
        let count = self.bars.len().max(1);
        let (stretched, height) = (format!("0 0 {count} {UNITS}"), ABOVE_PX + BARS_PX + BELOW_PX);
        let at = |value: i64| ABOVE_PX + BARS_PX - value * BARS_PX / top;
        html! {
            svg.chart width="100%" height=(height) aria-hidden="true" {
                @for line in (0..=top / step).map(|line| line * step) {
                    line.grid.base[line == 0] x1="0" x2="100%" y1=(at(line)) y2=(at(line)) {}
                }
                svg x="0" y=(ABOVE_PX) width="100%" height=(BARS_PX) viewBox=(stretched)
                    preserveAspectRatio="none" {
                    @for (class, path) in self.classes.iter().zip(self.paths(top)) {
                        @for (path, is_open) in [(path.0, false), (path.1, true)] {
                            @if !path.is_empty() { path.(class).open[is_open] d=(path) {} }
                        }
                    }
                    @for (at, bar) in self.bars.iter().enumerate() {
                        @let slot = html! {
                            rect.slot x=(at) width="1" height=(UNITS) { title { (bar.label) } }
                        };
                        @match &bar.link {
                            Some(link) => a href=(link) tabindex="-1" { (slot) },
                            None => (slot),
                        }
                    }
                }
                @for line in (0..=top / step).map(|line| line * step) {
                    text.value x="-8" y=(at(line) + 4) text-anchor="end" { (compact(line)) }
                }
                @for tick in &self.ticks {
                    @let place = (200 * tick.at + 100) / count;
                    text.time.minor[tick.is_minor] x=(format!("{}.{}%", place / 2, place % 2 * 5))
                        y=(height - 7) text-anchor=(anchor(place)) { (tick.text) }
                }
            }
        }
    }

    /// For each class, a path of the bars that are over, and one of those that may grow.
    fn paths(&self, top: i64) -> Vec<(String, String)> {
        let gap = if self.bars.len() > 120 { 10 } else { 22 };
        let mut paths = vec![(String::new(), String::new()); self.classes.len()];
        for (at, bar) in self.bars.iter().enumerate() {
            let (mut below, mut floor) = (0, 0);
            for (part, path) in bar.parts.iter().zip(&mut paths) {
                below += part;
                let mut ceiling = below.saturating_mul(UNITS) / top;
                if *part > 0 && floor == 0 {
                    ceiling = ceiling.max(UNITS_MIN);
                }
                let path = if bar.is_open { &mut path.1 } else { &mut path.0 };
                if ceiling > floor {
                    let (y, height) = (UNITS - floor, ceiling - floor);
                    let width = 100 - gap;
                    let _ = write!(path, "M{at}.{:02} {y}h.{width}v-{height}h-.{width}z", gap / 2);
                }
                floor = floor.max(ceiling);
            }
        }
        paths
    }
}

// === impl Bar ===

impl Bar {
    fn sum(&self) -> i64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
    }
}

/// A small chart without texts, to be put beside the number.
#[must_use]
pub fn sparkline(points: &[i64]) -> Markup {
    let max = points.iter().copied().max().unwrap_or(0).max(1);
    let mut path = format!("M0 {SPARK_UNITS}");
    let mut last = None;
    let mut wide = 0;
    for point in points {
        let least = i64::from(*point > 0);
        let y = SPARK_UNITS - (point.saturating_mul(SPARK_UNITS) / max).max(least);
        if last != Some(y) {
            if wide > 0 {
                let _ = write!(path, "h{wide}");
            }
            let _ = write!(path, "V{y}");
            (last, wide) = (Some(y), 0);
        }
        wide += 1;
    }
    let _ = write!(path, "h{wide}V{SPARK_UNITS}z");
    html! {
        svg.spark viewBox=(format!("0 0 {} {SPARK_UNITS}", points.len().max(1)))
            preserveAspectRatio="none" aria-hidden="true" { path d=(path) {} }
    }
}

/// How far lines are apart: 1, 2 or 5, with zeros.
fn line_step(max: i64) -> i64 {
    let mut step = 1;
    loop {
        for factor in [1, 2, 5] {
            let step: i64 = factor * step;
            if step.saturating_mul(LINES_MAX) >= max {
                return step;
            }
        }
        step = match step.checked_mul(10) {
            Some(next) if next < i64::MAX / 10 => next,
            _ => return max,
        };
    }
}

/// A text at the right edge stays inside; at the left one there is room. `place` is from 0 to 200.
fn anchor(place: usize) -> &'static str {
    if place > 192 { "end" } else { "middle" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(parts: &[&[i64]]) -> Chart {
        let bar = |parts: &&[i64]| Bar { parts: parts.to_vec(), ..Bar::default() };
        Chart {
            classes: vec!["server-error", "success"],
            bars: parts.iter().map(bar).collect(),
            ticks: Vec::new(),
        }
    }

    #[test]
    fn lines_are_at_round_numbers() {
        let steps = [1, 6, 7, 12, 13, 41, 6_000, 6_001].map(line_step);
        assert_eq!(steps, [1, 1, 2, 2, 5, 10, 1_000, 2_000]);
        assert!(line_step(i64::MAX) > 0);
    }

    #[test]
    fn parts_are_stacked_and_none_is_lost() {
        let paths = bars(&[&[25, 75], &[0, 1], &[0, 0]]).paths(100);
        assert_eq!(paths[0].0, "M0.11 1000h.78v-250h-.78z");
        assert_eq!(paths[1].0, "M0.11 750h.78v-750h-.78zM1.11 1000h.78v-10h-.78z");
        // One of a million is not invisible.
        assert_eq!(bars(&[&[1, 0]]).paths(1_000_000)[0].0, "M0.11 1000h.78v-3h-.78z");
    }

    #[test]
    fn labels_are_escaped_and_nothing_is_inline() {
        let mut chart = bars(&[&[1, 2]]);
        chart.bars[0].label = "<script>".into();
        let text = chart.draw().into_string();
        assert!(text.contains("&lt;script&gt;") && !text.contains("style="), "{text}");
        assert!(!bars(&[]).draw().into_string().contains("NaN"));
    }

    #[test]
    fn a_sparkline_has_a_step_for_each_point() {
        let text = sparkline(&[0, 10, 10, 5]).into_string();
        assert!(text.contains("M0 20V20h1V0h2V10h1V20z"), "{text}");
        assert!(sparkline(&[]).into_string().contains("M0 20h0V20z"));
    }
}
