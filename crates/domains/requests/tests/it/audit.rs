//! The promise of the books, read from the tables without the code that is tested: for each day,
//! accepted = rows + (rolled up ? months : days).

use std::collections::BTreeMap;

use jiff::civil::Date;
use tally_requests::Day;

use crate::backend::{Backend, Total, day};

/// What the tables have, as one statement sees them: kind, day, series, number, slots.
type Line = (String, i64, i64, i64, String);

/// All tables in one snapshot, with days as numbers.
const LINES: &str = "
    SELECT 'row', :row_day, series_id, CAST(sum(coalesce(requests, 1)) AS BIGINT), ''
        FROM tally_requests GROUP BY 2, 3
    UNION ALL SELECT 'day', :day, series_id, total, quarters FROM tally_request_days
    UNION ALL SELECT 'month', :month, series_id, total, days FROM tally_request_months
    UNION ALL
    SELECT CASE WHEN pruned_at IS NOT NULL THEN 'pruned' WHEN rolled_up_at IS NOT NULL THEN 'rolled up'
               ELSE 'open' END, :day, coalesce(:reached, 9223372036854775807), 0, ''
        FROM tally_request_calendar
    UNION ALL
    SELECT 'view', :view_day, 0, CAST(sum(total) AS BIGINT), '' FROM tally_totals_by_day GROUP BY 2";

/// Requests by day.
type ByDay = BTreeMap<Day, i64>;

/// The tables' lines, sorted.
#[derive(Default)]
struct Books {
    rows: BTreeMap<(Day, i64), i64>,
    days: BTreeMap<(Day, i64), i64>,
    /// By day, from the months' slots.
    months: BTreeMap<(Day, i64), i64>,
    /// What has become of each day, and up to which series.
    calendar: BTreeMap<Day, (String, i64)>,
    view: ByDay,
}

/// Where the requests of a series count on a day that is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Unknown,
    /// In the day.
    Open,
    /// In the day, although it is a rolled-up one: a roll-up in steps has not come to the series.
    ToMonth,
    InMonth,
    /// In the month, while the day is being emptied.
    Emptied,
    Pruned,
}

// === impl Books ===

impl Books {
    fn of(lines: Vec<Line>) -> Self {
        let mut books = Self::default();
        for (kind, number, series, total, slots) in lines {
            let first = Day(i32::try_from(number).expect("a day"));
            match kind.as_str() {
                "row" => drop(books.rows.insert((first, series), total)),
                "view" => drop(books.view.insert(first, total)),
                "day" => {
                    let sum: i64 = counts(&slots, 96).iter().map(|one| one.1).sum();
                    assert_eq!(sum, total, "quarters of {first}: {slots}");
                    books.days.insert((first, series), total);
                }
                "month" => {
                    let counts = counts(&slots, 31);
                    let sum: i64 = counts.iter().map(|one| one.1).sum();
                    assert_eq!(sum, total, "days of {first}: {slots}");
                    for (slot, count) in counts {
                        books.months.insert((Day(first.0 + slot), series), count);
                    }
                }
                stage => drop(books.calendar.insert(first, (stage.to_owned(), series))),
            }
        }
        books
    }

    /// What has become of a series' day.
    fn stage(&self, (day, series): (Day, i64)) -> Stage {
        match self.calendar.get(&day).map(|(stage, reached)| (&**stage, *reached)) {
            None => Stage::Unknown,
            Some(("open", _)) => Stage::Open,
            Some(("rolled up", reached)) if series <= reached => Stage::InMonth,
            Some(("rolled up", _)) => Stage::ToMonth,
            // What days are emptied of does not count.
            Some(("pruned", reached)) if reached != i64::MAX => Stage::Emptied,
            Some(_) => Stage::Pruned,
        }
    }

    fn days_at(&self, stages: &[Stage]) -> impl Iterator<Item = (&(Day, i64), &i64)> {
        self.days.iter().filter(|(of, _)| stages.contains(&self.stage(**of)))
    }

    /// The requests of rolled-up days, by day.
    fn rolled_up(&self) -> ByDay {
        by_day(self.months.iter().chain(self.days_at(&[Stage::ToMonth])))
    }

    /// The requests of each day, from the one place for each where they count.
    fn all(&self) -> ByDay {
        for (of, total) in &self.days {
            match self.stage(*of) {
                Stage::Open | Stage::ToMonth => {
                    assert!(!self.months.contains_key(of), "{of:?} is open, and in a month");
                }
                Stage::InMonth => assert_eq!(self.months.get(of), Some(total), "{of:?}"),
                Stage::Emptied => {}
                stage => panic!("{of:?} has quarters, and is {stage:?}"),
            }
        }
        for of in self.months.keys() {
            let stage = self.stage(*of);
            let is_there = matches!(stage, Stage::InMonth | Stage::Pruned | Stage::Emptied);
            assert!(is_there, "{of:?} is in a month, and {stage:?}");
        }
        let of_days = self.days_at(&[Stage::Open, Stage::ToMonth]);
        by_day(self.rows.iter().chain(&self.months).chain(of_days))
    }
}

fn by_day<'a>(counts: impl Iterator<Item = (&'a (Day, i64), &'a i64)>) -> ByDay {
    let mut sums = ByDay::new();
    for ((day, _), count) in counts {
        *sums.entry(*day).or_default() += count;
    }
    sums
}

/// The slots of a packed text that have counts.
fn counts(text: &str, slots: i32) -> Vec<(i32, i64)> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).expect("an array");
    let numbers: Vec<i64> = inner
        .split(',')
        .filter(|number| !number.is_empty())
        .map(|number| number.parse().expect("a number"))
        .collect();
    let Some((first, counts)) = numbers.split_first() else { return Vec::new() };
    let first = i32::try_from(*first).expect("a slot");
    let counts: Vec<_> = (first..).zip(counts.iter().copied()).filter(|one| one.1 != 0).collect();
    assert!(counts.iter().all(|one| one.0 < slots && one.1 > 0), "{text}");
    counts
}

fn of_totals(totals: &[Total]) -> ByDay {
    let mut sums = ByDay::new();
    for (date, _, _, count) in totals {
        *sums.entry(day(date)).or_default() += count;
    }
    sums
}

/// The tables' SQL in the words of a database.
pub(crate) fn lines_sql(is_sqlite: bool, has_steps: bool) -> String {
    let number = |column: &str| {
        if is_sqlite {
            column.to_owned()
        } else {
            format!("CAST({column} - DATE '1970-01-01' AS BIGINT)")
        }
    };
    let (row_day, view_day) = if is_sqlite {
        let day = "86400000000";
        (
            format!("(requested_at - (requested_at % {day} + {day}) % {day}) / {day}"),
            "unixepoch(day) / 86400".to_owned(),
        )
    } else {
        (number("(requested_at AT TIME ZONE 'UTC')::DATE"), number("day"))
    };
    LINES
        .replace(":reached", if has_steps { "reached" } else { "NULL" })
        .replace(":row_day", &row_day)
        .replace(":view_day", &view_day)
        .replace(":day", &number("day"))
        .replace(":month", &number("month"))
}

impl Backend {
    /// Checks that every request that was accepted is in the books exactly once, whichever way one
    /// reads them. Returns how many there are.
    pub(crate) async fn audit(&self) -> i64 {
        let books = Books::of(self.lines(&lines_sql(self.is_sqlite(), self.is_cockroach())).await);
        let (all, rolled_up) = (books.all(), books.rolled_up());
        let accounts = self.accounts().await;
        let accepted: ByDay =
            accounts.iter().filter(|one| one.1 > 0).map(|one| (one.0, one.1)).collect();
        assert_eq!(all, accepted, "what is in the tables, and what was accepted");
        assert_eq!(books.view, all, "the view");
        assert_eq!(of_totals(&self.live().await), all, "live totals");
        assert_eq!(of_totals(&self.rolled_up().await), rolled_up, "rolled-up totals");
        all.values().sum()
    }
}

#[test]
fn slots_are_read_from_the_first_one_on() {
    assert_eq!(counts("[57,12,0,9]", 96), [(57, 12), (59, 9)]);
    assert_eq!(counts("[]", 96), []);
    let first: Day = "2024-03-01".parse::<Date>().expect("a date").into();
    let lines = [
        ("rolled up", first.0 + 1, 7, 0, ""),
        ("month", first.0, 7, 5, "[1,5]"),
        ("day", first.0 + 1, 7, 5, "[9,2,3]"),
        ("day", first.0 + 1, 8, 3, "[9,3]"),
        ("row", first.0 + 1, 7, 4, ""),
    ];
    let line = |(kind, day, series, total, slots): (&str, i32, i64, i64, &str)| {
        (kind.to_owned(), i64::from(day), series, total, slots.to_owned())
    };
    let books = Books::of(lines.map(line).to_vec());
    assert_eq!(books.all(), ByDay::from([(Day(first.0 + 1), 12)]));
    assert_eq!(books.rolled_up(), ByDay::from([(Day(first.0 + 1), 8)]));
}
