//! What is stored of a batch, and what becomes of it.

use std::collections::HashSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::once::{Known, Once};
use crate::run::BatchEnd;

/// Rows of two numbers, all of one day.
#[derive(Debug, Clone)]
struct Pairs(Vec<(i64, i64)>, [(Day, i64); 1]);

impl Pairs {
    fn new(pairs: Vec<(i64, i64)>) -> Self {
        let rows = i64::try_from(pairs.len()).unwrap();
        Self(pairs, [(Day(0), rows)])
    }
}

impl Content for Pairs {
    fn rows(&self) -> usize {
        self.0.len()
    }
    fn bytes(&self) -> usize {
        16 * self.0.len()
    }
    fn days(&self) -> &[(Day, i64)] {
        &self.1
    }
    fn skip(&self, rows: usize) -> Self {
        Self::new(self.0[rows..].to_vec())
    }
}

const WORKER: Uuid = Uuid::from_u128(1);
const CLIENT: Uuid = Uuid::from_u128(2);

fn of(id: Uuid) -> Whose {
    (Namespace::DEFAULT, id)
}

/// A chunk of batches `first..`, each with so many rows, whose endpoint is the batch.
fn chunk(first: i64, sizes: &[usize]) -> Parcel<Pairs> {
    let mut rows = Vec::new();
    let mut batches = Vec::new();
    for (sequence, size) in (first..).zip(sizes) {
        rows.extend((0..*size).map(|_| (sequence, 0)));
        let checkpoint = (sequence % 3 > 0).then(|| sequence.to_string().into_bytes());
        batches.push(BatchEnd { rows: rows.len(), drops: vec![(Day(0), sequence)], checkpoint });
    }
    of_run(rows, Run { producer: CLIENT, epoch: 9, is_shared: false, first, batches })
}

fn of_run(rows: Vec<(i64, i64)>, run: Run) -> Parcel<Pairs> {
    Parcel { run: Some(Arc::new(run)), ..Pairs::new(rows).into() }
}

/// The same with another run.
fn with_run(chunk: &Parcel<Pairs>, change: impl FnOnce(Run) -> Run) -> Parcel<Pairs> {
    let run = chunk.run.as_deref().cloned().expect("it is a run");
    Parcel { run: Some(Arc::new(change(run))), ..chunk.clone() }
}

fn plan(chunks: &[Parcel<Pairs>], stored: Option<i64>) -> Plan<Pairs> {
    let place = stored.map(|sequence| Place::hoped_for(9, sequence));
    let batch = Batch { producer: WORKER, sequence: 1, is_repeated: false, chunks };
    Plan::new(&batch, Places::from([(of(CLIENT), place)]), Keys::default()).unwrap()
}

fn sequences(plan: &Plan<Pairs>) -> Vec<i64> {
    plan.content.iter().flat_map(|one| &one.0).map(|(sequence, _)| *sequence).collect()
}

#[test]
fn only_what_is_new_is_stored() {
    let chunks = [chunk(5, &[2, 0, 1])];
    for (stored, rows, fate) in [
        (Some(3), vec![], Fate::Gap { committed: 3 }),
        (Some(4), vec![5, 5, 7], Fate::Stored { committed: 7, known: 0 }),
        (Some(5), vec![7], Fate::Stored { committed: 7, known: 1 }),
        (Some(6), vec![7], Fate::Stored { committed: 7, known: 2 }),
        (Some(7), vec![], Fate::Stored { committed: 7, known: 3 }),
        (Some(9), vec![], Fate::Stored { committed: 9, known: 3 }),
        (None, vec![], Fate::Refused(Refusal::Forgotten)),
    ] {
        let plan = plan(&chunks, stored);
        assert_eq!(sequences(&plan), rows, "{stored:?}");
        assert_eq!(plan.fates, [fate], "{stored:?}");
        let moved = plan.moves.iter().find(|one| one.whose == of(CLIENT)).map(|one| one.last);
        let new = stored.filter(|stored| (4..7).contains(stored));
        assert_eq!(moved, new.map(|_| 7));
        let dropped = plan.days.get(&(Namespace::DEFAULT, Day(0))).map_or(0, |day| day.dropped);
        assert_eq!(dropped, new.map_or(0, |stored| (stored + 1..=7).sum()));
    }
}

#[test]
fn two_runs_of_one_producer_are_one_move() {
    let chunks = [chunk(5, &[1, 1]), chunk(5, &[1, 1, 1]), chunk(9, &[1])];
    let plan = plan(&chunks, Some(4));
    assert_eq!(sequences(&plan), [5, 6, 7]);
    let brought = Counted { accepted: 3, dropped: 18 };
    let checkpoint = Some(b"7".to_vec());
    let expected = Move { whose: of(CLIENT), epoch: 9, before: 4, last: 7, brought, checkpoint };
    assert_eq!(plan.moves[0], expected);
    let (six, seven) =
        (Fate::Stored { committed: 6, known: 0 }, Fate::Stored { committed: 7, known: 2 });
    assert_eq!(plan.fates, [six, seven, Fate::Gap { committed: 7 }]);
}

#[test]
fn the_last_new_checkpoint_moves_with_the_number() {
    let chunks = [chunk(5, &[1, 1, 1, 1, 1])];
    for (stored, checkpoint) in [(4, Some("8")), (7, Some("8")), (8, None), (9, None)] {
        let plan = plan(&chunks, Some(stored));
        let moved = plan.moves.iter().find(|one| one.whose == of(CLIENT));
        let moved = moved.and_then(|one| one.checkpoint.as_deref());
        assert_eq!(moved, checkpoint.map(str::as_bytes), "{stored}");
    }
}

/// The answer to a COMMIT was lost, and meanwhile another process has taken the producer over. What
/// it has stored since cannot be told from what the first attempt stored.
#[test]
fn a_repeated_run_of_a_producer_that_changed_hands_may_be_stored() {
    let in_use = chunk(5, &[1, 1]);
    let taken_over = with_run(&in_use, |run| Run { is_shared: true, ..run });
    let (refused, in_doubt) = (Fate::Refused as fn(_) -> _, Fate::InDoubt as fn(_) -> _);
    for (worker, run, stored, fate) in [
        (0, &taken_over, Some(6), refused(Refusal::TakenOver)),
        (1, &taken_over, Some(4), refused(Refusal::TakenOver)),
        (1, &taken_over, Some(5), in_doubt(Refusal::TakenOver)),
        (1, &in_use, Some(6), in_doubt(Refusal::InUse)),
        (0, &in_use, None, refused(Refusal::Forgotten)),
        (1, &in_use, None, in_doubt(Refusal::Forgotten)),
    ] {
        let place = stored.map(|sequence| Place::hoped_for(8, sequence));
        let worker = Some(Place::hoped_for(0, worker));
        let chunks = [run.clone()];
        let batch = Batch { producer: WORKER, sequence: 1, is_repeated: true, chunks: &chunks };
        let places = Places::from([(of(WORKER), worker), (of(CLIENT), place)]);
        let plan = Plan::new(&batch, places, Keys::default()).unwrap();
        assert_eq!(plan.fates, [fate], "{worker:?} {place:?}");
        assert!(plan.content.is_empty());
    }
}

/// Both in one batch, where nobody has asked the database yet what the producer is.
#[test]
fn a_run_is_refused_beside_one_of_the_process_that_took_over() {
    let new = chunk(5, &[1]);
    for (is_shared, refusal) in [(true, Refusal::TakenOver), (false, Refusal::InUse)] {
        let old = with_run(&new, |run| Run { epoch: 8, is_shared, ..run });
        let chunks = [new.clone(), old];
        let batch = Batch { producer: WORKER, sequence: 1, is_repeated: false, chunks: &chunks };
        let plan = Plan::hopeful(&batch, Keys::default()).unwrap();
        let stored = Fate::Stored { committed: 5, known: 0 };
        assert_eq!(plan.fates, [stored, Fate::Refused(refusal)]);
        assert_eq!(sequences(&plan), [5]);
    }
}

proptest! {
    /// Whatever runs come, in whatever order and however often: each number is stored once, none
    /// is left out, and nothing is acknowledged that is not stored.
    #[test]
    fn each_number_is_stored_once(
        batches in prop::collection::vec(
            prop::collection::vec((0..3_u128, 1..8_i64, 1..4_usize), 0..4), 1..12
        )
    ) {
        // Two of them have the same id, in two namespaces.
        let id = |client: u128| {
            (Namespace(i64::from(client == 2)), Uuid::from_u128(100 + client % 2))
        };
        let mut database: HashMap<Whose, Place> =
            (0..3).map(|client| (id(client), Place::hoped_for(9, 0))).collect();
        let mut stored = HashSet::new();
        for (sequence, runs) in (1..).zip(batches) {
            let mut chunks = Vec::new();
            for (client, first, len) in runs {
                let ends = (1..=len).map(|rows| BatchEnd { rows, ..BatchEnd::default() });
                let ((namespace, producer), batches) = (id(client), ends.collect());
                let run = Run { producer, epoch: 9, is_shared: false, first, batches };
                let rows = (first..).take(len).map(|sequence| (sequence, client as i64));
                chunks.push(Parcel { namespace, ..of_run(rows.collect(), run) });
            }
            let batch = Batch { producer: WORKER, sequence, is_repeated: false, chunks: &chunks };
            let fits = |plan: &Plan<Pairs>| plan.moves.iter().filter(|one| one.whose != of(WORKER)).all(|one| {
                database[&one.whose] == Place::hoped_for(one.epoch, one.before)
            });
            let mut plan = Plan::hopeful(&batch, Keys::default()).unwrap();
            if !fits(&plan) {
                let places = database.iter().map(|(id, place)| (*id, Some(*place))).collect();
                plan = Plan::new(&batch, places, Keys::default()).unwrap();
                prop_assert!(fits(&plan));
            }
            for one in plan.moves.iter().filter(|one| one.whose != of(WORKER)) {
                database.insert(one.whose, Place::hoped_for(9, one.last));
            }
            for row in plan.content.iter().flat_map(|one| one.0.clone()) {
                prop_assert!(stored.insert(row), "{row:?} is stored twice");
            }
            for (chunk, fate) in chunks.iter().zip(plan.fates) {
                let run = chunk.run.as_ref().unwrap();
                match fate {
                    Fate::Stored { committed, .. } => {
                        prop_assert!(committed >= run.last());
                        prop_assert!(database[&(chunk.namespace, run.producer)].sequence >= committed);
                    }
                    Fate::Gap { committed } => prop_assert!(committed < run.first - 1),
                    Fate::OtherContent | Fate::Locked => prop_assert!(false, "a run has no key"),
                    Fate::Refused(refusal) | Fate::InDoubt(refusal) => {
                        prop_assert!(false, "{refusal}");
                    }
                }
            }
        }
        for client in 0..3 {
            let last = database[&id(client)].sequence;
            let mut numbers: Vec<_> =
                stored.iter().filter(|row| row.1 == client as i64).map(|row| row.0).collect();
            numbers.sort_unstable();
            prop_assert_eq!(numbers, (1..=last).collect::<Vec<_>>());
        }
    }
}

/// A request of one row under a key.
fn once(key: &str, fingerprint: u8) -> Parcel<Pairs> {
    let once = Once { key: key.into(), fingerprint: [fingerprint; 16] };
    Parcel { once: Some(Arc::new(once)), ..Pairs::new(vec![(i64::from(fingerprint), 0)]).into() }
}

#[test]
fn what_comes_under_a_key_is_stored_once() {
    let chunks = [
        once("new", 1),
        once("new", 1),
        once("new", 2),
        once("old", 3),
        once("old", 4),
        once("locked", 5),
    ];
    let stored = |known| Fate::Stored { committed: 0, known };
    // By an earlier attempt, if there was one.
    for (is_repeated, last, rows, known) in
        [(false, 0, vec![1], 1), (true, 0, vec![1], 1), (true, 1, vec![], 0)]
    {
        let old = [("old", Known::For([3; 16])), ("locked", Known::Locked)];
        let keys =
            Keys::from_iter(old.map(|(key, known)| ((Namespace::DEFAULT, key.into()), known)));
        let batch = Batch { producer: WORKER, sequence: 1, is_repeated, chunks: &chunks };
        let places = Places::from([(of(WORKER), Some(Place::hoped_for(0, last)))]);
        let plan = Plan::new(&batch, places, keys).unwrap();
        assert_eq!(sequences(&plan), rows);
        let (again, other) = (stored(known), Fate::OtherContent);
        assert_eq!(plan.fates, [stored(0), again, other, again, other, Fate::Locked]);
        let new = chunks[0].new_after(0).0.rows() + chunks[1].new_after(1).0.rows();
        assert_eq!(new, 1);
    }
}
