//! From totals at known times to rates.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use super::Sort;
use crate::output::thousands;

/// Rates are means of this long, so that batches and folds do not make them jump.
const WINDOW: Duration = Duration::from_secs(10);

/// How many intervals a trend shows.
pub(super) const TREND_INTERVALS: usize = 12;

/// What a line is called: a cell for each part.
pub(super) type Name = Box<[String]>;

/// Exact totals at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// When, since the program began to ask.
    pub(super) at: Duration,
    pub(super) counts: HashMap<Name, i64>,
    /// Of all series that match, also those that are not named.
    pub(super) total: i128,
    /// How many more lines there are.
    pub(super) others: i64,
    /// How many requests of these days clients have dropped.
    pub(super) dropped: i128,
}

/// The last samples of one query, the oldest first.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Sample>);

/// Requests per second, in hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rate(u64);

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) name: Name,
    /// `None` until it is known.
    pub(super) rate: Option<Rate>,
    pub(super) count: i64,
}

// === impl History ===

impl History {
    /// Takes the next sample. Totals that have become smaller are those of another database, or of one
    /// that went back: then it starts over.
    pub(super) fn push(&mut self, sample: Sample) {
        if self.0.back().is_some_and(|last| last.total > sample.total) {
            self.0.clear();
        }
        // Beside those of the trend, the window needs the one before it, and shorter intervals more.
        let is_old = |one: &Sample| one.at + WINDOW < sample.at;
        while self.0.len() > TREND_INTERVALS && self.0.get(1).is_some_and(is_old) {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    pub(super) fn last(&self) -> Option<&Sample> {
        self.0.back()
    }

    /// Whether there are rates.
    pub(super) fn has_rates(&self) -> bool {
        self.0.len() > 1
    }

    /// The samples of the window, the oldest first, without the last one; at least the one before it.
    fn window(&self) -> impl Iterator<Item = &Sample> {
        let last = self.0.back().map_or(Duration::ZERO, |last| last.at);
        let before = self.0.len().saturating_sub(1);
        let first = self.0.iter().position(|one| one.at + WINDOW >= last).unwrap_or(0);
        self.0.iter().take(before).skip(first.min(before.saturating_sub(1)))
    }

    /// Of all series that match.
    pub(super) fn total_rate(&self) -> Option<Rate> {
        let (first, last) = (self.window().next()?, self.last()?);
        Rate::of(last.total - first.total, last.at.checked_sub(first.at)?)
    }

    /// Of one line: since the first sample of the window that tells its count.
    fn rate(&self, name: &Name) -> Option<Rate> {
        let last = self.last()?;
        let (first, count) = self.window().find_map(|one| Some((one, one.count(name)?)))?;
        Rate::of((last.count(name)? - count).into(), last.at.checked_sub(first.at)?)
    }

    /// What is not named, as far as that can be told: all less the lines.
    pub(super) fn others_rate(&self, lines: &[Line]) -> Option<Rate> {
        let named: u64 = lines.iter().filter_map(|line| line.rate).map(|rate| rate.0).sum();
        self.total_rate().map(|rate| Rate(rate.0.saturating_sub(named)))
    }

    /// The rates of the last intervals, of one line or of all.
    pub(super) fn trend(&self, name: Option<&Name>) -> Vec<u64> {
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        let rate = |(one, next): (&Sample, &Sample)| {
            let more = match name {
                Some(name) => i128::from(next.count(name)? - one.count(name)?),
                None => next.total - one.total,
            };
            Rate::of(more, next.at.checked_sub(one.at)?).map(|rate| rate.0)
        };
        let rates: Vec<_> = pairs.map(|pair| rate(pair).unwrap_or(0)).collect();
        rates[rates.len().saturating_sub(TREND_INTERVALS)..].to_vec()
    }

    /// The lines of the last sample in this order. Equal ones are in the order of their names.
    pub(super) fn lines(&self, sort: Sort) -> Vec<Line> {
        let line = |(name, count): (&Name, &i64)| Line {
            name: name.clone(),
            rate: self.rate(name),
            count: *count,
        };
        let counts = self.last().map(|last| &last.counts);
        let mut lines: Vec<_> = counts.into_iter().flatten().map(line).collect();
        lines.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        match sort {
            Sort::Rate => lines.sort_by_key(|line| Reverse((line.rate, line.count))),
            Sort::Count => lines.sort_by_key(|line| Reverse(line.count)),
            Sort::Name => {}
        }
        lines
    }
}

// === impl Sample ===

impl Sample {
    /// `None` if it may be among those that are not named.
    fn count(&self, name: &Name) -> Option<i64> {
        self.counts.get(name).copied().or((self.others == 0).then_some(0))
    }
}

// === impl Rate ===

impl Rate {
    /// `None` if there are fewer than before, as after a merge, or no time has passed.
    fn of(requests: i128, time: Duration) -> Option<Self> {
        let micros = i128::try_from(time.as_micros()).ok().filter(|micros| *micros > 0)?;
        u64::try_from(requests * 100_000_000 / micros).ok().map(Self)
    }

    /// In thousandths of another rate.
    pub(super) fn share_of(self, all: Self) -> Option<u64> {
        (self.0 * 1_000).checked_div(all.0)
    }

    pub(super) fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Rate {
    /// Three digits at least: `0.05`, `12.3`, `1,234`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, hundredths) = (self.0 / 100, self.0 % 100);
        let text = match whole {
            0..10 => format!("{whole}.{hundredths:02}"),
            10..100 => format!("{whole}.{}", hundredths / 10),
            _ => thousands(whole),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: u64, counts: &[(&str, i64)], others: i64) -> Sample {
        let total = counts.iter().map(|(_, count)| i128::from(*count)).sum::<i128>();
        let counts = counts.iter().map(|(name, count)| (named(name), *count)).collect();
        let total = total + i128::from(others);
        Sample { at: Duration::from_secs(second), counts, total, others, dropped: 0 }
    }

    fn named(name: &str) -> Name {
        [name.to_owned()].into()
    }

    fn rates(history: &History) -> Vec<(String, String)> {
        let text = |rate: Option<Rate>| rate.map_or("-".to_owned(), |rate| rate.to_string());
        let lines = history.lines(Sort::Rate);
        lines.into_iter().map(|line| (line.name[0].clone(), text(line.rate))).collect()
    }

    fn shown<const N: usize>(lines: [(&str, &str); N]) -> Vec<(String, String)> {
        lines.map(|(name, rate)| (name.to_owned(), rate.to_owned())).to_vec()
    }

    #[test]
    fn rates_are_means_of_the_window() {
        let mut history = History::default();
        history.push(sample(0, &[("/a", 100), ("/b", 7)], 0));
        assert_eq!((history.total_rate(), history.has_rates()), (None, false));
        assert_eq!(rates(&history), shown([("/a", "-"), ("/b", "-")]));
        history.push(sample(4, &[("/a", 500), ("/b", 7)], 0));
        assert_eq!(rates(&history), shown([("/a", "100"), ("/b", "0.00")]));
        // A line that is new had nothing before.
        history.push(sample(10, &[("/a", 500), ("/b", 8), ("/c", 1)], 0));
        assert_eq!(rates(&history), shown([("/a", "40.0"), ("/b", "0.10"), ("/c", "0.10")]));
        assert_eq!(history.total_rate().map(|rate| rate.to_string()).as_deref(), Some("40.2"));
        // What was called before the window does not count any more.
        history.push(sample(13, &[("/a", 500), ("/b", 8), ("/c", 1)], 0));
        assert_eq!(rates(&history), shown([("/b", "0.11"), ("/c", "0.11"), ("/a", "0.00")]));
        assert_eq!(history.trend(Some(&named("/a"))), [10_000, 0, 0]);
        // A pause that is longer than the window is one interval.
        history.push(sample(113, &[("/a", 600), ("/b", 8), ("/c", 1)], 0));
        assert_eq!(rates(&history)[0], ("/a".to_owned(), "1.00".to_owned()));
    }

    #[test]
    fn what_was_not_named_has_no_rate_yet() {
        let mut history = History::default();
        history.push(sample(0, &[("/a", 100)], 50));
        history.push(sample(1, &[("/a", 110), ("/b", 60)], 0));
        assert_eq!(rates(&history), shown([("/a", "10.0"), ("/b", "-")]));
        assert_eq!(history.others_rate(&history.lines(Sort::Name)), Some(Rate(1_000)));
        history.push(sample(2, &[("/a", 110), ("/b", 64)], 0));
        assert_eq!(rates(&history), shown([("/a", "5.00"), ("/b", "4.00")]));
    }

    #[test]
    fn totals_that_went_back_start_over() {
        let mut history = History::default();
        history.push(sample(0, &[("/a", 100)], 0));
        history.push(sample(1, &[("/a", 200)], 0));
        history.push(sample(2, &[("/a", 3)], 0));
        assert_eq!(rates(&history), shown([("/a", "-")]));
        history.push(sample(3, &[("/a", 4)], 0));
        assert_eq!(rates(&history), shown([("/a", "1.00")]));
    }

    #[test]
    fn few_samples_are_kept() {
        let mut history = History::default();
        (0..1_000).for_each(|second| history.push(sample(second, &[("/a", 1)], 0)));
        assert_eq!(history.0.len(), TREND_INTERVALS + 1);
        assert_eq!(history.trend(None).len(), TREND_INTERVALS);
    }

    #[test]
    fn a_rate_has_the_digits_that_matter() {
        for (hundredths, text) in
            [(5, "0.05"), (1_000, "10.0"), (9_999, "99.9"), (123_456, "1,234")]
        {
            assert_eq!(Rate(hundredths).to_string(), text);
        }
    }
}
