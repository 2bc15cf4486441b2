//! Which requests and dates are acceptable.

use jiff::civil;
use prost_types::Timestamp;
use tally_proto::google::r#type::Date;
use tally_proto::wire;

use crate::error::{Error, InvalidTime};
use crate::model::{DayRange, Period};

/// What requests are held against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) path_bytes_max: usize,
    /// Now, in microseconds since 1970-01-01 UTC.
    pub(crate) now_micros: i64,
}

// === impl Rules ===

impl Rules {
    /// The path that a request is counted under.
    pub(crate) fn path(self, path: &str) -> &str {
        wire::path(path, self.path_bytes_max)
    }

    /// The time of a request, in microseconds since 1970-01-01 UTC: that of its arrival, if it
    /// has none.
    pub(crate) fn time(self, time: Option<Timestamp>) -> Result<i64, InvalidTime> {
        let Some(time) = time else { return Ok(self.now_micros) };
        let Timestamp { seconds, nanos } = time;
        let micros = wire::micros(time).ok_or(InvalidTime::OutOfRange { seconds, nanos })?;
        match self.ahead_seconds(micros) {
            Some(ahead_seconds) => Err(InvalidTime::Ahead { ahead_seconds }),
            None => Ok(micros),
        }
    }

    /// How far a time is ahead, if that is too far.
    pub(crate) fn ahead_seconds(self, micros: i64) -> Option<i64> {
        let ahead = micros.saturating_sub(self.now_micros);
        (ahead > wire::AHEAD_MICROS_MAX).then_some(ahead / 1_000_000)
    }
}

/// A year, month or day that must be there.
pub(crate) fn period(field: &'static str, date: Option<&Date>) -> Result<Period, Error> {
    optional_period(field, date)?.ok_or_else(|| Error::invalid(format!("{field}: is missing")))
}

/// A year, month or day. A date of zeros is the same as none, as proto3 has it.
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

/// The days from one period's first to the other's last.
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

    const RULES: Rules = Rules { path_bytes_max: 10, now_micros: 0 };

    fn check(seconds: i64, nanos: i32) -> Result<i64, InvalidTime> {
        RULES.time(Some(Timestamp { seconds, nanos }))
    }

    #[test]
    fn times_are_held_against_the_clock() {
        assert_eq!(check(1, 999_999_999), Ok(1_999_999));
        for (seconds, nanos) in
            [(-62_135_596_801, 0), (253_402_300_800, 0), (1, -1), (1, 1_000_000_000)]
        {
            assert_eq!(check(seconds, nanos), Err(InvalidTime::OutOfRange { seconds, nanos }));
        }
        assert!(check(86_400, 0).is_ok());
        assert_eq!(check(86_401, 0), Err(InvalidTime::Ahead { ahead_seconds: 86_401 }));
        assert_eq!(Rules { now_micros: 7, ..RULES }.time(None), Ok(7));
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
}
