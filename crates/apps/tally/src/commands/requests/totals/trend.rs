//! Trends: for each group its sum, and how it went from period to period.

use std::cmp::Ordering;
use std::collections::HashMap;

use jiff::civil;
use tally_proto::tally::requests::v1::{Omitted, PeriodTotals};

use super::By;
use crate::output::sparkline;

/// How many characters a trend has at most. More periods share one.
const TREND_WIDTH: usize = 24;

/// How trends are printed.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrendHow {
    /// What a period is.
    pub(super) by: By,
    /// How many lines there are at most.
    pub(super) limit: Option<u32>,
    /// Whether the terminal shows them; the sums are printed all the same.
    pub(super) is_shown: bool,
}

/// Adds up the totals of groups.
pub(super) struct Trends {
    first: i64,
    /// How many periods share a character.
    width: u64,
    /// How many characters there are.
    columns: usize,
    groups: HashMap<usize, Trend>,
}

/// How a group went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trend {
    pub(super) group: usize,
    pub(super) count: i128,
    pub(super) correction: i128,
    columns: Vec<u64>,
}

// === impl By ===

impl By {
    /// The number of a period, which is one more for the next one.
    pub(super) fn slot(self, period: &PeriodTotals) -> i64 {
        let date = period.period.unwrap_or_default();
        let days = || {
            let part = |number: i32| i8::try_from(number).unwrap_or(1);
            let year = i16::try_from(date.year).unwrap_or(1970);
            let date = civil::Date::new(year, part(date.month), part(date.day)).unwrap_or_default();
            i64::from((date - civil::date(1970, 1, 1)).get_days())
        };
        let months = i64::from(date.year) * 12 + i64::from(date.month);
        match self {
            Self::Quarter => period.start.map_or(0, |start| start.seconds.div_euclid(900)),
            Self::Hour => period.start.map_or(0, |start| start.seconds.div_euclid(3_600)),
            Self::Day => days(),
            // 1970-01-01 was a Thursday.
            Self::Week => (days() + 3).div_euclid(7),
            Self::Month => months,
            Self::Year => date.year.into(),
            Self::Whole => 0,
        }
    }
}

// === impl Trends ===

impl Trends {
    /// For totals of periods in these slots.
    pub(super) fn new(slots: &[i64]) -> Self {
        let first = slots.iter().copied().min().unwrap_or(0);
        let last = slots.iter().copied().max().unwrap_or(0);
        let periods = last.abs_diff(first) + 1;
        let width = periods.div_ceil(TREND_WIDTH as u64);
        let columns = usize::try_from(periods.div_ceil(width)).unwrap_or(TREND_WIDTH);
        Self { first, width, columns, groups: HashMap::new() }
    }

    pub(super) fn add(&mut self, group: usize, slot: i64, count: i64, correction: i64) {
        let columns = self.columns;
        let new = || Trend { group, count: 0, correction: 0, columns: vec![0; columns] };
        let trend = self.groups.entry(group).or_insert_with(new);
        trend.count += i128::from(count);
        trend.correction += i128::from(correction);
        let at = usize::try_from(slot.abs_diff(self.first) / self.width).unwrap_or(usize::MAX);
        if let Some(column) = trend.columns.get_mut(at) {
            *column = column.saturating_add(u64::try_from(count).unwrap_or(0));
        }
    }

    /// The first ones in this order, and what is left out.
    pub(super) fn finish(
        self,
        limit: Option<u32>,
        order: impl Fn(&Trend, &Trend) -> Ordering,
    ) -> (Vec<Trend>, Option<Omitted>) {
        let mut all: Vec<_> = self.groups.into_values().collect();
        all.sort_unstable_by(order);
        let kept = limit.map_or(all.len(), |limit| all.len().min(limit as usize));
        let rest = all.split_off(kept);
        let omitted = (!rest.is_empty()).then(|| Omitted {
            totals: i64::try_from(rest.len()).unwrap_or(i64::MAX),
            requests: i64::try_from(rest.iter().map(|one| one.count).sum::<i128>())
                .unwrap_or(i64::MAX),
        });
        (all, omitted)
    }
}

// === impl Trend ===

impl Trend {
    pub(super) fn trend(&self) -> String {
        sparkline(&self.columns)
    }
}

#[cfg(test)]
mod tests {
    use tally_proto::google::r#type::Date;

    use super::*;

    fn slot(by: By, year: i32, month: i32, day: i32) -> i64 {
        by.slot(&PeriodTotals { period: Some(Date { year, month, day }), ..Default::default() })
    }

    #[test]
    fn periods_follow_each_other() {
        for (by, one, next) in [
            (By::Day, (2024, 2, 28), (2024, 2, 29)),
            (By::Day, (1969, 12, 31), (1970, 1, 1)),
            (By::Week, (2024, 12, 30), (2025, 1, 6)),
            (By::Month, (2024, 12, 0), (2025, 1, 0)),
            (By::Year, (2024, 0, 0), (2025, 0, 0)),
        ] {
            let of = |(year, month, day)| slot(by, year, month, day);
            assert_eq!(of(one) + 1, of(next), "{by:?} {one:?}");
        }
    }

    #[test]
    fn what_is_missing_between_is_nothing() {
        let mut trends = Trends::new(&[10, 13]);
        for (group, slot, count) in [(7, 10, 8), (7, 13, 4), (8, 13, 100)] {
            trends.add(group, slot, count, 1);
        }
        let (lines, omitted) = trends.finish(Some(1), |one, other| one.group.cmp(&other.group));
        assert_eq!((lines[0].count, lines[0].correction, lines.len()), (12, 2, 1));
        assert_eq!(lines[0].trend(), "\u{2588}  \u{2584}");
        assert_eq!(omitted, Some(Omitted { totals: 1, requests: 100 }));
    }

    #[test]
    fn many_periods_share_a_character() {
        let slots: Vec<i64> = (0..365).collect();
        let mut trends = Trends::new(&slots);
        slots.iter().for_each(|slot| trends.add(0, *slot, 1, 0));
        let (lines, _) = trends.finish(None, |_, _| Ordering::Equal);
        assert_eq!(lines[0].count, 365);
        assert_eq!(lines[0].columns.iter().sum::<u64>(), 365);
        assert!(lines[0].columns.len() <= TREND_WIDTH);
    }
}
