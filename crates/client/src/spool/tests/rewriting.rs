//! New numbers for all pending batches, or for none.

use std::fs;
use std::path::Path;

use crate::spool::{Error, Options, Spool, Stored};

use super::{PRODUCER, SMALL, append, batch, open, payload, pending, rows, scratch};

const OTHER: [u8; 16] = *b"producer-number2";

fn keep(sequence: u64, stored: Stored) -> Option<(u64, Vec<u8>)> {
    let Stored::Batch { rows, payload, .. } = stored else { panic!("{stored:?}") };
    Some((rows, [&sequence.to_le_bytes()[..], &payload].concat()))
}

fn kept(new: u64, old: u64) -> Stored {
    keep(new, batch(old))
        .map(|(rows, payload)| Stored::Batch { sequence: new, rows, payload })
        .unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_new_producer_takes_what_is_pending() {
    let folder = scratch();
    let (mut spool, _) = open(folder.path());
    append(&mut spool, 20);
    spool.set_lease(3, &[4]).unwrap();
    spool.acknowledge(12).unwrap();
    spool.start_new_producer(OTHER, &mut keep).unwrap();
    assert_eq!(spool.state.identity.producer_id, OTHER);
    let expected: Vec<_> = (1..=8).map(|new| kept(new, new + 12)).collect();
    assert_eq!(pending(&mut spool), expected);
    drop(spool);
    let (mut spool, recovered) = open(folder.path());
    assert_eq!(recovered.producer_id, OTHER);
    assert_eq!((recovered.epoch, recovered.claims.len()), (0, 0));
    assert_eq!((recovered.acknowledged, recovered.next_sequence), (0, 9));
    assert_eq!(pending(&mut spool), expected);
    assert!(names(folder.path()).iter().all(|name| !name.starts_with("00000000000000000001")));
}

/// Every state of the directory that a crash could leave.
#[test]
fn a_crash_leaves_the_old_numbers_or_the_new_ones() {
    let folder = scratch();
    let (mut spool, _) = open(folder.path());
    append(&mut spool, 12);
    let read = |name: &String| (name.clone(), fs::read(folder.path().join(name)).unwrap());
    let before: Vec<_> = names(folder.path()).iter().map(read).collect();
    spool.start_new_producer(OTHER, &mut keep).unwrap();
    drop(spool);
    let after: Vec<_> = names(folder.path()).iter().map(read).collect();
    let is_segment = |name: &str| name.ends_with(".segment");

    // The new segments one byte after the other, beside the old state.
    let new: Vec<_> = after.iter().filter(|(name, _)| is_segment(name)).collect();
    for (at, (name, bytes)) in new.iter().enumerate() {
        for length in (0..=bytes.len()).step_by(7) {
            let crashed = scratch();
            for (name, bytes) in before.iter().chain(new[..at].iter().copied()) {
                fs::write(crashed.path().join(name), bytes).unwrap();
            }
            fs::write(crashed.path().join(name), &bytes[..length]).unwrap();
            fs::write(crashed.path().join("state.new"), b"half").unwrap();
            let (mut spool, recovered) = open(crashed.path());
            assert_eq!(recovered.producer_id, PRODUCER);
            assert_eq!(recovered.findings, []);
            assert_eq!(pending(&mut spool), (1..=12).map(batch).collect::<Vec<_>>());
            drop(spool);
            let old: Vec<_> = before.iter().map(|(name, _)| name.clone()).collect();
            assert_eq!(names(crashed.path()), old);
        }
    }
    // The new state, and the removals of the old segments, one by one.
    let old: Vec<_> = before.iter().filter(|(name, _)| is_segment(name)).collect();
    for gone in 0..=old.len() {
        let crashed = scratch();
        for (name, bytes) in after.iter().chain(old[gone..].iter().copied()) {
            fs::write(crashed.path().join(name), bytes).unwrap();
        }
        let (mut spool, recovered) = open(crashed.path());
        assert_eq!(recovered.producer_id, OTHER);
        assert_eq!(recovered.findings, []);
        assert_eq!(pending(&mut spool), (1..=12).map(|it| kept(it, it)).collect::<Vec<_>>());
    }
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let folder = scratch();
    let options = Options { bytes_max: 4096, segment_bytes_max: 1024, ..SMALL };
    let (mut spool, _) = Spool::open(folder.path(), options, PRODUCER).unwrap();
    append(&mut spool, 10);
    let before = names(folder.path());
    let error = spool.start_new_producer(OTHER, &mut |_, _| Some((1, vec![0; 1000]))).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert_eq!(names(folder.path()), before);
    assert_eq!(spool.state.identity.producer_id, PRODUCER);
    assert_eq!(pending(&mut spool), (1..=10).map(batch).collect::<Vec<_>>());
    spool.append(11, rows(11), &payload(11)).unwrap();
    // A retry works.
    spool.start_new_producer(OTHER, &mut |_, _| None).unwrap();
    assert_eq!(pending(&mut spool), []);
}
