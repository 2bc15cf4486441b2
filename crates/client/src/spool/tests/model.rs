//! A spool behaves like a list in memory, in every order of steps.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::spool::{Missing, Recovered, Spool, Stored};
use proptest::prelude::*;

use super::{PRODUCER, SMALL, open, scratch};

#[derive(Debug, Clone)]
enum Step {
    Append(u64, usize),
    /// This share of the pending batches.
    Acknowledge(prop::sample::Index),
    Read(prop::sample::Index),
    Lease(u64, Vec<u64>),
    Sync,
    /// The process ends without closing the spool.
    Drop,
    Close,
    /// The process ends in the middle of the last append.
    Tear(prop::sample::Index),
    NewProducer(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..5000_u64, 0..900_usize).prop_map(|(rows, length)| Step::Append(rows, length)),
        3 => any::<prop::sample::Index>().prop_map(Step::Acknowledge),
        3 => any::<prop::sample::Index>().prop_map(Step::Read),
        1 => (any::<u64>(), prop::collection::vec(any::<u64>(), 0..64))
            .prop_map(|(epoch, claims)| Step::Lease(epoch, claims)),
        1 => Just(Step::Sync),
        2 => Just(Step::Drop),
        1 => Just(Step::Close),
        2 => any::<prop::sample::Index>().prop_map(Step::Tear),
        2 => any::<u8>().prop_map(Step::NewProducer),
    ]
}

#[derive(Debug)]
struct Model {
    producer: [u8; 16],
    lease: (u64, Vec<u64>),
    acknowledged: u64,
    next: u64,
    /// Includes acknowledged batches, because a crash may forget acknowledgements.
    batches: BTreeMap<u64, Stored>,
    rows: BTreeMap<u64, u64>,
    made: u64,
}

impl Model {
    fn new() -> Self {
        Self {
            producer: PRODUCER,
            lease: (0, Vec::new()),
            acknowledged: 0,
            next: 1,
            batches: BTreeMap::new(),
            rows: BTreeMap::new(),
            made: 0,
        }
    }

    /// Compares everything, and adopts what a crash may have changed.
    fn reopened(&mut self, spool: &mut Spool, recovered: &Recovered, forgets: bool) {
        assert_eq!(recovered.producer_id, self.producer);
        assert_eq!((recovered.epoch, recovered.claims.clone()), self.lease);
        assert_eq!(recovered.next_sequence, self.next);
        if forgets {
            assert!(recovered.acknowledged <= self.acknowledged, "{recovered:?} {self:?}");
        } else {
            assert_eq!(recovered.acknowledged, self.acknowledged);
        }
        self.acknowledged = recovered.acknowledged;
        let mut holes = BTreeMap::new();
        for sequence in self.acknowledged + 1..self.next {
            let stored = spool.read(sequence).unwrap();
            match (stored, &self.batches[&sequence]) {
                (Stored::Missing(hole), Stored::Missing(_)) => {
                    // Adjacent holes are one.
                    self.batches.insert(sequence, Stored::Missing(hole));
                    holes.insert(hole.first, hole);
                }
                (stored, expected) => assert_eq!(stored, *expected),
            }
        }
        for hole in holes.values() {
            let rows: u64 = (hole.first..=hole.last).map(|it| self.rows[&it]).sum();
            assert_eq!(hole.rows, rows);
        }
    }

    fn append(&mut self, spool: &mut Spool, rows: u64, length: usize) {
        self.made += 1;
        let payload: Vec<u8> = (0..length as u64).map(|at| (self.made * 31 + at) as u8).collect();
        let sequence = self.next;
        spool.append(sequence, rows, &payload).unwrap();
        self.batches.insert(sequence, Stored::Batch { sequence, rows, payload });
        self.rows.insert(sequence, rows);
        self.next += 1;
    }

    /// The last batch is lost: a hole if the state knew of it.
    fn torn(&mut self, recovered: &Recovered) {
        let last = self.next - 1;
        self.batches.remove(&last).unwrap();
        if recovered.next_sequence == self.next {
            assert_eq!(recovered.missing.last().unwrap().last, last);
            let hole = Missing { first: last, last, rows: self.rows[&last] };
            self.batches.insert(last, Stored::Missing(hole));
        } else {
            self.next = last;
        }
    }

    fn pending(&self) -> Vec<u64> {
        (self.acknowledged + 1..self.next).collect()
    }

    /// Numbers the pending batches anew, and leaves every third out.
    fn rewrite(&mut self) -> impl FnMut(u64, Stored) -> Option<(u64, Vec<u8>)> {
        let mut old: Vec<(u64, Stored)> = Vec::new();
        let mut batches = BTreeMap::new();
        let mut next = 1;
        let mut last_hole = None;
        for sequence in self.pending() {
            let stored = self.batches[&sequence].clone();
            if let Stored::Missing(hole) = stored
                && last_hole.replace(hole) == Some(hole)
            {
                continue;
            }
            old.push((next, stored.clone()));
            if let Some((rows, payload)) = renamed(next, &stored) {
                batches.insert(next, Stored::Batch { sequence: next, rows, payload });
                self.rows.insert(next, rows);
                next += 1;
            }
        }
        (self.acknowledged, self.next, self.batches) = (0, next, batches);
        let mut old = old.into_iter();
        move |sequence, stored| {
            assert_eq!(Some((sequence, stored.clone())), old.next());
            renamed(sequence, &stored)
        }
    }
}

/// Holes become a batch with their rows; payloads get their new number.
fn renamed(next: u64, stored: &Stored) -> Option<(u64, Vec<u8>)> {
    match stored {
        Stored::Missing(missing) => Some((missing.rows, b"dropped".to_vec())),
        Stored::Batch { sequence, .. } if sequence % 3 == 0 => None,
        Stored::Batch { rows, payload, .. } => {
            Some((*rows, [next.to_le_bytes().as_slice(), payload].concat()))
        }
    }
}

/// Cuts off a part of the last record. False: there is no record.
fn tear(directory: &Path, part: &prop::sample::Index, last: Option<&Stored>) -> bool {
    let Some(Stored::Batch { payload, .. }) = last else { return false };
    let record = 44 + payload.len();
    let segment = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "segment"))
        .max()
        // A header that lost its records stays, and has nothing to tear.
        .filter(|path| path.metadata().unwrap().len() > 68);
    let Some(segment) = segment else { return false };
    let file = fs::OpenOptions::new().write(true).open(segment).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - 1 - part.index(record) as u64).unwrap();
    true
}

fn run(directory: &Path, steps: Vec<Step>) {
    let (mut spool, _) = open(directory);
    let mut model = Model::new();
    for step in steps {
        match step {
            Step::Append(rows, length) => {
                model.append(&mut spool, rows, length);
            }
            Step::Acknowledge(share) if model.next > 1 => {
                let up_to = share.index(model.next as usize) as u64;
                spool.acknowledge(up_to).unwrap();
                model.acknowledged = model.acknowledged.max(up_to);
            }
            Step::Read(which) if !model.pending().is_empty() => {
                let sequence = *which.get(&model.pending());
                assert_eq!(spool.read(sequence).unwrap(), model.batches[&sequence]);
            }
            Step::Acknowledge(_) | Step::Read(_) => {}
            Step::Lease(epoch, claims) => {
                spool.set_lease(epoch, &claims).unwrap();
                model.lease = (epoch, claims);
            }
            Step::Sync => spool.sync().unwrap(),
            Step::Drop | Step::Close => {
                let closes = matches!(step, Step::Close);
                if closes {
                    spool.close().unwrap();
                } else {
                    drop(spool);
                }
                let opened = open(directory);
                spool = opened.0;
                assert_eq!(opened.1.findings, []);
                model.reopened(&mut spool, &opened.1, !closes);
            }
            Step::Tear(part) => {
                drop(spool);
                let last = model.batches.get(&(model.next - 1));
                let pending = model.next - 1 > model.acknowledged;
                let torn = pending && tear(directory, &part, last);
                let opened = open(directory);
                spool = opened.0;
                if torn {
                    model.torn(&opened.1);
                }
                model.reopened(&mut spool, &opened.1, true);
            }
            Step::NewProducer(id) => {
                let mut rewrite = model.rewrite();
                spool.start_new_producer([id; 16], &mut rewrite).unwrap();
                drop(rewrite);
                model.producer = [id; 16];
                model.lease = (0, Vec::new());
            }
        }
        assert_eq!(spool.next_sequence(), model.next);
        assert_eq!(spool.state.acknowledged, model.acknowledged);
        assert!(spool.log.bytes() <= SMALL.bytes_max);
    }
    drop(spool);
    let (mut spool, recovered) = open(directory);
    model.reopened(&mut spool, &recovered, true);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_spool_is_a_list(steps in prop::collection::vec(step(), 1..60)) {
        let folder = scratch();
        run(folder.path(), steps);
    }
}
