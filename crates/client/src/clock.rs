//! The clock: the only place of this crate that asks the machine what time it is.

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

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// The clock of a queue. The machine's own is called without an indirection.
#[derive(Clone, Default)]
pub(crate) enum AnyClock {
    #[default]
    System,
    Other(Arc<dyn Clock>),
}

/// Longer than any process lives: 30 years.
const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);

/// The last second of the times that can be sent.
const LAST_SECOND: u64 = (*MICROS.end() / 1_000_000).cast_unsigned();

// === impl SystemClock ===

impl Clock for SystemClock {
    #[inline]
    #[allow(clippy::disallowed_methods, reason = "this is the clock module")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

// === impl AnyClock ===

impl AnyClock {
    #[inline]
    pub(crate) fn now(&self) -> SystemTime {
        match self {
            Self::System => SystemClock.now(),
            Self::Other(clock) => clock.now(),
        }
    }

    /// The latest time that a server with this clock would take.
    pub(crate) fn latest_micros(&self) -> i64 {
        self.micros().saturating_add(AHEAD_MICROS_MAX)
    }

    /// Now, in microseconds since 1970-01-01 UTC. A clock that is beyond what can be sent
    /// shows the nearest time that can be.
    #[inline]
    pub(crate) fn micros(&self) -> i64 {
        let now = self.now();
        match now.duration_since(UNIX_EPOCH) {
            Ok(since) if since.as_secs() <= LAST_SECOND => {
                since.as_secs().cast_signed() * 1_000_000 + i64::from(since.subsec_micros())
            }
            Ok(_) => *MICROS.end(),
            Err(_) => micros(now).unwrap_or(*MICROS.start()),
        }
    }
}

impl fmt::Debug for AnyClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Other(_) => "Other",
        })
    }
}

/// A time in microseconds since 1970-01-01 UTC, if it can be sent. Parts of a microsecond are
/// cut off towards the past.
pub(crate) fn micros(time: SystemTime) -> Option<i64> {
    let micros = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).ok()?,
        Err(before) => {
            let before = before.duration();
            let up = u128::from(!before.subsec_nanos().is_multiple_of(1000));
            -i64::try_from(before.as_micros() + up).ok()?
        }
    };
    in_range(micros).then_some(micros)
}

/// Whether a time can be sent.
pub(crate) fn in_range(micros: i64) -> bool {
    MICROS.contains(&micros)
}

/// The time that so many microseconds after 1970-01-01 UTC are.
pub(crate) fn time(micros: i64) -> SystemTime {
    let distance = Duration::from_micros(micros.unsigned_abs());
    let time = if micros < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    };
    time.unwrap_or(UNIX_EPOCH)
}

/// This long after a moment; if that cannot be represented, far in the future.
pub(crate) fn later(moment: Instant, limit: Duration) -> Instant {
    moment.checked_add(limit).unwrap_or_else(|| moment + FAR)
}

/// The UTC day of a time: days since 1970-01-01.
#[inline]
pub(crate) fn day(micros: i64) -> i32 {
    i32::try_from(micros.div_euclid(DAY_MICROS)).unwrap_or(if micros < 0 {
        i32::MIN
    } else {
        i32::MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_round_to_the_past() {
        let before = UNIX_EPOCH - Duration::from_nanos(1);
        assert_eq!(micros(before), Some(-1));
        assert_eq!(day(-1), -1);
        assert_eq!(micros(UNIX_EPOCH + Duration::from_nanos(1999)), Some(1));
        assert_eq!(micros(time(-86_400_000_001)), Some(-86_400_000_001));
        assert_eq!(day(-86_400_000_001), -2);
        assert_eq!(day(86_400_000_000), 1);
    }

    #[test]
    fn what_cannot_be_sent_is_no_time() {
        assert_eq!(micros(time(*MICROS.end())), Some(*MICROS.end()));
        assert_eq!(micros(time(MICROS.end() + 1)), None);
        assert_eq!(micros(time(MICROS.start() - 1)), None);
        struct Fixed(i64);
        impl Clock for Fixed {
            fn now(&self) -> SystemTime {
                time(self.0)
            }
        }
        for (at, shows) in [(MICROS.end() + 1, *MICROS.end()), (-5, -5), (7, 7)] {
            assert_eq!(AnyClock::Other(Arc::new(Fixed(at))).micros(), shows);
        }
    }
}
