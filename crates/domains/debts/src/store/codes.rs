//! Definitions, statuses, outcomes and stages as the database has them.

use tally_runtime::Kind;
use tally_store::Error;

use super::Result;
use crate::definition::{Definition, Written};
use crate::state::{Outcome, Status};

/// The definition as the database has it.
pub(super) fn definition_text(definition: &Definition) -> Result<String> {
    serde_json::to_string(&definition.written())
        .map_err(|error| Error::permanent("write a debt", Kind::Internal).because(error))
}

/// The reverse.
pub(super) fn definition_of(text: &str) -> Result<Definition> {
    let broken = || Error::permanent("read a debt", Kind::Internal);
    let written: Written = serde_json::from_str(text).map_err(|error| broken().because(error))?;
    written.check(None).map_err(|wrong| broken().because(format!("{wrong:?}")))
}

/// A status as the database has it.
pub(super) fn status_number(status: Status) -> i64 {
    match status {
        Status::New => 0,
        Status::Up => 1,
        Status::Down => 2,
        Status::Paused => 3,
    }
}

pub(super) fn status_of(number: i64) -> Status {
    match number {
        0 => Status::New,
        1 => Status::Up,
        2 => Status::Down,
        _ => Status::Paused,
    }
}

/// An outcome of a run as the database has it.
pub(super) fn outcome_number(outcome: Option<Outcome>) -> i64 {
    use Outcome::{Abandoned, Failed, Succeeded, TimedOut};
    match outcome {
        None => 0,
        Some(Succeeded) => 1,
        Some(Failed) => 2,
        Some(TimedOut) => 3,
        Some(Abandoned) => 4,
    }
}

pub(super) fn outcome_of(number: i64) -> Option<Outcome> {
    use Outcome::{Abandoned, Failed, Succeeded, TimedOut};
    match number {
        0 => None,
        1 => Some(Succeeded),
        2 => Some(Failed),
        3 => Some(TimedOut),
        _ => Some(Abandoned),
    }
}

/// The stages that have come, as the database has them.
pub(super) fn stages_text(stages: &[String]) -> String {
    serde_json::to_string(stages).expect("texts can be JSON")
}

pub(super) fn stages_of(text: &str) -> Result<Vec<String>> {
    serde_json::from_str(text)
        .map_err(|error| Error::permanent("read a run", Kind::Internal).because(error))
}

/// How many debts of each status some namespaces have together: of each, how many it has, and how many of these
/// are new, down and paused.
pub(super) fn sum_of(namespaces: impl IntoIterator<Item = [i64; 4]>) -> [i64; 4] {
    let add = |[new, up, down, paused]: [i64; 4], [all, of_new, of_down, of_paused]: [i64; 4]| {
        let of_up = all - of_new - of_down - of_paused;
        [new + of_new, up + of_up, down + of_down, paused + of_paused]
    };
    namespaces.into_iter().fold([0; 4], add)
}
