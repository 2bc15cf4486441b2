//! The list of all requests, and what is asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use jiff::civil::Date;
use tally_requests::Day;
use tally_requests::periods::Granularity as By;

use super::PATHS;
use super::zone::{Zone, hour_label};

/// A question about totals, by path.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) zone: &'static str,
    pub(super) by: By,
    /// The first date in the zone, and the last one.
    pub(super) dates: RangeInclusive<Date>,
    pub(super) live: bool,
}

/// The totals of periods, by path. A period is called by its first date, even if the range begins
/// later; an hour by the local time at which it begins and the offset; the whole range not at all.
pub(super) type Answer = BTreeMap<(String, usize), i64>;

/// A request: a position in [`PATHS`], and a time in microseconds.
pub(super) type Request = (usize, i64);

/// Everything that was counted, and how far the books have come.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) requests: Vec<Request>,
    rolled_up: BTreeSet<Day>,
    pruned: BTreeSet<Day>,
}

// === impl Ledger ===

impl Ledger {
    /// Only days that have requests are rolled up.
    pub(super) fn roll_up(&mut self, first: Day, last: Day) {
        let days = self.requests.iter().map(|(_, micros)| Day::of_micros(*micros));
        self.rolled_up.extend(days.filter(|day| (first..=last).contains(day)));
    }

    /// Only rolled-up days are pruned.
    pub(super) fn prune(&mut self, before: Day) {
        self.pruned.extend(self.rolled_up.range(..before));
    }

    /// What the answer must be, if these requests are not folded.
    pub(super) fn totals(&self, question: &Question, unfolded: &[Request]) -> Answer {
        let zone = Zone::of(question.zone);
        let (first, last) = (Day::from(*question.dates.start()), Day::from(*question.dates.end()));
        let hours_or_days = if question.by == By::Hour { By::Hour } else { By::Day };
        let mut sums: BTreeMap<((i64, i64), usize), i64> = BTreeMap::new();
        let mut add = |(path, micros): Request, count| {
            if (first..=last).contains(&zone.day(micros)) {
                *sums.entry((zone.period(hours_or_days, micros), path)).or_default() += count;
            }
        };
        let is_rolled_up = |one: &&Request| self.rolled_up.contains(&Day::of_micros(one.1));
        let is_seen = |one: &&Request| question.live || is_rolled_up(one);
        self.requests.iter().filter(is_seen).for_each(|one| add(*one, 1));
        if !question.live {
            unfolded.iter().filter(is_rolled_up).for_each(|one| add(*one, -1));
        }
        let called = |(start, offset)| match question.by {
            By::Hour => hour_label(start, offset),
            By::Whole => String::new(),
            by => Zone::first_day(by, Day::of_micros(start)).to_string(),
        };
        let mut answer = Answer::new();
        for ((period, path), count) in sums.into_iter().filter(|(_, count)| *count != 0) {
            *answer.entry((called(period), path)).or_default() += count;
        }
        answer
    }

    /// The first date that can be answered, if a period cuts a pruned day.
    pub(super) fn refuses(&self, question: &Question) -> Option<Date> {
        let zone = Zone::of(question.zone);
        let (first, last) = (Day::from(*question.dates.start()), Day::from(*question.dates.end()));
        let period = |micros: i64| {
            let is_asked = (first..=last).contains(&zone.day(micros));
            is_asked.then(|| zone.period(question.by, micros))
        };
        // No range lies within a day of UTC.
        let cut = |day: &&Day| period(day.start_micros()) != period(day.micros().end - 1);
        self.pruned.iter().find(cut)?;
        let kept = self.pruned.last()?.micros().end;
        (first.0..).map(Day).find(|day| zone.start(*day) >= kept).map(Day::date)
    }
}

/// A path's position.
pub(super) fn position(path: &str) -> usize {
    PATHS.iter().position(|one| *one == path).unwrap()
}
