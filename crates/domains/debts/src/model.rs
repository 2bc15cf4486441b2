//! What is stored: debts, payments, runs and flips, with what belongs to none of the pure functions.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use tally_runtime::Namespace;
use uuid::Uuid;

use crate::definition::{Definition, SLUG_BYTES_MAX};
use crate::state::{Cause, Kind, Noted, Run, State, Status};

/// How much of the body of a payment is kept, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 10_000;

/// The longest id of a run, in bytes.
const RUN_BYTES_MAX: usize = 100;

/// What a debt is asked for by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Which {
    /// Its id.
    Id(Uuid),
    /// Its number in its namespace.
    Number(i64),
    /// Its slug in its namespace.
    Slug(String),
    /// Its id, whatever its namespace: for the server itself.
    Swept(Uuid),
    /// What its ping URL has, whatever its namespace.
    Ping(Uuid),
}

/// A debt as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Named {
    pub(crate) namespace: Namespace,
    pub(crate) which: Which,
}

/// A debt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Debt {
    pub(crate) id: Uuid,
    pub(crate) namespace: Namespace,
    pub(crate) number: i64,
    pub(crate) ping_id: Uuid,
    pub(crate) definition: Definition,
    pub(crate) created: Timestamp,
    pub(crate) state: State,
    /// The numbers of its last payment, run and flip.
    pub(crate) payments: i64,
    pub(crate) runs: i64,
    pub(crate) flips: i64,
    pub(crate) open_runs: i64,
}

/// What a sweep and a page of late debts find a debt by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline {
    /// When it is overdue if nothing comes before.
    pub(crate) overdue: Timestamp,
    pub(crate) debt: Uuid,
    pub(crate) namespace: Namespace,
    /// From when on it is late; none of a debt that is not, because it is down.
    pub(crate) late: Option<Timestamp>,
}

/// A run, by its number in its debt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptRun {
    pub(crate) debt: Uuid,
    pub(crate) number: i64,
    pub(crate) run: Run,
}

/// A payment on its way to the database.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Payment {
    pub(crate) to: Named,
    /// What the debt is made of if there is none.
    pub(crate) create: Option<Box<NewDebt>>,
    pub(crate) kind: Kind,
    pub(crate) run: Option<String>,
    pub(crate) exit_status: Option<u8>,
    pub(crate) received: Timestamp,
    /// What the client says of the time.
    pub(crate) said: Option<Timestamp>,
    pub(crate) took: Option<std::time::Duration>,
    /// At most [`BODY_BYTES_MAX`].
    pub(crate) body: Vec<u8>,
    /// How long it was.
    pub(crate) body_bytes: usize,
    pub(crate) key_name: String,
    /// How it came: a few words.
    pub(crate) source: String,
    /// A hash of the idempotency key, or a number that was drawn when it came: an attempt that is
    /// repeated does not store it again.
    pub(crate) once: Uuid,
    /// A hash of the run and of what is said of it, where that may be said once only.
    pub(crate) run_once: Option<Uuid>,
    /// A hash of what is said under an idempotency key.
    pub(crate) fingerprint: i64,
}

/// A debt that is new.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewDebt {
    /// What the links of badges of its namespace are made with, if it is the first one there.
    pub(crate) badge_secret: Uuid,
    pub(crate) id: Uuid,
    pub(crate) ping_id: Uuid,
    pub(crate) namespace: Namespace,
    pub(crate) definition: Definition,
}

/// A payment as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeptPayment {
    pub(crate) debt: Uuid,
    pub(crate) number: i64,
    pub(crate) payment: Arc<Payment>,
    pub(crate) noted: Noted,
}

/// A payment as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ShownPayment {
    pub(crate) number: i64,
    pub(crate) kind: Kind,
    pub(crate) run: Option<String>,
    pub(crate) exit_status: Option<u8>,
    pub(crate) received: Timestamp,
    pub(crate) said: Option<Timestamp>,
    pub(crate) noted: Noted,
    pub(crate) body: Vec<u8>,
    pub(crate) body_bytes: i64,
    pub(crate) key_name: String,
    pub(crate) source: String,
}

/// An alarm or a recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptFlip {
    pub(crate) debt: Uuid,
    /// Alarms are odd.
    pub(crate) number: i64,
    pub(crate) at: Timestamp,
    pub(crate) noticed: Timestamp,
    pub(crate) cause: String,
}

// === impl Which ===

impl Which {
    /// A slug, a number or an id. What is none of them is a slug that no debt has; databases take no NUL, and
    /// an answer repeats no text of any length.
    pub(crate) fn read(text: &str) -> Self {
        if let Ok(id) = Uuid::try_parse(text) {
            return Self::Id(id);
        }
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if is_number => Self::Number(number),
            _ if text.len() > SLUG_BYTES_MAX => {
                Self::Slug(tally_runtime::text::beginning(text) + "\u{2026}")
            }
            _ => Self::Slug(text.replace('\0', "\u{fffd}")),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) | Self::Swept(id) => write!(f, "{id}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Slug(slug) => f.write_str(slug),
            // It is a secret.
            Self::Ping(_) => f.write_str("this ping URL"),
        }
    }
}

// === impl Debt ===

impl Debt {
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        let late = self.state.due.filter(|_| matches!(self.state.status, Status::New | Status::Up));
        let overdue = self.state.deadline?;
        Some(Deadline { overdue, debt: self.id, namespace: self.namespace, late })
    }
}

// === impl KeptFlip ===

impl KeptFlip {
    pub(crate) fn is_alarm(&self) -> bool {
        self.number % 2 == 1
    }
}

/// What is wrong with the id of a run, whatever door it comes through.
pub(crate) fn wrong_run(run: &str) -> Option<String> {
    let is_wrong = run.len() > RUN_BYTES_MAX || run.contains('\0');
    is_wrong.then(|| format!("it has at most {RUN_BYTES_MAX} bytes, and no NUL"))
}

/// Kinds as the database has them.
pub(crate) fn kind_number(kind: &Kind) -> i64 {
    match kind {
        Kind::Start => 0,
        Kind::Stage(_) => 1,
        Kind::Heartbeat => 2,
        Kind::Success => 3,
        Kind::Fail => 4,
        Kind::Log => 5,
    }
}

/// The kind of a number and the stage beside it.
pub(crate) fn kind_of(number: i64, stage: String) -> Kind {
    match number {
        0 => Kind::Start,
        1 => Kind::Stage(stage),
        2 => Kind::Heartbeat,
        3 => Kind::Success,
        4 => Kind::Fail,
        _ => Kind::Log,
    }
}

/// Which stage a kind is of.
pub(crate) fn stage_of(kind: &Kind) -> &str {
    match kind {
        Kind::Stage(stage) => stage,
        _ => "",
    }
}

/// What is noted of a payment, as the flags that the database has.
pub(crate) fn flags_of(noted: &Noted) -> i64 {
    let flags = [noted.early, noted.over_rate, noted.too_short, noted.moot];
    flags.into_iter().enumerate().map(|(bit, is_set)| i64::from(is_set) << bit).sum()
}

/// The reverse.
pub(crate) fn noted_of(
    flags: i64,
    slot: Option<Timestamp>,
    took: Option<std::time::Duration>,
) -> Noted {
    let has = |bit: i64| flags >> bit & 1 == 1;
    Noted { slot, early: has(0), over_rate: has(1), too_short: has(2), moot: has(3), took }
}

/// A time to the second: people need no more.
pub(crate) fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Why an alarm was raised or ended, in a few words.
pub(crate) fn words(cause: &Cause) -> String {
    let run = |run: &Option<String>| match run {
        Some(run) => format!("run {run}"),
        None => "the run".to_owned(),
    };
    match cause {
        Cause::Unpaid(due) => format!("not paid: it was due at {}", second(*due)),
        Cause::NotStarted(due) => format!("not started: it was due at {}", second(*due)),
        Cause::TooLong(one) => format!("{} took too long", run(one)),
        Cause::Silent(one) => format!("{} has fallen silent", run(one)),
        Cause::StageMissed { run: one, stage } => {
            format!("{} did not come to the stage {stage} in time", run(one))
        }
        Cause::Failed => "it failed".to_owned(),
        Cause::TooShort => "it ended too soon to be true".to_owned(),
        Cause::TooOften => "it was paid too often".to_owned(),
        Cause::Succeeded => "it succeeded".to_owned(),
        Cause::Paused => "it was paused".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_debt_is_asked_for_by_is_one_thing() {
        let id = Uuid::from_u128(7);
        for (text, which) in [
            ("7", Which::Number(7)),
            ("007", Which::Number(7)),
            ("backup", Which::Slug("backup".to_owned())),
            // A slug may begin with what is a sign elsewhere.
            ("-7", Which::Slug("-7".to_owned())),
            ("+7", Which::Slug("+7".to_owned())),
            ("99999999999999999999", Which::Slug("99999999999999999999".to_owned())),
            ("", Which::Slug(String::new())),
            (&id.to_string(), Which::Id(id)),
            (&id.simple().to_string(), Which::Id(id)),
            ("a\0b", Which::Slug("a\u{fffd}b".to_owned())),
        ] {
            assert_eq!(Which::read(text), which, "{text:?}");
        }
        let whole = "a".repeat(SLUG_BYTES_MAX);
        assert_eq!(Which::read(&whole), Which::Slug(whole.clone()));
        let told = Which::read(&"a".repeat(4 << 20)).to_string();
        assert!(told.len() < SLUG_BYTES_MAX && told.ends_with('\u{2026}'), "{told}");
    }
}
