//! Time zones: by the names of the bundled tz database, or by an offset from UTC.

use std::borrow::Cow;
use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneTransition};
use tally_runtime::Day;
use tally_runtime::zones::{self, Unknown};

use super::Error;
use crate::model::Quarter;

const DAY_SECONDS: i64 = 86_400;
/// From this date on every day of every zone begins on a quarter.
pub(super) const ALL_EXACT_FROM: Date = Date::constant(1979, 10, 2);

/// A time zone of the bundled tz database, never of the machine's: the same question has the same
/// answer on every machine. Or a fixed offset from UTC.
///
/// A day is from the first moment at which the zone's clock has its date to the first moment of the
/// next date: 24 h, or as long as it really was. A date that a zone skipped has no moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: Cow<'static, str>,
    rules: TimeZone,
}

/// A time in which the clock does not change, and before which it shows no date that begins in it.
#[derive(Debug)]
pub(super) struct Steady {
    pub(super) during: Range<i64>,
    offset: i64,
}

// === impl Zone ===

impl Zone {
    /// By its name, in upper or lower case, or by an offset. Links have their own name: `Asia/Calcutta`
    /// does not become `Asia/Kolkata`.
    ///
    /// # Errors
    /// If the tz database has no such name, or the offset is not of whole quarter-hours.
    pub fn named(name: &str) -> Result<Self, Error> {
        if let Some(offset) = offset(name) {
            return Self::fixed(offset);
        }
        let unknown = |Unknown { near }| Error::UnknownZone { near };
        let (name, rules) = zones::find(name).map_err(unknown)?;
        Ok(Self { name: name.into(), rules })
    }

    /// The same in a query, where a `+` that is not encoded is a space.
    ///
    /// # Errors
    /// As [`Self::named`].
    pub(crate) fn in_query(name: &str) -> Result<Self, Error> {
        match name.strip_prefix(' ') {
            Some(offset) => Self::named(&format!("+{offset}")),
            None => Self::named(name),
        }
    }

    fn fixed(offset: Offset) -> Result<Self, Error> {
        let minutes = offset.seconds() / 60;
        if minutes % 15 != 0 {
            return Err(Error::OffsetOffQuarter);
        }
        let sign = if minutes < 0 { '-' } else { '+' };
        let of_day = minutes.unsigned_abs();
        let name = format!("{sign}{:02}:{:02}", of_day / 60, of_day % 60);
        Ok(Self { name: name.into(), rules: TimeZone::fixed(offset) })
    }

    /// UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self { name: "UTC".into(), rules: TimeZone::UTC }
    }

    /// The name, as the tz database writes it, or the offset as `+05:30`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The date that the zone's clock shows at this moment.
    #[must_use]
    pub fn date_at(&self, time: Timestamp) -> Date {
        self.rules.to_datetime(time).date()
    }

    /// What the zone's clock shows at this moment.
    #[must_use]
    pub fn shown_at(&self, time: Timestamp) -> DateTime {
        self.rules.to_datetime(time)
    }

    /// When a quarter begins, as the zone's clock shows it, with its offset.
    #[must_use]
    pub fn time(&self, quarter: Quarter) -> String {
        let offset = self.offset_at(seconds(quarter));
        shown(quarter, i32::try_from(offset).expect("at most a day"))
    }

    /// When a date begins, in seconds since 1970-01-01 UTC.
    pub(super) fn day_start(&self, date: Date) -> i64 {
        let midnight = i64::from(Day::from(date).0) * DAY_SECONDS;
        let shown = self.rules.to_ambiguous_timestamp(date.to_datetime(Time::midnight()));
        match shown.offset() {
            AmbiguousOffset::Unambiguous { offset } => midnight - i64::from(offset.seconds()),
            // The clock shows this midnight twice.
            AmbiguousOffset::Fold { before, .. } => midnight - i64::from(before.seconds()),
            // The clock skips this midnight: the day begins when the clock is put forward.
            AmbiguousOffset::Gap { before, .. } => {
                let not_before = midnight - i64::from(before.seconds());
                let change = self.rules.preceding(timestamp(not_before + 1)).next();
                change.map_or(not_before, |change| change.timestamp().as_second())
            }
        }
    }

    /// The time after this moment, until the offset changes.
    pub(super) fn steady_after(&self, seconds: i64) -> Steady {
        let until = self.changes_after(seconds).next().map_or(i64::MAX, |(change, _)| change);
        // A change at this moment may show a date again that it showed before, but not a later one.
        Steady { during: seconds + 2 * DAY_SECONDS..until, offset: self.offset_at(seconds) }
    }

    /// The date whose day a moment is in. Where the clock goes back over midnight, that is the later
    /// one. The calendar ends at the years 1 and 9999: what is beyond belongs to its last days.
    pub(super) fn date_of(&self, seconds: i64) -> Date {
        let mut date = self.shown_date(seconds);
        while let Ok(next) = date.tomorrow()
            && self.day_start(next) <= seconds
        {
            date = next;
        }
        date
    }

    /// The date that the clock shows.
    pub(super) fn shown_date(&self, seconds: i64) -> Date {
        let local = seconds + self.offset_at(seconds);
        Day(i32::try_from(local.div_euclid(DAY_SECONDS)).expect("the years 1 to 9999")).date()
    }

    /// How far the clock is ahead of UTC, in seconds.
    pub(super) fn offset_at(&self, seconds: i64) -> i64 {
        i64::from(self.rules.to_offset(timestamp(seconds)).seconds())
    }

    /// The changes of the offset after this moment, with the offset from then on.
    pub(super) fn changes_after(&self, seconds: i64) -> impl Iterator<Item = (i64, i64)> {
        let mut offset = self.offset_at(seconds);
        let all = self.rules.following(timestamp(seconds)).map(|change| change_of(&change));
        all.filter(move |&(_, after)| std::mem::replace(&mut offset, after) != after)
    }

    /// The last change of the offset at this moment or before it, but after the other one.
    pub(super) fn change_within(&self, after: i64, until: i64) -> Option<i64> {
        let all = self.rules.preceding(timestamp(until + 1)).map(|change| change_of(&change));
        all.take_while(|&(at, _)| at > after)
            .find(|&(at, offset)| self.offset_at(at - 1) != offset)
            .map(|(at, _)| at)
    }

    /// When a date begins, which is a quarter or an error.
    pub(super) fn first_quarter(&self, date: Date) -> Result<Quarter, Error> {
        quarter(self.day_start(date)).ok_or_else(|| self.off_quarter(date))
    }

    /// The error of a date that begins off the quarters, or has hours that do.
    pub(super) fn off_quarter(&self, date: Date) -> Error {
        let mut exact_from = ALL_EXACT_FROM.max(date.saturating_add(jiff::Span::new().days(1)));
        while let Ok(before) = exact_from.yesterday()
            && before > date
            && quarter(self.day_start(before)).is_some()
        {
            exact_from = before;
        }
        Error::OffQuarter { zone: self.name.to_string(), date, exact_from }
    }
}

// === impl Steady ===

impl Steady {
    /// When a date begins, if that is in this time.
    pub(super) fn day_start(&self, date: Day) -> Option<i64> {
        let start = i64::from(date.0) * DAY_SECONDS - self.offset;
        self.during.contains(&start).then_some(start)
    }
}

/// The quarter that begins at this moment.
pub(super) fn quarter(seconds: i64) -> Option<Quarter> {
    (seconds % (Quarter::MICROS / 1_000_000) == 0).then(|| Quarter::of_micros(seconds * 1_000_000))
}

/// When a quarter begins, in seconds since 1970-01-01 UTC.
pub(super) fn seconds(quarter: Quarter) -> i64 {
    quarter.start_micros() / 1_000_000
}

/// When a quarter begins, on a clock that is this far ahead of UTC (RFC 3339).
pub(super) fn shown(quarter: Quarter, utc_offset_seconds: i32) -> String {
    let local = seconds(quarter) + i64::from(utc_offset_seconds);
    let date = Day(i32::try_from(local.div_euclid(DAY_SECONDS)).expect("the years 1 to 9999"));
    let of_day = local.rem_euclid(DAY_SECONDS);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let offset = match (utc_offset_seconds, utc_offset_seconds.unsigned_abs() / 60) {
        (0, _) => "Z".to_owned(),
        (ahead, minutes) => {
            let sign = if ahead < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
        }
    };
    format!("{}T{hour:02}:{minute:02}:{second:02}{offset}", date.date())
}

/// The nearest that the calendar's clock has: it ends before the year 9999 does.
fn timestamp(seconds: i64) -> Timestamp {
    let seconds = seconds.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(seconds).expect("within the bounds")
}

fn change_of(change: &TimeZoneTransition<'_>) -> (i64, i64) {
    (change.timestamp().as_second(), i64::from(change.offset().seconds()))
}

/// `+02:00`, `-0330` or `+02`, of less than a day.
#[must_use]
pub fn offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits = digits.replace(':', "");
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = match digits.len() {
        2 => (&*digits, "0"),
        4 => digits.split_at(2),
        _ => return None,
    };
    let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (i32::from(hours) * 3_600 + i32::from(minutes) * 60)).ok()
}

#[cfg(test)]
mod tests {
    use tally_runtime::zones::TZDB_VERSION;

    use super::*;

    #[test]
    fn names_are_those_of_the_database() {
        for (given, name) in [
            ("Asia/Kolkata", "Asia/Kolkata"),
            ("asia/kolkata", "Asia/Kolkata"),
            ("ASIA/CALCUTTA", "Asia/Calcutta"),
            ("utc", "UTC"),
            ("Etc/GMT+5", "Etc/GMT+5"),
            ("+0530", "+05:30"),
            ("-03:30", "-03:30"),
            ("-00:45", "-00:45"),
            ("+02", "+02:00"),
            ("+00:00", "+00:00"),
        ] {
            assert_eq!(Zone::named(given).unwrap().name(), name);
        }
        let ahead = Zone::named("+05:30").unwrap();
        assert_eq!(Zone::named("+05:10"), Err(Error::OffsetOffQuarter));
        let (link, zone) = (Zone::named("Asia/Calcutta"), Zone::named("Asia/Kolkata"));
        let day = Date::constant(2015, 5, 17);
        let zone = zone.unwrap();
        assert_eq!(link.unwrap().day_start(day), zone.day_start(day));
        assert_eq!(ahead.day_start(day), zone.day_start(day));
    }

    #[test]
    fn a_time_is_shown_with_its_offset() {
        for (zone, shown) in [
            ("UTC", "1970-01-01T00:00:00Z"),
            ("+05:45", "1970-01-01T05:45:00+05:45"),
            ("-03:30", "1969-12-31T20:30:00-03:30"),
            ("Europe/Berlin", "1970-01-01T01:00:00+01:00"),
        ] {
            assert_eq!(Zone::named(zone).expect(zone).time(Quarter(0)), shown);
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_nearest_one() {
        for (given, nearest) in [
            ("Asia/Calcuta", Some("Asia/Calcutta")),
            ("berlin", Some("Europe/Berlin")),
            ("america/new york", Some("America/New_York")),
            ("", None),
            (" ", None),
            (" UTC", Some("Etc/UTC")),
            ("local", None),
            ("+5:30", None),
            ("+25:00", None),
            ("IST-5:30", None),
            ("CET-1CEST,M3.5.0,M10.5.0/3", None),
            ("../../etc/passwd", None),
        ] {
            let error = Zone::named(given).expect_err(given).to_string();
            let looks = format!(
                "no time zone of the tz database {TZDB_VERSION} is called so; names are such as \
                 Europe/Berlin, offsets such as +05:30"
            );
            let nearest = nearest.map(|name| format!(": did you mean {name}?")).unwrap_or_default();
            assert_eq!(error, looks + &nearest);
        }
        let long = Zone::named(&"ä".repeat(1 << 20)).expect_err("no name").to_string();
        assert!(long.len() < 200, "{long}");
    }
}
