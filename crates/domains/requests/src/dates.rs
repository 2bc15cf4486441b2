//! Years, months and days: as calls have them, and as people write them.
//!
//! | file | what it owns |
//! |---|---|
//! | `range.rs` | the ends of a range: periods or moments |
//! | `written.rs` | periods and ranges as people write them |

mod range;
mod written;

use std::fmt;

use jiff::civil::Date as Day;
use tally_proto::google::r#type::Date;

pub use self::range::End;
pub use self::written::{PeriodArg, RangeArg, parse_day, parse_period, parse_range};
use crate::error::Error;
use crate::model::DayRange;

/// An existing day, month or year, of the years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    year: i16,
    /// 0 for a year.
    month: i8,
    /// 0 for a month or a year.
    day: i8,
}

/// A year, month or day; required.
pub(crate) fn period(field: &'static str, date: Option<&Date>) -> Result<Period, Error> {
    optional_period(field, date)?.ok_or_else(|| Error::invalid(format!("{field}: is missing")))
}

/// A year, month or day. As in proto3, a date of zeros is none.
pub(crate) fn optional_period(
    field: &'static str,
    date: Option<&Date>,
) -> Result<Option<Period>, Error> {
    let Some(&Date { year, month, day }) = date else { return Ok(None) };
    let impossible = || {
        Error::invalid(format!(
            "{field}: {year:04}-{month:02}-{day:02} is not a date, nor a month with day 0, nor a \
             year with month and day 0"
        ))
    };
    if (year, month, day) == (0, 0, 0) {
        return Ok(None);
    }
    let (Ok(year), Ok(month), Ok(day)) =
        (i16::try_from(year), i8::try_from(month), i8::try_from(day))
    else {
        return Err(impossible());
    };
    Period::new(year, month, day).map(Some).ok_or_else(impossible)
}

/// From the first day of one period to the last of the other.
pub(crate) fn range(
    (start_field, start): (&'static str, Option<Period>),
    (end_field, end): (&'static str, Option<Period>),
) -> Result<DayRange, Error> {
    let first = start.map_or(DayRange::ALL.first, |period| period.days().first);
    let last = end.map_or(DayRange::ALL.last, |period| period.days().last);
    let range = DayRange { first, last };
    if last < first {
        return Err(Error::invalid(format!("{end_field} is before {start_field}: {range}")));
    }
    Ok(range)
}

/// Cuts a range of days into as few years, months and days as possible.
#[must_use]
pub fn cut(first: Day, last: Day) -> Vec<Period> {
    let mut periods = Vec::new();
    let mut from = Some(first);
    while let Some(day) = from.filter(|day| *day <= last) {
        let one_day = Period::of_day(day);
        let fits = |period: &Period| period.first_day() == day && period.last_day() <= last;
        let longer = [one_day.whole_year(), one_day.whole_month()];
        let period = longer.into_iter().find(fits).unwrap_or(one_day);
        periods.push(period);
        from = period.last_day().tomorrow().ok();
    }
    periods
}

/// The day of a protobuf date, if it exists.
#[must_use]
pub fn day(date: Date) -> Option<Day> {
    let year = i16::try_from(date.year).ok()?;
    Day::new(year, i8::try_from(date.month).ok()?, i8::try_from(date.day).ok()?).ok()
}

/// A protobuf date in ISO 8601: `2015-05-17`, `2015-05` or `2015`.
#[must_use]
pub fn iso(date: Date) -> String {
    let Date { year, month, day } = date;
    match (month, day) {
        (0, _) => format!("{year:04}"),
        (_, 0) => format!("{year:04}-{month:02}"),
        _ => format!("{year:04}-{month:02}-{day:02}"),
    }
}

// === impl Period ===

impl Period {
    /// With day 0 a month, and with month 0 as well a year. None if there is no such one.
    pub(crate) fn new(year: i16, month: i8, day: i8) -> Option<Self> {
        let is_one = (month, day) == (0, 0) || (month > 0 && day >= 0);
        let exists = is_one && year > 0 && Day::new(year, month.max(1), day.max(1)).is_ok();
        exists.then_some(Self { year, month, day })
    }

    /// Its days.
    pub(crate) fn days(self) -> DayRange {
        DayRange { first: self.first_day().into(), last: self.last_day().into() }
    }

    /// The day, if it is one.
    pub(crate) fn as_day(self) -> Option<Day> {
        (self.day > 0).then(|| self.first_day())
    }

    /// The first of its days.
    #[must_use]
    pub fn first_day(self) -> Day {
        jiff::civil::date(self.year, self.month.max(1), self.day.max(1))
    }

    /// The last of its days.
    #[must_use]
    pub fn last_day(self) -> Day {
        let first = self.first_day();
        match (self.month, self.day) {
            (0, _) => first.last_of_year(),
            (_, 0) => first.last_of_month(),
            _ => first,
        }
    }

    /// As calls have it.
    #[must_use]
    pub fn to_proto(self) -> Date {
        Date { year: self.year.into(), month: self.month.into(), day: self.day.into() }
    }

    fn of_day(day: Day) -> Self {
        Self { year: day.year(), month: day.month(), day: day.day() }
    }

    fn whole_month(self) -> Self {
        Self { day: 0, ..self }
    }

    fn whole_year(self) -> Self {
        Self { month: 0, day: 0, ..self }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&iso(self.to_proto()))
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn periods_have_their_days() {
        for ((year, month, day), days) in [
            ((2024, 2, 0), "2024-02-01..2024-02-29"),
            ((2023, 12, 0), "2023-12-01..2023-12-31"),
            ((9999, 0, 0), "9999-01-01..9999-12-31"),
            ((2015, 5, 17), "2015-05-17"),
        ] {
            let period = Period::new(year, month, day).expect("it exists");
            assert_eq!(period.days().to_string(), days);
            assert_eq!(period.as_day().is_some(), day > 0);
        }
    }

    #[test]
    fn impossible_dates_are_refused() {
        for (year, month, day) in
            [(2023, 2, 30), (2023, 13, 1), (0, 5, 1), (2023, 0, 1), (10_000, 1, 1), (2023, -1, 0)]
        {
            let date = Date { year, month, day };
            let error = period("date", Some(&date)).expect_err("impossible");
            assert!(error.to_string().contains("is not a date"), "{error}");
        }
        assert!(period("date", None).expect_err("missing").to_string().contains("missing"));
        assert!(period("date", Some(&Date::default())).is_err());
        let leap = Date { year: 2024, month: 2, day: 29 };
        assert!(period("date", Some(&leap)).is_ok());
    }

    #[test]
    fn a_range_is_cut_into_few_periods() {
        let cut = |text| {
            let (first, last) = parse_range(text).expect("a range").on(date(2024, 3, 1));
            super::cut(first.first_day(), last.last_day())
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(cut("2015"), ["2015"]);
        assert_eq!(cut("2015-05..2015-06"), ["2015-05", "2015-06"]);
        assert_eq!(
            cut("2014-11-30..2016-01-02"),
            ["2014-11-30", "2014-12", "2015", "2016-01-01", "2016-01-02"]
        );
        assert_eq!(cut("9999-12-31"), ["9999-12-31"]);
        assert_eq!(cut("2015-02..2015-01"), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_range(start in 0..100_000_i64, length in 0..2_000_i64) {
            let first = date(1900, 1, 1).saturating_add(start.days());
            let last = first.saturating_add(length.days());
            let mut next = first;
            for period in cut(first, last) {
                prop_assert_eq!(period.first_day(), next);
                next = period.last_day().tomorrow().expect("in range");
            }
            prop_assert_eq!(next.yesterday().expect("in range"), last);
        }
    }
}
