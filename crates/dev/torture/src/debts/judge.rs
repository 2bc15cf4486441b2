//! What must hold of debts at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tally_proto::count::v1::Method;
use tally_proto::tally::debts::v1::{Flip, Payment, PaymentKind, Status};
use tally_testkit::Hook;

use super::Known;
use super::payment::{EVERY, HEARTBEAT_LIMIT, SERVICE, STAGE_LIMIT};
use super::replay::{self, Replayed};
use super::stored::{Debt, time};
use crate::arguments::OF_DEBTS;
use crate::client::load::day;
use crate::journal::{Key, QUARTERS_PER_DAY, Series};
use crate::oracle::Verdict;
use crate::stored::Totals;

/// Why an alarm is raised by a payment.
const FAILED: &str = "it failed";

/// What is told of an alarm or a recovery: by its debt's id and its number.
type Told = BTreeMap<(String, i64), BTreeSet<(String, String)>>;

/// What the checks compare.
pub(super) struct Judge<'a> {
    pub(super) all: &'a [Debt],
    pub(super) hook: &'a Hook,
    /// How often no server looked for too long: then other moments than the payments' decide.
    pub(super) gaps: i64,
    pub(super) is_set_back: bool,
}

// === impl Judge ===

impl Judge<'_> {
    pub(super) fn judge(&self, known: &Known, verdict: &mut Verdict) {
        self.payments(known, verdict);
        self.told(verdict);
        for debt in self.all {
            check_flips(debt, verdict);
            check_runs(debt, verdict);
            verdict.check("debts: all was swept", debt.is_settled(), || debt.name());
            if self.gaps == 0 && !self.is_set_back {
                check_dates(debt, verdict);
                let replayed = replay::replay(debt);
                if replayed != Replayed::Undecided {
                    verdict.check("debts: replay", replayed == Replayed::Same, || {
                        format!("{}: {replayed:?}", debt.name())
                    });
                }
            }
        }
    }

    /// Each payment that was answered is stored once, under its number; what was not sent is not.
    fn payments(&self, known: &Known, verdict: &mut Verdict) {
        let mut stored: BTreeMap<&str, (&Debt, i64)> = BTreeMap::new();
        for debt in self.all {
            for (at, payment) in debt.payments.iter().enumerate() {
                let (number, dense) = (payment.number, at as i64 + 1);
                verdict.check("debts: numbers", number == dense, || {
                    format!("{}: payment {number} is the {dense}th", debt.name())
                });
                let token = std::str::from_utf8(&payment.body).unwrap_or_default();
                let other = stored.insert(token, (debt, number));
                verdict.check("debts: stored once", other.is_none(), || {
                    format!("{}: {token} is payment {number} and {other:?}", debt.name())
                });
                let is_its = known.get(token).is_some_and(|(known, _)| {
                    (known.namespace, &known.debt) == (debt.namespace, &debt.slug)
                        && known.is(payment)
                });
                verdict.check("debts: stored as sent", is_its, || {
                    format!("{}: payment {number} is {token}", debt.name())
                });
            }
            let count = debt.payments.len() as i64;
            verdict.check("debts: numbers", debt.debt.payments == count, || {
                format!("{} has {} payments of {count}", debt.name(), debt.debt.payments)
            });
        }
        for (token, (payment, numbers)) in known.iter().filter(|_| !self.is_set_back) {
            let Some(number) = numbers.first() else { continue };
            let found = stored.get(token.as_str()).map(|(_, number)| number);
            verdict.check("debts: acknowledged", found == Some(number), || {
                format!("{token} was payment {number} of {}, and is {found:?}", payment.debt)
            });
        }
    }

    /// Each alarm and each recovery was told under one id, and nothing else was.
    fn told(&self, verdict: &mut Verdict) {
        if self.is_set_back {
            return;
        }
        let mut told = told(self.hook);
        for debt in self.all.iter().filter(|debt| is_told(debt)) {
            for flip in &debt.flips {
                let events = told.remove(&(debt.debt.id.clone(), flip.number));
                let events = events.unwrap_or_default();
                verdict.check("debts: told", events.len() == 1, || {
                    format!("{}: flip {} as {events:?}", debt.name(), flip.number)
                });
                let at = time(flip.at).map(|at| at.to_string()).unwrap_or_default();
                let says =
                    events.iter().all(|(_, body)| body.contains(&format!("\"at\":\"{at}\"")));
                verdict.check("debts: told as stored", says, || {
                    format!("{}: flip {} at {at}: {events:?}", debt.name(), flip.number)
                });
            }
        }
        verdict.check("debts: told as stored", told.is_empty(), || {
            format!("told, and not stored: {told:?}")
        });
    }
}

/// How many alarms and recoveries the receiver does not know.
pub(super) fn untold(all: &[Debt], hook: &Hook) -> usize {
    let told = told(hook);
    let is_untold = |debt: &Debt, number| !told.contains_key(&(debt.debt.id.clone(), number));
    let of_debt =
        |debt: &Debt| debt.flips.iter().filter(|flip| is_untold(debt, flip.number)).count();
    all.iter().filter(|debt| is_told(debt)).map(of_debt).sum()
}

/// Those that payments have made tell nobody.
fn is_told(debt: &Debt) -> bool {
    !debt.slug.starts_with("made-")
}

fn told(hook: &Hook) -> Told {
    let mut told = Told::new();
    for posted in hook.posted() {
        let said: serde_json::Value = serde_json::from_str(&posted.body).unwrap_or_default();
        let id = said["id"].as_str().unwrap_or_default().to_owned();
        let debt = said["data"]["debt"]["id"].as_str().unwrap_or_default().to_owned();
        let flip = said["data"]["flip"].as_i64().unwrap_or_default();
        told.entry((debt, flip)).or_default().insert((id, posted.body));
    }
    told
}

/// They take turns, in their order.
fn check_flips(debt: &Debt, verdict: &mut Verdict) {
    let mut last = None;
    for (at, flip) in debt.flips.iter().enumerate() {
        let time = time(flip.at);
        let is_right =
            flip.number == at as i64 + 1 && flip.is_alarm == at.is_multiple_of(2) && time >= last;
        verdict.check("debts: alarms", is_right, || format!("{}: {flip:?}", debt.name()));
        last = time;
    }
    let is_down = debt.debt.status == i32::from(Status::Down);
    verdict.check("debts: alarms", is_down != debt.flips.len().is_multiple_of(2), || {
        format!("{}: status {} after {} flips", debt.name(), debt.debt.status, debt.flips.len())
    });
}

/// As many are open as the debt says.
fn check_runs(debt: &Debt, verdict: &mut Verdict) {
    let open = debt.runs.iter().filter(|run| run.outcome == 0).count();
    verdict.check("debts: open runs", open == debt.debt.open_runs as usize, || {
        format!("{}: {open} are open of {}", debt.name(), debt.debt.open_runs)
    });
}

/// An alarm is dated, to the microsecond, one of the limits after a payment, or after the debt was made, or at a
/// failure. A recovery is dated at a payment, or no earlier than its alarm.
fn check_dates(debt: &Debt, verdict: &mut Verdict) {
    let received = debt.payments.iter().filter_map(|one| time(one.received_at));
    let made: BTreeSet<_> = debt.payments.iter().filter_map(made_at).collect();
    let times: BTreeSet<_> = received.chain(made.iter().copied()).collect();
    let debt_made = time(debt.debt.created_at);
    let mut last = None;
    for flip in &debt.flips {
        let Some(at) = time(flip.at) else { continue };
        let is_limit = |limit: Duration| {
            let earlier = at - SignedDuration::try_from(limit).unwrap_or_default();
            made.contains(&earlier) || Some(earlier) == debt_made
        };
        // What is overdue since before the debt was made, or before the flip before, is so since then.
        let is_exact = times.contains(&at)
            || Some(at) == last
            || Some(at) == debt_made
            || flip.is_alarm && [EVERY, HEARTBEAT_LIMIT, STAGE_LIMIT].into_iter().any(is_limit);
        verdict.check("debts: dates", is_exact, || format!("{}: {flip:?}", debt.name()));
        last = Some(at);
    }
}

/// When a payment counts: when its client says, but no later than it was received.
pub(super) fn made_at(payment: &Payment) -> Option<Timestamp> {
    let received = time(payment.received_at)?;
    Some(time(payment.time).map_or(received, |said| said.min(received)))
}

/// What debts must have counted as, by day: each success and each failure when it was made, and each alarm that no
/// payment has raised at its deadline.
pub(super) fn counted(all: &[Debt]) -> Totals {
    let mut totals = Totals::new();
    for debt in all.iter().filter(|debt| debt.namespace == OF_DEBTS) {
        let mut count = |status, at: Option<Timestamp>| {
            let Some(at) = at else { return };
            let series = Series {
                namespace: OF_DEBTS,
                path: format!("/{}", debt.slug),
                method: Method::Post.into(),
                service: SERVICE.to_owned(),
                status,
                customer: String::new(),
            };
            let quarter = day(at.as_microsecond()) * QUARTERS_PER_DAY;
            *totals.entry(Key { quarter, series }).or_default() += 1;
        };
        for payment in &debt.payments {
            let status = match payment.kind() {
                PaymentKind::Success => 200,
                PaymentKind::Fail => 500,
                _ => continue,
            };
            count(status, made_at(payment));
        }
        let is_overdue = |flip: &&Flip| flip.is_alarm && flip.cause != FAILED;
        debt.flips.iter().filter(is_overdue).for_each(|flip| count(504, time(flip.at)));
    }
    totals
}

#[cfg(test)]
mod tests;
