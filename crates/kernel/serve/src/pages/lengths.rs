//! How long things took, as bars in the order in which they happened.

use std::time::Duration;

use maud::{Markup, html};

use super::{Bar, Chart, Link, Tick};

/// In which units an axis is, and from how many milliseconds on.
const UNITS: [(u128, &str, u128); 4] = [
    (172_800_000, "hours", 3_600_000),
    (600_000, "minutes", 60_000),
    (10_000, "seconds", 1_000),
    (0, "milliseconds", 1),
];

/// How long several things took, the last one on the right.
#[derive(Debug, Clone, Default)]
pub struct Lengths {
    /// Of each kind its class in the style sheet, and its word.
    pub kinds: &'static [(&'static str, &'static str)],
    /// Each of them, the first one first.
    pub all: Vec<Length>,
}

/// How long one of them took.
#[derive(Debug, Clone, Default)]
pub struct Length {
    /// None: not known.
    pub took: Option<Duration>,
    /// Which kind it is of.
    pub kind: usize,
    /// What it says when somebody points at it.
    pub label: String,
    /// What is written below it, if there is room.
    pub tick: String,
    /// Where a click on it leads.
    pub link: Option<Link>,
    /// Whether it may still grow.
    pub is_open: bool,
}

// === impl Lengths ===

impl Lengths {
    /// Draws them, with their unit and what colours mean; nothing if no length is known. It is hidden from
    /// assistive tools: a table beside it has the same.
    #[must_use]
    pub fn draw(self) -> Markup {
        let Self { kinds, all } = self;
        let Some(longest) = all.iter().filter_map(|one| one.took).max() else { return html! {} };
        let unit = UNITS.iter().find(|(from, ..)| longest.as_millis() >= *from);
        let (_, unit, millis) = unit.copied().unwrap_or(UNITS[3]);
        let seen: Vec<_> = kinds
            .iter()
            .enumerate()
            .filter(|(kind, _)| all.iter().any(|one| one.kind == *kind))
            .map(|(_, kind)| *kind)
            .collect();
        let count = all.len();
        let mut places = vec![(count - 1, false)];
        if count > 2 {
            places.push(((count - 1) / 2, true));
        }
        if count > 8 {
            places.push((0, false));
        }
        let tick =
            |(at, is_minor): (usize, bool)| Tick { at, text: all[at].tick.clone(), is_minor };
        let ticks = places.into_iter().map(tick).collect();
        let bar = |one: Length| {
            let height = one.took.map_or(0, |took| (took.as_millis() / millis).max(1));
            let mut parts = vec![0; kinds.len()];
            parts[one.kind] = i64::try_from(height).unwrap_or(i64::MAX);
            Bar { parts, label: one.label, link: one.link, is_open: one.is_open }
        };
        let chart = Chart {
            classes: kinds.iter().map(|(class, _)| *class).collect(),
            bars: all.into_iter().map(bar).collect(),
            ticks,
        };
        html! {
            figure.chart-frame {
                figcaption {
                    h3 { "How long they took, in " (unit) }
                    p #readout.readout {}
                }
                (chart.draw())
                ul.legend {
                    @for (class, word) in seen {
                        li {
                            svg.key width="10" height="10" aria-hidden="true" { rect.(class) width="10" height="10" rx="2" {} }
                            (word)
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_that_of_the_longest_and_only_what_is_seen_is_explained() {
        let one = |seconds: u64| Length {
            took: Some(Duration::from_secs(seconds)),
            tick: format!("t{seconds}"),
            ..Length::default()
        };
        let kinds = &[("s2", "ok"), ("s5", "failed")];
        let text = Lengths { kinds, all: vec![one(3), one(12)] }.draw().into_string();
        assert!(text.contains("in seconds") && text.contains("t12"), "{text}");
        assert!(text.contains("ok") && !text.contains("failed"), "{text}");
        let unknown = Lengths { kinds, all: vec![Length::default()] };
        assert_eq!(unknown.draw().into_string(), "");
    }
}
