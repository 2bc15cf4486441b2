//! The zone of times without an offset from UTC.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, TimeZone};
use tally_proto::wire::DAY_MICROS;
use tally_requests::periods::{self, offset};

use super::BadTime;

/// `UTC`, an offset such as `+05:30`, or a name in the bundled time zone database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone(TimeZone);

// === impl Zone ===

impl Zone {
    /// The instant of a local time, given as if it were UTC. If an hour occurs twice, the first is
    /// meant, unless they are on different UTC days.
    pub(super) fn to_utc(&self, local: i64) -> Result<i64, BadTime> {
        let local = Timestamp::from_microsecond(local).map_err(|_| BadTime::Range)?;
        let local = TimeZone::UTC.to_datetime(local);
        let found = self.0.to_ambiguous_timestamp(local);
        let (first, second) = match found.offset() {
            AmbiguousOffset::Unambiguous { offset } => (offset, offset),
            AmbiguousOffset::Fold { before, after } => (before, after),
            AmbiguousOffset::Gap { .. } => return Err(BadTime::Clocks),
        };
        let [first, second] = [first, second].map(|offset| offset.to_timestamp(local));
        let first = first.map_err(|_| BadTime::Range)?.as_microsecond();
        let second = second.map_err(|_| BadTime::Range)?.as_microsecond();
        let same_day = first.div_euclid(DAY_MICROS) == second.div_euclid(DAY_MICROS);
        if same_day { Ok(first) } else { Err(BadTime::Clocks) }
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("UTC") || text == "Z" {
            return Ok(Self(TimeZone::UTC));
        }
        if let Some(offset) = offset(text) {
            return Ok(Self(TimeZone::fixed(offset)));
        }
        if text.starts_with(|character: char| character.is_ascii_alphabetic() || character == '<')
            && let Ok(zone) = TimeZone::posix(text)
        {
            return Ok(Self(zone));
        }
        TimeZone::get(text).map(Self).map_err(|error| match periods::Zone::named(text) {
            Err(unknown) => unknown.to_string(),
            Ok(_) => error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::requests::import::parse::time::parse_logged;

    fn utc(text: &str, zone: &str) -> Result<String, BadTime> {
        let zone = zone.parse().expect("a zone");
        let micros = parse_logged(text, Some(&zone))?;
        Ok(Timestamp::from_microsecond(micros).expect("in range").to_string())
    }

    #[test]
    fn a_zone_is_for_times_without_an_offset() {
        let at = "02/Mar/2026:10:00:01.294";
        assert_eq!(utc(at, "UTC").as_deref(), Ok("2026-03-02T10:00:01.294Z"));
        assert_eq!(utc(at, "+05:30").as_deref(), Ok("2026-03-02T04:30:01.294Z"));
        assert_eq!(utc(at, "-0330").as_deref(), Ok("2026-03-02T13:30:01.294Z"));
        assert_eq!(utc("2026-03-02T10:00:01Z", "+05").as_deref(), Ok("2026-03-02T10:00:01Z"));
    }

    #[test]
    fn hours_that_come_twice_or_never() {
        // POSIX: no database is needed. In Berlin the clocks go back on 2025-10-26 at 03:00.
        let berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
        assert_eq!(utc("26/Oct/2025:02:30:00", berlin).as_deref(), Ok("2025-10-26T00:30:00Z"));
        assert_eq!(utc("26/Oct/2025:03:30:00", berlin).as_deref(), Ok("2025-10-26T02:30:00Z"));
        // Ten minutes before or after midnight UTC: nobody knows which day it is.
        let lisbon = "WET0WEST,M3.5.0/1,M10.5.0/1";
        assert_eq!(utc("26/Oct/2025:00:30:00", lisbon), Err(BadTime::Clocks));
        assert_eq!(utc("31/Dec/2025:23:59:59", lisbon).as_deref(), Ok("2025-12-31T23:59:59Z"));
    }

    #[test]
    fn junk_is_no_zone() {
        for junk in ["", "Mars/Olympus", "+2", "+25:00", "+01:75", "++200"] {
            assert!(junk.parse::<Zone>().is_err(), "{junk}");
        }
        let why = "Berlin".parse::<Zone>().expect_err("no zone");
        assert!(why.ends_with(": did you mean Europe/Berlin?"), "{why}");
    }
}
