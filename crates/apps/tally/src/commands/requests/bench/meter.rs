//! What streams have seen: how many requests were acknowledged, and after how long.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tonic::Status;

use super::pace::{Course, Rest};
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
    /// Times from due to acknowledged, one for each request, in microseconds. What was never
    /// acknowledged has the time for which it has waited.
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
    /// What streams had still to send.
    rests: Vec<Rest>,
    /// What is in doubt: how many requests, when they were due, and how long they were waited for.
    doubtful: Vec<(u64, Instant, Instant)>,
    /// How often the server refused something, and why for the first time.
    pub(super) refusals: u64,
    pub(super) first_refusal: Option<String>,
    /// Why a stream gave up.
    pub(super) failure: Option<String>,
}

/// What was acknowledged lately.
pub(super) struct Recent {
    pub(super) acknowledged: u64,
    /// In the measured time until now.
    pub(super) measured: u64,
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
            rests: Vec::new(),
            doubtful: Vec::new(),
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
        seen.ever_acknowledged += rows;
        seen.recent.saturating_record_n(micros(due, now), rows);
        seen.time(rows, due, now);
        if seen.is_measured(now) {
            seen.acknowledged += rows;
            seen.last = now;
        }
    }

    /// What belongs to no measurement: requests that name the series.
    pub(super) fn named(&self, rows: u64) {
        self.lock().ever_acknowledged += rows;
    }

    /// Nobody waits any more for the answer to requests that were due at this moment.
    pub(super) fn in_doubt(&self, rows: u64, due: Instant, now: Instant) {
        let mut seen = self.lock();
        seen.in_doubt += rows;
        seen.doubtful.push((rows, due, now));
    }

    /// A stream has ended, and had this still to send.
    pub(super) fn rest(&self, rest: Option<Rest>) {
        self.lock().rests.extend(rest);
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

    /// All streams have ended: what was due in the measured time and never acknowledged has waited until
    /// its end at least.
    pub(super) fn settle(&self) {
        let mut seen = self.lock();
        let (doubtful, rests) = (mem::take(&mut seen.doubtful), mem::take(&mut seen.rests));
        for (rows, due, until) in doubtful {
            let until = seen.end.map_or(until, |end| until.max(end));
            seen.time(rows, due, until);
        }
        let Some(end) = seen.end else { return };
        for (due, rows) in rests.iter().flat_map(|rest| rest.due_before(end)) {
            seen.time(rows, due, end);
            if due >= seen.measured_from {
                seen.unsent += rows;
            }
        }
    }

    /// What was acknowledged since this was last called.
    pub(super) fn recent(&self) -> Recent {
        let mut seen = self.lock();
        let acknowledged = seen.recent.len();
        let p99 = Duration::from_micros(seen.recent.value_at_quantile(0.99));
        seen.recent.reset();
        Recent { acknowledged, measured: seen.acknowledged, p99 }
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

    /// Times requests that have waited until now. What was due in the measured time has waited, even if
    /// the answer comes after it.
    fn time(&mut self, rows: u64, due: Instant, now: Instant) {
        let has_begun = now >= self.measured_from;
        if has_begun && self.end.is_none_or(|end| due < end && self.measured_from < end) {
            self.times.saturating_record_n(micros(due, now), rows);
        }
    }

    /// How long was measured. Without an end: up to the last acknowledgement.
    pub(super) fn measured(&self) -> Duration {
        self.end.unwrap_or(self.last).saturating_duration_since(self.measured_from)
    }

    /// The time that this share of requests was acknowledged within.
    #[cfg(test)]
    fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.times.value_at_quantile(quantile))
    }
}

fn micros(from: Instant, to: Instant) -> u64 {
    let micros = to.saturating_duration_since(from).as_micros();
    u64::try_from(micros).unwrap_or(MICROS_MAX).max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::watch;

    use super::super::pace::{Pace, Turn};
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

    /// The server answers within 1 ms, and nothing any more from the sixth of ten seconds on: five
    /// sends are on its way, and there is no room for the others.
    #[test]
    fn a_stall_that_lasts_until_the_end_is_seen_by_all_that_was_due_meanwhile() {
        let start = Instant::now();
        let course = course(start, Duration::ZERO, 10_000 * MS);
        let meter = Meter::new(&course);
        let pace = || Pace::new(start, 10 * MS, 0, 1);
        let mut due = pace();
        let mut turn = Turn::new(course, Some((pace(), Arc::default())), 7, None);
        for n in 0..605 {
            match n {
                0..600 => meter.acknowledged(7, due.due(), due.due() + MS),
                _ => meter.in_doubt(7, due.due(), start + 7_000 * MS),
            }
            due.pass();
            turn.sent(7);
        }
        meter.rest(turn.rest());
        meter.settle();
        let seen = meter.lock();
        assert_eq!((seen.times.len(), seen.unsent, seen.in_doubt), (7_000, 7 * 395, 35));
        assert_eq!(seen.times.count_between(5_000, 5_000_000), 7 * 400);
        let micros = |quantile| seen.quantile(quantile).as_micros() as u64;
        assert!(micros(0.5).abs_diff(1_000) <= 20, "{}", micros(0.5));
        // Half of those that wait were due in the first half of the stall.
        assert!(micros(0.8).abs_diff(2_000_000) <= 20_000, "{}", micros(0.8));
        assert!(micros(1.0).abs_diff(4_000_000) <= 10_000, "{}", micros(1.0));
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
        // Stopped within the warm-up: nothing is measured.
        let meter = Meter::new(&course(start, 100 * MS, 1_000 * MS));
        meter.close(start + 50 * MS);
        meter.acknowledged(1, start, start + 150 * MS);
        meter.in_doubt(1, start, start + 150 * MS);
        meter.settle();
        let seen = meter.lock();
        assert_eq!((seen.times.len(), seen.measured()), (0, Duration::ZERO));
    }
}
