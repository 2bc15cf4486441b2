//! Feeds unchecked bytes to the spool, for the fuzz target and the test `any_bytes`. The files
//! follow FORMAT.md and not the code under test.

use std::fs;
use std::path::Path;

use crate::spool::{Error, Fsync, Options, Spool, Stored};

/// The files' producer.
const PRODUCER: [u8; 16] = [1; 16];

/// Begins the records of [`segment`].
pub(crate) const SALT: u64 = 0x5a5a_a5a5_0f0f_f0f0;

/// Makes a segment of any bytes in which every checksum is right, to reach the code after the
/// checks: absurd numbers, lengths beyond the end, records out of order.
#[must_use]
pub(crate) fn segment(mut input: &[u8]) -> Vec<u8> {
    let mut next = |bytes: usize| {
        let (taken, rest) = input.split_at(bytes.min(input.len()));
        input = rest;
        taken.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let mut bytes = segment_header();
    let mut sequence = 0_u64;
    let mut total = 0_u64;
    for _ in 0..64 {
        let kind = next(1);
        // Mostly the next sequence and the right sum; now and then anything.
        sequence = if kind & 0x0f == 1 { next(8) } else { sequence.wrapping_add(1) };
        let rows = if kind & 0x0f == 2 { next(8) } else { next(1) };
        total = if kind & 0x0f == 3 { next(8) } else { total.wrapping_add(rows) };
        let payload = vec![kind as u8; next(1) as usize];
        let length = if kind & 0x0f == 4 { next(4) as u32 } else { payload.len() as u32 };
        let check = if kind & 0x0f == 5 { 0 } else { crc32fast::hash(&payload) };
        let mut header = numbers(&[SALT, sequence, rows, total]);
        header.extend([length.to_le_bytes(), check.to_le_bytes()].concat());
        // The checksum covers the place: the segment's first sequence and the offset.
        let placed = [numbers(&[1, bytes.len() as u64]), header.clone()].concat();
        bytes.extend(header);
        bytes.extend(crc32fast::hash(&placed).to_le_bytes());
        bytes.extend(payload);
        if kind & 0x0f == 6 {
            bytes.extend(next(8).to_le_bytes());
        }
    }
    bytes
}

/// Opens a directory with these bytes as its only segment, with and without a state, reads the
/// pending batches, appends, and opens again.
///
/// # Panics
/// The spool breaks a promise, or the directory cannot be used.
pub(crate) fn open(directory: &Path, bytes: &[u8], with_state: bool) {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).expect("the directory can be made");
    let name = format!("{:020}-{:020}.segment", 1, 1);
    fs::write(directory.join(&name), bytes).expect("the segment can be written");
    if with_state {
        fs::write(directory.join("state"), state()).expect("the state can be written");
    }
    let limits = Options { bytes_max: 1 << 30, segment_bytes_max: 1 << 20, fsync: Fsync::OsOnly };
    let (mut spool, recovered) = match Spool::open(directory, limits, PRODUCER) {
        Ok(opened) => opened,
        Err(error) => {
            let unchanged = fs::read(directory.join(&name)).expect("the segment is there");
            assert!(unchanged == bytes, "a spool that was refused was changed: {error}");
            let whole = bytes.starts_with(&segment_header());
            assert!(!whole, "a spool was refused without need: {error}");
            return;
        }
    };
    // A hole may span all numbers; one look into each is enough.
    let mut sequence = recovered.acknowledged + 1;
    while sequence < recovered.next_sequence {
        sequence = match spool.read(sequence).expect("it is pending") {
            Stored::Batch { sequence, .. } => sequence,
            Stored::Missing(missing) => missing.last,
        };
        sequence = sequence.saturating_add(1);
    }
    let next = spool.next_sequence();
    let appended = spool.append(next, 0, b"next");
    // The numbers may be at their end.
    assert!(appended.is_ok() || matches!(appended, Err(Error::Invalid { .. })), "{appended:?}");
    drop(spool);
    let (mut spool, again) = Spool::open(directory, limits, PRODUCER).expect("it opened before");
    assert_eq!(again.missing, recovered.missing, "a hole has changed");
    if appended.is_ok() {
        let expected = Stored::Batch { sequence: next, rows: 0, payload: b"next".to_vec() };
        assert_eq!(spool.read(next).expect("it is pending"), expected);
    }
}

fn segment_header() -> Vec<u8> {
    let generation = 1;
    let body = [begin(b"TALLYSEG"), PRODUCER.to_vec(), numbers(&[generation, SALT, 0, 0])];
    with_checksum(body.concat())
}

/// A state at epoch 1 with the claim 4 and no batch.
fn state() -> Vec<u8> {
    let (generation, salt_before, salt_next, epoch) = (1, 2, 3, 1);
    let mut body = [begin(b"TALLYSPL"), PRODUCER.to_vec()].concat();
    body.extend(numbers(&[generation, SALT, salt_before, salt_next, epoch]));
    // What is acknowledged and when, the base and the last batch: all 0; then the claims.
    body.extend(numbers(&[0, 0, 0, 0, 0, 0, 1, 4]));
    body.resize(4092, 0);
    with_checksum(body).repeat(2)
}

/// The beginning of every file.
fn begin(magic: &[u8; 8]) -> Vec<u8> {
    with_checksum([&magic[..], &1_u32.to_le_bytes()].concat())
}

fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
