//! A question about totals, and its answer in order.
//!
//! | file | what it owns |
//! |---|---|
//! | `limit.rs` | the first totals of an answer |

mod limit;

use hashbrown::{HashMap, HashSet};
use jiff::civil::Date;
use tally_proto::wire::UNKNOWN_PATH;
use tally_runtime::Kind;

pub(crate) use self::limit::{LimitOrder, Omitted};
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
    /// Only these paths; all if there are none.
    pub paths: HashSet<String>,
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
    /// Whether all endpoints are summed.
    pub sum: bool,
    /// How many totals the answer may have.
    pub totals_max: usize,
    /// How many of the first totals are wanted, and which are the first; all, without a limit. The
    /// service leaves the others out of what the store finds.
    pub limit: Option<(usize, LimitOrder)>,
}

/// The totals of one period, by path and method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodTotals {
    /// The period's first day within the calendar, such as the first of the month.
    pub first: Day,
    /// Positions in [`Totals::endpoints`], and how many requests each had. One of no endpoint if
    /// all are summed.
    pub counts: Vec<(u32, i64)>,
}

/// An answer, in order of period, path and method.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// The endpoints that the totals refer to, by path and method.
    pub endpoints: Vec<Endpoint>,
    /// The periods that have requests.
    pub periods: Vec<PeriodTotals>,
    /// How many requests of the days, of all endpoints, were dropped by clients that said so.
    pub dropped: i64,
    /// How many endpoints the dictionary has no name for: all of them are `_unknown`.
    pub unnamed: usize,
    /// What the query's limit left out.
    pub omitted: Option<Omitted>,
}

/// Collects what a store finds, in any order, and puts it in order. Sums stay within 64 bits.
#[derive(Debug)]
pub(crate) struct Collector {
    granularity: Granularity,
    /// Whether all endpoints are summed.
    sum: bool,
    max: usize,
    /// The endpoints that the query's filter lets through; `None` if it lets all through.
    only: Option<HashSet<EndpointId>>,
    /// The endpoints that have counts, in the order in which they were found.
    ids: Vec<EndpointId>,
    /// Their places in that order.
    places: HashMap<EndpointId, u32>,
    /// In the order in which they were found, with several counts of the same endpoint.
    periods: Vec<PeriodTotals>,
    /// Where in `periods` each period is, by its first day.
    period_places: HashMap<Day, usize>,
    /// The day that was found last, and where its period is.
    last: Option<(Day, usize)>,
    counts: usize,
    /// With more counts than this, those of the same endpoint are summed.
    counts_max: usize,
}

/// At most this many bytes of paths for each total allowed, and never less than PATH_BYTES_LEAST.
pub(crate) const PATH_BYTES_FACTOR: usize = 64;
const PATH_BYTES_LEAST: usize = 1 << 20;

/// More totals than the query allows, or longer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer has too many totals, or names that are too long")]
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
        self.method.is_none() && self.path_prefix.is_empty() && self.paths.is_empty()
    }

    /// Whether it lets this one through.
    #[must_use]
    pub fn lets_through(&self, method: i32, path: &[u8]) -> bool {
        self.method.is_none_or(|only| only == method)
            && path.starts_with(self.path_prefix.as_bytes())
            && (self.paths.is_empty()
                || std::str::from_utf8(path).is_ok_and(|path| self.paths.contains(path)))
    }
}

// === impl Collector ===

impl Collector {
    /// For a query, and the endpoints that its filter lets through, if it has one.
    pub(crate) fn new(query: &Query, only: Option<HashSet<EndpointId>>) -> Self {
        Self {
            granularity: query.granularity,
            sum: query.sum,
            max: query.totals_max,
            only,
            ids: Vec::new(),
            places: HashMap::new(),
            periods: Vec::new(),
            period_places: HashMap::new(),
            last: None,
            counts: 0,
            counts_max: query.totals_max,
        }
    }

    /// Whether the query's filter lets the endpoint through.
    pub(crate) fn wants(&self, endpoint: EndpointId) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&endpoint))
    }

    /// Adds a count of one day, or of a part of it, or of the part of a period that begins on
    /// that day. Counts of endpoints that the filter does not let through are left out.
    pub(crate) fn add(
        &mut self,
        day: Day,
        endpoint: EndpointId,
        count: i64,
    ) -> Result<(), TooMany> {
        if !self.wants(endpoint) {
            return Ok(());
        }
        if self.sum {
            let period = self.period(day);
            match self.periods[period].counts.as_mut_slice() {
                [(_, sum)] => *sum = sum.saturating_add(count),
                _ => self.periods[period].counts.push((0, count)),
            }
            return Ok(());
        }
        let place = *self.places.entry(endpoint).or_insert_with(|| {
            self.ids.push(endpoint);
            u32::try_from(self.ids.len() - 1).expect("an answer has fewer totals")
        });
        let period = self.period(day);
        self.periods[period].counts.push((place, count));
        self.counts += 1;
        if self.counts > self.counts_max {
            self.sum_up()?;
            // So much later again, so that each count is summed a few times at most.
            self.counts_max = self.max.max(self.counts + self.max / 4);
        }
        Ok(())
    }

    /// Where the period of a day is.
    fn period(&mut self, day: Day) -> usize {
        if let Some((last, place)) = self.last
            && last == day
        {
            return place;
        }
        let first = self.granularity.first_day(day);
        let place = *self.period_places.entry(first).or_insert_with(|| {
            self.periods.push(PeriodTotals { first, counts: Vec::new() });
            self.periods.len() - 1
        });
        self.last = Some((day, place));
        place
    }

    /// Sums what is of the same period and endpoint, and orders it.
    fn sum_up(&mut self) -> Result<(), TooMany> {
        self.counts = 0;
        for period in &mut self.periods {
            sum_up(&mut period.counts);
            self.counts += period.counts.len();
        }
        if self.counts > self.max { Err(TooMany) } else { Ok(()) }
    }

    /// The endpoints that have counts, which the answer needs the names of.
    pub(crate) fn ids(&self) -> &[EndpointId] {
        &self.ids
    }

    /// How many bytes the paths of their names may have.
    pub(crate) fn path_bytes_max(&self) -> usize {
        self.max.saturating_mul(PATH_BYTES_FACTOR).max(PATH_BYTES_LEAST)
    }

    /// The answer, with the names of the endpoints. Those without a name are `_unknown`.
    pub(crate) fn finish(mut self, names: Vec<(EndpointId, Endpoint)>) -> Result<Totals, TooMany> {
        let mut endpoints: Vec<(Endpoint, Option<u32>)> = names
            .into_iter()
            .filter_map(|(id, endpoint)| Some((endpoint, Some(*self.places.get(&id)?))))
            .collect();
        let unnamed = self.ids.len() - endpoints.len();
        let unknown = Endpoint::new(0, UNKNOWN_PATH);
        // Somebody may have called an endpoint so.
        if unnamed > 0 && !endpoints.iter().any(|(endpoint, _)| *endpoint == unknown) {
            endpoints.push((unknown.clone(), None));
        }
        endpoints.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let unknown = endpoints.iter().position(|(endpoint, _)| *endpoint == unknown);
        let unknown = unknown.unwrap_or_default();
        let mut ranks = vec![u32::try_from(unknown).unwrap_or_default(); self.ids.len()];
        for (rank, (_, place)) in (0..).zip(&endpoints) {
            if let Some(place) = place {
                ranks[*place as usize] = rank;
            }
        }
        if !self.sum {
            for (place, _) in self.periods.iter_mut().flat_map(|period| &mut period.counts) {
                *place = ranks[*place as usize];
            }
        }
        self.sum_up()?;
        let mut periods = self.periods;
        periods.sort_unstable_by_key(|period| period.first);
        let endpoints = endpoints.into_iter().map(|(endpoint, _)| endpoint).collect();
        Ok(Totals { endpoints, periods, unnamed, ..Totals::default() })
    }
}

/// Sums the counts of the same endpoint, and orders them.
fn sum_up(counts: &mut Vec<(u32, i64)>) {
    // Often they are in order already, or some days that are, one after the other: this sort
    // sees it.
    counts.sort_by_key(|(endpoint, _)| *endpoint);
    counts.dedup_by(|(endpoint, count), (kept, sum)| {
        let is_same = endpoint == kept;
        if is_same {
            *sum = sum.saturating_add(*count);
        }
        is_same
    });
}

// === impl TooMany ===

impl From<TooMany> for tally_store::Error {
    fn from(too_many: TooMany) -> Self {
        Self::permanent("read totals", Kind::ResourceExhausted).because(too_many)
    }
}

// === impl Totals ===

impl Totals {
    /// The sum of all counts, within 64 bits.
    #[must_use]
    pub fn sum(&self) -> i64 {
        let counts = self.periods.iter().flat_map(|period| &period.counts);
        counts.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

#[cfg(test)]
mod tests;
