//! What is agreed of a debt: its schedule and its limits.

use std::time::Duration;

use crate::schedule::Schedule;

/// The highest number of failures to an alarm, or of successes to a recovery.
pub const IN_A_ROW_MAX: u16 = 720;

/// What is agreed of a debt. All of it is stored with the debt; durations are whole seconds.
///
/// Without a start limit, the payment itself must come within `grace` of what is due. With one, a
/// run must begin within it, and then the run's own limits are all that counts for what it began
/// for: started at 06:00 with a run limit of 6 h, nothing is overdue before 12:00.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// When something is due.
    pub schedule: Schedule,
    /// How long before a cron expression's next time a payment settles that time already, and not
    /// the one before. An interval has no use for it, and a deadline can be met at any time before.
    pub early_window: Duration,
    /// How long after something is due a run must have begun, if that is timed apart.
    pub start_limit: Option<Duration>,
    /// How long after something is due its payment may come.
    pub grace: Duration,
    /// How long a run may take.
    pub run_limit: Option<Duration>,
    /// A success after a shorter run counts as a failure.
    pub run_min: Option<Duration>,
    /// How long a run may be silent: since its start, its last stage or its last heartbeat.
    pub heartbeat_limit: Option<Duration>,
    /// Payments beyond it count as failures.
    pub rate_max: Option<Rate>,
    /// How many failures in a row raise the alarm, at least 1. What is overdue, and a run that
    /// exceeds its limits, is a failure.
    pub failures_to_alarm: u16,
    /// How many successes in a row end it, at least 1.
    pub successes_to_recover: u16,
    /// What a run goes through, in the order in which people read it. They may come in any order.
    pub stages: Vec<Stage>,
}

/// How many payments, successes and failures, there may be in each period of this length, counted
/// from 1970-01-01 UTC on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub payments: u32,
    /// At least 1 s.
    pub period: Duration,
}

/// A stage of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name, unique among the stages of its debt.
    pub name: String,
    /// How long after the start of the run it must have come.
    pub time_out: Duration,
}

// === impl Terms ===

impl Terms {
    /// Of a debt with this schedule and grace, and no other limits.
    #[must_use]
    pub fn new(schedule: Schedule, grace: Duration) -> Self {
        Self {
            schedule,
            early_window: Duration::ZERO,
            start_limit: None,
            grace,
            run_limit: None,
            run_min: None,
            heartbeat_limit: None,
            rate_max: None,
            failures_to_alarm: 1,
            successes_to_recover: 1,
            stages: Vec::new(),
        }
    }
}
