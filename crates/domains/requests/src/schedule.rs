//! When a server rolls up by itself: once after a certain time of each UTC day.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

/// A minute and a day, in microseconds.
const MINUTE_MICROS: i64 = 60_000_000;
const DAY_MICROS: i64 = 24 * 60 * MINUTE_MICROS;

/// The word for no schedule.
const NEVER: &str = "never";

/// A time of day in UTC, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// In minutes after midnight.
    minute: Option<u16>,
}

/// The text is not a schedule.
#[derive(Debug, thiserror::Error)]
#[error("write a time of day in UTC as HH:MM, as in 00:10, or {NEVER}")]
pub struct InvalidSchedule;

// === impl Schedule ===

impl Schedule {
    /// Nothing is ever due.
    pub const NEVER: Self = Self { minute: None };

    /// Whether something is due that was last done at `last_run`, or never by this server: once after
    /// the time of each day. It is also due if the clock went back behind `last_run`, because what
    /// was done then may have been for other days.
    #[must_use]
    pub fn is_due(&self, now: Timestamp, last_run: Option<Timestamp>) -> bool {
        let (Some(minute), Some(last_run)) = (self.minute, last_run) else {
            return self.minute.is_some();
        };
        let (now, last_run) = (now.as_microsecond(), last_run.as_microsecond());
        let after_midnight = i64::from(minute) * MINUTE_MICROS;
        let since = (now - after_midnight).rem_euclid(DAY_MICROS);
        !(now - since..=now).contains(&last_run)
    }
}

impl FromStr for Schedule {
    type Err = InvalidSchedule;

    fn from_str(text: &str) -> Result<Self, InvalidSchedule> {
        if text == NEVER {
            return Ok(Self::NEVER);
        }
        let two_digits = |digits: &str, max| {
            let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.parse().ok().filter(|number: &u16| is_number && *number <= max);
            number.ok_or(InvalidSchedule)
        };
        let (hour, minute) = text.split_once(':').ok_or(InvalidSchedule)?;
        let minute = two_digits(hour, 23)? * 60 + two_digits(minute, 59)?;
        Ok(Self { minute: Some(minute) })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minute {
            Some(minute) => write!(f, "{:02}:{:02}", minute / 60, minute % 60),
            None => f.write_str(NEVER),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Schedule {
        text.parse().expect(text)
    }

    fn is_due(schedule: &str, now: &str, last_run: &str) -> bool {
        let time = |text: &str| text.parse::<Timestamp>().expect(text);
        at(schedule).is_due(time(now), Some(time(last_run)))
    }

    #[test]
    fn a_time_of_day_or_never() {
        for text in ["00:00", "00:10", "23:59", "never"] {
            assert_eq!(at(text).to_string(), text);
        }
        for text in
            ["", "24:00", "00:60", "0:10", "00:1", "+1:10", "00:10:00", "00.10", "0010", "none"]
        {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }

    #[test]
    fn it_is_due_once_after_the_time_of_each_day() {
        let due = |now, last_run| is_due("00:10", now, last_run);
        assert!(!due("2026-03-01T00:09:59.999999Z", "2026-02-28T00:10:00Z"));
        assert!(due("2026-03-01T00:10:00Z", "2026-02-28T00:10:00Z"));
        assert!(due("2026-03-01T00:10:00Z", "2026-03-01T00:09:59.999999Z"));
        assert!(!due("2026-03-01T00:10:01Z", "2026-03-01T00:10:00Z"));
        assert!(!due("2026-03-01T23:59:59Z", "2026-03-01T00:10:00Z"));
        // Leap days and the years' ends are days like others.
        assert!(!due("2028-02-29T00:09:00Z", "2028-02-28T00:10:00Z"));
        assert!(due("2028-02-29T00:10:00Z", "2028-02-28T00:10:00Z"));
        assert!(due("2029-01-01T00:10:00Z", "2028-12-31T00:10:00Z"));
        assert!(!due("1969-12-31T23:00:00Z", "1969-12-31T00:10:00Z"));
        assert!(due("1970-01-01T00:10:00Z", "1969-12-31T00:10:00Z"));
        // Before the time of a day, that of the day before counts.
        assert!(is_due("23:50", "2026-03-01T00:10:00Z", "2026-02-28T23:49:00Z"));
        assert!(!is_due("23:50", "2026-03-01T00:10:00Z", "2026-02-28T23:50:00Z"));
        // After a week without any.
        assert!(due("2026-03-08T00:09:00Z", "2026-03-01T00:10:00Z"));
    }

    #[test]
    fn a_server_begins_with_it_and_never_is_never() {
        let now = Timestamp::UNIX_EPOCH;
        assert!(at("00:10").is_due(now, None));
        assert!(!at("never").is_due(now, None));
        assert!(!at("never").is_due(now + 48.hours(), Some(now)));
    }

    #[test]
    fn a_clock_that_went_back_makes_it_due_once() {
        assert!(is_due("00:10", "2026-03-01T12:00:00Z", "2027-03-01T12:00:00Z"));
        assert!(is_due("00:10", "2026-03-01T12:00:00Z", "2026-03-01T12:00:01Z"));
        assert!(!is_due("00:10", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"));
    }

    proptest! {
        #[test]
        fn each_day_has_one_run_however_often_it_is_asked(
            minute in 0_u16..24 * 60,
            start in -62_135_596_800_i64..253_000_000_000,
            steps in prop::collection::vec(1_i64..40_000, 1..200),
        ) {
            let schedule = Schedule { minute: Some(minute) };
            let time = |second| Timestamp::from_second(second).unwrap();
            // How many times of day lie at or before a second.
            let passed = |second: i64| (second - i64::from(minute) * 60).div_euclid(86_400);
            let (mut now, mut last_run) = (start, start);
            for step in steps {
                now += step;
                let due = schedule.is_due(time(now), Some(time(last_run)));
                prop_assert_eq!(due, passed(now) > passed(last_run));
                if due {
                    last_run = now;
                }
            }
        }
    }
}
