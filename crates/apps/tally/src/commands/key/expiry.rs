//! When a key expires, as an argument.

use anyhow::anyhow;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// When a key expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    After(SignedDuration),
    At(Timestamp),
}

// === impl Expiry ===

impl Expiry {
    pub(super) fn at(self, now: Timestamp) -> anyhow::Result<Timestamp> {
        let at = match self {
            Self::After(time) => now.checked_add(time).ok(),
            Self::At(at) => Some(at),
        };
        at.filter(|at| *at >= now)
            .ok_or_else(|| anyhow!("--expires: the time is over, or too far away"))
    }
}

pub(super) fn parse_expiry(text: &str) -> Result<Expiry, String> {
    if let Ok(time) = parse_time(text) {
        return Ok(Expiry::After(time));
    }
    if let Ok(at) = text.parse() {
        return Ok(Expiry::At(at));
    }
    let day = text.parse::<Date>().ok().and_then(|day| day.to_zoned(TimeZone::UTC).ok());
    let wrong = "write a time as in 90d or 12h, a day as in 2030-01-31, or a moment as in \
                 2030-01-31T12:00:00Z";
    day.map(|day| Expiry::At(day.timestamp())).ok_or_else(|| wrong.to_owned())
}

/// Reads `30s`, `15m`, `2h`, `90d` or `4w`.
pub(super) fn parse_time(text: &str) -> Result<SignedDuration, String> {
    let wrong = || "write a time as in 30m, 24h or 7d".to_owned();
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400), ("w", 7 * 86_400)];
    let unit = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds)));
    let (number, seconds) = unit.ok_or_else(wrong)?;
    let number: i64 = number.parse().map_err(|_| wrong())?;
    let seconds = number.checked_mul(seconds).filter(|seconds| *seconds >= 0);
    seconds.map(SignedDuration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_time_a_day_or_a_moment() {
        let hours = |hours| Ok(Expiry::After(SignedDuration::from_hours(hours)));
        assert_eq!(parse_expiry("90d"), hours(90 * 24));
        assert_eq!(parse_expiry("12h"), hours(12));
        let at = |text: &str| Ok(Expiry::At(text.parse().expect("a time")));
        assert_eq!(parse_expiry("2030-01-31"), at("2030-01-31T00:00:00Z"));
        assert_eq!(parse_expiry("2030-01-31T12:00:00+02:00"), at("2030-01-31T10:00:00Z"));
        for wrong in ["", "d", "-1d", "soon", "90", "2030-13-01", "99999999999999w"] {
            assert!(parse_expiry(wrong).is_err(), "{wrong}");
        }
        let now = "2026-01-01T00:00:00Z".parse().expect("a time");
        assert!(Expiry::At("2025-01-01T00:00:00Z".parse().expect("a time")).at(now).is_err());
        assert!(Expiry::After(SignedDuration::MAX).at(now).is_err());
    }
}
