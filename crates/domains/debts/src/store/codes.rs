//! Definitions, statuses, outcomes and stages as the database has them.

use tally_runtime::Kind;
use tally_store::Error;

use super::{Counts, Result};
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

/// How many debts stand how in some namespaces together: of each, how many it has, how many of these are new, down,
/// paused and late, and how many of the late ones are new.
pub(super) fn sum_of(namespaces: impl IntoIterator<Item = [i64; 6]>) -> Counts {
    let add = |sum: Counts, [all, new, down, paused, late, late_new]: [i64; 6]| Counts {
        new: sum.new + new - late_new,
        up: sum.up + all - new - down - paused - (late - late_new),
        down: sum.down + down,
        paused: sum.paused + paused,
        late: sum.late + late,
    };
    namespaces.into_iter().fold(Counts::default(), add)
}
