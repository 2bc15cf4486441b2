//! Deeds that come together, and what is written of them.

use tally_outbox::{Secrets, Webhooks};
use tally_runtime::Namespace;

use super::*;
use crate::definition::Written;
use crate::model::Which;
use crate::state::{Kind, State, Status};

const HOOK: &str = "https://hooks.example.com/tally/";

fn at(text: &str) -> Timestamp {
    format!("2030-06-15T{text}Z").parse().expect(text)
}

/// Of once an hour, made at 06:00: it is overdue at 07:05.
fn debt(id: u128) -> Debt {
    let written = Written {
        slug: format!("d-{id}"),
        every: Some("1h".to_owned()),
        grace: Some("5m".to_owned()),
        notify: vec![format!("{HOOK}s3cret")],
        ..Written::default()
    };
    let definition = written.check(None).expect("it is right");
    let created = at("06:00:00");
    Debt {
        id: Uuid::from_u128(id),
        namespace: Namespace::DEFAULT,
        number: 1,
        ping_id: Uuid::from_u128(id),
        state: State::new(&definition.terms, created),
        definition,
        created,
        payments: 0,
        runs: 0,
        flips: 0,
        open_runs: 0,
    }
}

/// What the database has of debts, of which each deed is about the one of its number here.
fn loaded(debts: &[Debt], of_deeds: &[usize]) -> Loaded {
    Loaded {
        found: of_deeds.iter().map(|of| Some(debts[*of].id)).collect(),
        debts: debts.iter().map(|debt| (debt.id, debt.clone())).collect(),
        ..Loaded::default()
    }
}

/// Told by these; everything said under the same key is the same.
fn payment(kind: Kind, once: u128, run_once: Option<u128>) -> Payment {
    let which = Which::Number(1);
    Payment {
        to: Named { namespace: Namespace::DEFAULT, which },
        create: None,
        kind,
        run: run_once.map(|run| run.to_string()),
        exit_status: None,
        received: at("07:10:00"),
        said: None,
        took: None,
        body: Vec::new(),
        body_bytes: 0,
        key_name: String::new(),
        source: String::new(),
        once: Uuid::from_u128(once),
        run_once: run_once.map(Uuid::from_u128),
        fingerprint: 1,
    }
}

fn pay(payment: Payment) -> Deed {
    Deed::Pay(Arc::new(payment))
}

fn judged(loaded: Loaded, deeds: &[Deed], now: &str) -> Changes {
    let secrets: Secrets = format!("whsec_{}", "A".repeat(32)).parse().expect("a secret");
    let webhooks = Webhooks::new(HOOK.parse().expect("a prefix"), secrets);
    let tell: Tell = Arc::new(move |debt, flip| crate::event::of(debt, flip, &webhooks));
    judge(loaded, deeds, at(now), &tell)
}

#[test]
fn a_payment_is_stored_once_by_its_key_and_by_its_run() {
    let debt = Debt { payments: 7, ..debt(1) };
    let start = |once, run| pay(payment(Kind::Start, once, run));
    let other = Payment { fingerprint: 2, ..payment(Kind::Start, 1, None) };
    let deeds = [
        start(1, None),
        start(1, None),
        start(2, Some(20)),
        start(3, Some(20)),
        start(4, None),
        start(5, None),
        start(6, Some(60)),
        pay(other),
    ];
    let mut loaded = loaded(std::slice::from_ref(&debt), &[0; 8]);
    for (once, number) in [(5, 7), (60, 6)] {
        let known = Known { number, fingerprint: 1, flags: 0 };
        loaded.known.insert((debt.id, Uuid::from_u128(once)), known);
    }
    let changes = judged(loaded, &deeds, "07:10:00");
    let told = |outcome: &Outcome| match outcome {
        Outcome::Done(done) => Some((done.payment, done.is_repeated)),
        _ => None,
    };
    let told: Vec<_> = changes.outcomes.iter().filter_map(told).collect();
    let first = [(8, false), (8, true), (9, false), (9, true), (10, false), (7, true), (6, true)];
    assert_eq!(told, first);
    assert_eq!(changes.outcomes[7], Outcome::OtherContent);
    let stored: Vec<_> = changes.payments.iter().map(|one| one.number).collect();
    assert_eq!((stored, changes.debts[0].payments), (vec![8, 9, 10], 10));
}

#[test]
fn an_alarm_and_its_recovery_are_numbered_and_told_once() {
    let debt = debt(1);
    let sweep = Deed::Sweep(debt.id);
    let success = pay(payment(Kind::Success, 1, None));
    let of = |deeds: &[Deed], now| {
        judged(loaded(std::slice::from_ref(&debt), &vec![0; deeds.len()]), deeds, now)
    };
    let before = of(std::slice::from_ref(&sweep), "07:04:59.999999");
    assert_eq!((before.flips.len(), before.events.len(), before.debts.len()), (0, 0, 0));
    let down = of(&[sweep.clone(), sweep.clone()], "07:05:00");
    assert_eq!((down.flips.len(), down.events.len()), (1, 1));
    assert_eq!(down.debts[0].state.status, Status::Down);
    let over = of(&[sweep.clone(), success.clone(), sweep], "07:10:00");
    let flips: Vec<_> = over.flips.iter().map(|flip| (flip.number, flip.at)).collect();
    assert_eq!(flips, [(1, at("07:05:00")), (2, at("07:10:00"))]);
    assert_eq!((over.events.len(), over.debts[0].flips), (2, 2));
    // It is so even if no sweep has found it.
    let unswept = of(&[success], "07:10:00");
    assert_eq!((unswept.flips, unswept.events.len()), (over.flips, 2));
}

#[test]
fn a_gap_is_no_silence() {
    let debt = debt(1);
    let mut loaded = loaded(std::slice::from_ref(&debt), &[0]);
    loaded.gaps.push(Gap { from: at("06:30:00"), until: at("07:30:00") });
    let changes = judged(loaded, &[Deed::Sweep(debt.id)], "07:30:00");
    assert_eq!((changes.flips.len(), changes.debts[0].state.status), (0, Status::New));
}

/// Transactions that write rows in another order would wait for each other.
#[test]
fn debts_are_written_in_the_order_of_their_ids_with_their_runs() {
    let debts: Vec<_> = (1..=16).rev().map(debt).collect();
    let places: Vec<_> = (0..debts.len()).collect();
    let start = |once: usize| pay(payment(Kind::Start, once as u128, None));
    let deeds: Vec<_> = places.iter().map(|place| start(*place)).collect();
    let changes = judged(loaded(&debts, &places), &deeds, "07:00:00");
    let written: Vec<_> = changes.debts.iter().map(|debt| debt.id.as_u128()).collect();
    assert_eq!(written, (1..=16).collect::<Vec<_>>());
    assert!(changes.debts.iter().all(|debt| (debt.runs, debt.open_runs) == (1, 1)));
    let runs: Vec<_> = changes.runs.iter().map(|run| (run.debt.as_u128(), run.number)).collect();
    assert_eq!(runs, (1..=16).map(|id| (id, 1)).collect::<Vec<_>>());
    // A run that ends is none that is open.
    let ended = [start(1), pay(payment(Kind::Success, 2, None))];
    let changes = judged(loaded(&debts, &[3, 3]), &ended, "07:00:00");
    assert_eq!((changes.debts[0].runs, changes.debts[0].open_runs), (1, 0));
}

#[test]
fn new_terms_are_written() {
    let debt = debt(1);
    let definition = Definition { name: "another".to_owned(), ..debt.definition.clone() };
    let named = Named { namespace: Namespace::DEFAULT, which: Which::Id(debt.id) };
    let deed = Deed::Update(named, Box::new(definition.clone()));
    let changes = judged(loaded(std::slice::from_ref(&debt), &[0]), &[deed], "06:30:00");
    assert!(changes.redefined.contains(&debt.id));
    assert_eq!(changes.debts[0].definition, definition);
}
