//! What is done with debts in one transaction: from what the database has, to what is written. Nothing here
//! waits for anything.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use tally_outbox::{Count, Event};
use tally_runtime::{Kind as ErrorKind, chain, faults};
use uuid::Uuid;

use crate::definition::Definition;
use crate::model::{
    Deadline, Debt, KeptFlip, KeptPayment, KeptRun, Named, Payment, flags_of, noted_of, words,
};
use crate::state::{self, Flip, Gap, Noted, Run, RunChange, State, Swept};
use crate::store::subjects;
use crate::terms::Terms;

/// What is to be done with a debt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Deed {
    Pay(Arc<Payment>),
    /// Sees whether something is overdue.
    Sweep(Uuid),
    Pause(Named),
    Resume(Named),
    /// Gives it other terms.
    Update(Named, Box<Definition>),
}

/// What became of a deed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    Done(Box<Done>),
    /// There is no such debt.
    Unknown,
    /// Something else was paid under the idempotency key.
    OtherContent,
    /// There are as many debts as there may be.
    TooMany,
    /// For the reason that the text gives.
    Refused(ErrorKind, String),
    /// The database has something of the debt that nobody can read, as the text says. No other debt is
    /// concerned.
    Broken(String),
}

/// A deed that is done, now or before.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Done {
    /// As it stands then.
    pub(crate) debt: Debt,
    /// The number of the payment.
    pub(crate) payment: i64,
    /// What is noted of the payment.
    pub(crate) noted: Noted,
    /// It was stored before; of terms, that they are what they were.
    pub(crate) is_repeated: bool,
    /// The payment has made the debt.
    pub(crate) is_created: bool,
}

/// What the database has of the debts that deeds are about.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Of each deed, in order: which debt it is about, if there is one.
    pub(crate) found: Vec<Option<Uuid>>,
    /// The debts, locked until the transaction ends.
    pub(crate) debts: HashMap<Uuid, Debt>,
    /// Debts of which the database has something that nobody can read, and why.
    pub(crate) broken: HashMap<Uuid, String>,
    /// Debts that this transaction has made.
    pub(crate) created: HashSet<Uuid>,
    /// Deeds whose debts were not made, because there are too many.
    pub(crate) too_many: HashSet<usize>,
    /// Of each debt the open runs, and those that payments name, by their numbers.
    pub(crate) runs: HashMap<Uuid, Vec<KeptRun>>,
    /// Payments that were stored before, by what tells them.
    pub(crate) known: HashMap<(Uuid, Uuid), Known>,
    /// When no server looked at debts, in order.
    pub(crate) gaps: Vec<Gap>,
}

/// A payment that was stored before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) number: i64,
    pub(crate) fingerprint: i64,
    /// What is noted of it.
    pub(crate) flags: i64,
}

/// What is written.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Debts that have changed, as they are from now on, by their ids.
    pub(crate) debts: Vec<Debt>,
    /// Which of them have other terms.
    pub(crate) redefined: HashSet<Uuid>,
    /// Deadlines that they had, and those that they have from now on.
    pub(crate) deadlines_gone: Vec<Deadline>,
    pub(crate) deadlines_new: Vec<Deadline>,
    pub(crate) payments: Vec<KeptPayment>,
    /// Runs that are new or have changed.
    pub(crate) runs: Vec<KeptRun>,
    pub(crate) flips: Vec<KeptFlip>,
    pub(crate) events: Vec<Event>,
    /// Whose events go, before the new ones.
    pub(crate) subjects_gone: Vec<Uuid>,
    /// What is to be counted as requests.
    pub(crate) counts: Vec<Count>,
    /// One for each deed.
    pub(crate) outcomes: Vec<Outcome>,
}

/// Makes the events of a flip, for everybody who is to be told.
pub(crate) type Tell = Arc<dyn Fn(&Debt, &KeptFlip) -> Vec<Event> + Send + Sync>;

/// What a sweep, a pause or a resumption makes of a debt; none if it stays as it is.
type Turn = fn(&Terms, &State, &[Run], Timestamp, &[Gap]) -> Option<Swept>;

/// Does deeds, in order.
struct Judge<'a> {
    loaded: Loaded,
    changes: Changes,
    /// Which debts have changed, with the deadlines that the database has, and which runs.
    debts: BTreeMap<Uuid, Option<Deadline>>,
    runs: HashSet<(Uuid, i64)>,
    now: Timestamp,
    tell: &'a Tell,
}

/// Judges deeds, in order, and says what is to be written.
pub(crate) fn judge(loaded: Loaded, deeds: &[Deed], now: Timestamp, tell: &Tell) -> Changes {
    let mut judge = Judge {
        loaded,
        changes: Changes::default(),
        debts: BTreeMap::new(),
        runs: HashSet::new(),
        now,
        tell,
    };
    for (at, deed) in deeds.iter().enumerate() {
        let outcome = judge.one(at, deed);
        judge.changes.outcomes.push(outcome);
    }
    judge.finish()
}

// === impl Loaded ===

impl Loaded {
    /// Notes that what the database has of a debt cannot be read, unless the error may pass by itself.
    pub(crate) fn note_broken(
        &mut self,
        id: Uuid,
        error: tally_store::Error,
    ) -> Result<(), tally_store::Error> {
        if error.is_transient() {
            return Err(error);
        }
        self.broken.insert(id, chain(&error));
        Ok(())
    }
}

// === impl Judge ===

impl Judge<'_> {
    fn one(&mut self, at: usize, deed: &Deed) -> Outcome {
        if self.loaded.too_many.contains(&at) {
            return Outcome::TooMany;
        }
        let id = self.loaded.found.get(at).copied().flatten();
        if let Some(why) = id.and_then(|id| self.loaded.broken.get(&id)) {
            return Outcome::Broken(why.clone());
        }
        let Some(debt) = id.and_then(|id| self.loaded.debts.get(&id)).cloned() else {
            return Outcome::Unknown;
        };
        match deed {
            Deed::Pay(payment) => self.pay(debt, payment),
            Deed::Sweep(_) => self.turn(debt, state::sweep),
            Deed::Pause(_) => self.turn(debt, state::pause),
            Deed::Resume(_) => self.turn(debt, state::resume),
            Deed::Update(_, definition) => self.update(debt, definition),
        }
    }

    fn pay(&mut self, mut debt: Debt, payment: &Arc<Payment>) -> Outcome {
        let known = |once: Uuid| self.loaded.known.get(&(debt.id, once)).copied();
        if let Some(known) = known(payment.once) {
            if known.fingerprint != payment.fingerprint {
                return Outcome::OtherContent;
            }
            return self.repeated(debt, known);
        }
        if let Some(known) = payment.run_once.and_then(known) {
            return self.repeated(debt, known);
        }
        let time = match state::time_of(payment.said, payment.received) {
            Ok(time) => time,
            Err(why) => return Outcome::Refused(ErrorKind::InvalidArgument, why.to_string()),
        };
        let said = state::Payment {
            kind: payment.kind.clone(),
            run: payment.run.clone(),
            time,
            received: payment.received,
            took: payment.took,
        };
        let runs = self.runs_of(&debt);
        let (terms, gaps) = (&debt.definition.terms, &self.loaded.gaps);
        let paid = match state::pay(terms, &debt.state, &runs, &said, gaps) {
            Ok(paid) => paid,
            Err(why) => return Outcome::Refused(ErrorKind::InvalidArgument, why.to_string()),
        };
        if let Some(series) = &debt.definition.count_as {
            let count = series.of_payment(debt.namespace, &said.kind, &paid.noted, said.time);
            self.changes.counts.extend(count);
        }
        debt.payments += if faults::is_on("debts.skip") { 2 } else { 1 };
        let (id, number) = (debt.id, debt.payments);
        let (fingerprint, noted) = (payment.fingerprint, paid.noted);
        let known = Known { number, fingerprint, flags: flags_of(&noted) };
        self.loaded.known.insert((id, payment.once), known);
        if let Some(once) = payment.run_once {
            self.loaded.known.insert((id, once), known);
        }
        self.changes.payments.push(KeptPayment {
            debt: id,
            number,
            payment: Arc::clone(payment),
            noted,
        });
        let is_created = self.loaded.created.remove(&id);
        let debt = self.take(debt, paid.state, paid.runs, paid.flips);
        Outcome::Done(Box::new(Done { payment: number, noted, is_created, ..unpaid(debt) }))
    }

    fn repeated(&self, debt: Debt, known: Known) -> Outcome {
        let (payment, noted) = (known.number, noted_of(known.flags, None, None));
        Outcome::Done(Box::new(Done { payment, noted, is_repeated: true, ..unpaid(debt) }))
    }

    fn turn(&mut self, debt: Debt, turn: Turn) -> Outcome {
        let runs = self.runs_of(&debt);
        let terms = &debt.definition.terms;
        match turn(terms, &debt.state, &runs, self.now, &self.loaded.gaps) {
            Some(turned) => done(self.swept(debt, turned)),
            None => done(debt),
        }
    }

    fn swept(&mut self, debt: Debt, swept: Swept) -> Debt {
        self.take(debt, swept.state, swept.runs, swept.flip.into_iter().collect())
    }

    fn update(&mut self, mut debt: Debt, definition: &Definition) -> Outcome {
        let runs = self.runs_of(&debt);
        let (old, new) = (&debt.definition.terms, &definition.terms);
        let amended = state::amend(old, new, &debt.state, &runs, self.now, &self.loaded.gaps);
        let is_repeated = debt.definition == *definition;
        // Who is to be notified no more is told of nothing more.
        let told: HashSet<_> = subjects(debt.id, definition).collect();
        let gone = subjects(debt.id, &debt.definition).filter(|subject| !told.contains(subject));
        self.changes.subjects_gone.extend(gone);
        debt.definition = definition.clone();
        self.changes.redefined.insert(debt.id);
        let debt = self.swept(debt, amended);
        Outcome::Done(Box::new(Done { is_repeated, ..unpaid(debt) }))
    }

    /// Takes over what has become of a debt, and returns it.
    fn take(
        &mut self,
        mut debt: Debt,
        state: State,
        runs: Vec<RunChange>,
        flips: Vec<Flip>,
    ) -> Debt {
        let id = debt.id;
        debt.state = state;
        let of_debt = self.loaded.runs.entry(id).or_default();
        for RunChange { index, run } in runs {
            let number = match index.and_then(|index| of_debt.get_mut(index)) {
                Some(kept) => {
                    kept.run = run;
                    kept.number
                }
                None => {
                    debt.runs += 1;
                    of_debt.push(KeptRun { debt: id, number: debt.runs, run });
                    debt.runs
                }
            };
            self.runs.insert((id, number));
        }
        let open = of_debt.iter().filter(|kept| kept.run.outcome.is_none()).count();
        let open = i64::try_from(open).unwrap_or(i64::MAX);
        debt.open_runs = if faults::is_on("debts.open") { open.max(debt.open_runs) } else { open };
        let flips =
            if faults::is_on("debts.twice") { [flips.clone(), flips].concat() } else { flips };
        for Flip { at, cause } in flips {
            if let Some(series) = &debt.definition.count_as {
                self.changes.counts.extend(series.of_flip(debt.namespace, &cause, at));
            }
            debt.flips += 1;
            let (number, noticed) = (debt.flips, self.now);
            let at = if faults::is_on("debts.late") { noticed } else { at };
            let flip = KeptFlip { debt: id, number, at, noticed, cause: words(&cause) };
            if !faults::is_on("debts.untold") {
                self.changes.events.extend((self.tell)(&debt, &flip));
            }
            self.changes.flips.push(flip);
        }
        let before = self.loaded.debts.insert(id, debt.clone());
        self.debts.entry(id).or_insert(before.as_ref().and_then(Debt::deadline));
        debt
    }

    fn runs_of(&self, debt: &Debt) -> Vec<Run> {
        let runs = self.loaded.runs.get(&debt.id).into_iter().flatten();
        runs.map(|kept| kept.run.clone()).collect()
    }

    fn finish(mut self) -> Changes {
        // In the order of their ids, in which all transactions have locked them.
        for (id, before) in self.debts {
            let Some(debt) = self.loaded.debts.remove(&id) else { continue };
            let deadline = debt.deadline();
            if deadline != before {
                let overdue = deadline.map(|deadline| deadline.overdue);
                let is_gone = |before: &Deadline| Some(before.overdue) != overdue;
                self.changes.deadlines_gone.extend(before.filter(is_gone));
                self.changes.deadlines_new.extend(deadline);
            }
            self.changes.debts.push(debt);
            let runs = self.loaded.runs.remove(&id).unwrap_or_default();
            let changed = runs.into_iter().filter(|kept| self.runs.contains(&(id, kept.number)));
            self.changes.runs.extend(changed);
        }
        self.changes
    }
}

fn done(debt: Debt) -> Outcome {
    Outcome::Done(Box::new(unpaid(debt)))
}

fn unpaid(debt: Debt) -> Done {
    Done { debt, payment: 0, noted: Noted::default(), is_repeated: false, is_created: false }
}

#[cfg(test)]
mod tests;
