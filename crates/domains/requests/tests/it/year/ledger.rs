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
    pub(super) fn totals(&self, question: &Question, mut unfolded: Vec<Request>) -> Answer {
        let zone = Zone::of(question.zone);
        let mut sums: BTreeMap<((i64, i64), usize), i64> = BTreeMap::new();
        unfolded.sort_unstable();
        let mut folded = self.requests.clone();
        folded.sort_unstable();
        let mut unfolded = unfolded.into_iter().peekable();
        for (path, micros) in folded {
            let is_folded = unfolded.next_if_eq(&(path, micros)).is_none();
            let is_seen = is_folded && self.rolled_up.contains(&Day::of_micros(micros));
            if (is_seen || question.live) && question.dates.contains(&zone.date(micros)) {
                *sums.entry((zone.period(question.by, micros), path)).or_default() += 1;
            }
        }
        assert_eq!(unfolded.next(), None, "a row that was never counted");
        let called = |(start, offset)| match question.by {
            By::Hour => hour_label(start, offset),
            By::Whole => String::new(),
            _ => Day::of_micros(start).to_string(),
        };
        sums.into_iter().map(|((period, path), count)| ((called(period), path), count)).collect()
    }

    /// The first date that can be answered, if a period cuts a pruned day.
    pub(super) fn refuses(&self, question: &Question) -> Option<Date> {
        let zone = Zone::of(question.zone);
        let period = |micros: i64| {
            let is_asked = question.dates.contains(&zone.date(micros));
            is_asked.then(|| zone.period(question.by, micros))
        };
        // No range lies within a day of UTC.
        let cut = |day: &&Day| period(day.start_micros()) != period(day.micros().end - 1);
        self.pruned.iter().find(cut)?;
        let (first, last) = (*question.dates.start(), question.dates.end().tomorrow().unwrap());
        let asked = zone.start(first)..zone.start(last);
        let is_asked =
            |day: &&Day| day.micros().end > asked.start && day.start_micros() < asked.end;
        let kept = self.pruned.iter().rfind(is_asked)?.micros().end;
        let later = std::iter::successors(Some(first), |date| date.tomorrow().ok());
        later.skip_while(|date| zone.start(*date) < kept).next()
    }
}

/// A path's position.
pub(super) fn position(path: &str) -> usize {
    PATHS.iter().position(|one| *one == path).unwrap()
}
