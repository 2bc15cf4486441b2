//! Which months and days a store reads, and which period each of them is in.
//!
//! A month within one period counts as a whole; any other is taken apart by days. A day that the
//! boundary of a period cuts is read by quarters.

use jiff::civil::Date;
use tally_runtime::Kind;

use super::{Query, Stamp};
use crate::error::Error;
use crate::model::{Day, DayRange, Quarter};
use crate::packed;
use crate::periods::{self, Granularity, Periods, QuarterRange, Zone};

/// What is in no period.
pub(super) const NONE: u32 = u32::MAX;
/// A range of more days than this is clipped to the rows that there are, which takes a scan of them.
const WIDE_DAYS: i32 = 4_000;

/// The first and the last day that have something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Option<DayRange>);

/// How a query is answered.
#[derive(Debug)]
pub(crate) struct Plan {
    periods: Periods,
    range: QuarterRange,
    zone: Zone,
    granularity: Granularity,
    /// Months that lie in one period: the first and the last of a few, and the period.
    pub(crate) whole: Vec<(Day, Day, u32)>,
    /// Months to take apart: the first and the last of a few.
    pub(crate) parts: Vec<(Day, Day)>,
    /// Days that are cut: the first and the last of a few.
    cut: Vec<DayRange>,
}

/// Days to read, beside the months.
#[derive(Debug, Default)]
pub(crate) struct DaysToRead {
    /// By their quarters.
    pub(crate) cut: Vec<(Day, Stamp)>,
    /// By their totals.
    pub(crate) uncut: Vec<Day>,
}

// === impl Span ===

impl Span {
    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(a), Some(b)) => {
                Self(Some(DayRange { first: a.first.min(b.first), last: a.last.max(b.last) }))
            }
            (a, b) => Self(a.or(b)),
        }
    }
}

// === impl Plan ===

impl Plan {
    /// Whether the first and the last row must be known: periods of all days that there can be would
    /// take too long.
    pub(crate) fn needs_rows_span(query: &Query) -> bool {
        let days = query.days();
        query.live
            && query.granularity != Granularity::Whole
            && days.last.0 - days.first.0 >= WIDE_DAYS
    }

    /// Whether there would be too many periods between the first and the last day of all series. What is asked for
    /// may have fewer.
    pub(crate) fn is_too_long(planned: &Result<Self, periods::Error>) -> bool {
        matches!(planned, Err(periods::Error::TooMany { .. }))
    }

    /// Cuts the range into periods, and the days of the calendar into those to read. `rows` are the
    /// days that have rows, if they are known.
    pub(crate) fn of(
        query: &Query,
        calendar: Span,
        rows: Option<Span>,
    ) -> Result<Self, periods::Error> {
        let Query { mut range, granularity, ref zone, live, .. } = *query;
        let span = match rows {
            Some(rows) => Some(calendar.and(rows)),
            None => (!live).then_some(calendar),
        };
        if let Some(Span(days)) = span {
            let empty = QuarterRange { start: range.start, end: range.start };
            range = days.map_or(empty, |days| range.clip(QuarterRange::of_days(days)));
        }
        let periods = Periods::of(range, granularity, zone)?;
        let boundaries = periods.starts().iter().copied().chain([range.end]);
        let mut cut: Vec<DayRange> = Vec::new();
        for day in boundaries.filter(|one| one.index() != 0).map(Quarter::day) {
            match cut.last_mut() {
                Some(last) if day.0 <= last.last.0 + 1 => last.last = day,
                _ => cut.push(DayRange::one(day)),
            }
        }
        let mut plan = Self {
            periods,
            range,
            zone: zone.clone(),
            granularity,
            whole: Vec::new(),
            parts: Vec::new(),
            cut,
        };
        let months = calendar.0.map(|days| range.clip(QuarterRange::of_days(days)));
        if let Some(months) = months.filter(|range| !range.is_empty()) {
            plan.add_months(months.days());
        }
        Ok(plan)
    }

    fn add_months(&mut self, days: DayRange) {
        let mut month = Day::from(days.first.date().first_of_month());
        while month <= days.last {
            let next = next_month(month);
            let asked =
                DayRange { first: month.max(days.first), last: next.plus(-1).min(days.last) };
            if self.are_cut(asked) {
                month = next;
                continue;
            }
            let (start, end) = (Quarter::first_of(month), Quarter::first_of(next));
            let period = self.at(start);
            let is_whole = period != NONE && period == self.at(Quarter(end.0 - 1));
            match (self.whole.last_mut(), self.parts.last_mut()) {
                (Some((_, last, of)), _) if is_whole && *of == period => *last = month,
                (_, Some((_, last))) if !is_whole && next_month(*last) == month => *last = month,
                _ if is_whole => self.whole.push((month, month, period)),
                _ => self.parts.push((month, month)),
            }
            month = next;
        }
    }

    pub(super) fn periods(&self) -> &Periods {
        &self.periods
    }

    /// The range, clipped to the days that have something.
    pub(crate) fn range(&self) -> QuarterRange {
        self.range
    }

    /// Its days, unless it is empty.
    pub(crate) fn days(&self) -> Option<DayRange> {
        (!self.range.is_empty()).then(|| self.range.days())
    }

    /// Whether days are cut.
    pub(crate) fn has_cuts(&self) -> bool {
        !self.cut.is_empty()
    }

    /// Whether a boundary cuts the day.
    pub(crate) fn is_cut(&self, day: Day) -> bool {
        self.are_cut(DayRange::one(day))
    }

    /// Whether all of them are cut.
    fn are_cut(&self, days: DayRange) -> bool {
        let at = self.cut.partition_point(|run| run.last < days.first);
        self.cut.get(at).is_some_and(|run| run.first <= days.first && days.last <= run.last)
    }

    /// In how many quarters at a time rows may be counted: as many as never lie in two periods.
    pub(crate) fn rows_quarters(&self) -> i32 {
        match (self.periods.len(), self.has_cuts()) {
            // The range's own ends are checked for each row.
            (0 | 1, _) => QuarterRange::ALL.end.0 - QuarterRange::ALL.start.0,
            (_, false) => Quarter::PER_DAY,
            (_, true) => 1,
        }
    }

    /// The period of a day that is not cut.
    pub(super) fn of_day(&self, day: Day) -> Option<u32> {
        if self.is_cut(day) { None } else { self.of_quarter(Quarter::first_of(day)) }
    }

    /// The period of a quarter.
    pub(super) fn of_quarter(&self, quarter: Quarter) -> Option<u32> {
        self.periods.at(quarter).and_then(|period| u32::try_from(period).ok())
    }

    /// The periods of a day's quarters, from the first on; [`NONE`] for those outside of the range.
    pub(super) fn of_quarters(&self, day: Day) -> [u32; packed::QUARTERS.slots] {
        let first = Quarter::first_of(day).0;
        std::array::from_fn(|slot| {
            self.at(Quarter(first + i32::try_from(slot).unwrap_or_default()))
        })
    }

    /// The periods of a month's days, from the first on; [`NONE`] for those that are cut or outside of
    /// the range.
    pub(super) fn of_month(&self, month: Day) -> [u32; packed::DAYS.slots] {
        let next = next_month(month);
        std::array::from_fn(|slot| {
            let day = month.plus(i32::try_from(slot).unwrap_or_default());
            if day >= next || self.is_cut(day) { NONE } else { self.at(Quarter::first_of(day)) }
        })
    }

    fn at(&self, quarter: Quarter) -> u32 {
        let period = self.periods.at(quarter);
        period.and_then(|period| u32::try_from(period).ok()).unwrap_or(NONE)
    }

    /// Why a query has no answer whose cut days are pruned. What it asks for has quarters on all days after
    /// this one.
    pub(crate) fn refuse(&self, pruned: Day) -> Error {
        let kept = Quarter::first_of(pruned.plus(1));
        let (zone, what) = (
            self.zone.name(),
            match self.granularity {
                Granularity::Quarter => "quarter-hours",
                Granularity::Hour => "hours",
                _ => "days",
            },
        );
        let days = QuarterRange { start: kept, end: Quarter(kept.0 + 4 * Quarter::PER_DAY) };
        let days = Periods::of(days.clip(QuarterRange::ALL), Granularity::Day, &self.zone);
        let first: Option<Date> = days.ok().and_then(|days| {
            let labels = (0..days.len()).map(|at| days.label(at));
            labels.into_iter().find(|label| label.start >= kept).map(|label| label.date)
        });
        let from = first.map_or(String::new(), |first| format!("ask for {first} and later, or "));
        let text = format!(
            "{what} of {zone} are counted by quarter-hours, and those of {pruned} (UTC) and before are \
             not all kept any more, by the server's --requests-quarter-retention-days: {from}for \
             days of UTC"
        );
        Error::Refused(Kind::FailedPrecondition, text.into())
    }
}

/// The first day of the month after a month's first day.
fn next_month(month: Day) -> Day {
    Day::from(month.date().last_of_month()).plus(1)
}
