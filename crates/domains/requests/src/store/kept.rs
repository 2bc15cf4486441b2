//! Rolled-up days that are kept in memory, each under the stamp that the database had for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

use crate::model::{Day, DayRange, EndpointId};
use crate::totals::{Collector, TooMany};

/// How many totals are kept: 16 MiB, which is a year of 2,700 endpoints.
pub(super) const KEPT_TOTALS_MAX: usize = 1 << 20;
/// What a day takes beside its totals, in totals of 16 bytes.
const DAY_WEIGHT: usize = 8;

/// All stamps of a day in one number, which no other state of the day has.
pub(super) type Stamp = u128;

type DayTotals = Arc<[(EndpointId, i64)]>;

/// The rolled-up days that queries used last.
#[derive(Debug)]
pub(super) struct KeptDays {
    totals_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    days: HashMap<Day, Kept>,
    /// What they take, in totals.
    weight: usize,
    /// How many queries there were.
    queries: u64,
}

#[derive(Debug)]
struct Kept {
    stamp: Stamp,
    /// By endpoint, so that summing several days up needs hardly any sorting.
    totals: DayTotals,
    /// The last query that used it.
    used: u64,
}

/// What one query needs of the kept days, and what it found in the database.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    kept: &'a KeptDays,
    query: u64,
    known: Vec<(Day, DayTotals)>,
    rest: Vec<DayRange>,
    /// The days that have a stamp, but are not known: what was found of them so far.
    found: HashMap<Day, (Stamp, Vec<(EndpointId, i64)>)>,
    found_totals: usize,
}

// === impl KeptDays ===

impl KeptDays {
    /// Room for so many totals.
    pub(super) fn new(totals_max: usize) -> Self {
        Self { totals_max, inner: Mutex::default() }
    }

    pub(super) fn totals_max(&self) -> usize {
        self.totals_max
    }

    /// For a query of these days, whose snapshot has these stamps. A day may have several, and
    /// one without a stamp is not kept.
    pub(super) fn reading(
        &self,
        days: DayRange,
        stamps: impl IntoIterator<Item = (Day, Stamp)>,
    ) -> Reading<'_> {
        let mut stamped: HashMap<Day, Stamp> = HashMap::new();
        for (day, stamp) in stamps {
            *stamped.entry(day).or_default() ^= stamp;
        }
        let mut known = Vec::new();
        let mut inner = self.lock();
        inner.queries += 1;
        let query = inner.queries;
        let mut found = HashMap::new();
        for (day, stamp) in stamped {
            match inner.days.get_mut(&day) {
                Some(kept) if kept.stamp == stamp => {
                    kept.used = query;
                    known.push((day, Arc::clone(&kept.totals)));
                }
                _ if self.totals_max > 0 => drop(found.insert(day, (stamp, Vec::new()))),
                _ => {}
            }
        }
        drop(inner);
        known.sort_unstable_by_key(|(day, _)| *day);
        let rest = without(days, known.iter().map(|(day, _)| *day));
        Reading { kept: self, query, known, rest, found, found_totals: 0 }
    }

    /// No operation leaves it half done.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inner ===

impl Inner {
    fn insert(&mut self, day: Day, kept: Kept) {
        self.weight += kept.weight();
        if let Some(old) = self.days.insert(day, kept) {
            self.weight -= old.weight();
        }
    }

    /// Forgets the days that were not used for longest, and of those the oldest, until the rest
    /// has room.
    fn evict(&mut self, weight_max: usize) {
        if self.weight <= weight_max {
            return;
        }
        let mut days: Vec<_> = self.days.iter().map(|(day, kept)| (kept.used, *day)).collect();
        days.sort_unstable();
        for (_, day) in days {
            if self.weight <= weight_max {
                return;
            }
            self.weight -= self.days.remove(&day).map_or(0, |kept| kept.weight());
        }
    }
}

// === impl Kept ===

impl Kept {
    fn weight(&self) -> usize {
        self.totals.len() + DAY_WEIGHT
    }
}

// === impl Reading ===

impl Reading<'_> {
    /// Adds the days that are known.
    pub(super) fn add_known(&self, collector: &mut Collector) -> Result<(), TooMany> {
        for (day, totals) in &self.known {
            for (endpoint, total) in &**totals {
                collector.add(*day, *endpoint, *total)?;
            }
        }
        Ok(())
    }

    /// The days that must be read from the database, in the snapshot of the stamps.
    pub(super) fn rest(&self) -> &[DayRange] {
        &self.rest
    }

    /// Takes a total of the rest, to be added and kept at the end.
    pub(super) fn found(
        &mut self,
        day: Day,
        endpoint: EndpointId,
        total: i64,
        collector: &mut Collector,
    ) -> Result<(), TooMany> {
        let Some((_, totals)) = self.found.get_mut(&day) else {
            return collector.add(day, endpoint, total);
        };
        totals.push((endpoint, total));
        self.found_totals += 1;
        if self.found_totals <= self.kept.totals_max {
            return Ok(());
        }
        // More than is ever kept: the oldest day goes.
        let oldest = self.found.iter().filter(|(_, (_, totals))| !totals.is_empty());
        let oldest = oldest.map(|(day, _)| *day).min().unwrap_or(day);
        let (_, totals) = self.found.remove(&oldest).unwrap_or_default();
        self.found_totals -= totals.len();
        totals.iter().try_for_each(|(endpoint, total)| collector.add(oldest, *endpoint, *total))
    }

    /// Adds what was found, and keeps it. All of the rest was read, and every endpoint of it.
    pub(super) fn keep(self, collector: &mut Collector) -> Result<(), TooMany> {
        let mut new = Vec::new();
        for (day, (stamp, mut totals)) in self.found {
            // A snapshot that is older than a TRUNCATE finds nothing where there was something.
            if !totals.is_empty() {
                totals.sort_unstable_by_key(|(endpoint, _)| *endpoint);
                new.push((day, stamp, DayTotals::from(totals)));
            }
        }
        if !new.is_empty() {
            let mut inner = self.kept.lock();
            for (day, stamp, totals) in &new {
                let kept = Kept { stamp: *stamp, totals: Arc::clone(totals), used: self.query };
                inner.insert(*day, kept);
            }
            inner.evict(self.kept.totals_max);
        }
        for (day, _, totals) in &new {
            for (endpoint, total) in &**totals {
                collector.add(*day, *endpoint, *total)?;
            }
        }
        Ok(())
    }
}

/// The days of a range without some of them, which are in order.
fn without(days: DayRange, some: impl Iterator<Item = Day>) -> Vec<DayRange> {
    let mut rest = Vec::new();
    let mut first = days.first;
    for day in some {
        if first < day {
            rest.push(DayRange { first, last: day.plus(-1) });
        }
        first = day.plus(1);
    }
    if first <= days.last {
        rest.push(DayRange { first, last: days.last });
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Endpoint;
    use crate::totals::{Filter, Granularity, Query, Totals};

    fn range(first: i32, last: i32) -> DayRange {
        DayRange { first: Day(first), last: Day(last) }
    }

    fn collector() -> Collector {
        let (days, filter) = (DayRange::ALL, Filter::default());
        let granularity = Granularity::Day;
        let (totals_max, limit) = (1_000, None);
        let query = Query { days, granularity, filter, live: false, sum: false, totals_max, limit };
        Collector::new(&query, None)
    }

    fn names() -> Vec<(EndpointId, Endpoint)> {
        (1..10).map(|id| (id, Endpoint::new(3, format!("/{}", 10 - id)))).collect()
    }

    /// Asks for days with these stamps, of which the database has these totals.
    fn ask(
        kept: &KeptDays,
        stamps: &[(i32, Stamp)],
        stored: &[(i32, i64, i64)],
    ) -> (Vec<DayRange>, Totals) {
        let mut collector = collector();
        let stamps = stamps.iter().map(|(day, stamp)| (Day(*day), *stamp));
        let mut reading = kept.reading(range(1, 5), stamps);
        reading.add_known(&mut collector).unwrap();
        let rest = reading.rest().to_vec();
        for (day, endpoint, total) in stored {
            if rest.iter().any(|days| days.contains(Day(*day))) {
                reading.found(Day(*day), *endpoint, *total, &mut collector).unwrap();
            }
        }
        reading.keep(&mut collector).unwrap();
        let names = names().into_iter().filter(|(id, _)| collector.ids().contains(id)).collect();
        (rest, collector.finish(names).unwrap())
    }

    #[test]
    fn a_day_is_read_again_only_when_a_stamp_of_it_is_another() {
        let kept = KeptDays::new(1_000);
        let stored = [(2, 1, 5), (2, 2, 6), (4, 1, 7)];
        let (rest, first) = ask(&kept, &[(2, 10), (4, 11)], &stored);
        assert_eq!(rest, [range(1, 5)]);
        let (rest, again) = ask(&kept, &[(4, 11), (2, 10)], &[]);
        assert_eq!(rest, [range(1, 1), range(3, 3), range(5, 5)]);
        assert_eq!(again, first);
        for stamps in [&[(2, 12), (2, 10), (4, 11)][..], &[(2, 13), (4, 11)], &[(4, 11)]] {
            let (rest, _) = ask(&kept, stamps, &stored);
            assert_eq!(rest, [range(1, 3), range(5, 5)], "{stamps:?}");
        }
    }

    #[test]
    fn the_days_that_were_used_last_stay() {
        let kept = KeptDays::new(3 * (1 + DAY_WEIGHT));
        let stored = [(1, 1, 1), (2, 1, 1), (3, 1, 1), (4, 1, 1), (5, 1, 1)];
        ask(&kept, &[(1, 1), (2, 2), (3, 3)], &stored);
        ask(&kept, &[(1, 1), (3, 3)], &stored);
        ask(&kept, &[(5, 5)], &stored);
        let (rest, totals) = ask(&kept, &[(1, 1), (2, 2), (3, 3), (5, 5)], &stored);
        assert_eq!((rest, totals.sum()), (vec![range(2, 2), range(4, 4)], 5));
        assert!(kept.lock().weight <= kept.totals_max);
    }

    #[test]
    fn what_never_fits_is_not_kept() {
        for totals_max in [0, 1, 3] {
            let kept = KeptDays::new(totals_max);
            for _ in 0..2 {
                let stored = [(1, 1, 1), (2, 3, 1), (2, 2, 1), (4, 1, 1), (5, 1, 1)];
                let stamps = [(1, 1), (2, 2), (4, 4), (5, 5)];
                let (rest, totals) = ask(&kept, &stamps, &stored);
                assert_eq!((rest, totals.sum()), (vec![range(1, 5)], 5));
            }
        }
    }

    #[test]
    fn a_day_that_looks_empty_is_read_again() {
        let kept = KeptDays::new(1_000);
        ask(&kept, &[(1, 1)], &[]);
        assert_eq!(ask(&kept, &[(1, 1)], &[(1, 1, 1)]).1.sum(), 1);
    }
}
