//! What all streams of a run share, and when one gives up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tally_proto::wire::{self, DAY_MICROS, reason};
use tally_runtime::{Clock, backoff, random};
use tokio::time::{sleep, sleep_until};
use tonic::Status;

use super::meter::Meter;
use super::mix::{Shape, Work, mixed};
use crate::client::{describe, may_be_done};

/// Pauses before something is tried again.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What all streams of a run share.
pub(super) struct Shared {
    pub(super) work: Arc<Work>,
    pub(super) shape: Shape,
    pub(super) meter: Meter,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) seed: u64,
    /// How many days the times are spread over.
    pub(super) days: u64,
    /// How many batches or calls of a stream are on their way at most.
    pub(super) in_flight: usize,
    pub(super) patience: Duration,
}

/// How long a stream has waited for anything to happen.
pub(super) struct Patience {
    max: Duration,
    since: Instant,
    /// How often something failed since then.
    failures: u32,
}

// === impl Shared ===

impl Shared {
    /// The time of the last request of a batch or call that is sent now: on one of the days.
    pub(super) fn micros(&self, stream: usize, number: u64) -> i64 {
        let now = self.clock.now().as_microsecond();
        let random = mixed(self.seed, (stream as u64) << 40 ^ number);
        now - (random % self.days) as i64 * DAY_MICROS
    }
}

// === impl Patience ===

impl Patience {
    pub(super) fn new(max: Duration) -> Self {
        Self { max, since: Instant::now(), failures: 0 }
    }

    /// Something happened.
    pub(super) fn renew(&mut self, now: Instant) {
        self.since = now;
        self.failures = 0;
    }

    /// Something was sent: the server has this long from now, unless it is sent because something failed.
    pub(super) fn sent(&mut self, now: Instant) {
        if self.failures == 0 {
            self.since = now;
        }
    }

    /// Waits until it is at its end, and says so. What is only due later needs no patience before.
    pub(super) async fn end(&self, due: Option<Instant>) -> Status {
        let since = due.map_or(self.since, |due| due.max(self.since));
        sleep_until((since + self.max).into()).await;
        let seconds = self.max.as_secs();
        Status::deadline_exceeded(format!("the server acknowledged nothing within {seconds} s"))
    }

    /// Pauses after a failure, or says why it is no use to try again.
    pub(super) async fn pause(&mut self, status: &Status) -> Result<(), String> {
        if !can_pass(status) || self.since.elapsed() >= self.max {
            return Err(describe(status));
        }
        self.failures += 1;
        sleep(backoff::pause(PAUSE_MIN, PAUSE_MAX, self.failures, random::number())).await;
        Ok(())
    }
}

/// Whether a call that failed may succeed later.
fn can_pass(status: &Status) -> bool {
    let is_passing = |name| {
        [reason::OUT_OF_SEQUENCE, reason::TOO_MANY_PRODUCERS, reason::PRODUCER_FORGOTTEN]
            .contains(&name)
    };
    may_be_done(status) || wire::trailer(status, wire::REASON_TRAILER).is_some_and(is_passing)
}
