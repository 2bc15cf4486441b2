//! What is added to the days and the months, before a database does it: the arithmetic of folds,
//! roll-ups and imports.
//!
//! A day has its requests by quarter, and a month by day. Both are a row for each series, with the sum
//! and the packed counts of its slots, so one code adds to either.

use hashbrown::HashMap;
use tally_runtime::{Kind, faults};
use tally_store::Error;

use crate::model::{Day, Quarter, SeriesId};
use crate::packed::{DAYS, Malformed, Packed, QUARTERS};

/// Rows of days or months that are read and written at once. CockroachDB takes 16 MiB in a statement, and
/// the counts of a row are up to 2 KB.
pub(crate) const STEP_ROWS: usize = 5_000;

/// How far a day has come; see `tally_request_calendar`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has totals, in the days only.
    Open,
    /// It is in its month as well.
    RolledUp,
    /// It is in its month as well, as far as its series up to this one go.
    RolledUpTo(SeriesId),
    /// It is in its month only.
    Pruned,
}

/// What has a row for each series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Days,
    Months,
}

/// The statements of a level: one reads what it has, one writes the sums.
pub(crate) struct Sql {
    pub(crate) find: &'static str,
    pub(crate) put: &'static str,
}

/// Requests of a series in one slot of a day or a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Posting {
    /// The day, or the first day of the month.
    pub(crate) period: Day,
    pub(crate) series: SeriesId,
    /// The quarter of the day, or the day of the month, from 0.
    pub(crate) slot: u8,
    pub(crate) requests: i64,
}

/// A row of the days or the months.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) period: Day,
    pub(crate) series: SeriesId,
    pub(crate) total: i64,
    pub(crate) slots: String,
}

/// The rows that are there already, by period and series: their total and slots.
pub(crate) type Present = HashMap<(Day, SeriesId), (i64, String)>;

/// What a fold adds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fold {
    /// To the days, in order.
    pub(crate) days: Vec<Posting>,
    /// To the months, in order.
    pub(crate) months: Vec<Posting>,
}

/// What a fold has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Folded {
    /// How many requests it has folded.
    pub requests: u64,
    /// How many of them are of rolled-up days.
    pub rolled_up: u64,
    /// How many counts of quarters and days it has added to: what it costs beside the reading of rows.
    pub counts: u64,
}

// === impl Folded ===

impl std::ops::AddAssign for Folded {
    fn add_assign(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.rolled_up = self.rolled_up.saturating_add(other.rolled_up);
        self.counts = self.counts.saturating_add(other.counts);
    }
}

// === impl Level ===

impl Level {
    pub(crate) fn packed(self) -> Packed {
        match self {
            Self::Days => QUARTERS,
            Self::Months => DAYS,
        }
    }
}

// === impl Posting ===

impl Posting {
    /// Requests of a quarter.
    pub(crate) fn of_quarter(quarter: Quarter, series: SeriesId, requests: i64) -> Self {
        let slot = u8::try_from(quarter.index()).expect("a day has 96 quarters");
        Self { period: quarter.day(), series, slot, requests }
    }

    /// Requests of a day, for its month.
    pub(crate) fn of_day(day: Day, series: SeriesId, requests: i64) -> Self {
        let date = day.date();
        let slot = date.day().unsigned_abs() - 1;
        Self { period: date.first_of_month().into(), series, slot, requests }
    }

    /// What a row of a day or a month has, under another series.
    pub(crate) fn of_row(
        level: Level,
        period: Day,
        series: SeriesId,
        slots: &str,
    ) -> impl Iterator<Item = Result<Self, Malformed>> {
        level.packed().counts(slots.as_bytes()).map(move |one| {
            let (slot, requests) = one?;
            let slot = u8::try_from(slot).expect("at most 96 slots");
            Ok(Self { period, series, slot, requests })
        })
    }
}

// === impl Fold ===

impl Fold {
    /// Of postings of days, in any order. Every day must have a stage.
    pub(crate) fn of(mut postings: Vec<Posting>, stages: &HashMap<Day, Stage>) -> Self {
        if faults::is_on("fold.lose") {
            postings.clear();
        }
        postings.sort_unstable();
        let is_known = !faults::is_on("fold.days_only");
        let stage = |posting: &Posting| {
            let stage = stages.get(&posting.period).filter(|_| is_known);
            stage.copied().unwrap_or(Stage::Open)
        };
        let is_rolled_up = |posting: &&Posting| match stage(posting) {
            Stage::Open => false,
            Stage::RolledUpTo(reached) => posting.series <= reached,
            Stage::RolledUp | Stage::Pruned => true,
        };
        let of_day =
            |posting: &Posting| Posting::of_day(posting.period, posting.series, posting.requests);
        let mut months: Vec<_> = postings.iter().filter(is_rolled_up).map(of_day).collect();
        months.sort_unstable();
        postings.retain(|posting| stage(posting) != Stage::Pruned);
        Self { days: postings, months }
    }

    /// What it does with this many requests.
    pub(crate) fn folded(&self, requests: u64) -> Folded {
        let counts = (self.days.len() + self.months.len()) as u64;
        Folded { requests, rolled_up: self::requests(&self.months), counts }
    }
}

/// How many requests these postings have, within 64 bits.
pub(crate) fn requests(postings: &[Posting]) -> u64 {
    postings.iter().fold(0, |sum, posting| sum.saturating_add(posting.requests.unsigned_abs()))
}

/// What the rows of a month have on one of its days.
pub(crate) fn on_day<'a>(
    day: Day,
    months: impl IntoIterator<Item = &'a str>,
) -> Result<i64, Malformed> {
    let mut counts = [0; DAYS.slots];
    for days in months {
        DAYS.add_to(&mut counts, days.as_bytes())?;
    }
    Ok(counts[usize::from(Posting::of_day(day, 0, 0).slot)])
}

/// Which days these postings are of, in order.
pub(crate) fn days(postings: &[Posting]) -> Vec<Day> {
    let mut days: Vec<_> = postings.iter().map(|posting| posting.period).collect();
    days.sort_unstable();
    days.dedup();
    days
}

/// Cuts sorted postings into steps, each with the rows that it adds to.
pub(crate) fn steps(postings: &[Posting]) -> impl Iterator<Item = &[Posting]> {
    let mut rest = postings;
    std::iter::from_fn(move || {
        let mut rows = rest.chunk_by(|a, b| (a.period, a.series) == (b.period, b.series));
        let len = rows.by_ref().take(STEP_ROWS).map(<[Posting]>::len).sum();
        let (step, after) = rest.split_at(len);
        rest = after;
        (!step.is_empty()).then_some(step)
    })
}

/// The rows that a step adds to, in order.
pub(crate) fn keys(step: &[Posting]) -> impl Iterator<Item = (Day, SeriesId)> {
    let rows = step.chunk_by(|a, b| (a.period, a.series) == (b.period, b.series));
    rows.map(|row| (row[0].period, row[0].series))
}

/// Adds a step to the rows that are there. Sums saturate at 64 bits.
///
/// # Errors
/// Names the row that a person has made unreadable, or would.
pub(crate) fn add(level: Level, step: &[Posting], present: &Present) -> Result<Vec<Sum>, Error> {
    let packed = level.packed();
    let rows = step.chunk_by(|a, b| (a.period, a.series) == (b.period, b.series));
    let sum = |row: &[Posting]| {
        let (period, series) = (row[0].period, row[0].series);
        let bad = || {
            let step = format!("add to series {series} of {period} in {}", packed.column);
            Error::permanent(step, Kind::Internal)
        };
        let mut counts = [0_i64; QUARTERS.slots];
        let mut total = 0_i64;
        if let Some((before, slots)) = present.get(&(period, series)) {
            total = *before;
            let added = packed.add_to(&mut counts, slots.as_bytes());
            added.map_err(|malformed| bad().because(malformed))?;
        }
        for posting in row {
            let count = &mut counts[usize::from(posting.slot)];
            *count = count.saturating_add(posting.requests);
            total = total.saturating_add(posting.requests);
        }
        if counts.iter().any(|count| *count < 0) {
            return Err(bad().because("the rows have less than no requests"));
        }
        Ok(Sum { period, series, total, slots: packed.pack(&counts[..packed.slots]) })
    };
    rows.map(sum).collect()
}

/// Cuts days, with the number of rows that each has, into groups of at most [`STEP_ROWS`] rows, or of
/// one day.
pub(crate) fn day_groups(days: &[(Day, i64)]) -> Vec<Vec<Day>> {
    let (mut groups, mut rows) = (Vec::new(), 0);
    for (day, of_day) in days {
        if groups.is_empty() || rows + of_day > STEP_ROWS as i64 {
            groups.push(Vec::new());
            rows = 0;
        }
        rows += of_day;
        groups.last_mut().expect("one was added").push(*day);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        text.parse::<jiff::civil::Date>().expect("a date").into()
    }

    fn posting(text: &str, series: SeriesId, slot: u8, requests: i64) -> Posting {
        Posting { period: day(text), series, slot, requests }
    }

    #[test]
    fn a_fold_adds_to_where_the_day_is() {
        let postings =
            ["2024-02-29", "2024-03-01", "2024-03-02"].map(|text| posting(text, 7, 95, 3)).to_vec();
        let stages = [
            ("2024-02-29", Stage::Pruned),
            ("2024-03-01", Stage::RolledUp),
            ("2024-03-02", Stage::Open),
        ];
        let stages = stages.map(|(text, stage)| (day(text), stage)).into_iter().collect();
        let fold = Fold::of(postings, &stages);
        assert_eq!(fold.days, [posting("2024-03-01", 7, 95, 3), posting("2024-03-02", 7, 95, 3)]);
        assert_eq!(fold.months, [posting("2024-02-01", 7, 28, 3), posting("2024-03-01", 7, 0, 3)]);
        assert_eq!(fold.folded(9), Folded { requests: 9, rolled_up: 6, counts: 4 });
    }

    #[test]
    fn a_fold_adds_to_the_month_what_a_roll_up_in_steps_has_reached() {
        let postings = [6, 7, 8].map(|series| posting("2024-03-01", series, 95, 3)).to_vec();
        let stages = [(day("2024-03-01"), Stage::RolledUpTo(7))].into_iter().collect();
        let fold = Fold::of(postings.clone(), &stages);
        assert_eq!(fold.days, postings);
        assert_eq!(fold.months, [6, 7].map(|series| posting("2024-03-01", series, 0, 3)));
    }

    #[test]
    fn postings_add_to_what_is_there() {
        let step = [
            posting("2024-03-01", 7, 2, 5),
            posting("2024-03-01", 7, 4, 1),
            posting("2024-03-01", 8, 0, 9),
        ];
        let present = [((day("2024-03-01"), 7), (10, "[2,10]".to_owned()))].into_iter().collect();
        let sums = add(Level::Days, &step, &present).expect("well formed");
        let rows: Vec<_> = sums.iter().map(|sum| (sum.series, sum.total, &*sum.slots)).collect();
        assert_eq!(rows, [(7, 16, "[2,15,0,1]"), (8, 9, "[0,9]")]);
        let full = [((day("2024-03-01"), 7), (i64::MAX, format!("[2,{}]", i64::MAX)))];
        let sums = add(Level::Days, &step[..1], &full.into_iter().collect()).expect("well formed");
        assert_eq!(sums[0].total, i64::MAX);
    }

    #[test]
    fn a_row_that_a_person_has_spoilt_is_named() {
        let present = [((day("2024-03-01"), 7), (10, "[2,ten]".to_owned()))].into_iter().collect();
        let said = |step: Posting, present: &Present| {
            tally_runtime::chain(&add(Level::Days, &[step], present).expect_err("an error"))
        };
        let text = said(posting("2024-03-01", 7, 2, 5), &present);
        for part in ["series 7 of 2024-03-01", "tally_request_days.quarters", "[2,ten]"] {
            assert!(text.contains(part), "{text}");
        }
        let text = said(posting("2024-03-01", 8, 2, -5), &present);
        assert!(text.contains("series 8 of 2024-03-01"), "{text}");
        assert_eq!(requests(&[posting("2024-03-01", 8, 2, i64::MAX); 3]), u64::MAX);
    }

    #[test]
    fn steps_cut_between_rows() {
        let postings: Vec<_> =
            (0..25_000).map(|n| posting("2024-03-01", n / 2, (n % 2) as u8, 1)).collect();
        let lens: Vec<_> = steps(&postings).map(<[Posting]>::len).collect();
        assert_eq!(lens, [10_000, 10_000, 5_000]);
        assert_eq!(keys(&postings[..4]).collect::<Vec<_>>().len(), 2);
    }

    #[test]
    fn groups_of_days_are_bounded() {
        let days =
            [(1, 4_000), (2, 900), (3, 200), (4, 50_000), (5, 1)].map(|(n, rows)| (Day(n), rows));
        let groups = day_groups(&days);
        assert_eq!(groups, [vec![Day(1), Day(2)], vec![Day(3)], vec![Day(4)], vec![Day(5)]]);
    }
}
