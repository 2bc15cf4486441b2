//! A limit on requests per second.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How much delay is made up for afterwards.
const CATCH_UP: Duration = Duration::from_secs(1);

/// When the next requests may be sent.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: u64,
    next: Instant,
}

// === impl Pace ===

impl Pace {
    pub(super) fn new(per_second: u64) -> Pace {
        Pace { per_second: per_second.max(1), next: Instant::now() }
    }

    /// Waits until the next requests may be sent. Cancel safe.
    pub(super) async fn ready(&self) {
        sleep_until(self.next).await;
    }

    /// Notes that this many requests were sent.
    pub(super) fn sent(&mut self, requests: u64) {
        let earliest = Instant::now().checked_sub(CATCH_UP).unwrap_or(self.next);
        let takes = Duration::from_micros(requests * 1_000_000 / self.per_second);
        self.next = self.next.max(earliest) + takes;
    }
}
