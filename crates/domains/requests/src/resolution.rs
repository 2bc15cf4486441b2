//! How precisely the times of requests are kept: those of one series in one step are merged into one row.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// How precisely times are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// A row for each request, with its microsecond.
    Raw,
    /// By seconds.
    #[default]
    Second,
    /// By minutes.
    Minute,
}

/// The text is not a resolution.
#[derive(Debug, thiserror::Error)]
#[error("write raw (a row for each request), 1s or 1m")]
pub struct InvalidResolution;

/// Rounds times down to the beginnings of their steps. Most have the step of the one before.
#[derive(Debug)]
pub(crate) struct Steps {
    micros: i64,
    last: Range<i64>,
}

// === impl Resolution ===

impl Resolution {
    /// How long a step is, in microseconds: a divisor of a quarter-hour. `None`: times are kept as they
    /// are.
    #[must_use]
    pub fn step_micros(self) -> Option<i64> {
        match self {
            Self::Raw => None,
            Self::Second => Some(1_000_000),
            Self::Minute => Some(60_000_000),
        }
    }
}

impl FromStr for Resolution {
    type Err = InvalidResolution;

    fn from_str(text: &str) -> Result<Self, InvalidResolution> {
        match text {
            "raw" => Ok(Self::Raw),
            "1s" => Ok(Self::Second),
            "1m" => Ok(Self::Minute),
            _ => Err(InvalidResolution),
        }
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Second => "1s",
            Self::Minute => "1m",
        })
    }
}

// === impl Steps ===

impl Steps {
    /// `None`: times are kept as they are.
    pub(crate) fn of(resolution: Resolution) -> Option<Self> {
        resolution.step_micros().map(|micros| Self { micros, last: 0..0 })
    }

    #[inline]
    pub(crate) fn start_of(&mut self, time: i64) -> i64 {
        if !self.last.contains(&time) {
            let start = time - time.rem_euclid(self.micros);
            self.last = start..start + self.micros;
        }
        self.last.start
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Day, Quarter};
    use tally_proto::wire::MICROS;

    #[test]
    fn texts_come_back() {
        for text in ["raw", "1s", "1m"] {
            assert_eq!(text.parse::<Resolution>().expect("a resolution").to_string(), text);
        }
        for text in ["", "Raw", "1h", "60s", "1"] {
            assert!(text.parse::<Resolution>().is_err(), "{text}");
        }
    }

    proptest! {
        /// So nothing moves to another period of any time zone, and no time leaves its range.
        #[test]
        fn a_step_is_within_a_quarter(times in prop::collection::vec(MICROS, 1..20)) {
            for resolution in [Resolution::Second, Resolution::Minute] {
                let mut steps = Steps::of(resolution).expect("steps");
                for time in &times {
                    let start = steps.start_of(*time);
                    prop_assert!(MICROS.contains(&start) && start <= *time);
                    prop_assert!(time - start < resolution.step_micros().expect("steps"));
                    prop_assert_eq!(Quarter::of_micros(start), Quarter::of_micros(*time));
                    prop_assert_eq!(Day::of_micros(start), Day::of_micros(*time));
                }
            }
        }
    }
}
