//! Payments.

use jiff::{SignedDuration, Timestamp};

use super::ledger::Ledger;
use super::{Cause, Gap, Kind, Noted, OPEN_RUNS_MAX, Outcome, Paid, Payment, Refused, Run, State};
use crate::schedule::whole_micros;
use crate::terms::Terms;

/// What a payment makes of a debt. `runs` are its open runs, and the one with the payment's run id
/// even if it has ended. Duplicates are the store's affair: what comes here counts.
///
/// What was overdue before the payment was made is so whether or not a sweep has found it: it is
/// among the flips.
///
/// # Errors
/// If the debt has no such stage.
pub fn pay(
    terms: &Terms,
    state: &State,
    runs: &[Run],
    payment: &Payment,
    gaps: &[Gap],
) -> Result<Paid, Refused> {
    if let Kind::Stage(stage) = &payment.kind
        && !terms.stages.iter().any(|known| known.name == *stage)
    {
        let stages = terms.stages.iter().map(|stage| stage.name.clone()).collect();
        return Err(Refused::NoStage { stage: tally_runtime::text::beginning(stage), stages });
    }
    let mut ledger = Ledger::open(terms, state, runs, gaps);
    ledger.disbelieve(payment.received);
    ledger.catch_up(payment.time);
    let noted = match &payment.kind {
        Kind::Log => Noted { moot: true, ..Noted::default() },
        Kind::Start => ledger.start(payment),
        Kind::Heartbeat => ledger.hear(payment, None),
        Kind::Stage(stage) => ledger.hear(payment, Some(stage)),
        Kind::Success => ledger.conclude(payment, true),
        Kind::Fail => ledger.conclude(payment, false),
    };
    ledger.schedule();
    let runs = ledger.changes();
    Ok(Paid { state: ledger.state, runs, flips: ledger.flips, noted })
}

impl Ledger<'_> {
    fn start(&mut self, payment: &Payment) -> Noted {
        let time = payment.time;
        let mut moot = false;
        let known = |run: &Run| run.id == payment.run && (payment.run.is_some() || run.is_open());
        match self.runs.iter_mut().find(|run| known(run)) {
            None => self.begin(payment),
            // It comes after what it began.
            Some(run) if !run.is_open() || time < run.heard => {
                moot = !run.is_open();
                let started = run.started.map_or(time, |started| started.min(time));
                run.started =
                    Some(started).filter(|_| run.ended.is_none_or(|ended| started <= ended));
            }
            Some(run) => {
                (run.started, run.heard) = (Some(time), time);
                run.stages.clear();
            }
        }
        self.booked(time, Noted { moot, ..Noted::default() })
    }

    /// A heartbeat or a stage.
    fn hear(&mut self, payment: &Payment, stage: Option<&String>) -> Noted {
        let known = self.run_of(payment);
        let index = known.unwrap_or_else(|| {
            self.begin(payment);
            self.runs.len() - 1
        });
        let run = &mut self.runs[index];
        if !run.is_open() {
            return Noted { moot: true, ..Noted::default() };
        }
        run.heard = run.heard.max(payment.time);
        if let Some(stage) = stage.filter(|stage| !run.stages.contains(stage)) {
            run.stages.push(stage.clone());
        }
        match known {
            Some(_) => Noted::default(),
            None => self.booked(payment.time, Noted::default()),
        }
    }

    /// A success or a failure.
    fn conclude(&mut self, payment: &Payment, is_success: bool) -> Noted {
        let time = payment.time;
        let index = self.run_of(payment);
        let run = index.map(|index| &self.runs[index]);
        if let Some(Outcome::Succeeded | Outcome::Failed) = run.and_then(|run| run.outcome) {
            return Noted { moot: true, ..Noted::default() };
        }
        let claimed = payment.took.and_then(|took| SignedDuration::try_from(took).ok());
        let by_client = claimed.and_then(|took| time.checked_sub(took).ok()).map(whole_micros);
        let started = run.and_then(|run| run.started).or(by_client);
        let by_clock = started.and_then(|started| time.duration_since(started).try_into().ok());
        let took = payment.took.or(by_clock);
        let over_rate = self.is_over_rate(time);
        let too_short =
            is_success && took.zip(self.terms.run_min).is_some_and(|(took, min)| took < min);
        let cause = match (is_success, too_short, over_rate) {
            (false, ..) => Some(Cause::Failed),
            (_, true, _) => Some(Cause::TooShort),
            (_, _, true) => Some(Cause::TooOften),
            _ => None,
        };
        let outcome = if cause.is_none() { Outcome::Succeeded } else { Outcome::Failed };
        self.end(payment, index, started, outcome);
        if self.state.successes > 0 && self.is_overdue(time) {
            self.state.successes = 0;
        }
        self.settle(time, started);
        let moot = self.state.last_payment.is_some_and(|last| time < last);
        self.state.last_payment = self.state.last_payment.max(Some(time));
        match cause {
            _ if moot => {}
            None => self.succeed(payment.received),
            Some(cause) => self.fail(payment.received, cause),
        }
        let noted = Noted { over_rate, too_short, moot, took, ..Noted::default() };
        self.booked(started.unwrap_or(time), noted)
    }

    /// Ends a payment's run. What has timed out stays so, and is known to have ended after all.
    fn end(
        &mut self,
        payment: &Payment,
        index: Option<usize>,
        started: Option<Timestamp>,
        outcome: Outcome,
    ) {
        let (time, id) = (payment.time, &payment.run);
        match (index.map(|index| &mut self.runs[index]), id) {
            (Some(run), _) => {
                run.end(run.outcome.unwrap_or(outcome), time);
                run.started = started;
            }
            // Its start may still come.
            (None, Some(_)) => {
                let mut run = new_run(payment);
                run.started = started;
                run.end(outcome, time);
                self.runs.push(run);
            }
            (None, None) => {}
        }
    }

    fn begin(&mut self, payment: &Payment) {
        let open = || self.runs.iter().enumerate().filter(|(_, run)| run.is_open());
        if open().count() >= OPEN_RUNS_MAX
            && let Some((oldest, _)) = open().min_by_key(|(_, run)| run.heard)
        {
            self.runs[oldest].end(Outcome::Abandoned, payment.time);
        }
        self.runs.push(new_run(payment));
    }

    /// The run that a payment belongs to.
    fn run_of(&self, payment: &Payment) -> Option<usize> {
        let mut all = self.runs.iter().enumerate();
        if payment.run.is_some() {
            return all.find(|(_, run)| run.id == payment.run).map(|(index, _)| index);
        }
        let open = all.filter(|(_, run)| run.is_open());
        let newest = open.max_by_key(|(_, run)| (run.id.is_none(), run.started));
        newest.map(|(index, _)| index)
    }

    /// Counts a payment, and says whether it exceeds the maximum rate.
    fn is_over_rate(&mut self, time: Timestamp) -> bool {
        let Some(rate) = self.terms.rate_max else { return false };
        let micros = i64::try_from(rate.period.as_micros()).unwrap_or(i64::MAX);
        let into = time.as_microsecond().rem_euclid(micros);
        let period = time.checked_sub(SignedDuration::from_micros(into)).unwrap_or(Timestamp::MIN);
        if self.state.rate_period.is_some_and(|last| period < last) {
            return false;
        }
        if self.state.rate_period != Some(period) {
            (self.state.rate_period, self.state.rate_payments) = (Some(period), 0);
        }
        self.state.rate_payments = self.state.rate_payments.saturating_add(1);
        self.state.rate_payments > rate.payments
    }

    /// With the slot of a payment, or of its run's start.
    fn booked(&self, time: Timestamp, noted: Noted) -> Noted {
        let slot = self.terms.schedule.slot(time, self.terms.early_window);
        let early = slot.is_some_and(|slot| slot.early);
        Noted { slot: slot.map(|slot| slot.time), early, ..noted }
    }
}

fn new_run(payment: &Payment) -> Run {
    Run {
        id: payment.run.clone(),
        started: Some(payment.time),
        heard: payment.time,
        stages: Vec::new(),
        deadline: None,
        outcome: None,
        ended: None,
    }
}
