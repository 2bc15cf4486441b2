//! Days, months, years and ranges of them as people write them. What today is, the caller says.

use jiff::civil::Date as Day;
use jiff::{Span, ToSpan as _};

use super::Period;

/// A period as an argument: `2015-05-17`, `2015-05`, `2015`, `today`, `last-week`, `7d` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeriodArg {
    /// This many days before today; the other units accordingly.
    Day(i32),
    /// From Monday to Sunday.
    Week(i32),
    /// The whole one.
    Month(i32),
    /// The whole one.
    Year(i32),
    /// The last days, today included.
    LastDays(i32),
    /// That one.
    Fixed(Period),
}

pub(super) const NAMED: [(&str, PeriodArg); 8] = [
    ("today", PeriodArg::Day(0)),
    ("yesterday", PeriodArg::Day(1)),
    ("this-week", PeriodArg::Week(0)),
    ("last-week", PeriodArg::Week(1)),
    ("this-month", PeriodArg::Month(0)),
    ("last-month", PeriodArg::Month(1)),
    ("this-year", PeriodArg::Year(0)),
    ("last-year", PeriodArg::Year(1)),
];

/// A period, or two with `..` between them, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeArg {
    first: PeriodArg,
    last: PeriodArg,
}

/// The most days that `7d` and the like may cover: a century.
const LAST_DAYS_MAX: i32 = 36_500;

/// Reads a day, month or year, or one of the words.
///
/// # Errors
/// In words for people.
pub fn parse_period(text: &str) -> Result<PeriodArg, String> {
    if let Some((_, period)) = NAMED.iter().find(|(name, _)| *name == text) {
        return Ok(*period);
    }
    if let Some(days) = text.strip_suffix('d')
        && !days.is_empty()
        && days.bytes().all(|byte| byte.is_ascii_digit())
    {
        return match days.parse() {
            Ok(days @ 1..=LAST_DAYS_MAX) => Ok(PeriodArg::LastDays(days)),
            _ => Err(format!("the last days are 1d to {LAST_DAYS_MAX}d")),
        };
    }
    let mut parts = text.split('-');
    let year = number::<i16>(parts.next(), 4)?.ok_or_else(form)?;
    let month = number::<i8>(parts.next(), 2)?;
    let day = number::<i8>(parts.next(), 2)?;
    if parts.next().is_some() {
        return Err(form());
    }
    if year == 0 || Day::new(year, month.unwrap_or(1), day.unwrap_or(1)).is_err() {
        let what = if day.is_some() { "day" } else { "month or year" };
        return Err(format!("there is no such {what}"));
    }
    let (month, day) = (month.unwrap_or(0), day.unwrap_or(0));
    Ok(PeriodArg::Fixed(Period { year, month, day }))
}

/// Reads a single day.
///
/// # Errors
/// In words for people.
pub fn parse_day(text: &str) -> Result<PeriodArg, String> {
    match parse_period(text) {
        Ok(day @ (PeriodArg::Day(_) | PeriodArg::Fixed(Period { day: 1.., .. }))) => Ok(day),
        // Written like a day, but there is none.
        Err(reason) if text.len() == "2015-05-17".len() && reason != form() => Err(reason),
        _ => Err("it is of one day: write it as 2015-05-17, or today or yesterday".to_owned()),
    }
}

/// Reads a period, or two with `..` between them.
///
/// # Errors
/// In words for people.
pub fn parse_range(text: &str) -> Result<RangeArg, String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let side =
        |side| parse_period(side).map_err(|reason| format!("\u{201c}{side}\u{201d}: {reason}"));
    let one_end = match (first, last) {
        _ if first == last => {
            let or_range = |reason| match reason {
                reason if reason == form() => {
                    reason + ", or a range of two of these, such as 2015-05..yesterday"
                }
                reason => reason,
            };
            let period = parse_period(first).map_err(or_range)?;
            return Ok(RangeArg { first: period, last: period });
        }
        (_, "") => format!("{first}..today, or in `tally totals` --from {first}"),
        ("", _) => format!("the first day, or in `tally totals` --to {last}"),
        _ => return Ok(RangeArg { first: side(first)?, last: side(last)? }),
    };
    Err(format!("a range has two ends: write {one_end}"))
}

fn monday(day: Day) -> Day {
    day.saturating_sub(i32::from(day.weekday().to_monday_zero_offset()).days())
}

fn form() -> String {
    "write a day as 2015-05-17, a month as 2015-05, a year as 2015, or one of today, yesterday, \
     this-week, last-week, this-month, last-month, this-year, last-year and 7d (the last 7 days)"
        .to_owned()
}

fn number<T: std::str::FromStr>(part: Option<&str>, digits: usize) -> Result<Option<T>, String> {
    let Some(part) = part else { return Ok(None) };
    if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(form());
    }
    part.parse().map(Some).map_err(|_| form())
}

// === impl PeriodArg ===

impl PeriodArg {
    /// The period that it begins with.
    pub fn first_on(self, today: Day) -> Period {
        let before = |span: Span| today.saturating_sub(span);
        match self {
            Self::Day(back) => Period::of_day(before(back.days())),
            Self::Week(back) => Period::of_day(monday(before(back.weeks()))),
            Self::Month(back) => Period::of_day(before(back.months())).whole_month(),
            Self::Year(back) => Period::of_day(before(back.years())).whole_year(),
            Self::LastDays(days) => Period::of_day(before((days - 1).days())),
            Self::Fixed(period) => period,
        }
    }

    /// The period that it ends with, which usually is the one that it begins with.
    pub fn last_on(self, today: Day) -> Period {
        match self {
            Self::LastDays(_) => Period::of_day(today),
            Self::Week(_) => {
                Period::of_day(self.first_on(today).first_day().saturating_add(6.days()))
            }
            _ => self.first_on(today),
        }
    }
}

// === impl RangeArg ===

impl RangeArg {
    /// The first and the last period; the last may be before the first.
    pub fn on(self, today: Day) -> (Period, Period) {
        (self.first.first_on(today), self.last.last_on(today))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn days(text: &str) -> (Day, Day) {
        let (first, last) = parse_range(text).expect("a range").on(date(2024, 3, 1));
        (first.first_day(), last.last_day())
    }

    #[test]
    fn periods_and_ranges() {
        assert_eq!(days("today"), (date(2024, 3, 1), date(2024, 3, 1)));
        assert_eq!(days("yesterday"), (date(2024, 2, 29), date(2024, 2, 29)));
        assert_eq!(days("2015-05-17"), (date(2015, 5, 17), date(2015, 5, 17)));
        assert_eq!(days("2015-02"), (date(2015, 2, 1), date(2015, 2, 28)));
        assert_eq!(days("2015"), (date(2015, 1, 1), date(2015, 12, 31)));
        assert_eq!(days("2015-05..2016"), (date(2015, 5, 1), date(2016, 12, 31)));
        assert_eq!(days("2024-02..yesterday"), (date(2024, 2, 1), date(2024, 2, 29)));
        assert_eq!(days("9999"), (date(9999, 1, 1), date(9999, 12, 31)));
        assert_eq!(days("this-month"), (date(2024, 3, 1), date(2024, 3, 31)));
        assert_eq!(days("last-month"), (date(2024, 2, 1), date(2024, 2, 29)));
        // A Friday.
        assert_eq!(days("this-week"), (date(2024, 2, 26), date(2024, 3, 3)));
        assert_eq!(days("last-week"), (date(2024, 2, 19), date(2024, 2, 25)));
        assert_eq!(days("last-week..today"), (date(2024, 2, 19), date(2024, 3, 1)));
        assert_eq!(days("this-year"), (date(2024, 1, 1), date(2024, 12, 31)));
        assert_eq!(days("last-year"), (date(2023, 1, 1), date(2023, 12, 31)));
        assert_eq!(days("1d"), days("today"));
        assert_eq!(days("7d"), (date(2024, 2, 24), date(2024, 3, 1)));
        assert_eq!(days("7d..yesterday"), (date(2024, 2, 24), date(2024, 2, 29)));
        assert_eq!(days("2015..7d"), (date(2015, 1, 1), date(2024, 3, 1)));
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        for (text, words) in [
            ("2023-02-30", "no such day"),
            ("2023-13", "no such month"),
            ("2023-00-01", "no such day"),
            ("2023-01-00", "no such day"),
            ("0000", "no such month or year"),
            ("23-1-1", "write a day as"),
            ("2023-1-01", "write a day as"),
            ("2023-01-01-01", "write a day as"),
            ("+023", "write a day as"),
            ("0d", "1d to 36500d"),
            ("99999d", "1d to 36500d"),
            ("d", "write a day as"),
            ("-7d", "write a day as"),
            ("7D", "write a day as"),
            (
                "next-week",
                "7d (the last 7 days), or a range of two of these, such as 2015-05..yesterday",
            ),
            ("", "write a day as"),
            ("2023..", "--from 2023"),
            ("..2023", "--to 2023"),
            ("..", "write a day as"),
            ("2023..2023-02-30", "\u{201c}2023-02-30\u{201d}: there is no such day"),
        ] {
            let message = parse_range(text).expect_err(text);
            assert!(message.contains(words), "{text}: {message}");
        }
    }

    #[test]
    fn a_single_day_is_no_month() {
        for text in ["2015-05-17", "today", "yesterday"] {
            assert_eq!(parse_day(text), parse_period(text));
        }
        for text in ["2015-05", "2015", "7d", "1d", "this-week", "tomorrow", "2015-5-17", "0d", ""]
        {
            let message = parse_day(text).expect_err(text);
            assert!(message.contains("one day: write it as 2015-05-17"), "{text}: {message}");
        }
        let message = parse_day("2015-02-30").expect_err("no day");
        assert!(message.contains("no such day"), "{message}");
    }
}
