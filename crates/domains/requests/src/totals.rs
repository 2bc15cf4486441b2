//! A question about totals, and its answer in order.

use hashbrown::{HashMap, HashSet};
use jiff::civil::Date;

use crate::model::{Day, DayRange, Endpoint, EndpointId};

/// What the days of a range are summed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// Each day by itself.
    Day,
    /// Each month.
    Month,
    /// Each year.
    Year,
    /// The whole range.
    Whole,
}

/// Which endpoints are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this method.
    pub method: Option<i32>,
    /// Only paths that begin with this, byte by byte.
    pub path_prefix: String,
}

/// A question about totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Which days.
    pub days: DayRange,
    /// What they are summed by.
    pub granularity: Granularity,
    /// Which endpoints.
    pub filter: Filter,
    /// Whether rows that are not rolled up are added.
    pub live: bool,
    /// How many totals the answer may have.
    pub totals_max: usize,
}

/// The totals of one period, by path and method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodTotals {
    /// The period's first day within the calendar, such as the first of the month.
    pub first: Day,
    /// Positions in [`Totals::endpoints`], and how many requests each had.
    pub counts: Vec<(u32, i64)>,
}

/// An answer, in order of period, path and method.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// The endpoints that the totals refer to, by path and method.
    pub endpoints: Vec<Endpoint>,
    /// The periods that have requests.
    pub periods: Vec<PeriodTotals>,
}

/// Collects what a store finds, in any order, and puts it in order.
#[derive(Debug)]
pub(crate) struct Collector {
    granularity: Granularity,
    max: usize,
    counts: Vec<(Day, EndpointId, i64)>,
}

/// More totals than the query allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

// === impl Granularity ===

impl Granularity {
    /// The first day of the period that a day belongs to.
    #[must_use]
    pub fn first_day(self, day: Day) -> Day {
        let date = day.date();
        match self {
            Self::Day => day,
            Self::Month => date.first_of_month().into(),
            Self::Year => Date::constant(date.year(), 1, 1).into(),
            Self::Whole => Day(0),
        }
    }
}

// === impl Filter ===

impl Filter {
    /// Whether it lets every endpoint through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.method.is_none() && self.path_prefix.is_empty()
    }
}

// === impl Collector ===

impl Collector {
    /// For a query.
    #[must_use]
    pub(crate) fn new(query: &Query) -> Self {
        Self { granularity: query.granularity, max: query.totals_max, counts: Vec::new() }
    }

    /// Adds a count of one day, or of a part of it, or of a period that begins on that day.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn add(
        &mut self,
        day: Day,
        endpoint: EndpointId,
        count: i64,
    ) -> Result<(), TooMany> {
        if self.counts.len() >= self.max {
            return Err(TooMany);
        }
        self.counts.push((day, endpoint, count));
        Ok(())
    }

    /// The answer. Counts of endpoints that `names` does not have are left out: the query's
    /// filter did not let them through.
    #[must_use]
    pub(crate) fn finish(self, names: Vec<(EndpointId, Endpoint)>) -> Totals {
        let used = self.used(names);
        let ranks: HashMap<EndpointId, u32> =
            (0..).zip(&used).map(|(rank, (id, _))| (*id, rank)).collect();
        let mut last = (Day(i32::MIN), Day(0));
        let mut ranked: Vec<(Day, u32, i64)> = Vec::with_capacity(self.counts.len());
        for (day, endpoint, count) in self.counts {
            let Some(rank) = ranks.get(&endpoint) else { continue };
            if last.0 != day {
                last = (day, self.granularity.first_day(day));
            }
            ranked.push((last.1, *rank, count));
        }
        ranked.sort_unstable_by_key(|(first, rank, _)| (*first, *rank));
        let mut periods: Vec<PeriodTotals> = Vec::new();
        for (first, rank, count) in ranked {
            match periods.last_mut() {
                Some(period) if period.first == first => match period.counts.last_mut() {
                    Some((same, total)) if *same == rank => *total += count,
                    _ => period.counts.push((rank, count)),
                },
                _ => periods.push(PeriodTotals { first, counts: vec![(rank, count)] }),
            }
        }
        Totals { endpoints: used.into_iter().map(|(_, endpoint)| endpoint).collect(), periods }
    }

    /// The endpoints that have counts, in order.
    fn used(&self, names: Vec<(EndpointId, Endpoint)>) -> Vec<(EndpointId, Endpoint)> {
        let ids: HashSet<EndpointId> =
            self.counts.iter().map(|(_, endpoint, _)| *endpoint).collect();
        let mut used: Vec<_> = names.into_iter().filter(|(id, _)| ids.contains(id)).collect();
        used.sort_unstable_by(|(_, a), (_, b)| a.cmp(b));
        used
    }
}

// === impl Totals ===

impl Totals {
    /// The sum of all counts.
    #[must_use]
    pub fn sum(&self) -> i64 {
        self.periods.iter().flat_map(|period| &period.counts).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(granularity: Granularity, totals_max: usize) -> Query {
        let (days, filter) = (DayRange::ALL, Filter::default());
        Query { days, granularity, filter, live: true, totals_max }
    }

    #[test]
    fn an_answer_is_by_period_path_and_method() {
        let mut collector = Collector::new(&query(Granularity::Month, 100));
        let day = Day::from(Date::constant(2015, 5, 17));
        for (day, endpoint, count) in
            [(day, 1, 5), (day.plus(1), 1, 2), (day, 2, 1), (day.plus(-30), 3, 4)]
        {
            collector.add(day, endpoint, count).unwrap();
        }
        let names = vec![
            (1, Endpoint::new(3, "/b")),
            (2, Endpoint::new(6, "/a")),
            (3, Endpoint::new(3, "/a")),
            (4, Endpoint::new(3, "/unused")),
        ];
        let totals = collector.finish(names);
        let names: Vec<_> = totals.endpoints.iter().map(|one| (one.method, &*one.path)).collect();
        assert_eq!(names, [(3, "/a"), (6, "/a"), (3, "/b")]);
        let april = Day::from(Date::constant(2015, 4, 1));
        let may = Day::from(Date::constant(2015, 5, 1));
        assert_eq!(
            totals.periods,
            [
                PeriodTotals { first: april, counts: vec![(0, 4)] },
                PeriodTotals { first: may, counts: vec![(1, 1), (2, 7)] },
            ]
        );
    }

    #[test]
    fn too_many_totals_are_refused() {
        let mut collector = Collector::new(&query(Granularity::Day, 1));
        assert_eq!(collector.add(Day(1), 1, 1), Ok(()));
        assert_eq!(collector.add(Day(1), 2, 1), Err(TooMany));
    }

    proptest! {
        #[test]
        fn no_granularity_loses_a_count(
            counts in prop::collection::vec((-800_i32..800, 1_i64..6, 1_i64..100), 0..60)
        ) {
            let sum: i64 = counts.iter().map(|(_, _, count)| count).sum();
            for granularity in
                [Granularity::Day, Granularity::Month, Granularity::Year, Granularity::Whole]
            {
                let mut collector = Collector::new(&query(granularity, 100));
                for (day, endpoint, count) in &counts {
                    collector.add(Day(*day), *endpoint, *count).unwrap();
                }
                let names = (1..6).map(|id| (id, Endpoint::new(3, format!("/{id}")))).collect();
                let totals = collector.finish(names);
                prop_assert_eq!(totals.sum(), sum);
                let keys: Vec<_> = totals.periods.iter()
                    .flat_map(|period| period.counts.iter().map(|(rank, _)| (period.first, *rank)))
                    .collect();
                prop_assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }
    }
}
