//! Sweeps, pauses, resumptions, and new terms.

use jiff::Timestamp;

use super::ledger::Ledger;
use super::{Cause, Gap, Outcome, Run, State, Status, Swept, limits};
use crate::terms::Terms;

/// Lets the deadlines pass that have passed at this moment, and takes back what a server has stored whose clock
/// was far ahead. None if there is nothing of that.
///
/// A server that sweeps leaves a little time for payments that it has received and not stored yet:
/// `now` is somewhat before its clock.
#[must_use]
pub fn sweep(
    terms: &Terms,
    state: &State,
    runs: &[Run],
    now: Timestamp,
    gaps: &[Gap],
) -> Option<Swept> {
    let mut ledger = Ledger::open(terms, state, runs, gaps);
    ledger.disbelieve(now);
    let is_wrong = ledger.state != *state || !ledger.changes().is_empty();
    if !is_wrong && state.deadline.is_none_or(|deadline| deadline > now) {
        return None;
    }
    ledger.catch_up(now);
    Some(ledger.close())
}

/// Pauses a debt. If it is down, that is a recovery: nothing more comes of the alarm. None if it is
/// paused already.
#[must_use]
pub fn pause(
    terms: &Terms,
    state: &State,
    runs: &[Run],
    now: Timestamp,
    gaps: &[Gap],
) -> Option<Swept> {
    if state.status == Status::Paused {
        return None;
    }
    let mut ledger = Ledger::open(terms, state, runs, gaps);
    if state.status == Status::Down {
        ledger.flip(Status::Paused, now, Cause::Paused);
    }
    ledger.state.status = Status::Paused;
    ledger.state.since = now;
    Some(ledger.close())
}

/// Resumes a debt: it is new again, and only what is due from now on can be overdue. Runs whose
/// limits have passed meanwhile end without an alarm. None if it is not paused.
#[must_use]
pub fn resume(
    terms: &Terms,
    state: &State,
    runs: &[Run],
    now: Timestamp,
    gaps: &[Gap],
) -> Option<Swept> {
    if state.status != Status::Paused {
        return None;
    }
    let mut ledger = Ledger::open(terms, state, runs, gaps);
    for run in ledger.runs.iter_mut().filter(|run| run.is_open()) {
        let limit = limits::of_run(terms, run, gaps).map(|(deadline, _)| deadline);
        if let Some(deadline) = limit.filter(|deadline| *deadline <= now) {
            run.end(Outcome::TimedOut, deadline);
        }
    }
    let state = &mut ledger.state;
    (state.status, state.since) = (Status::New, now);
    state.settled = state.settled.max(now);
    (state.failures, state.successes) = (0, 0);
    Some(ledger.close())
}

/// Puts new terms in force. What is overdue by the old ones is so. A new schedule begins now, and
/// new limits hold for what is due and runs already. A debt that is paused stays so.
#[must_use]
pub fn amend(
    old: &Terms,
    new: &Terms,
    state: &State,
    runs: &[Run],
    now: Timestamp,
    gaps: &[Gap],
) -> Swept {
    let mut ledger = Ledger::open(old, state, runs, gaps);
    ledger.catch_up(now);
    ledger.terms = new;
    if old.schedule != new.schedule {
        // Whatever the old one had settled ahead, by an early payment: the new one has other times.
        ledger.state.settled = now;
    }
    ledger.close()
}
