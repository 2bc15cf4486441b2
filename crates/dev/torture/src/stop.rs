//! Stopping all threads, and pausing until then.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

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
    pub(crate) fn pause(&self, ms: u64) -> bool {
        let length = Duration::from_millis(ms);
        let waited = self.changed.wait_timeout_while(self.lock(), length, |stopped| !*stopped);
        !*waited.expect("no thread panics while it holds the flag").0
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
