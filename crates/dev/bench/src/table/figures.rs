//! What rows measure, round by round: medians, spreads and ratios.

use std::collections::{BTreeMap, HashMap};

use super::row::Row;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    /// Requests, rows or transactions a second.
    Rate,
    /// Times to an acknowledgement, in milliseconds.
    P50,
    P99,
    P999,
    /// The server's memory in MiB: before the load, and at its peak.
    MemoryBefore,
    MemoryPeak,
    /// CPU time in microseconds for each request.
    ClientCpu,
    ServerCpu,
    DatabaseCpu,
    /// How long a day's rows took, in milliseconds: the bare aggregate, a fold, a roll-up of the rest.
    Bare,
    Fold,
    RollUp,
    /// Bytes on disk for each request: of its row, and of its day when that is rolled up.
    RowBytes,
    RolledUpBytes,
}

/// What a row measures in one round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(BTreeMap<Metric, f64>);

/// What all rows have measured.
#[derive(Default)]
pub(crate) struct Results(HashMap<Row, Vec<Figures>>);

/// The same thing, once for each round.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Spread(Vec<f64>);

/// What a figure or a ratio should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

// === impl Figures ===

impl Figures {
    pub(crate) fn set(&mut self, metric: Metric, value: f64) {
        self.0.insert(metric, value);
    }

    /// The same, if it is known.
    pub(crate) fn set_some(&mut self, metric: Metric, value: Option<f64>) {
        self.0.extend(value.map(|value| (metric, value)));
    }
}

// === impl Results ===

impl Results {
    /// Adds a round of a row.
    pub(crate) fn add(&mut self, row: Row, figures: Figures) {
        self.0.entry(row).or_default().push(figures);
    }

    pub(crate) fn has(&self, row: Row) -> bool {
        self.0.contains_key(&row)
    }

    pub(crate) fn spread(&self, row: Row, metric: Metric) -> Spread {
        let rounds = self.0.get(&row).into_iter().flatten();
        Spread(rounds.filter_map(|figures| figures.0.get(&metric).copied()).collect())
    }

    /// What a row has measured in the round that goes on.
    pub(crate) fn last(&self, row: Row, metric: Metric) -> Option<f64> {
        self.0.get(&row)?.last()?.0.get(&metric).copied()
    }

    /// The ratio within each round: noise that lasts for a round hits both.
    pub(crate) fn ratio(&self, of: (Row, Metric), to: (Row, Metric)) -> Spread {
        let (of, to) = (self.spread(of.0, of.1), self.spread(to.0, to.1));
        let pairs = of.0.into_iter().zip(to.0);
        Spread(pairs.filter(|(_, to)| *to > 0.0).map(|(of, to)| of / to).collect())
    }
}

// === impl Spread ===

impl Spread {
    #[cfg(test)]
    pub(crate) fn of(values: &[f64]) -> Self {
        Self(values.to_vec())
    }

    pub(crate) fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let half = sorted.len() / 2;
        match sorted.len() {
            0 => None,
            length if length % 2 == 1 => Some(sorted[half]),
            _ => Some(f64::midpoint(sorted[half - 1], sorted[half])),
        }
    }

    pub(crate) fn min(&self) -> Option<f64> {
        self.0.iter().copied().min_by(f64::total_cmp)
    }

    pub(crate) fn max(&self) -> Option<f64> {
        self.0.iter().copied().max_by(f64::total_cmp)
    }
}

// === impl Bound ===

impl Bound {
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    /// The target and whether it is met. What was not measured meets nothing and misses nothing.
    pub(crate) fn verdict(self, value: Option<f64>) -> String {
        let target = match self {
            Self::AtLeast(bound) => format!("\u{2265} {bound}"),
            Self::AtMost(bound) => format!("\u{2264} {bound}"),
        };
        match value.map(|value| self.is_met(value)) {
            None => target,
            Some(true) => format!("{target} ok"),
            Some(false) => format!("{target} missed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Row = Row::Copy { connections: 1 };
    const TWO: Row = Row::Copy { connections: 2 };

    fn results(rates: [(f64, f64); 3]) -> Results {
        let mut results = Results::default();
        for (one, two) in rates {
            for (row, rate) in [(ONE, one), (TWO, two)] {
                let mut figures = Figures::default();
                figures.set(Metric::Rate, rate);
                figures.set_some(Metric::Fold, None);
                results.add(row, figures);
            }
        }
        results
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(Spread::default().median(), None);
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).median(), Some(2.5));
        let spread = Spread::of(&[3.0, 1.0, 2.0]);
        assert_eq!((spread.min(), spread.max()), (Some(1.0), Some(3.0)));
    }

    #[test]
    fn a_ratio_is_of_one_round() {
        // The machine is ten times as slow in the second round, and the ratio is the same.
        let results = results([(100.0, 200.0), (10.0, 20.0), (100.0, 300.0)]);
        let ratio = results.ratio((TWO, Metric::Rate), (ONE, Metric::Rate));
        assert_eq!(ratio, Spread::of(&[2.0, 2.0, 3.0]));
        assert_eq!(ratio.median(), Some(2.0));
        assert_eq!(results.last(TWO, Metric::Rate), Some(300.0));
    }

    #[test]
    fn nothing_is_the_ratio_to_what_was_not_measured() {
        let results = results([(0.0, 1.0), (0.0, 1.0), (0.0, 1.0)]);
        assert_eq!(results.ratio((TWO, Metric::Rate), (ONE, Metric::Rate)), Spread::default());
        assert_eq!(results.ratio((TWO, Metric::Rate), (ONE, Metric::Fold)), Spread::default());
        assert_eq!(results.last(TWO, Metric::Fold), None);
    }

    #[test]
    fn a_verdict_shows_the_target() {
        let least = Bound::AtLeast(0.85);
        assert_eq!(least.verdict(Some(0.85)), "\u{2265} 0.85 ok");
        assert_eq!(least.verdict(Some(0.849)), "\u{2265} 0.85 missed");
        assert_eq!(least.verdict(None), "\u{2265} 0.85");
        let most = Bound::AtMost(64.0);
        assert_eq!(most.verdict(Some(64.0)), "\u{2264} 64 ok");
        assert_eq!(most.verdict(Some(64.1)), "\u{2264} 64 missed");
    }
}
