//! Whether the payments, in the order of their numbers, come to the state that is stored.
//!
//! When servers swept is not stored, and with clocks that differ it may decide: so a sweep is tried before
//! each payment, up to each deadline that there is. What has made other alarms and recoveries than the stored
//! ones, or ended runs otherwise, is given up: how a run has ended once stays so.

use std::time::Duration;

use jiff::Timestamp;
use tally_debts::schedule::Schedule;
use tally_debts::state::{self, Flip, Kind, Payment, Run, RunChange, State, Status};
use tally_debts::terms::{Stage, Terms};
use tally_proto::tally::debts::v1::{PaymentKind, Status as Shown};

use super::judge::made_at;
use super::payment::{EVERY, HEARTBEAT_LIMIT, RUN_LIMIT, STAGE, STAGE_LIMIT};
use super::stored::{Debt, time};

/// How many lives are followed at once. A debt that would have more is left undecided.
const LIVES_MAX: usize = 2_000;

/// How it may have been up to a payment.
#[derive(Clone, Debug, PartialEq)]
struct Life {
    state: State,
    runs: Vec<Run>,
    /// How many alarms and recoveries there were.
    flips: usize,
}

/// What the payments come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Replayed {
    Same,
    /// Why it is not the state that is stored.
    Other(String),
    /// There are too many ways in which servers may have swept.
    Undecided,
}

/// Whether the payments come to the stored state.
pub(super) fn replay(debt: &Debt) -> Replayed {
    let terms = terms(debt);
    let Some(made) = time(debt.debt.created_at) else {
        return Replayed::Other("it was never made".to_owned());
    };
    let first = Life { state: State::new(&terms, made), runs: Vec::new(), flips: 0 };
    let mut lives = vec![first];
    for payment in &debt.payments {
        let number = payment.number;
        let Some(said) = said(payment) else {
            return Replayed::Other(format!("payment {number}: no time"));
        };
        let mut next: Vec<Life> = Vec::new();
        for life in lives.iter().flat_map(|life| swept(life, &terms, debt)) {
            if let Some(life) = life.paid(&terms, &said, debt)
                && !next.contains(&life)
            {
                next.push(life);
            }
        }
        if next.is_empty() {
            let (last, flips) = (lives.last(), lives.last().map_or(0, |last| last.flips));
            let next: Vec<_> = debt.flips.iter().skip(flips).take(2).collect();
            return Replayed::Other(format!(
                "{payment:?} makes other alarms and recoveries than {next:?}, or ends other runs: {last:?}"
            ));
        }
        if next.len() > LIVES_MAX {
            return Replayed::Undecided;
        }
        lives = next;
    }
    let mut ends = lives.iter().flat_map(|life| swept(life, &terms, debt));
    if ends.any(|life| life.is(debt)) {
        return Replayed::Same;
    }
    Replayed::Other(format!("{:?} is stored, and not {:?}", debt.debt, lives.last()))
}

/// What sweeps may have made of it, and itself.
fn swept(life: &Life, terms: &Terms, debt: &Debt) -> Vec<Life> {
    let of_runs = life.runs.iter().filter_map(|run| run.deadline);
    let deadlines = of_runs.chain(life.state.deadline);
    // What a client tells long after it is overdue at once: no sweep before the last flip has seen it.
    let mut deadlines: Vec<Timestamp> =
        deadlines.flat_map(|at| [at, at.max(life.state.since)]).collect();
    deadlines.sort_unstable();
    deadlines.dedup();
    let mut all = vec![life.clone()];
    for until in deadlines {
        let swept = state::sweep(terms, &life.state, &life.runs, until, &[]);
        let Some(swept) = swept else { continue };
        let flips: Vec<Flip> = swept.flip.into_iter().collect();
        all.extend(life.clone().then(swept.state, swept.runs, &flips, debt));
    }
    all
}

// === impl Life ===

impl Life {
    fn paid(&self, terms: &Terms, said: &Payment, debt: &Debt) -> Option<Self> {
        let paid = state::pay(terms, &self.state, &self.runs, said, &[]).ok()?;
        self.clone().then(paid.state, paid.runs, &paid.flips, debt)
    }

    /// It goes on like this, if its alarms and recoveries are the stored ones, and its runs end like those.
    fn then(
        mut self,
        state: State,
        runs: Vec<RunChange>,
        flips: &[Flip],
        debt: &Debt,
    ) -> Option<Self> {
        for flip in flips {
            let stored = debt.flips.get(self.flips)?;
            if time(stored.at) != Some(flip.at) {
                return None;
            }
            self.flips += 1;
        }
        self.state = state;
        for RunChange { index, run } in runs {
            let at = index.unwrap_or(self.runs.len());
            let stored = debt.runs.get(at).map(|run| run.outcome);
            if run.outcome.is_some() && stored != Some(shown(&run)) {
                return None;
            }
            // When it ended matters to nothing that comes later.
            let ended = run.ended.map(|_| Timestamp::UNIX_EPOCH);
            let run = Run { ended, ..run };
            match index.and_then(|index| self.runs.get_mut(index)) {
                Some(known) => *known = run,
                None => self.runs.push(run),
            }
        }
        Some(self)
    }

    /// Whether it is what is stored.
    fn is(&self, Debt { debt, flips, runs, .. }: &Debt) -> bool {
        let state = &self.state;
        let is_shown = match Shown::try_from(debt.status) {
            Ok(Shown::New) => state.status == Status::New,
            Ok(Shown::Up) => state.status == Status::Up,
            Ok(Shown::Late) => matches!(state.status, Status::New | Status::Up),
            Ok(Shown::Down) => state.status == Status::Down,
            _ => state.status == Status::Paused,
        };
        let outcomes = self.runs.iter().map(shown);
        let stored = runs.iter().map(|run| run.outcome);
        is_shown
            && Some(state.since) == time(debt.since)
            && state.last_payment == time(debt.paid_at)
            && state.due == time(debt.due_at)
            && state.deadline == time(debt.overdue_at)
            && u32::from(state.failures) == debt.failures
            && self.flips == flips.len()
            && outcomes.eq(stored)
    }
}

/// How a run has ended, as it is shown.
fn shown(run: &Run) -> i32 {
    run.outcome.map_or(0, |one| one as i32 + 1)
}

fn terms(debt: &Debt) -> Terms {
    let is_staged = debt.slug.starts_with("staged-");
    let has_runs = is_staged || debt.slug.starts_with("job-");
    let schedule = if has_runs { Schedule::None } else { Schedule::Interval(EVERY) };
    let mut terms = Terms::new(schedule, Duration::ZERO);
    terms.run_limit = has_runs.then_some(RUN_LIMIT);
    if is_staged {
        terms.heartbeat_limit = Some(HEARTBEAT_LIMIT);
        terms.stages = vec![Stage { name: STAGE.to_owned(), time_out: STAGE_LIMIT }];
    }
    terms
}

fn said(payment: &tally_proto::tally::debts::v1::Payment) -> Option<Payment> {
    let received = time(payment.received_at)?;
    let kind = match payment.kind() {
        PaymentKind::Start => Kind::Start,
        PaymentKind::Stage => Kind::Stage(payment.stage.clone()),
        PaymentKind::Heartbeat => Kind::Heartbeat,
        PaymentKind::Success => Kind::Success,
        PaymentKind::Fail => Kind::Fail,
        PaymentKind::Log => Kind::Log,
        PaymentKind::Unspecified => return None,
    };
    let run = Some(payment.run.clone()).filter(|run| !run.is_empty());
    Some(Payment { kind, run, time: made_at(payment)?, received, took: None })
}
