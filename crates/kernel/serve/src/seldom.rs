//! A log line about strangers, who could otherwise fill the log: once a minute at most.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const PAUSE: Duration = Duration::from_secs(60);

/// Whose turn it is to log.
#[derive(Debug, Default)]
pub struct Seldom {
    last: Mutex<Option<Instant>>,
    others: AtomicU64,
}

// === impl Seldom ===

impl Seldom {
    /// If it is time, how many others were left out since the last turn.
    pub fn turn(&self) -> Option<u64> {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| now < last + PAUSE) {
            self.others.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *last = Some(now);
        Some(self.others.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_a_minute_tells_of_the_others() {
        let seldom = Seldom::default();
        assert_eq!([(); 3].map(|()| seldom.turn()), [Some(0), None, None]);
        tokio::time::advance(PAUSE).await;
        assert_eq!([(); 2].map(|()| seldom.turn()), [Some(2), None]);
    }
}
