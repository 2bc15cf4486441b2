//! Which requests and dates are acceptable.

use jiff::civil;
use prost_types::Timestamp;
use tally_proto::count::v1::AddRequest;
use tally_proto::google::r#type::Date;

use crate::error::{Error, InvalidDate, InvalidRequest};
use crate::model::{DayRange, Period};

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z in seconds since 1970-01-01 UTC: the limits
/// of `google.protobuf.Timestamp`.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const NANOS: std::ops::Range<i32> = 0..1_000_000_000;
/// How far a client's clock may be ahead.
const AHEAD_SECONDS_MAX: i64 = 24 * 60 * 60;

/// The same limits in microseconds.
pub(crate) const MICROS: std::ops::RangeInclusive<i64> =
    *SECONDS.start() * 1_000_000..=*SECONDS.end() * 1_000_000 + 999_999;

/// What requests are held against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) path_bytes_max: usize,
    /// Now, in microseconds since 1970-01-01 UTC.
    pub(crate) now_micros: i64,
}

// === impl Rules ===

impl Rules {
    /// The latest time that a request may have.
    pub(crate) fn latest_micros(self) -> i64 {
        self.now_micros.saturating_add(AHEAD_SECONDS_MAX * 1_000_000)
    }
}

/// The time of an acceptable request, in microseconds since 1970-01-01 UTC.
pub(crate) fn request(request: &AddRequest, rules: Rules) -> Result<i64, InvalidRequest> {
    path(&request.path, rules)?;
    let time = request.request_timestamp.as_ref().ok_or(InvalidRequest::TimestampMissing)?;
    timestamp(*time, rules.now_micros)
}

/// Whether a path is acceptable.
pub(crate) fn path(path: &str, rules: Rules) -> Result<(), InvalidRequest> {
    let path = path.as_bytes();
    if path.is_empty() {
        return Err(InvalidRequest::PathEmpty);
    }
    if path.len() > rules.path_bytes_max {
        let (bytes, max) = (path.len(), rules.path_bytes_max);
        return Err(InvalidRequest::PathTooLong { bytes, max });
    }
    if path.contains(&0) {
        return Err(InvalidRequest::PathNul);
    }
    Ok(())
}

fn timestamp(time: Timestamp, now_micros: i64) -> Result<i64, InvalidRequest> {
    let Timestamp { seconds, nanos } = time;
    if !SECONDS.contains(&seconds) || !NANOS.contains(&nanos) {
        return Err(InvalidRequest::TimestampOutOfRange { seconds, nanos });
    }
    let micros = seconds * 1_000_000 + i64::from(nanos / 1000);
    if micros - now_micros > AHEAD_SECONDS_MAX * 1_000_000 {
        let ahead_seconds = (micros - now_micros) / 1_000_000;
        return Err(InvalidRequest::TimestampAhead { ahead_seconds });
    }
    Ok(micros)
}

/// A year, month or day that must be there.
pub(crate) fn period(field: &'static str, date: Option<&Date>) -> Result<Period, Error> {
    optional_period(field, date)?.ok_or(Error::Date { field, reason: InvalidDate::Missing })
}

/// A year, month or day. A date of zeros is the same as none, as proto3 has it.
pub(crate) fn optional_period(
    field: &'static str,
    date: Option<&Date>,
) -> Result<Option<Period>, Error> {
    let Some(&Date { year, month, day }) = date else { return Ok(None) };
    let impossible = || Error::Date { field, reason: InvalidDate::Impossible { year, month, day } };
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
        return Err(Error::EndBeforeStart { start_field, end_field, range });
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { path_bytes_max: 10, now_micros: 0 };

    fn check(path: &str, seconds: i64, nanos: i32) -> Result<i64, InvalidRequest> {
        let request_timestamp = Some(Timestamp { seconds, nanos });
        request(&AddRequest { method: 3, path: path.into(), request_timestamp }, RULES)
    }

    #[test]
    fn requests_are_held_against_the_rules() {
        assert_eq!(check("/", 1, 999_999_999), Ok(1_999_999));
        assert_eq!(check("", 1, 0), Err(InvalidRequest::PathEmpty));
        assert_eq!(
            check("/23456789ab", 1, 0),
            Err(InvalidRequest::PathTooLong { bytes: 11, max: 10 })
        );
        assert_eq!(check("/\0", 1, 0), Err(InvalidRequest::PathNul));
        for (seconds, nanos) in
            [(-62_135_596_801, 0), (253_402_300_800, 0), (1, -1), (1, 1_000_000_000)]
        {
            assert_eq!(
                check("/", seconds, nanos),
                Err(InvalidRequest::TimestampOutOfRange { seconds, nanos })
            );
        }
        assert!(check("/", 86_400, 0).is_ok());
        assert_eq!(
            check("/", 86_401, 0),
            Err(InvalidRequest::TimestampAhead { ahead_seconds: 86_401 })
        );
        let request = super::request;
        let missing = AddRequest { method: 3, path: "/".into(), request_timestamp: None };
        assert_eq!(request(&missing, RULES), Err(InvalidRequest::TimestampMissing));
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
