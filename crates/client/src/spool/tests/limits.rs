//! The limits, and the messages of errors.

use std::fs;
use std::time::{Duration, Instant};

use tally_proto::wire::CLAIMS_MAX;

use crate::spool::record::PAYLOAD_BYTES_MAX;
use crate::spool::{Error, Fsync, Options, Spool};

use super::{PRODUCER, SMALL, append, batch, open, pending, scratch};

const TIGHT: Options = Options { bytes_max: 4096, segment_bytes_max: 1024, fsync: Fsync::OsOnly };

#[test]
fn a_full_spool_takes_no_more_until_some_are_acknowledged() {
    let folder = scratch();
    let (mut spool, _) = Spool::open(folder.path(), TIGHT, PRODUCER).unwrap();
    let payload = [7; 400];
    let error = loop {
        let next = spool.next_sequence();
        if let Err(error) = spool.append(next, 1, &payload) {
            break error;
        }
    };
    assert!(matches!(error, Error::Full { bytes_max: 4096, .. }), "{error}");
    assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
    let on_disk: u64 = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().extension().is_some())
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    assert_eq!(spool.log.bytes(), on_disk);
    assert!(on_disk <= 4096 && on_disk + 512 > 4096, "{on_disk}");
    let next = spool.next_sequence();
    spool.acknowledge(2).unwrap();
    spool.append(next, 1, &payload).unwrap();
    // Once all is acknowledged, even the active segment makes room.
    while spool.append(spool.next_sequence(), 1, &payload).is_ok() {}
    spool.acknowledge(spool.next_sequence() - 1).unwrap();
    for _ in 0..100 {
        let next = spool.next_sequence();
        spool.append(next, 1, &payload).unwrap();
        spool.acknowledge(next).unwrap();
    }
}

#[test]
fn a_batch_that_can_never_fit_is_said_to_be_too_large() {
    let folder = scratch();
    let (mut spool, _) = Spool::open(folder.path(), TIGHT, PRODUCER).unwrap();
    let most = 4096 - 68 - 44;
    let error = spool.append(1, 1, &vec![0; most + 1]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains("3984"), "{error}");
    // A batch larger than a segment has its own.
    spool.append(1, 1, &vec![1; most]).unwrap();
    drop(spool);
    let (mut spool, _) = Spool::open(folder.path(), TIGHT, PRODUCER).unwrap();
    assert_eq!(pending(&mut spool).len(), 1);
    let large = usize::try_from(PAYLOAD_BYTES_MAX).unwrap() + 1;
    let other = scratch();
    let (mut spool, _) = Spool::open(other.path(), Options::default(), PRODUCER).unwrap();
    assert!(matches!(spool.append(1, 1, &vec![0; large]), Err(Error::TooLarge { .. })));
}

#[test]
fn empty_payloads_and_no_rows_are_batches() {
    let folder = scratch();
    let (mut spool, _) = open(folder.path());
    spool.append(1, 0, b"").unwrap();
    spool.append(2, u64::MAX, b"").unwrap();
    // The numbers are exhausted.
    assert!(matches!(spool.append(3, 1, b""), Err(Error::Invalid { .. })));
    drop(spool);
    assert_eq!(open(folder.path()).1.next_sequence, 3);
}

#[test]
fn options_that_cannot_work_are_refused() {
    let folder = scratch();
    for options in
        [Options { segment_bytes_max: 1023, ..SMALL }, Options { bytes_max: 2047, ..SMALL }]
    {
        let error = Spool::open(folder.path(), options, PRODUCER).unwrap_err();
        assert!(error.to_string().contains("segment_bytes_max"), "{error}");
    }
    let (mut spool, _) = open(folder.path());
    spool.set_lease(1, &[1; CLAIMS_MAX]).unwrap();
    assert!(spool.set_lease(2, &[1; CLAIMS_MAX + 1]).is_err());
    drop(spool);
    let recovered = open(folder.path()).1;
    assert_eq!((recovered.epoch, recovered.claims), (1, vec![1; CLAIMS_MAX]));
}

#[test]
fn the_interval_says_when_to_sync() {
    let folder = scratch();
    let hour = Duration::from_secs(3600);
    let options = Options { fsync: Fsync::Interval(hour), ..SMALL };
    let (mut spool, _) = Spool::open(folder.path(), options, PRODUCER).unwrap();
    assert_eq!(spool.sync_due(), None);
    let before = Instant::now();
    append(&mut spool, 1);
    let due = spool.sync_due().expect("a batch waits for the disk");
    assert!(due >= before + hour);
    append(&mut spool, 20);
    assert_eq!(spool.sync_due(), Some(due), "the first counts");
    spool.sync().unwrap();
    assert_eq!(spool.sync_due(), None);

    let (each, at_once) = (scratch(), scratch());
    for (folder, fsync) in [(each, Fsync::EachBatch), (at_once, Fsync::Interval(Duration::ZERO))] {
        let options = Options { fsync, ..SMALL };
        let (mut spool, _) = Spool::open(folder.path(), options, PRODUCER).unwrap();
        append(&mut spool, 20);
        assert_eq!(spool.sync_due(), None);
        assert_eq!(pending(&mut spool), (1..=20).map(batch).collect::<Vec<_>>());
    }
}

#[test]
fn one_spool_at_a_time() {
    let folder = scratch();
    let (spool, _) = open(folder.path());
    let error = Spool::open(folder.path(), SMALL, PRODUCER).unwrap_err();
    assert!(matches!(error, Error::Locked { process: Some(_), .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(folder.path().to_str().unwrap()), "{text}");
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    drop(spool);
    open(folder.path());
}

#[test]
fn a_file_in_the_place_of_the_directory_is_named() {
    let folder = scratch();
    let path = folder.path().join("file");
    fs::write(&path, "mine").unwrap();
    for path in [path.clone(), path.join("below")] {
        let error = Spool::open(&path, SMALL, PRODUCER).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(error.to_string().contains("in the place of"), "{error}");
    }
}
