//! A debt while something is done to it.

use std::time::Duration;

use jiff::Timestamp;

use super::limits::{self, Due};
use super::{CLOCK_AHEAD_MAX, Cause, Flip, Gap, Outcome, Run, RunChange, State, Status, Swept};
use crate::terms::Terms;

/// A debt while something is done to it: a copy, of which at the end follows what has changed.
pub(super) struct Ledger<'a> {
    pub(super) terms: &'a Terms,
    pub(super) state: State,
    /// Those that were given, at their place, and then new ones.
    pub(super) runs: Vec<Run>,
    pub(super) flips: Vec<Flip>,
    given: &'a [Run],
    gaps: &'a [Gap],
}

// === impl Ledger ===

impl<'a> Ledger<'a> {
    pub(super) fn open(terms: &'a Terms, state: &State, runs: &'a [Run], gaps: &'a [Gap]) -> Self {
        Self {
            terms,
            state: state.clone(),
            runs: runs.to_vec(),
            flips: Vec::new(),
            given: runs,
            gaps,
        }
    }

    /// Takes back what a server has stored whose clock was far ahead, and has been set right since:
    /// otherwise nothing would be due, and every payment too late to matter, until that time comes.
    pub(super) fn disbelieve(&mut self, now: Timestamp) {
        let Ok(ahead) = now.checked_add(CLOCK_AHEAD_MAX) else { return };
        let (terms, state) = (self.terms, &mut self.state);
        if state.settled > ahead {
            let most = terms.schedule.settles(ahead, terms.early_window);
            state.settled = state.settled.min(most);
        }
        let put_right = |time: Timestamp| if time > ahead { now } else { time };
        state.since = put_right(state.since);
        state.last_payment = state.last_payment.map(put_right);
        state.rate_period = state.rate_period.filter(|period| *period <= ahead);
        for run in self.runs.iter_mut().filter(|run| run.is_open()) {
            run.heard = put_right(run.heard);
            run.started = run.started.map(put_right);
        }
    }

    /// What has changed, with at most one flip.
    pub(super) fn close(mut self) -> Swept {
        self.schedule();
        let runs = self.changes();
        Swept { state: self.state, runs, flip: self.flips.pop() }
    }

    pub(super) fn changes(&self) -> Vec<RunChange> {
        let changed = |(index, run): (usize, &Run)| {
            let before = self.given.get(index);
            (before != Some(run))
                .then(|| RunChange { index: before.map(|_| index), run: run.clone() })
        };
        self.runs.iter().enumerate().filter_map(changed).collect()
    }

    /// Says what is due next, and when what is overdue.
    pub(super) fn schedule(&mut self) {
        let is_paused = self.state.status == Status::Paused;
        for run in &mut self.runs {
            let limit = limits::of_run(self.terms, run, self.gaps);
            let deadline =
                limit.filter(|_| run.is_open() && !is_paused).map(|(deadline, _)| deadline);
            run.deadline = deadline;
        }
        let due = self.due().filter(|_| !is_paused);
        self.state.due = due.as_ref().map(|due| due.time);
        // What is down already needs no second alarm.
        let of_due = due.filter(|_| self.state.status != Status::Down).and_then(|due| due.deadline);
        let of_runs = self.runs.iter().filter_map(|run| run.deadline);
        self.state.deadline = of_runs.chain(of_due).min();
    }

    pub(super) fn due(&self) -> Option<Due> {
        limits::due(self.terms, self.state.settled, &self.runs, self.gaps)
    }

    /// Whether something due is overdue at this moment, even if the debt is down.
    pub(super) fn is_overdue(&self, now: Timestamp) -> bool {
        self.due().and_then(|due| due.deadline).is_some_and(|deadline| deadline <= now)
    }

    /// Lets all deadlines pass that have passed at this moment, in their order.
    pub(super) fn catch_up(&mut self, now: Timestamp) {
        loop {
            self.schedule();
            let Some(deadline) = self.state.deadline.filter(|deadline| *deadline <= now) else {
                return;
            };
            let run = self.runs.iter().position(|run| run.deadline == Some(deadline));
            match (run, self.due()) {
                (Some(index), _) => self.time_out(index, deadline),
                (None, Some(due)) => {
                    self.fail(deadline, due.cause);
                    // What was not enough for an alarm is over: the next one is due.
                    if self.state.status != Status::Down {
                        self.state.settled = self.state.settled.max(due.time);
                    }
                }
                (None, None) => unreachable!("a deadline is of a run or of what is due"),
            }
        }
    }

    /// A run has missed its deadline.
    fn time_out(&mut self, index: usize, deadline: Timestamp) {
        let run = &mut self.runs[index];
        let limit = limits::of_run(self.terms, run, self.gaps);
        let cause = limit.expect("what has a deadline has a limit").1;
        run.end(Outcome::TimedOut, deadline);
        let started = run.started;
        self.settle(deadline, started);
        self.fail(deadline, cause);
    }

    /// What was due up to this moment is settled, and what the run began for.
    pub(super) fn settle(&mut self, time: Timestamp, started: Option<Timestamp>) {
        let window = self.terms.early_window;
        // A run that ends shortly before the next time did not begin for that.
        let by_end = match started {
            Some(_) => self.terms.schedule.settles(time, Duration::ZERO),
            None => self.terms.schedule.settles(time, window),
        };
        let by_start = started.map(|started| self.terms.schedule.settles(started, window));
        self.state.settled = self.state.settled.max(by_end).max(by_start.unwrap_or(by_end));
    }

    /// A failure, which may raise the alarm.
    pub(super) fn fail(&mut self, at: Timestamp, cause: Cause) {
        let state = &mut self.state;
        if state.status == Status::Paused {
            return;
        }
        state.failures = state.failures.saturating_add(1);
        state.successes = 0;
        if state.status != Status::Down && state.failures >= self.terms.failures_to_alarm {
            self.flip(Status::Down, at, cause);
        }
    }

    /// A success, which may end the alarm, unless something else is overdue.
    pub(super) fn succeed(&mut self, at: Timestamp) {
        if self.state.status == Status::Paused {
            return;
        }
        self.state.failures = 0;
        match self.state.status {
            Status::Down if self.is_overdue(at) => self.state.successes = 0,
            Status::Down => {
                self.state.successes = self.state.successes.saturating_add(1);
                if self.state.successes >= self.terms.successes_to_recover {
                    self.flip(Status::Up, at, Cause::Succeeded);
                }
            }
            Status::New => {
                self.state.status = Status::Up;
                self.state.since = self.state.since.max(at);
            }
            Status::Up | Status::Paused => {}
        }
    }

    /// An alarm or a recovery. Never before the last one.
    pub(super) fn flip(&mut self, to: Status, at: Timestamp, cause: Cause) {
        let at = at.max(self.state.since);
        self.state.status = to;
        self.state.since = at;
        self.state.successes = 0;
        self.flips.push(Flip { at, cause });
    }
}

// === impl Run ===

impl Run {
    pub(super) fn end(&mut self, outcome: Outcome, ended: Timestamp) {
        self.outcome = Some(outcome);
        self.ended = Some(ended);
        self.deadline = None;
    }
}
