//! A UTC day.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;

/// A day in microseconds.
const DAY_MICROS: i64 = 86_400_000_000;

/// A UTC day, as the number of days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

// === impl Day ===

impl Day {
    /// 0001-01-01, the first day.
    pub const MIN: Self = Self(-719_162);
    /// 9999-12-31, the last day.
    pub const MAX: Self = Self(2_932_896);

    /// The day of a time in microseconds since 1970-01-01 UTC.
    pub fn of_micros(micros: i64) -> Self {
        Self(i32::try_from(micros.div_euclid(DAY_MICROS)).expect("10^19 µs are fewer days"))
    }

    /// The day of a time.
    pub fn of(time: Timestamp) -> Self {
        Self::of_micros(time.as_microsecond())
    }

    /// When it begins, in microseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn start_micros(self) -> i64 {
        i64::from(self.0) * DAY_MICROS
    }

    /// Its microseconds, since 1970-01-01 UTC.
    #[must_use]
    pub fn micros(self) -> std::ops::Range<i64> {
        self.start_micros()..self.plus(1).start_micros()
    }

    /// `days` later, or earlier.
    #[must_use]
    pub fn plus(self, days: i32) -> Self {
        Self(self.0 + days)
    }

    /// As a calendar date.
    #[must_use]
    pub fn date(self) -> Date {
        let days = jiff::Span::new().days(self.0.clamp(Self::MIN.0, Self::MAX.0));
        Date::constant(1970, 1, 1).checked_add(days).expect("within the years 1 to 9999")
    }
}

impl From<Date> for Day {
    fn from(date: Date) -> Self {
        let days = (date - Date::constant(1970, 1, 1)).get_days();
        Self(days)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_begin_and_end_in_utc() {
        let midnight: Timestamp = "2015-05-17T00:00:00Z".parse().unwrap();
        let before: Timestamp = "2015-05-16T23:59:59.999999Z".parse().unwrap();
        assert_eq!(Day::of(midnight).to_string(), "2015-05-17");
        assert_eq!(Day::of(before).to_string(), "2015-05-16");
        assert_eq!(Day::MIN.to_string(), "0001-01-01");
        assert_eq!(Day::MAX.to_string(), "9999-12-31");
    }

    proptest! {
        #[test]
        fn a_day_contains_its_own_microseconds(day in Day::MIN.0..=Day::MAX.0, offset in 0..DAY_MICROS) {
            let day = Day(day);
            prop_assert_eq!(Day::of_micros(day.start_micros() + offset), day);
            prop_assert!(day.micros().contains(&(day.start_micros() + offset)));
            prop_assert_eq!(Day::from(day.date()), day);
        }
    }
}
