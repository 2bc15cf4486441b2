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
use crate::model::{Day, DayRange, Endpoint, SeriesId};

/// The periods by which a range is summed.
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
    /// Return only this many totals, the first in this order. The service applies it to what the
    /// store finds.
    pub limit: Option<(usize, LimitOrder)>,
}

/// The totals of one period, by path and method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodTotals {
    /// The period's first day within the calendar, such as the first of the month.
    pub first: Day,
    /// Positions in [`Totals::endpoints`] and counts. A sum of all endpoints is one count.
    pub counts: Vec<(u32, i64)>,
}

/// An answer, in order of period, path and method.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// The endpoints that the totals refer to, by path and method.
    pub endpoints: Vec<Endpoint>,
    /// The periods that have requests.
    pub periods: Vec<PeriodTotals>,
    /// How many requests of these days clients have reported as dropped, over all endpoints.
    pub dropped: i64,
    /// How many endpoints have no name in the dictionary: they are `_unknown`.
    pub unnamed: usize,
    /// What the query's limit leaves out.
    pub omitted: Option<Omitted>,
}

/// Collects what a store finds, in any order, and sorts it. Sums saturate at 64 bits.
#[derive(Debug)]
pub(crate) struct Collector {
    granularity: Granularity,
    sum: bool,
    max: usize,
    /// The endpoints that the filter lets through; `None` for all.
    only: Option<HashSet<SeriesId>>,
    /// The endpoints that have counts, as they were found.
    ids: Vec<SeriesId>,
    /// Where in `ids` each endpoint is.
    places: HashMap<SeriesId, u32>,
    /// As they were found; an endpoint may have several counts.
    periods: Vec<PeriodTotals>,
    /// Where in `periods` each period is, by its first day.
    period_places: HashMap<Day, usize>,
    /// The last day, and where its period is.
    last: Option<(Day, usize)>,
    counts: usize,
    /// Beyond this many counts, sum those of the same endpoint.
    counts_max: usize,
}

/// How many bytes of paths an answer may have for each total allowed, but at least the constant
/// below.
pub(crate) const PATH_BYTES_FACTOR: usize = 64;
const PATH_BYTES_LEAST: usize = 1 << 20;

/// More totals than the query allows, or longer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer has too many totals, or names that are too long")]
pub struct TooMany;

// === impl Granularity ===

impl Granularity {
    /// The first day of a day's period.
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
    /// Whether it lets all endpoints through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.method.is_none() && self.path_prefix.is_empty() && self.paths.is_empty()
    }

    /// Whether it lets this endpoint through.
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
    /// `only` are the endpoints that the filter lets through, if there is a filter.
    pub(crate) fn new(query: &Query, only: Option<HashSet<SeriesId>>) -> Self {
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

    /// Whether the filter lets the endpoint through.
    pub(crate) fn wants(&self, endpoint: SeriesId) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&endpoint))
    }

    /// Adds a count of a day, or of the part of a period that begins on that day, unless the filter
    /// excludes the endpoint.
    pub(crate) fn add(&mut self, day: Day, endpoint: SeriesId, count: i64) -> Result<(), TooMany> {
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
            // Leave enough room that each count is summed only a few times.
            self.counts_max = self.max.max(self.counts + self.max / 4);
        }
        Ok(())
    }

    /// The place of a day's period.
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

    /// Sums the counts of each period by endpoint.
    fn sum_up(&mut self) -> Result<(), TooMany> {
        self.counts = 0;
        for period in &mut self.periods {
            sum_up(&mut period.counts);
            self.counts += period.counts.len();
        }
        if self.counts > self.max { Err(TooMany) } else { Ok(()) }
    }

    /// The endpoints that the answer needs the names of.
    pub(crate) fn ids(&self) -> &[SeriesId] {
        &self.ids
    }

    /// How many bytes of paths the answer may have.
    pub(crate) fn path_bytes_max(&self) -> usize {
        self.max.saturating_mul(PATH_BYTES_FACTOR).max(PATH_BYTES_LEAST)
    }

    /// The answer. Endpoints without a name are `_unknown`.
    pub(crate) fn finish(mut self, names: Vec<(SeriesId, Endpoint)>) -> Result<Totals, TooMany> {
        let mut endpoints: Vec<(Endpoint, Option<u32>)> = names
            .into_iter()
            .filter_map(|(id, endpoint)| Some((endpoint, Some(*self.places.get(&id)?))))
            .collect();
        let unnamed = self.ids.len() - endpoints.len();
        let unknown = Endpoint::new(0, UNKNOWN_PATH);
        // A real endpoint may have this name.
        if unnamed > 0 && !endpoints.iter().any(|(endpoint, _)| *endpoint == unknown) {
            endpoints.push((unknown.clone(), None));
        }
        endpoints.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut ranks = vec![None; self.ids.len()];
        // Several series may be of one endpoint.
        let mut named: Vec<Endpoint> = Vec::new();
        for (endpoint, place) in endpoints {
            if named.last() != Some(&endpoint) {
                named.push(endpoint);
            }
            if let Some(place) = place {
                ranks[place as usize] = u32::try_from(named.len() - 1).ok();
            }
        }
        let unknown = named.iter().position(|endpoint| *endpoint == unknown).unwrap_or_default();
        let unknown = u32::try_from(unknown).unwrap_or_default();
        if !self.sum {
            for (place, _) in self.periods.iter_mut().flat_map(|period| &mut period.counts) {
                *place = ranks[*place as usize].unwrap_or(unknown);
            }
        }
        self.sum_up()?;
        let mut periods = self.periods;
        periods.sort_unstable_by_key(|period| period.first);
        Ok(Totals { endpoints: named, periods, unnamed, ..Totals::default() })
    }
}

/// Sorts counts by endpoint, and sums them.
fn sum_up(counts: &mut Vec<(u32, i64)>) {
    // A stable sort is fast here: counts come as sorted runs, one for each day.
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
