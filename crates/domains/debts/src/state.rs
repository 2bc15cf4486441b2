//! What payments, sweeps, pauses and resumptions make of a debt. Values in, values out.
//!
//! A state is a ledger's: whoever goes through the payments, sweeps, pauses and resumptions of a debt
//! in the order in which they were stored comes to the same state again.
//!
//! | file | what it owns |
//! |---|---|
//! | `ledger.rs` | a debt while something is done to it: what is overdue, failures, successes, flips |
//! | `limits.rs` | when a debt and its runs are overdue, and what a time without a server adds |
//! | `pay.rs` | payments |
//! | `turn.rs` | sweeps, pauses, resumptions, and new terms |

mod ledger;
mod limits;
mod pay;
#[cfg(test)]
mod tests;
mod turn;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub use self::pay::pay;
pub use self::turn::{amend, pause, resume, sweep};
use crate::schedule::whole_micros;
use crate::terms::Terms;

/// How many runs of a debt may be open. One that begins beyond it ends the oldest.
pub const OPEN_RUNS_MAX: usize = 100;

/// By how much the clocks of servers may differ: more than payments wait to be stored.
pub const CLOCK_AHEAD_MAX: SignedDuration = SignedDuration::from_mins(2);

/// What is stored of a debt beside its terms. All fields must be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Where it stands.
    pub status: Status,
    /// Since when: when the debt was made, first paid, paused or resumed, or the time of its last flip.
    pub since: Timestamp,
    /// What was due up to this moment is settled, or has been a failure. What is due next follows from it and
    /// the schedule: an interval begins with it, of a cron expression it is the first time after.
    /// When the debt is made, this is that moment.
    pub settled: Timestamp,
    /// What is due next, for lists and pages. None if nothing is, or while it is paused.
    pub due: Option<Timestamp>,
    /// The index for sweeps is on this: when the next thing is overdue if nothing comes before. It
    /// is the earliest of what is due with its limit, and of the deadlines of the open runs. None if
    /// there is no such thing, as of a paused debt.
    pub deadline: Option<Timestamp>,
    /// How many failures there were in a row.
    pub failures: u16,
    /// How many successes there were in a row since the alarm.
    pub successes: u16,
    /// The time of the latest success or failure, by the payments' own time.
    pub last_payment: Option<Timestamp>,
    /// The beginning of the last period of the maximum rate in which there was a payment.
    pub rate_period: Option<Timestamp>,
    /// How many payments there were in it.
    pub rate_payments: u32,
}

/// Where a debt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Neither paid nor alarmed since it was made or resumed.
    New,
    /// The last payment was a success, and nothing is overdue.
    Up,
    /// There was an alarm, and no recovery yet.
    Down,
    /// Payments are recorded; there are neither alarms nor recoveries until someone resumes it.
    Paused,
}

/// What is stored of a run. A row of its own; all fields must be stored.
///
/// A pure function takes *the open runs of the debt, and the run that has the payment's run id even
/// if it has ended*, in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The id that its payments bear. Of the open runs of a debt, one at most has none.
    pub id: Option<String>,
    /// When it began. None if only its end is known; what says later when it began sets it.
    pub started: Option<Timestamp>,
    /// When it was last heard of: its start, a stage or a heartbeat.
    pub heard: Timestamp,
    /// The stages that have come, each once, in the order of their coming.
    pub stages: Vec<String>,
    /// When it is overdue if nothing comes before. None without a limit, after its end, and while the debt is
    /// paused.
    pub deadline: Option<Timestamp>,
    /// How it ended, and None while it is open.
    pub outcome: Option<Outcome>,
    /// When it ended: the time of the success or failure, or the deadline that it missed. A success
    /// or failure after that deadline sets it, and leaves the outcome.
    pub ended: Option<Timestamp>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// With a success.
    Succeeded,
    /// With a failure, or with a success that counts as one.
    Failed,
    /// It exceeded one of its limits.
    TimedOut,
    /// Too many runs were open, and this was the oldest.
    Abandoned,
}

/// What a payment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A run begins. If the open run with this id has begun before, it begins again.
    Start,
    /// A run has come to the stage of this name.
    Stage(String),
    /// A run goes on. Of a run that is not known, it is the start.
    Heartbeat,
    /// It is done.
    Success,
    /// It could not be done.
    Fail,
    /// A note, which changes nothing.
    Log,
}

/// A payment, as far as it matters to the state of its debt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// What it says.
    pub kind: Kind,
    /// The run that it belongs to. Without one, that is the open run without an id, and if there is none the
    /// one that began last.
    pub run: Option<String>,
    /// When it was made: see [`time_of`]. Microseconds are kept.
    pub time: Timestamp,
    /// When the server received it.
    pub received: Timestamp,
    /// How long the run took, if the client says so. Otherwise it is the time since its start.
    pub took: Option<Duration>,
}

/// What a payment makes of its debt. All of it belongs into the transaction that stores the payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// The debt from now on.
    pub state: State,
    /// The runs that are new or have changed.
    pub runs: Vec<RunChange>,
    /// Alarms and recoveries, in their order: at most an alarm for what was overdue before the payment was
    /// made, and what the payment itself brings.
    pub flips: Vec<Flip>,
    /// What is stored with the payment.
    pub noted: Noted,
}

/// What the state has to say of a payment, to be stored with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Noted {
    /// The time of the cron expression, or the deadline, that it is booked on: of a success or failure, and
    /// of what begins a run. It depends on nothing
    /// but the schedule and the time of the payment, or of its run's start.
    pub slot: Option<Timestamp>,
    /// It came within the early window of its slot, so before it was due.
    pub early: bool,
    /// It exceeds the maximum rate.
    pub over_rate: bool,
    /// Its run was shorter than the minimum.
    pub too_short: bool,
    /// It changed neither the status nor what is due: a note, or what comes too late to matter.
    pub moot: bool,
    /// How long the run took, of a success or failure.
    pub took: Option<Duration>,
}

/// A run that is new or has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunChange {
    /// Its position among the runs that the function was given; None if it is new.
    pub index: Option<usize>,
    /// The run from now on.
    pub run: Run,
}

/// What a sweep, a pause, a resumption or new terms make of a debt. All of it belongs into one
/// transaction; a sweep's is on condition that the debt's deadline is still the one that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// The debt from now on.
    pub state: State,
    /// The runs that have changed.
    pub runs: Vec<RunChange>,
    /// The alarm, dated at the deadline that was missed; the recovery, if someone pauses a debt that
    /// is down. None if the time without a server moved the deadline, or the failures are too few.
    pub flip: Option<Flip>,
}

/// An alarm or its recovery: a row of the outbox. They take turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flip {
    /// When: the deadline that was missed, or when the payment was received.
    pub at: Timestamp,
    /// What came to pass.
    pub cause: Cause,
}

/// Why an alarm is raised or ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Alarm: what was due at this time was not paid within the grace.
    Unpaid(Timestamp),
    /// Alarm: for what was due at this time, no run began within the start limit.
    NotStarted(Timestamp),
    /// Alarm: this run exceeded the run limit.
    TooLong(Option<String>),
    /// Alarm: this run was silent for longer than the heartbeat limit.
    Silent(Option<String>),
    /// Alarm: this run did not come to a stage in time.
    StageMissed {
        /// The run.
        run: Option<String>,
        /// The stage.
        stage: String,
    },
    /// Alarm: a payment said so.
    Failed,
    /// Alarm: a run was shorter than the minimum.
    TooShort,
    /// Alarm: there were more payments than the maximum rate allows.
    TooOften,
    /// Recovery: a success.
    Succeeded,
    /// Recovery: someone paused the debt.
    Paused,
}

/// A time during which no server watched. It is no silence of those who pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// When the last sweep before it was complete.
    pub from: Timestamp,
    /// When the first one after it began. After `from`.
    pub until: Timestamp,
}

/// Where a debt stands as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// As [`Status::New`].
    New,
    /// As [`Status::Up`].
    Up,
    /// New or up, and what is due has not come yet, but it is not overdue either.
    Late,
    /// As [`Status::Down`].
    Down,
    /// As [`Status::Paused`].
    Paused,
}

// === impl Standing ===

impl Standing {
    /// All of them, the worst first.
    pub const WORST_FIRST: [Self; 5] = [Self::Down, Self::Late, Self::Up, Self::New, Self::Paused];
}

/// A payment cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The client's clock is wrong.
    #[error(
        "the time of the payment, {client}, is more than 24 h ahead of the server's clock, which \
         shows {received}: set the client's clock, or leave the time out"
    )]
    Ahead {
        /// What the client says.
        client: Timestamp,
        /// When it came.
        received: Timestamp,
    },
    /// The debt has no such stage.
    #[error("the debt has no stage called {stage:?}: {}", among(.stages))]
    NoStage {
        /// The beginning of the name.
        stage: String,
        /// Those that it has.
        stages: Vec<String>,
    },
}

/// How far the clock of a client may be ahead of the server's.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(24);

// === impl State ===

impl State {
    /// Of a debt that is made at this moment: it is overdue at its limit from then on, even if it is
    /// never paid.
    #[must_use]
    pub fn new(terms: &Terms, made: Timestamp) -> Self {
        let made = whole_micros(made);
        let state = Self {
            status: Status::New,
            since: made,
            settled: made,
            due: None,
            deadline: None,
            failures: 0,
            successes: 0,
            last_payment: None,
            rate_period: None,
            rate_payments: 0,
        };
        ledger::Ledger::open(terms, &state, &[], &[]).close().state
    }

    /// Where it stands at this moment.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        match self.status {
            Status::New | Status::Up if self.due.is_some_and(|due| due <= now) => Standing::Late,
            Status::New => Standing::New,
            Status::Up => Standing::Up,
            Status::Down => Standing::Down,
            Status::Paused => Standing::Paused,
        }
    }
}

// === impl Run ===

impl Run {
    /// Whether it has not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    /// How long it took, once it has ended.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        self.ended?.duration_since(self.started?).try_into().ok()
    }
}

// === impl Kind ===

impl Kind {
    /// What an exit status means: 0 is a success.
    #[must_use]
    pub fn of_exit(status: i32) -> Self {
        if status == 0 { Self::Success } else { Self::Fail }
    }
}

/// When a payment was made, in whole microseconds: what its client says, but no later than it was received.
/// If the client says nothing, when it was received.
///
/// # Errors
/// If the client is ahead by more than 24 h.
pub fn time_of(client: Option<Timestamp>, received: Timestamp) -> Result<Timestamp, Refused> {
    let client = client.unwrap_or(received);
    if client.duration_since(received) > AHEAD_MAX {
        return Err(Refused::Ahead { client, received });
    }
    Ok(whole_micros(client.min(received)))
}

fn among(stages: &[String]) -> String {
    match stages {
        [] => "its terms name none".to_owned(),
        stages => format!("its stages are {}", stages.join(", ")),
    }
}
