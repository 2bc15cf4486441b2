//! Stopping all threads, and pausing until then.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Whether the run stops.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

/// Stops the other threads when one ends, even by an error or a panic.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a Stop);

// === impl Stop ===

impl Stop {
    pub(crate) fn set(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_set(&self) -> bool {
        *self.lock()
    }

    /// Waits for this long or until the run stops. Returns whether the run continues.
    pub(crate) fn pause(&self, length: Duration) -> bool {
        let end = Instant::now() + length;
        let mut stopped = self.lock();
        while !*stopped {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            stopped = self
                .changed
                .wait_timeout(stopped, left)
                .expect("no thread panics while it holds the flag")
                .0;
        }
        false
    }

    /// As [`Stop::pause`], in milliseconds.
    pub(crate) fn pause_ms(&self, ms: u64) -> bool {
        self.pause(Duration::from_millis(ms))
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.stopped.lock().expect("no thread panics while it holds the flag")
    }
}

// === impl StopOnDrop ===

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set();
    }
}
