//! The made-up totals: a function of the series and the day.

use std::ops::RangeInclusive;

use tally_runtime::Day;

use crate::mix::{Mix, Series, mixed};

/// Quarters of a day.
const QUARTERS: usize = 96;

/// The quarters of a series that has requests in office hours.
const OFFICE: RangeInclusive<usize> = 32..=71;

/// Three years of totals, up to a day that is not rolled up.
pub(crate) struct Books {
    /// Ids and names, by id, as the tables are ordered.
    pub(crate) series: Vec<(i64, Series)>,
    pub(crate) first: Day,
    /// The first day that has quarters.
    pub(crate) first_quarters: Day,
    /// The day that is not rolled up.
    pub(crate) today: Day,
}

// === impl Books ===

impl Books {
    pub(crate) fn new(mix: &Mix, today: Day, days: u32, quarter_days: u32) -> Self {
        let back = |days: u32| today.plus(1 - days.cast_signed());
        let named = |series: &Series| (series.stored().id(0), series.clone());
        let mut series: Vec<(i64, Series)> = mix.series.iter().map(named).collect();
        series.sort_unstable_by_key(|(id, _)| *id);
        Self { series, first: back(days), first_quarters: back(quarter_days), today }
    }

    pub(crate) fn days(&self) -> impl Iterator<Item = Day> {
        (self.first.0..=self.today.0).map(Day)
    }

    /// How many requests all series have: on rolled-up days, or on all.
    pub(crate) fn sum(&self, live: bool) -> i64 {
        let days = self.days().filter(|day| live || *day < self.today);
        days.map(|day| (0..self.series.len()).map(|n| total(n, day)).sum::<i64>()).sum()
    }
}

/// How many requests the n-th series has on a day: 1 or more.
pub(crate) fn total(n: usize, day: Day) -> i64 {
    let usual = 1 + 200_000 / (n as u64 + 1);
    let percent = 50 + random(n, day) % 100;
    (1 + usual * percent / 100).cast_signed()
}

/// How many of these each quarter has.
pub(crate) fn quarters(n: usize, day: Day) -> [i64; QUARTERS] {
    let (mut counts, total) = ([0; QUARTERS], total(n, day));
    let slots: Vec<usize> = match n % 10 {
        0 => (0..QUARTERS).collect(),
        1..=3 => OFFICE.collect(),
        _ => {
            let random = random(n, day);
            (0..=random % 6)
                .map(|slot| (mixed(random, slot, 0) % QUARTERS as u64) as usize)
                .collect()
        }
    };
    let share = total / slots.len() as i64;
    slots.iter().for_each(|slot| counts[*slot] += share);
    // What does not divide goes to the first ones.
    let rest = (total - share * slots.len() as i64) as usize;
    slots.iter().take(rest).for_each(|slot| counts[*slot] += 1);
    counts
}

fn random(n: usize, day: Day) -> u64 {
    mixed(4, n as u64, u64::from(day.0.cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_add_up_to_the_total() {
        for n in 0..1_000 {
            let day = Day(20_000 + n as i32);
            assert_eq!(quarters(n, day).iter().sum::<i64>(), total(n, day));
        }
    }
}
