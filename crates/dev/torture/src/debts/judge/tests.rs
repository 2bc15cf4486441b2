//! The judge finds payments, runs, alarms and what was told of them that are lost, doubled, moved and invented.

use std::collections::BTreeSet;

use tally_proto::tally::debts::v1::{Debt as Shown, Flip, Payment, PaymentKind, Run, Status};
use tally_testkit::{Hook, http};

use super::super::stored::Debt;
use super::super::{Known, payment};
use super::{Judge, counted};
use crate::oracle::Verdict;

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

/// What correct servers store of a beat that was made at 0 s and paid at 1 s and 10 s.
fn stored() -> Debt {
    let payment = |number, body: &str, seconds| Payment {
        number,
        kind: PaymentKind::Success.into(),
        received_at: at(seconds),
        body: body.into(),
        ..Payment::default()
    };
    let flip = |number, seconds| Flip {
        number,
        is_alarm: number % 2 == 1,
        at: at(seconds),
        ..Flip::default()
    };
    let debt = Shown {
        id: "the-id".to_owned(),
        created_at: at(0),
        status: Status::Down.into(),
        since: at(13),
        payments: 2,
        paid_at: at(10),
        due_at: at(13),
        failures: 1,
        ..Shown::default()
    };
    Debt {
        namespace: 1,
        slug: "beat-0".to_owned(),
        debt,
        payments: vec![payment(1, "a", 1), payment(2, "b", 10)],
        runs: Vec::new(),
        flips: vec![flip(1, 4), flip(2, 10), flip(3, 13)],
    }
}

/// What makes stored things wrong.
type Break = fn(&mut Debt);

/// They were answered.
fn sent() -> Known {
    let known = |(body, number): (&str, i64)| {
        let payment = payment::Payment::beat(1, 0, body.to_owned(), true);
        (body.to_owned(), (payment, BTreeSet::from([number])))
    };
    [("a", 1), ("b", 2)].map(known).into()
}

/// A receiver that was told of the alarms and the recovery.
fn told() -> Hook {
    let hook = Hook::start();
    for (flip, second) in [(1, "04"), (2, "10"), (3, "13")] {
        tell(&hook, flip, &format!("event-{flip}"), second);
    }
    hook
}

fn tell(hook: &Hook, flip: i64, id: &str, second: &str) {
    let data = format!("\"debt\":{{\"id\":\"the-id\"}},\"flip\":{flip}");
    let body =
        format!("{{\"id\":\"{id}\",\"at\":\"1970-01-01T00:00:{second}Z\",\"data\":{{{data}}}}}");
    assert_eq!(http(&hook.url(""), "POST /debts", &[], &body).status, 204);
}

fn judged(debt: Debt, sent: &Known, hook: &Hook) -> Verdict {
    let mut verdict = Verdict::default();
    let judge = Judge { all: &[debt], hook, gaps: 0, is_set_back: false };
    judge.judge(sent, &mut verdict);
    verdict
}

#[test]
fn what_correct_servers_store_has_no_difference() {
    let verdict = judged(stored(), &sent(), &told());
    assert!(verdict.passed(), "{:#?}", verdict.differences);
    assert_eq!(verdict.by_check.len(), 11, "each check compares: {:?}", verdict.by_check);
}

#[test]
fn what_is_stored_wrongly_is_found() {
    let hook = told();
    let cases: [(&str, &str, Break); 15] = [
        ("a payment is lost", "debts: acknowledged", |one| drop(one.payments.pop())),
        ("a number is left out", "debts: numbers", |one| one.payments[1].number = 3),
        ("one too many is counted", "debts: numbers", |one| one.debt.payments = 3),
        ("a payment is doubled", "debts: stored once", |one| one.payments[1].body = b"a".into()),
        ("nobody sent it", "debts: stored as sent", |one| one.payments[1].body = b"c".into()),
        ("it has another time", "debts: stored as sent", |one| one.payments[1].time = at(9)),
        ("it is in another namespace", "debts: stored as sent", |one| one.namespace = 0),
        ("it is of another debt", "debts: stored as sent", |one| one.slug = "beat-1".to_owned()),
        ("an alarm comes twice", "debts: alarms", |one| one.flips[1].is_alarm = true),
        ("an alarm is left out", "debts: alarms", |one| drop(one.flips.remove(0))),
        ("an alarm is earlier than the recovery before", "debts: alarms", |one| {
            one.flips[2].at = at(9);
        }),
        ("the last alarm has left no trace", "debts: alarms", |one| {
            one.debt.status = Status::Up.into();
        }),
        ("a run is open, and not counted", "debts: open runs", |one| one.runs.push(Run::default())),
        ("it is overdue, and nobody looks", "debts: all was swept", |one| {
            one.debt.overdue_at = at(13);
        }),
        ("an alarm is dated when it was noticed", "debts: dates", |one| one.flips[2].at = at(14)),
    ];
    for (what, check, breaks) in cases {
        let mut debt = stored();
        breaks(&mut debt);
        let verdict = judged(debt, &sent(), &hook);
        let found = verdict.by_check.get(check).is_some_and(|of| of.differences > 0);
        assert!(found, "{what}: {:#?}", verdict.differences);
    }
}

/// Successes and failures count when they were made, and alarms that no payment has raised at their deadlines.
#[test]
fn payments_and_alarms_count_as_requests() {
    let mut debt = Debt { namespace: 2, ..stored() };
    debt.payments[0].kind = PaymentKind::Fail.into();
    (debt.payments[1].received_at, debt.payments[1].time) = (at(86_400), at(10));
    debt.flips[0].cause = "it failed".to_owned();
    let totals = counted(&[debt, stored()]);
    let seen = totals.iter().map(|(key, count)| (key.quarter, key.series.status, *count));
    assert_eq!(seen.collect::<Vec<_>>(), [(0, 200, 1), (0, 500, 1), (0, 504, 1)]);
}

/// A state to which the payments do not come, whatever member of it is wrong.
#[test]
fn a_state_that_the_payments_do_not_come_to_is_found() {
    let hook = told();
    let cases: [Break; 6] = [
        |one| one.debt.since = at(12),
        |one| one.debt.paid_at = at(1),
        |one| one.debt.due_at = None,
        |one| one.debt.overdue_at = at(16),
        |one| one.debt.failures = 2,
        |one| one.runs.push(Run { outcome: 2, ..Run::default() }),
    ];
    for (case, breaks) in cases.into_iter().enumerate() {
        let mut debt = stored();
        breaks(&mut debt);
        let verdict = judged(debt, &sent(), &hook);
        let found = verdict.by_check["debts: replay"].differences;
        assert_eq!(found, 1, "{case}: {:#?}", verdict.differences);
    }
}

#[test]
fn what_is_told_wrongly_is_found() {
    let of = |hook: &Hook, check| judged(stored(), &sent(), hook).by_check[check].differences;
    let hook = Hook::start();
    assert_eq!((of(&hook, "debts: told"), of(&hook, "debts: told as stored")), (3, 0), "nothing");
    tell(&hook, 1, "event-1", "05");
    tell(&hook, 2, "event-2", "10");
    tell(&hook, 3, "event-3", "13");
    assert_eq!((of(&hook, "debts: told"), of(&hook, "debts: told as stored")), (0, 1), "late");
    tell(&hook, 2, "event-2", "10");
    assert_eq!(of(&hook, "debts: told"), 0, "it may come again under its id");
    tell(&hook, 3, "event-4", "13");
    assert_eq!(of(&hook, "debts: told"), 1, "under two ids");
    tell(&hook, 4, "event-5", "14");
    assert_eq!(of(&hook, "debts: told as stored"), 2, "which there is not");
}

/// Where servers were set back, payments may be lost, and only what is left must fit together.
#[test]
fn after_a_set_back_lost_payments_are_no_difference_and_doubled_ones_are() {
    let hook = Hook::start();
    let judged = |debt: Debt| {
        let mut verdict = Verdict::default();
        let judge = Judge { all: &[debt], hook: &hook, gaps: 0, is_set_back: true };
        judge.judge(&sent(), &mut verdict);
        verdict
    };
    let mut lost = stored();
    lost.payments.pop();
    lost.debt.payments = 1;
    assert!(judged(lost).passed());
    let mut doubled = stored();
    doubled.payments[1].body = b"a".into();
    assert_eq!(judged(doubled).by_check["debts: stored once"].differences, 1);
}
