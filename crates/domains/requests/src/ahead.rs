//! Clients whose times are ahead of the server's clock: one of the two clocks is wrong.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::InvalidBatch;

/// Log at most this often.
const INTERVAL_MICROS: i64 = 60_000_000;

/// Watches the times that clients send.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// When a time that was not ahead last came, by the server's clock.
    last_in_time: AtomicI64,
    since: Mutex<Since>,
}

/// What has come since the last log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Since {
    logged_at: Option<i64>,
    times: u64,
    ahead_seconds: i64,
}

// === impl Ahead ===

impl Ahead {
    pub(crate) fn new() -> Self {
        Self { last_in_time: AtomicI64::new(i64::MIN), since: Mutex::default() }
    }

    /// The times of some requests are not ahead.
    pub(crate) fn in_time(&self, now_micros: i64) {
        self.last_in_time.store(now_micros, Ordering::Relaxed);
    }

    /// Notes a batch: refused, or with no time ahead.
    pub(crate) fn note(&self, now_micros: i64, refused: Option<&InvalidBatch>) {
        match refused {
            None => self.in_time(now_micros),
            Some(InvalidBatch::TimeAhead { ahead_seconds, .. }) => {
                self.refused(now_micros, *ahead_seconds);
            }
            Some(_) => {}
        }
    }

    /// A request or batch was refused because its time is ahead.
    pub(crate) fn refused(&self, now_micros: i64, ahead_seconds: i64) {
        let Some((Since { times, ahead_seconds, .. }, are_all)) =
            self.notice(now_micros, ahead_seconds)
        else {
            return;
        };
        if are_all {
            tracing::error!(
                times,
                ahead_seconds,
                "the times of all clients are more than 24 h ahead: this server's clock is behind, \
                 most likely. Nothing is counted until it is set; clients of Record wait for that"
            );
        } else {
            tracing::warn!(
                times,
                ahead_seconds,
                "times are more than 24 h ahead of this server's clock, and are not counted: a \
                 client's clock is wrong, or this one"
            );
        }
    }

    /// What to log, if anything, and whether all clients are ahead, which takes an interval to
    /// tell.
    fn notice(&self, now_micros: i64, ahead_seconds: i64) -> Option<(Since, bool)> {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.times += 1;
        since.ahead_seconds = since.ahead_seconds.max(ahead_seconds);
        let is_recent = |at: i64| (0..INTERVAL_MICROS).contains(&now_micros.saturating_sub(at));
        if since.logged_at.is_some_and(is_recent) {
            return None;
        }
        let was_in_time = is_recent(self.last_in_time.load(Ordering::Relaxed));
        let now = Since { logged_at: Some(now_micros), ..Since::default() };
        let before = std::mem::replace(&mut *since, now);
        Some((before, before.logged_at.is_some() && !was_in_time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn it_is_logged_once_a_minute_and_loudly_when_nobody_is_in_time() {
        let ahead = Ahead::new();
        let notice = |times, ahead_seconds, are_all| Some((times, ahead_seconds, are_all));
        let noticed = |now_micros, ahead_seconds| {
            let (since, are_all) = ahead.notice(now_micros, ahead_seconds)?;
            Some((since.times, since.ahead_seconds, are_all))
        };
        ahead.in_time(0);
        assert_eq!(noticed(SECOND, 100_000), notice(1, 100_000, false));
        for second in 2..61 {
            assert_eq!(noticed(second * SECOND, 90_000 + second), None);
        }
        assert_eq!(noticed(61 * SECOND, 7), notice(60, 90_060, true), "60 s after it");
        ahead.in_time(100 * SECOND);
        assert_eq!(noticed(121 * SECOND, 7), notice(1, 7, false));
        assert_eq!(noticed(181 * SECOND, 7), notice(1, 7, true));
    }

    #[test]
    fn one_client_alone_is_given_a_minute() {
        let ahead = Ahead::new();
        assert!(!ahead.notice(5, 100_000).expect("the first").1);
        assert!(ahead.notice(5 + INTERVAL_MICROS, 100_000).expect("a minute later").1);
    }

    #[test]
    fn a_clock_that_is_set_back_is_no_reason_to_be_silent() {
        let ahead = Ahead::new();
        assert!(ahead.notice(1_000 * SECOND, 100_000).is_some());
        assert!(ahead.notice(0, 100_000).is_some());
    }
}
