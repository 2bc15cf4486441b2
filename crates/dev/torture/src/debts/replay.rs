//! Whether the payments, in the order of their numbers, come to the state that is stored.
//!
//! When servers swept is not stored, and with clocks that differ it may decide: so a sweep is tried before
//! each payment, up to each deadline that there is. What has made other alarms and recoveries than the stored
//! ones is given up.

use std::time::Duration;

use jiff::Timestamp;
use tally_debts::schedule::Schedule;
use tally_debts::state::{self, Flip, Kind, Payment, Run, RunChange, State, Status};
use tally_debts::terms::Terms;
use tally_proto::tally::debts::v1::{PaymentKind, Status as Shown};

use super::stored::{Debt, time};
use super::{EVERY, RUN_LIMIT};

/// How many lives are followed at once.
const LIVES_MAX: usize = 2_000;

/// How it may have been up to a payment.
#[derive(Clone, Debug, PartialEq)]
struct Life {
    state: State,
    runs: Vec<Run>,
    /// How many alarms and recoveries there were.
    flips: usize,
}

/// Why the payments do not come to the stored state; None if they do.
pub(super) fn difference(debt: &Debt) -> Option<String> {
    let terms = terms(debt);
    let made = time(debt.debt.created_at)?;
    let first = Life { state: State::new(&terms, made), runs: Vec::new(), flips: 0 };
    let mut lives = vec![first];
    for payment in &debt.payments {
        let number = payment.number;
        let Some(said) = said(payment) else { return Some(format!("payment {number}: no time")) };
        let mut next: Vec<Life> = Vec::new();
        for life in lives.iter().flat_map(|life| swept(life, &terms, debt)) {
            if let Some(life) = life.paid(&terms, &said, debt)
                && !next.contains(&life)
            {
                next.push(life);
            }
        }
        if next.is_empty() {
            let last = lives.last();
            return Some(format!("payment {number} makes other alarms and recoveries: {last:?}"));
        }
        if next.len() > LIVES_MAX {
            return Some(format!("payment {number}: too many ways"));
        }
        lives = next;
    }
    let mut ends = lives.iter().flat_map(|life| swept(life, &terms, debt));
    if ends.any(|life| life.is(debt)) {
        return None;
    }
    Some(format!("{:?} is stored, and not {:?}", debt.debt, lives.last()))
}

/// What sweeps may have made of it, and itself.
fn swept(life: &Life, terms: &Terms, debt: &Debt) -> Vec<Life> {
    let of_runs = life.runs.iter().filter_map(|run| run.deadline);
    let mut deadlines: Vec<Timestamp> = of_runs.chain(life.state.deadline).collect();
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

    /// It goes on like this, if its alarms and recoveries are the stored ones.
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
        // A debt that is late is new or up.
        let status = match Shown::try_from(debt.status) {
            Ok(Shown::New) => Status::New,
            Ok(Shown::Up) => Status::Up,
            Ok(Shown::Down) => Status::Down,
            _ => Status::Paused,
        };
        let outcomes = self.runs.iter().map(|run| run.outcome.map_or(0, |one| one as i32 + 1));
        let stored = runs.iter().map(|run| run.outcome);
        state.status == status
            && Some(state.since) == time(debt.since)
            && state.last_payment == time(debt.paid_at)
            && state.due == time(debt.due_at)
            && state.deadline == time(debt.overdue_at)
            && u32::from(state.failures) == debt.failures
            && self.flips == flips.len()
            && outcomes.eq(stored)
    }
}

fn terms(debt: &Debt) -> Terms {
    let is_job = debt.slug.starts_with("job-");
    let schedule = if is_job { Schedule::None } else { Schedule::Interval(EVERY) };
    Terms { run_limit: is_job.then_some(RUN_LIMIT), ..Terms::new(schedule, Duration::ZERO) }
}

fn said(payment: &tally_proto::tally::debts::v1::Payment) -> Option<Payment> {
    let received = time(payment.received_at)?;
    let kind = match PaymentKind::try_from(payment.kind) {
        Ok(PaymentKind::Start) => Kind::Start,
        Ok(PaymentKind::Success) => Kind::Success,
        Ok(PaymentKind::Fail) => Kind::Fail,
        _ => return None,
    };
    let run = Some(payment.run.clone()).filter(|run| !run.is_empty());
    Some(Payment { kind, run, time: received, received, took: None })
}
