//! The first totals of an answer.

use std::cmp::Reverse;

use super::{PeriodTotals, Totals};

/// The order that a limit uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitOrder {
    /// In the usual order: by period and group.
    Path,
    /// The largest first, ties in the usual order.
    Count,
}

/// What a limit leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Omitted {
    /// How many totals.
    pub totals: i64,
    /// The sum of their counts.
    pub requests: i64,
}

// === impl Totals ===

impl Totals {
    /// Keeps only the first totals by `order`, sorted as usual, and their groups. Returns what
    /// it left out, if anything.
    pub(crate) fn keep_first(&mut self, limit: usize, order: LimitOrder) -> Option<Omitted> {
        let key = |period: usize, group: u32, count: i64| match order {
            LimitOrder::Path => (Reverse(0), period, group),
            LimitOrder::Count => (Reverse(count), period, group),
        };
        let periods = self.periods.iter().enumerate();
        let mut keys: Vec<_> = periods
            .flat_map(|(period, of)| of.counts.iter().map(move |one| key(period, one.0, one.1)))
            .collect();
        if keys.len() <= limit {
            return None;
        }
        let (totals, requests) = (keys.len(), self.sum());
        let (_, first_left_out, _) = keys.select_nth_unstable(limit);
        let end = *first_left_out;
        for (period, of) in self.periods.iter_mut().enumerate() {
            of.counts.retain(|(group, count)| key(period, *group, *count) < end);
            let kept = &of.counts;
            of.corrections.retain(|(group, _)| kept.iter().any(|one| one.0 == *group));
        }
        self.periods.retain(|period| !period.counts.is_empty());
        self.forget_unused();
        let totals = i64::try_from(totals - limit).unwrap_or(i64::MAX);
        Some(Omitted { totals, requests: requests - self.sum() })
    }

    /// Puts the largest totals first, each with its period; ties stay in the usual order.
    pub(crate) fn put_largest_first(&mut self) {
        let periods = std::mem::take(&mut self.periods).into_iter();
        let one = |period: PeriodTotals| {
            let PeriodTotals { label, counts, corrections } = period;
            counts.into_iter().map(move |count| PeriodTotals {
                label,
                counts: vec![count],
                corrections: corrections.iter().filter(|one| one.0 == count.0).copied().collect(),
            })
        };
        self.periods = periods.flat_map(one).collect();
        self.periods.sort_by_key(|one| Reverse(one.sum()));
    }

    /// Drops the groups that no total refers to.
    pub(super) fn forget_unused(&mut self) {
        let mut new_places = vec![None; self.groups.len()];
        for (group, _) in self.periods.iter().flat_map(|period| &period.counts) {
            if let Some(place) = new_places.get_mut(*group as usize) {
                *place = Some(0);
            }
        }
        for (place, new_place) in (0_u32..).zip(new_places.iter_mut().flatten()) {
            *new_place = place;
        }
        let mut are_used = new_places.iter().map(Option::is_some);
        self.groups.retain(|_| are_used.next().unwrap_or(false));
        let lists = self.periods.iter_mut().flat_map(|one| [&mut one.counts, &mut one.corrections]);
        for (group, _) in lists.flatten() {
            let new_place = new_places.get(*group as usize).copied().flatten();
            *group = new_place.unwrap_or(*group);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Day, Quarter};
    use crate::periods::Label;
    use crate::totals::Group;

    /// Of each period, the counts of some endpoints.
    fn totals(periods: &[&[(u32, i64)]]) -> Totals {
        let group = |n| Group { path: format!("/{n}").into(), ..Group::default() };
        let groups = (0..10).map(group).collect();
        let label = |n| Label {
            date: Day(n).date(),
            start: Quarter::first_of(Day(n)),
            utc_offset_seconds: 0,
        };
        let periods = (0..).zip(periods);
        let periods = periods.map(|(n, of)| PeriodTotals {
            label: label(n),
            counts: of.to_vec(),
            corrections: Vec::new(),
        });
        Totals { groups, periods: periods.collect(), ..Totals::default() }
    }

    /// Day, path and count of each total.
    fn rows(totals: &Totals) -> Vec<(i32, String, i64)> {
        let row = |label: Label, (group, count): &(u32, i64)| {
            (label.start.day().0, totals.groups[*group as usize].path.to_string(), *count)
        };
        let periods = totals.periods.iter();
        periods.flat_map(|one| one.counts.iter().map(move |count| row(one.label, count))).collect()
    }

    #[test]
    fn the_largest_are_kept_in_the_usual_order() {
        let mut largest = totals(&[&[(1, 5), (3, 9)], &[(2, 1)], &[(3, 5), (9, 7)]]);
        let omitted = largest.keep_first(3, LimitOrder::Count);
        assert_eq!(omitted, Some(Omitted { totals: 2, requests: 6 }));
        let expected = [(0, "/1", 5), (0, "/3", 9), (2, "/9", 7)];
        assert_eq!(rows(&largest), expected.map(|(day, path, n)| (day, path.to_owned(), n)));
        assert_eq!(largest.groups.len(), 3);
    }

    #[test]
    fn the_largest_come_first_if_they_shall() {
        let mut largest = totals(&[&[(1, 5), (3, 9)], &[(2, 1)], &[(3, 5), (9, 7)]]);
        largest.put_largest_first();
        let expected = [(0, "/3", 9), (2, "/9", 7), (0, "/1", 5), (2, "/3", 5), (1, "/2", 1)];
        assert_eq!(rows(&largest), expected.map(|(day, path, n)| (day, path.to_owned(), n)));
    }

    #[test]
    fn all_of_it_is_no_limit() {
        let mut all = totals(&[&[(1, 5), (3, 9)]]);
        assert_eq!(all.keep_first(2, LimitOrder::Count), None);
        assert_eq!(all, totals(&[&[(1, 5), (3, 9)]]));
    }

    #[test]
    fn sums_have_no_groups() {
        let mut sums = Totals { groups: Vec::new(), ..totals(&[&[(0, 5)], &[(0, 6)]]) };
        let omitted = sums.keep_first(1, LimitOrder::Path);
        assert_eq!(omitted, Some(Omitted { totals: 1, requests: 6 }));
        assert_eq!(sums.periods[0].counts, [(0, 5)]);
    }

    proptest! {
        #[test]
        fn the_first_are_those_of_the_sorted_whole(
            counts in prop::collection::btree_map((0_usize..4, 0_u32..10), 0_i64..6, 0..30),
            limit in 0_usize..30,
            by_count: bool,
        ) {
            let mut periods = vec![Vec::new(); 4];
            for ((period, group), count) in counts {
                periods[period].push((group, count));
            }
            let periods: Vec<_> = periods.iter().map(Vec::as_slice).collect();
            let mut first = totals(&periods);
            first.periods.retain(|period| !period.counts.is_empty());
            let mut expected = rows(&first);
            let sum = first.sum();
            if by_count {
                expected.sort_by_key(|(.., count)| Reverse(*count));
            }
            expected.truncate(limit);
            expected.sort();
            let order = if by_count { LimitOrder::Count } else { LimitOrder::Path };
            let omitted = first.keep_first(limit, order);
            prop_assert_eq!(rows(&first), expected);
            prop_assert_eq!(first.sum() + omitted.map_or(0, |one| one.requests), sum);
        }
    }
}
