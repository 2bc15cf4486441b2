//! Clocks of time zones in 2024, and Apia's in 2011, by offsets that were looked up once: what a tz
//! database says is held against them.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use tally_requests::Day;
use tally_requests::periods::Granularity as By;

use super::{DAY, HOUR, IMPORTED, QUARTER, SECOND, YEAR};

/// A time zone: its name, and since when its clock is ahead of UTC by how much, both in seconds.
pub(super) struct Zone {
    pub(super) name: &'static str,
    offsets: &'static [(i64, i64)],
    /// The dates that are asked for.
    pub(super) dates: RangeInclusive<Date>,
}

/// Printed by Python 3.11 with tzdata 2025b, from the moments at which the offset differs from the one
/// a quarter-hour before:
///
/// `python3 -c 'import datetime as d, zoneinfo
/// def offset(zone, t): return int(d.datetime.fromtimestamp(t, zone).utcoffset().total_seconds())
/// for name, first in [("America/New_York", 2024), ("Pacific/Apia", 2011)]:  # and so on
///   zone, last = zoneinfo.ZoneInfo(name), None
///   for t in range(int(d.datetime(first - 1, 12, 1).timestamp()), int(d.datetime(first + 1, 2, 1).timestamp()), 900):
///     if offset(zone, t) != last: last = offset(zone, t); print(name, t, last)'`
pub(super) const ZONES: [Zone; 7] = [
    Zone { name: "UTC", offsets: &[(i64::MIN, 0)], dates: *IMPORTED.start()..=*YEAR.end() },
    Zone {
        name: "America/New_York",
        offsets: &[(i64::MIN, -18_000), (1_710_054_000, -14_400), (1_730_613_600, -18_000)],
        dates: YEAR,
    },
    Zone { name: "Asia/Kolkata", offsets: &[(i64::MIN, 19_800)], dates: YEAR },
    Zone { name: "Asia/Kathmandu", offsets: &[(i64::MIN, 20_700)], dates: YEAR },
    Zone {
        name: "Australia/Lord_Howe",
        offsets: &[(i64::MIN, 39_600), (1_712_415_600, 37_800), (1_728_142_200, 39_600)],
        dates: YEAR,
    },
    Zone {
        name: "America/St_Johns",
        offsets: &[(i64::MIN, -12_600), (1_710_048_600, -9_000), (1_730_608_200, -12_600)],
        dates: YEAR,
    },
    Zone {
        name: "Pacific/Apia",
        offsets: &[(i64::MIN, -36_000), (1_325_239_200, 50_400)],
        dates: date(2011, 12, 27)..=date(2012, 1, 2),
    },
];

// === impl Zone ===

impl Zone {
    pub(super) fn of(name: &str) -> &'static Zone {
        ZONES.iter().find(|zone| zone.name == name).expect("one of ours")
    }

    /// Since when the clock has been ahead of UTC by how much, in microseconds.
    pub(super) fn offset(&self, micros: i64) -> (i64, i64) {
        let is_reached = |(since, _): &&(i64, i64)| since.saturating_mul(SECOND) <= micros;
        let (since, offset) =
            self.offsets.iter().rfind(is_reached).expect("the first holds always");
        (since.saturating_mul(SECOND), offset * SECOND)
    }

    /// The day on the clock.
    pub(super) fn day(&self, micros: i64) -> Day {
        Day::of_micros(micros + self.offset(micros).1)
    }

    /// When the period of a time begins, on the clock, in microseconds, and the offset of a quarter or an hour.
    pub(super) fn period(&self, by: By, micros: i64) -> (i64, i64) {
        let (since, offset) = self.offset(micros);
        let local = micros + offset;
        if by == By::Quarter {
            return (local - local.rem_euclid(HOUR / 4), offset);
        }
        if by != By::Hour {
            return (Self::first_day(by, self.day(micros)).start_micros(), 0);
        }
        // An hour begins anew when the clock changes.
        ((local - local.rem_euclid(HOUR)).max(since.saturating_add(offset)), offset)
    }

    /// The first day of a day's period.
    pub(super) fn first_day(by: By, day: Day) -> Day {
        match by {
            By::Quarter | By::Hour | By::Day => day,
            // 1970-01-01 was a Thursday.
            By::Week => day.plus(-(day.0 + 3).rem_euclid(7)),
            By::Month => day.plus(1 - i32::from(day.date().day())),
            By::Year => day.plus(1 - i32::from(day.date().day_of_year())),
            By::Whole => Day(0),
        }
    }

    /// The moments at which its clock shows midnight or changes, on a day of UTC.
    pub(super) fn moments(&self, day: Day) -> Vec<i64> {
        let changes = self.offsets[1..].iter().flat_map(|(since, _)| {
            [-HOUR, -HOUR / 2, 0, HOUR / 2, HOUR].map(|beside| since * SECOND + beside)
        });
        let midnight = (day.start_micros()..)
            .step_by(QUARTER)
            .find(|micros| (micros + self.offset(*micros).1).rem_euclid(DAY) == 0);
        let moments = changes.chain(midnight);
        moments.filter(|micros| day.micros().contains(micros)).collect()
    }

    pub(super) fn changes_on(&self, date: Date) -> bool {
        self.offsets[1..].iter().any(|(since, _)| Day::of_micros(since * SECOND) == Day::from(date))
    }

    /// When a day begins, or if the clock skips it, the next one.
    pub(super) fn start(&self, day: Day) -> i64 {
        let near = day.start_micros() - DAY;
        let shows = |micros: &i64| self.day(*micros) >= day;
        (near..near + 2 * DAY + 1).step_by(QUARTER).find(shows).expect("within a day of UTC's")
    }
}

/// Such as `2024-03-10T01:30:00+05:30`.
pub(super) fn hour_label(local: i64, offset: i64) -> String {
    let day = Day::of_micros(local);
    let (seconds, minutes) = ((local - day.start_micros()) / SECOND, offset / SECOND / 60);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let sign = if minutes < 0 { '-' } else { '+' };
    let (ahead_hours, ahead_minutes) = (minutes.abs() / 60, minutes.abs() % 60);
    format!("{day}T{hour:02}:{minute:02}:{second:02}{sign}{ahead_hours:02}:{ahead_minutes:02}")
}

/// The list of offsets is no copy of what a server uses, but it must not be wrong either.
#[test]
fn the_offsets_are_those_of_a_tz_database() {
    for zone in &ZONES {
        let known = TimeZone::get(zone.name).unwrap();
        let (first, last) = (Day::from(*zone.dates.start()), Day::from(*zone.dates.end()));
        for micros in (first.start_micros()..last.micros().end).step_by(QUARTER) {
            let offset = known.to_offset(Timestamp::from_microsecond(micros).unwrap());
            let expected = i64::from(offset.seconds()) * SECOND;
            assert_eq!(zone.offset(micros).1, expected, "{} at {micros}", zone.name);
        }
    }
}

#[test]
fn hours_begin_when_the_clock_changes() {
    let zone = Zone::of("Australia/Lord_Howe");
    let change = 1_712_415_600 * SECOND;
    for (at, label) in [
        (change - 1, "2024-04-07T01:00:00+11:00"),
        (change, "2024-04-07T01:30:00+10:30"),
        (change + HOUR / 2, "2024-04-07T02:00:00+10:30"),
    ] {
        let (start, offset) = zone.period(By::Hour, at);
        assert_eq!(hour_label(start, offset), label);
    }
}
