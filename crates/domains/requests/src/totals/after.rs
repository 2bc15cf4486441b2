//! The rest of an answer, after a total that a client has already.

use super::{Group, Totals};
use crate::model::Quarter;
use crate::periods::Granularity;

/// The last total that a client has: by what it is of, so that it does not matter what was counted since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct After {
    /// When its period begins.
    pub(crate) start: Quarter,
    /// Its group. A sum of all groups has an empty one.
    pub(crate) group: Group,
}

// === impl Totals ===

impl Totals {
    /// Drops everything up to this total.
    pub(crate) fn skip(&mut self, after: &After, granularity: Granularity) {
        let groups = &self.groups;
        let is_later =
            |group: u32| groups.get(group as usize).is_some_and(|one| *one > after.group);
        self.periods.retain_mut(|period| {
            // The beginning of a whole range may be where its first request is.
            let is_whole = granularity == Granularity::Whole;
            match period.label.start.cmp(&after.start) {
                std::cmp::Ordering::Less if !is_whole => return false,
                std::cmp::Ordering::Greater if !is_whole => return true,
                _ => period.counts.retain(|(group, _)| is_later(*group)),
            }
            let kept = &period.counts;
            period.corrections.retain(|(group, _)| kept.iter().any(|one| one.0 == *group));
            !period.counts.is_empty()
        });
        self.forget_unused();
    }

    /// The last total, to go on after.
    pub(crate) fn last(&self) -> Option<After> {
        let period = self.periods.last()?;
        let (group, _) = period.counts.last()?;
        let group = self.groups.get(*group as usize).cloned().unwrap_or_default();
        Some(After { start: period.label.start, group })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Day;
    use crate::periods::Label;
    use crate::totals::{LimitOrder, PeriodTotals};

    fn totals() -> Totals {
        let groups = ["/a", "/b", "/c"].map(|path| Group { path: path.into(), ..Group::default() });
        let of = |day, counts: &[(u32, i64)]| PeriodTotals {
            label: Label {
                date: Day(day).date(),
                start: Quarter::first_of(Day(day)),
                utc_offset_seconds: 0,
            },
            counts: counts.to_vec(),
            corrections: Vec::new(),
        };
        let periods = vec![of(0, &[(0, 1), (2, 2)]), of(1, &[(1, 3)]), of(2, &[(0, 4), (1, 5)])];
        Totals { groups: groups.to_vec(), periods, ..Totals::default() }
    }

    fn counts(totals: &Totals) -> Vec<i64> {
        totals.periods.iter().flat_map(|one| one.counts.iter().map(|(_, count)| *count)).collect()
    }

    #[test]
    fn pages_together_are_the_whole() {
        for size in 1..6 {
            let (mut pages, mut after) = (Vec::new(), None);
            loop {
                let mut page = totals();
                if let Some(after) = &after {
                    page.skip(after, Granularity::Day);
                }
                let omitted = page.keep_first(size, LimitOrder::Path);
                pages.extend(counts(&page));
                assert!(pages.len() <= 5, "{pages:?}");
                after = page.last();
                assert!(page.groups.len() <= size);
                if omitted.is_none() {
                    break;
                }
            }
            assert_eq!(pages, [1, 2, 3, 4, 5], "{size}");
        }
    }

    #[test]
    fn what_is_gone_is_no_matter() {
        let mut rest = totals();
        let group = Group { path: "/aa".into(), ..Group::default() };
        rest.skip(&After { start: Quarter::first_of(Day(0)), group }, Granularity::Day);
        assert_eq!(counts(&rest), [2, 3, 4, 5]);
    }

    #[test]
    fn sums_go_on_with_the_next_period() {
        let mut sums = Totals { groups: Vec::new(), ..totals() };
        sums.periods.iter_mut().for_each(|one| one.counts = vec![(0, 7)]);
        let first = After { start: Quarter::first_of(Day(0)), group: Group::default() };
        sums.skip(&first, Granularity::Day);
        assert_eq!(counts(&sums), [7, 7]);
    }
}
