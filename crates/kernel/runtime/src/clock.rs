//! The clock: the only place that asks the machine what time it is.

use std::sync::Mutex;

use jiff::Timestamp;

use crate::faults;

/// Tells the time, so that a test can decide what time it is.
pub trait Clock: Send + Sync + 'static {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// A clock that stands still until it is set. For tests.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

// === impl SystemClock ===

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock module")]
    fn now(&self) -> Timestamp {
        faults::clock(Timestamp::now())
    }
}

// === impl ManualClock ===

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves the clock, forward or back.
    pub fn set(&self, now: Timestamp) {
        *self.lock() = now;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Timestamp> {
        self.0.lock().expect("no one panics while holding the clock")
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.lock()
    }
}
