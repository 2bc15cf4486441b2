//! The spool: its content, its findings, and its messages.

mod any_bytes;
mod damage;
mod limits;
mod model;
mod processes;
mod rewriting;

use std::path::Path;

use tempfile::TempDir;

use super::{Finding, Fsync, Options, Recovered, Spool, Stored};

const PRODUCER: [u8; 16] = *b"producer-number1";

/// Small segments, so that a few batches have several.
const SMALL: Options =
    Options { bytes_max: 1 << 20, segment_bytes_max: 1024, fsync: Fsync::OsOnly };

/// A folder in memory if possible, because the tests make thousands of spools.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder for the test")
}

fn open(directory: &Path) -> (Spool, Recovered) {
    Spool::open(directory, SMALL, PRODUCER).expect("the spool opens")
}

/// The rows of a batch: all sums differ.
fn rows(sequence: u64) -> u64 {
    sequence * sequence + 1
}

/// A payload that no other batch has.
fn payload(sequence: u64) -> Vec<u8> {
    let length = 40 + sequence * 37 % 200;
    (0..length).map(|at| (sequence * 131 + at * 7) as u8).collect()
}

fn batch(sequence: u64) -> Stored {
    Stored::Batch { sequence, rows: rows(sequence), payload: payload(sequence) }
}

/// Appends the next batches.
fn append(spool: &mut Spool, batches: u64) {
    for _ in 0..batches {
        let next = spool.next_sequence();
        spool.append(next, rows(next), &payload(next)).expect("the batch is appended");
    }
}

/// The state was damaged, and the epoch and the claims with it.
fn lease_lost(recovered: &Recovered) -> bool {
    recovered.findings.iter().any(|it| matches!(it, Finding::State { .. }))
}

/// All pending batches.
fn pending(spool: &mut Spool) -> Vec<Stored> {
    (spool.state.acknowledged + 1..spool.next_sequence())
        .map(|sequence| spool.read(sequence).expect("it is pending"))
        .collect()
}

#[test]
fn what_was_appended_comes_back() {
    let folder = scratch();
    let directory = folder.path().join("a").join("spool");
    let (mut spool, recovered) = open(&directory);
    assert_eq!((recovered.acknowledged, recovered.next_sequence), (0, 1));
    assert_eq!(recovered.producer_id, PRODUCER);
    append(&mut spool, 20);
    spool.set_lease(7, &[1, 2, u64::MAX]).unwrap();
    spool.set_acknowledged_at(Some(1_500));
    spool.acknowledge(9).unwrap();
    assert_eq!(pending(&mut spool), (10..=20).map(batch).collect::<Vec<_>>());
    spool.close().unwrap();

    let (mut spool, recovered) = Spool::open(&directory, SMALL, [0; 16]).unwrap();
    assert_eq!(recovered.producer_id, PRODUCER);
    assert_eq!((recovered.epoch, recovered.claims.as_slice()), (7, &[1, 2, u64::MAX][..]));
    assert_eq!((recovered.acknowledged, recovered.next_sequence), (9, 21));
    assert_eq!(recovered.acknowledged_at, Some(1_500));
    assert_eq!((recovered.missing.len(), recovered.findings.len()), (0, 0));
    append(&mut spool, 5);
    assert_eq!(pending(&mut spool), (10..=25).map(batch).collect::<Vec<_>>());
}

#[test]
fn a_dropped_spool_forgets_at_most_acknowledgements() {
    let folder = scratch();
    let (mut spool, _) = open(folder.path());
    append(&mut spool, 20);
    spool.acknowledge(17).unwrap();
    drop(spool);
    let (mut spool, recovered) = open(folder.path());
    assert!(recovered.acknowledged <= 17, "{recovered:?}");
    assert!(recovered.acknowledged >= 10, "whole segments are gone: {recovered:?}");
    assert_eq!(recovered.missing, []);
    assert_eq!(recovered.findings, []);
    let expected: Vec<_> = (recovered.acknowledged + 1..=20).map(batch).collect();
    assert_eq!(pending(&mut spool), expected);
}

#[test]
fn acknowledged_segments_are_removed_and_the_numbers_go_on() {
    let folder = scratch();
    let segments = || {
        let names = std::fs::read_dir(folder.path()).unwrap();
        names.filter(|it| it.as_ref().unwrap().path().extension().is_some()).count()
    };
    let (mut spool, _) = open(folder.path());
    append(&mut spool, 30);
    assert!(segments() > 3);
    spool.acknowledge(30).unwrap();
    assert_eq!(segments(), 1, "only the one that is written to");
    spool.close().unwrap();
    assert_eq!(segments(), 0);
    let (mut spool, recovered) = open(folder.path());
    assert_eq!((recovered.acknowledged, recovered.next_sequence), (30, 31));
    append(&mut spool, 1);
    drop(spool);
    assert_eq!(pending(&mut open(folder.path()).0), [batch(31)]);
}

#[test]
fn reading_keeps_up_with_appending() {
    let folder = scratch();
    let (mut spool, _) = open(folder.path());
    for sequence in 1..=40 {
        append(&mut spool, 1);
        assert_eq!(spool.read(sequence).unwrap(), batch(sequence));
        // Another segment in between.
        assert_eq!(spool.read(1).unwrap(), batch(1));
    }
}

#[test]
fn a_batch_that_is_not_pending_is_an_error() {
    let folder = scratch();
    let (mut spool, _) = open(folder.path());
    append(&mut spool, 3);
    spool.acknowledge(1).unwrap();
    for sequence in [0, 1, 4] {
        let error = spool.read(sequence).unwrap_err().to_string();
        assert!(error.contains("those after 1 and before 4"), "{error}");
    }
    assert!(spool.acknowledge(4).is_err());
    assert!(spool.append(3, 1, b"again").is_err());
    assert!(spool.append(5, 1, b"too far").is_err());
    assert_eq!(pending(&mut spool), [batch(2), batch(3)]);
}

#[test]
fn the_files_are_the_owners() {
    use std::os::unix::fs::PermissionsExt;
    let folder = scratch();
    let directory = folder.path().join("spool");
    let (mut spool, _) = open(&directory);
    append(&mut spool, 1);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for entry in std::fs::read_dir(&directory).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}
