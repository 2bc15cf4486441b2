//! What is agreed of a debt: its schedule and its limits.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use tally_runtime::durations::{self, shown};

use crate::schedule::{self, Schedule};

/// The highest number of failures to an alarm, or of successes to a recovery.
pub const IN_A_ROW_MAX: u16 = 720;

/// How many stages a debt has.
pub const STAGES_MAX: usize = 50;

/// The length of a stage's name.
pub const STAGE_CHARS_MAX: usize = 100;

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

/// Terms that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The schedule.
    #[error(transparent)]
    Schedule(#[from] schedule::Invalid),
    /// A limit is out of bounds.
    #[error("the {limit} is {}, but it is from {} to {}", shown(*.given), shown(*.min), shown(durations::MAX))]
    Limit {
        /// Its name.
        limit: &'static str,
        /// What it is.
        given: Duration,
        /// The least that it may be.
        min: Duration,
    },
    /// A number is out of bounds.
    #[error("the number of {what} is {given}, but it is from 1 to {max}")]
    Number {
        /// Of what.
        what: &'static str,
        /// What it is.
        given: u32,
        /// The highest.
        max: u32,
    },
    /// A run would be too short up to its end.
    #[error(
        "the minimum run, {}, is not shorter than the run limit, {}: no run could succeed",
        shown(*.min), shown(*.limit)
    )]
    NoRun {
        /// The minimum run.
        min: Duration,
        /// The run limit.
        limit: Duration,
    },
    /// A run that began in time would never be overdue.
    #[error(
        "a start limit needs a run limit or a heartbeat limit: without one, a run that began is never overdue"
    )]
    StartOnly,
    /// A deadline comes once.
    #[error("a deadline comes once: one failure must raise its alarm, not {0} in a row")]
    Once(u16),
    /// A stage has no usable name.
    #[error(
        "a stage's name has 1 to {STAGE_CHARS_MAX} characters, and each name comes once: {0:?}"
    )]
    Stage(String),
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

    /// Checks the terms, when a debt is made or amended.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn check(&self, now: Timestamp) -> Result<(), Vec<Invalid>> {
        let mut wrong: Vec<Invalid> = Vec::new();
        wrong.extend(self.schedule.check(now).err().map(Invalid::Schedule));
        let second = Duration::from_secs(1);
        let limits = [
            ("early window", Some(self.early_window), Duration::ZERO),
            ("start limit", self.start_limit, Duration::ZERO),
            ("grace", Some(self.grace), Duration::ZERO),
            ("run limit", self.run_limit, second),
            ("minimum run", self.run_min, Duration::ZERO),
            ("heartbeat limit", self.heartbeat_limit, second),
            ("period of the maximum rate", self.rate_max.map(|rate| rate.period), second),
        ];
        let time_outs =
            self.stages.iter().map(|stage| ("time-out of a stage", Some(stage.time_out), second));
        for (limit, given, min) in limits.into_iter().chain(time_outs) {
            let outside = given.filter(|given| !(min..=durations::MAX).contains(given));
            wrong.extend(outside.map(|given| Invalid::Limit { limit, given, min }));
        }
        let in_a_row = u32::from(IN_A_ROW_MAX);
        for (what, given, max) in [
            ("failures to an alarm", self.failures_to_alarm.into(), in_a_row),
            ("successes to a recovery", self.successes_to_recover.into(), in_a_row),
            (
                "payments of the maximum rate",
                self.rate_max.map_or(1, |rate| rate.payments),
                u32::MAX,
            ),
        ] {
            if !(1..=max).contains(&given) {
                wrong.push(Invalid::Number { what, given, max });
            }
        }
        wrong.extend(self.wrong_together());
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn wrong_together(&self) -> Vec<Invalid> {
        let mut wrong = Vec::new();
        if let (Some(min), Some(limit)) = (self.run_min, self.run_limit)
            && min >= limit
        {
            wrong.push(Invalid::NoRun { min, limit });
        }
        if self.start_limit.is_some() && self.run_limit.or(self.heartbeat_limit).is_none() {
            wrong.push(Invalid::StartOnly);
        }
        if matches!(self.schedule, Schedule::Deadline(_)) && self.failures_to_alarm > 1 {
            wrong.push(Invalid::Once(self.failures_to_alarm));
        }
        if self.stages.len() > STAGES_MAX {
            let (what, max) = ("stages", u32::try_from(STAGES_MAX).expect("small"));
            let given = u32::try_from(self.stages.len()).unwrap_or(u32::MAX);
            wrong.push(Invalid::Number { what, given, max });
        }
        let mut names = HashSet::new();
        for Stage { name, .. } in &self.stages {
            let is_name = (1..=STAGE_CHARS_MAX).contains(&name.chars().count());
            if !is_name || !names.insert(name) {
                wrong.push(Invalid::Stage(tally_runtime::text::beginning(name)));
            }
        }
        wrong
    }
}
