//! The dates of calls: periods and ranges of days.

use jiff::civil;
use tally_proto::google::r#type::Date;

use crate::error::Error;
use crate::model::{DayRange, Period};

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
    let (Ok(short_year @ 1..=9999), Ok(short_month), Ok(short_day)) =
        (i16::try_from(year), i8::try_from(month), i8::try_from(day))
    else {
        return Err(impossible());
    };
    match (short_month, short_day) {
        (0, 0) => Ok(Some(Period::Year(short_year))),
        (1..=12, 0) => Ok(Some(Period::Month(short_year, short_month))),
        _ => civil::Date::new(short_year, short_month, short_day)
            .map(|date| Some(Period::Day(date)))
            .map_err(|_| impossible()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
