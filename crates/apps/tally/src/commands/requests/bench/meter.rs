//! What streams have seen: how many requests were acknowledged, and after how long.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tonic::Status;

use super::pace::Course;
use crate::client::describe;

/// The longest time that is told apart, and to how many digits.
const MICROS_MAX: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

/// Where all streams of a run note what they see.
pub(super) struct Meter(Mutex<Seen>);

/// What was seen.
pub(super) struct Seen {
    measured_from: Instant,
    /// Acknowledgements are measured up to here, except that with `None` all are.
    end: Option<Instant>,
    /// Times from due to acknowledged, one for each request, in microseconds.
    pub(super) times: Histogram<u64>,
    /// The same since it was last asked for.
    recent: Histogram<u64>,
    /// When the last measured acknowledgement came.
    pub(super) last: Instant,
    /// Requests that were sent, and acknowledged, in the measured time.
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    /// Requests that were acknowledged at any time.
    pub(super) ever_acknowledged: u64,
    /// Requests of which nobody knows whether they are counted.
    pub(super) in_doubt: u64,
    /// Requests that were due in the measured time and not sent.
    pub(super) unsent: u64,
    /// How often the server refused something, and why for the first time.
    pub(super) refusals: u64,
    pub(super) first_refusal: Option<String>,
    /// Why a stream gave up.
    pub(super) failure: Option<String>,
}

/// What was acknowledged lately.
pub(super) struct Recent {
    pub(super) acknowledged: u64,
    pub(super) p99: Duration,
}

// === impl Meter ===

impl Meter {
    pub(super) fn new(course: &Course) -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, MICROS_MAX, DIGITS).expect("the bounds are in order");
        Self(Mutex::new(Seen {
            measured_from: course.measured_from,
            end: course.end,
            times: histogram(),
            recent: histogram(),
            last: course.measured_from,
            sent: 0,
            acknowledged: 0,
            ever_acknowledged: 0,
            in_doubt: 0,
            unsent: 0,
            refusals: 0,
            first_refusal: None,
            failure: None,
        }))
    }

    pub(super) fn sent(&self, rows: u64) {
        let mut seen = self.lock();
        if seen.is_measured(Instant::now()) {
            seen.sent += rows;
        }
    }

    /// Requests that were due at this moment, or sent if none is given, are acknowledged now.
    pub(super) fn acknowledged(&self, rows: u64, due: Instant, now: Instant) {
        let mut seen = self.lock();
        let micros = now.saturating_duration_since(due).as_micros();
        let micros = u64::try_from(micros).unwrap_or(MICROS_MAX).max(1);
        seen.ever_acknowledged += rows;
        seen.recent.saturating_record_n(micros, rows);
        // What was due in the measured time has waited, even if the answer came later.
        if now >= seen.measured_from && seen.end.is_none_or(|end| due < end) {
            seen.times.saturating_record_n(micros, rows);
        }
        if seen.is_measured(now) {
            seen.acknowledged += rows;
            seen.last = now;
        }
    }

    /// What belongs to no measurement: requests that name the series.
    pub(super) fn named(&self, rows: u64) {
        self.lock().ever_acknowledged += rows;
    }

    pub(super) fn in_doubt(&self, rows: u64) {
        self.lock().in_doubt += rows;
    }

    pub(super) fn unsent(&self, rows: u64) {
        self.lock().unsent += rows;
    }

    pub(super) fn refused(&self, status: &Status) {
        let mut seen = self.lock();
        seen.refusals += 1;
        seen.first_refusal.get_or_insert_with(|| describe(status));
    }

    pub(super) fn failed(&self, why: String) {
        self.lock().failure.get_or_insert(why);
    }

    /// Ends the measured time now, if it has not ended.
    pub(super) fn close(&self, now: Instant) {
        let mut seen = self.lock();
        seen.end = Some(seen.end.map_or(now, |end| end.min(now)));
    }

    /// What was acknowledged since this was last called.
    pub(super) fn recent(&self) -> Recent {
        let mut seen = self.lock();
        let acknowledged = seen.recent.len();
        let p99 = Duration::from_micros(seen.recent.value_at_quantile(0.99));
        seen.recent.reset();
        Recent { acknowledged, p99 }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Seen ===

impl Seen {
    fn is_measured(&self, now: Instant) -> bool {
        now >= self.measured_from && self.end.is_none_or(|end| now < end)
    }

    /// How long was measured. Without an end: up to the last acknowledgement.
    pub(super) fn measured(&self) -> Duration {
        self.end.unwrap_or(self.last).saturating_duration_since(self.measured_from)
    }

    /// The time that this share of requests was acknowledged within.
    pub(super) fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.times.value_at_quantile(quantile))
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::super::pace::Pace;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn course(start: Instant, warm_up: Duration, lasts: Duration) -> Course {
        let (_, stopped) = watch::channel(false);
        let measured_from = start + warm_up;
        Course { start, measured_from, end: Some(measured_from + lasts), stopped }
    }

    /// A server that answers within 1 ms stalls for a second, in which 100 of 1,000 sends are due. They
    /// wait up to a second, and 99 % of the others do not.
    #[test]
    fn a_stall_is_seen_by_all_that_was_due_meanwhile() {
        let start = Instant::now();
        let meter = Meter::new(&course(start, Duration::ZERO, 10_000 * MS));
        let mut pace = Pace::new(start, 10 * MS, 0, 1);
        let stall = (start + 5_000 * MS)..(start + 6_000 * MS);
        for _ in 0..1_000 {
            let due = pace.due();
            let answered = if stall.contains(&due) { stall.end } else { due };
            meter.acknowledged(7, due, answered + MS);
            pace.pass();
        }
        let seen = meter.lock();
        assert_eq!(seen.times.len(), 7_000);
        let near = |quantile, ms: u64| {
            let micros = seen.quantile(quantile).as_micros() as u64;
            assert!(micros.abs_diff(ms * 1_000) <= ms * 20 + 20, "{quantile}: {micros}");
        };
        near(0.5, 1);
        near(0.9, 1);
        // Half of those that waited were due in the first half of the stall.
        near(0.95, 501);
        near(1.0, 1_001);
        assert_eq!(seen.times.count_between(5_000, 2_000_000), 7 * 100);
    }

    #[test]
    fn the_warm_up_is_not_measured_and_late_answers_are_timed() {
        let start = Instant::now();
        let meter = Meter::new(&course(start, 100 * MS, 1_000 * MS));
        for (due, answered) in [(0, 50), (50, 150), (500, 600), (1_000, 1_500), (1_200, 1_300)] {
            meter.acknowledged(1, start + due * MS, start + answered * MS);
        }
        meter.named(3);
        let seen = meter.lock();
        assert_eq!((seen.ever_acknowledged, seen.acknowledged, seen.times.len()), (8, 2, 3));
        assert_eq!(seen.measured(), 1_000 * MS);
        drop(seen);
        assert_eq!(meter.recent().acknowledged, 5);
        assert_eq!(meter.recent().acknowledged, 0);
        meter.close(start + 700 * MS);
        assert_eq!(meter.lock().measured(), 600 * MS);
    }
}
