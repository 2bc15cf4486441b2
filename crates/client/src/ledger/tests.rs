//! The rules of the protocol, one by one and all together.

use proptest::prelude::*;

use super::*;
use crate::Series;
use crate::rows::{Drops, Row};

/// This many requests in half as many rows, and one more for an odd one.
fn rows(count: u64) -> Vec<Row> {
    let one = Row::one(Series(0), 86_400_000_000);
    let pairs = (0..count / 2).map(|_| Row { requests: 2, ..one });
    pairs.chain((count % 2 == 1).then_some(one)).collect()
}

/// Numbers a batch of this many requests.
fn push(ledger: &mut Ledger, count: u64) -> u64 {
    ledger.push(count, Some(Requests { rows: rows(count), ..Requests::default() }))
}

fn requests(ledger: &Ledger, sequence: u64) -> &Requests {
    ledger.batch(sequence).and_then(|batch| batch.requests.as_ref()).expect("still there")
}

fn ledger() -> Ledger {
    Ledger::new([7; 16], "test".to_owned())
}

#[test]
fn an_acknowledgement_is_cumulative() {
    let mut ledger = ledger();
    for count in [1, 2, 3] {
        let sequence = push(&mut ledger, count);
        ledger.sending(sequence);
    }
    let settled = ledger.committed(2).expect("sent");
    assert_eq!((settled.acknowledged, ledger.acknowledged(), ledger.pending()), (3, 2, 1));
    // An older one changes nothing.
    assert_eq!(ledger.committed(1), Ok(Settled::default()));
    assert_eq!(ledger.committed(4), Err(Breach::Foreign { committed: 4, sent: 3 }));
    assert_eq!((requests(&ledger, 3).rows.len(), ledger.batch(2).is_none()), (2, true));
}

#[test]
fn the_epoch_is_that_of_the_last_opened_and_the_claim_stays() {
    let mut ledger = ledger();
    let own = *ledger.lease.claims.last().expect("one");
    ledger.lease.claims.insert(0, 77);
    assert_eq!((ledger.open().epoch, ledger.open().claims), (0, vec![77, own]));
    ledger.opened(5, 0).expect("nothing was sent");
    assert_eq!((ledger.open().epoch, ledger.open().claims), (5, vec![own]));
}

#[test]
fn a_refused_batch_keeps_its_number_and_tells_its_requests_as_dropped() {
    let mut ledger = ledger();
    let mut drops = Drops::default();
    drops.add(1, 5);
    let sequence = ledger.push(3, Some(Requests { rows: rows(3), drops, ..Requests::default() }));
    ledger.sending(sequence);
    let settled = ledger.set_aside(i64::MIN).expect("it has rows");
    assert_eq!(settled.rejected, 3);
    let batch = requests(&ledger, sequence);
    assert_eq!((batch.rows.len(), batch.drops.total(), sequence), (0, 8, 1));
    assert_eq!(ledger.set_aside(i64::MIN), None);
    let settled = ledger.committed(1).expect("sent");
    assert_eq!((settled.acknowledged, settled.drops_reported), (0, 8));
}

#[test]
fn only_the_requests_that_are_too_late_are_set_aside() {
    let mut ledger = ledger();
    let mut mixed = rows(5);
    mixed[1].time_us *= 2;
    let sequence = ledger.push(5, Some(Requests { rows: mixed, ..Requests::default() }));
    ledger.sending(sequence);
    let latest = rows(1)[0].time_us;
    assert!(ledger.has_later(latest));
    assert_eq!(ledger.set_aside(latest).map(|settled| settled.rejected), Some(2));
    assert!(!ledger.has_later(latest));
    let batch = requests(&ledger, sequence);
    assert_eq!((batch.rows.len(), batch.drops.total()), (2, 2));
    assert_eq!(ledger.committed(1).expect("sent").acknowledged, 3);
}

/// The server's word on one stream does not apply to earlier streams.
#[test]
fn what_is_in_doubt_is_what_no_stream_has_told() {
    let send = |ledger: &mut Ledger, batches: u64| {
        for _ in 0..batches {
            let sequence = push(ledger, 1);
            ledger.sending(sequence);
        }
    };
    let mut ledger = ledger();
    ledger.begin_stream();
    send(&mut ledger, 3);
    assert_eq!((ledger.concluded(1).expect("sent").acknowledged, ledger.doubtful()), (1, 1));
    ledger.begin_stream();
    send(&mut ledger, 2);
    // This stream breaks, and the server ends the next one.
    ledger.begin_stream();
    send(&mut ledger, 1);
    assert_eq!((ledger.concluded(2).expect("sent").acknowledged, ledger.doubtful()), (1, 5));
    assert_eq!(ledger.give_up(), (3, 1));
}

#[test]
fn a_restored_database_is_seen() {
    let mut ledger = ledger();
    for _ in 0..3 {
        let sequence = push(&mut ledger, 1);
        ledger.sending(sequence);
    }
    ledger.opened(1, 2).expect("two");
    assert_eq!(ledger.opened(1, 1), Err(Breach::Lost { committed: 1, acknowledged: 2 }));
    let id = ledger.id;
    ledger.number_anew([1; 16]);
    assert_ne!(id, ledger.id);
    assert_eq!((requests(&ledger, 1).rows.len(), ledger.next_sequence()), (1, 2));
}

/// A step of a ledger.
#[derive(Debug, Clone)]
enum Step {
    Push(u64),
    Send,
    Commit(u64),
    Refuse,
    Forget,
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5_u64).prop_map(Step::Push),
        4 => Just(Step::Send),
        3 => (0..4_u64).prop_map(Step::Commit),
        1 => Just(Step::Refuse),
        1 => Just(Step::Forget),
        1 => Just(Step::Restore),
    ]
}

proptest! {
    /// In every order of steps, each request has one end or is pending, and no number is used twice
    /// under one id.
    #[test]
    fn every_request_comes_to_one_end(steps in proptest::collection::vec(step(), 0..200)) {
        let mut ledger = ledger();
        let (mut given, mut settled) = (0_u64, 0_u64);
        let mut sent = 0;
        for step in steps {
            let before = (ledger.id, ledger.acknowledged());
            let ended = match step {
                Step::Push(count) => {
                    given += count;
                    push(&mut ledger, count);
                    Settled::default()
                }
                Step::Send => {
                    if ledger.batch(sent + 1).is_some() {
                        sent += 1;
                        ledger.sending(sent);
                    }
                    Settled::default()
                }
                Step::Commit(more) => {
                    let committed = (ledger.acknowledged() + more).min(sent);
                    ledger.committed(committed).expect("it was sent")
                }
                Step::Refuse => ledger.set_aside(i64::MIN).unwrap_or_default(),
                Step::Forget => ledger.begin_anew(crate::random::producer_id(0)),
                Step::Restore => {
                    ledger.number_anew(crate::random::producer_id(0));
                    Settled::default()
                }
            };
            if ledger.id == before.0 {
                prop_assert!(ledger.acknowledged() >= before.1);
            } else {
                sent = 0;
            }
            settled += ended.acknowledged + ended.rejected + ended.in_doubt;
            let rows = |batch: &Batch| batch.requests.as_ref().map_or(0, |it| rows::total(&it.rows));
            let pending: u64 = ledger.pending.iter().map(rows).sum();
            prop_assert_eq!(given, settled + pending);
        }
        let (in_doubt, unsent) = ledger.give_up();
        prop_assert_eq!(given, settled + in_doubt + unsent);
    }
}
