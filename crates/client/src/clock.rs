//! The clock: the only place in this crate that reads the machine's time.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tally_proto::wire::{AHEAD_MICROS_MAX, DAY_MICROS, MICROS};
use tokio::time::Instant;

/// Tells the time, so that a test can decide what time it is.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> SystemTime;
}

/// The machine's clock, called without an indirection, or another.
#[derive(Clone, Default)]
pub(crate) struct AnyClock(pub(crate) Option<Arc<dyn Clock>>);

/// Longer than any process lives: 30 years.
const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);

// === impl AnyClock ===

impl AnyClock {
    /// The latest time that a server with this clock accepts.
    pub(crate) fn latest_micros(&self) -> i64 {
        self.micros().saturating_add(AHEAD_MICROS_MAX)
    }

    /// Now, in microseconds since 1970-01-01 UTC, or the nearest time that can be sent.
    #[inline]
    pub(crate) fn micros(&self) -> i64 {
        let now = match &self.0 {
            #[allow(clippy::disallowed_methods, reason = "this is the clock module")]
            None => SystemTime::now(),
            Some(clock) => clock.now(),
        };
        micros(now).unwrap_or(if now < UNIX_EPOCH { *MICROS.start() } else { *MICROS.end() })
    }
}

impl fmt::Debug for AnyClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyClock")
    }
}

/// Microseconds since 1970-01-01 UTC, rounded down, if this time can be sent.
#[inline]
pub(crate) fn micros(time: SystemTime) -> Option<i64> {
    let (since, sign) = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (since, 1),
        Err(before) => (before.duration() + Duration::from_nanos(999), -1),
    };
    let seconds = i64::try_from(since.as_secs()).ok()?.checked_mul(1_000_000)?;
    let micros = sign * seconds.checked_add(i64::from(since.subsec_micros()))?;
    MICROS.contains(&micros).then_some(micros)
}

/// The time of this many microseconds after 1970-01-01 UTC.
pub(crate) fn time(micros: i64) -> SystemTime {
    let distance = Duration::from_micros(micros.unsigned_abs());
    let time = match micros < 0 {
        true => UNIX_EPOCH.checked_sub(distance),
        false => UNIX_EPOCH.checked_add(distance),
    };
    time.unwrap_or(UNIX_EPOCH)
}

/// This long after a moment, or far in the future if that overflows.
pub(crate) fn later(moment: Instant, limit: Duration) -> Instant {
    moment.checked_add(limit).unwrap_or_else(|| moment + FAR)
}

/// The UTC day of a time: days since 1970-01-01.
#[inline]
pub(crate) fn day(micros: i64) -> i32 {
    i32::try_from(micros.div_euclid(DAY_MICROS)).expect("64 bits of microseconds are 28 of days")
}

#[cfg(test)]
mod tests;
