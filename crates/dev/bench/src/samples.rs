//! Times, and what is printed of them.

use std::fmt;
use std::time::Duration;

/// Times of the same thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

// === impl Samples ===

impl Samples {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn join(&mut self, other: Samples) {
        self.0.extend(other.0);
    }

    /// The time that this part of them, in thousandths, does not exceed.
    pub(crate) fn at(&self, permille: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * permille).div_ceil(1_000).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    pub(crate) fn median(&self) -> Duration {
        self.at(500)
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, permille) in [("p50", 500), ("p99", 990), ("p99.9", 999), ("max", 1_000)] {
            write!(f, "{name} {:>8}  ", ms(self.at(permille)))?;
        }
        write!(f, "ms of {}", self.0.len())
    }
}

/// A time in milliseconds.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}

/// So many in this time, as a rate.
pub(crate) fn per_second(count: u64, time: Duration) -> String {
    format!("{:.0}/s", count as f64 / time.as_secs_f64().max(1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_smallest_time_that_enough_do_not_exceed() {
        let mut samples = Samples::default();
        assert_eq!(samples.at(500), Duration::ZERO);
        (1..=1_000).rev().for_each(|ms| samples.add(Duration::from_millis(ms)));
        let at = |permille| samples.at(permille).as_millis();
        assert_eq!([at(0), at(500), at(990), at(999), at(1_000)], [1, 500, 990, 999, 1_000]);
    }
}
