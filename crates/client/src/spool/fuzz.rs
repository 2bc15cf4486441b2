//! Entry points of the fuzz targets: files that nobody has checked.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use super::record::{
    Decoded, Identity, Place, Position, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES,
    SegmentHeader, crc,
};
use super::scan::{Segment, scan};
use super::state::State;
use super::{Error, Fsync, Options, Spool, Stored};

/// What the checksums of [`segment`] are made with.
const SALT: u64 = 0x5a5a_a5a5_0f0f_f0f0;

const IDENTITY: Identity = Identity { producer_id: [1; 16], generation: 1, salt: SALT };

/// Reads any bytes as a segment and as a state, in memory.
///
/// # Panics
/// When a promise of the reader is broken.
pub fn read(bytes: &[u8]) {
    let _ = SegmentHeader::decode(bytes);
    let _ = State::decode(bytes);
    for salt in [SALT, 0] {
        let length = bytes.len() as u64;
        let segment = Segment { salt, first: 1, bytes: length, before: Some(Position::default()) };
        let scan = scan(Cursor::new(bytes), &segment).expect("memory can be read");
        let mut end = SEGMENT_HEADER_BYTES as u64;
        let mut last = Position::default();
        for entry in &scan.entries {
            assert!(entry.offset >= end, "records overlap");
            assert!(entry.header.can_follow(last), "records are out of order");
            last = entry.after();
            end = entry.offset + RECORD_HEADER_BYTES as u64 + u64::from(entry.header.length);
        }
        assert!(scan.entries.is_empty() || end <= length, "a record ends after the file");
        let tail = scan.tail.map_or(0, |tail| tail.bytes);
        let lost: u64 = scan.unreadable.iter().map(|(_, bytes)| bytes).sum();
        assert!(tail + lost <= length, "more is lost than was there");
    }
}

/// Makes a segment of any bytes in which every checksum is right, so that what comes after the
/// checksums is reached: numbers that make no sense, lengths beyond the end, records out of
/// order.
#[must_use]
pub fn segment(mut input: &[u8]) -> Vec<u8> {
    let mut next = |bytes: usize| {
        let (taken, rest) = input.split_at(bytes.min(input.len()));
        input = rest;
        taken.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let header = SegmentHeader { identity: IDENTITY, before: Position::default() };
    let mut bytes = header.encode().to_vec();
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
        let after = Position { sequence, rows: total };
        let payload_crc = if kind & 0x0f == 5 { 0 } else { crc(&payload) };
        let header = RecordHeader { after, rows, length, payload_crc };
        let offset = bytes.len() as u64;
        bytes.extend_from_slice(&header.encode(Place { salt: SALT, first: 1, offset }));
        bytes.extend_from_slice(&payload);
        if kind & 0x0f == 6 {
            bytes.extend_from_slice(&next(8).to_le_bytes());
        }
    }
    bytes
}

/// Opens a directory with these bytes as its only segment, with and without a state, reads what
/// is pending, goes on, and opens again.
///
/// # Panics
/// When a promise of the spool is broken, or the directory cannot be used.
pub fn open(directory: &Path, bytes: &[u8], with_state: bool) {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).expect("the directory can be made");
    let name = format!("{:020}-{:020}.segment", 1, 1);
    fs::write(directory.join(&name), bytes).expect("the segment can be written");
    if with_state {
        let state = State {
            identity: IDENTITY,
            salt_before: 2,
            salt_next: 3,
            epoch: 1,
            claims: vec![4],
            acknowledged: 0,
            acknowledged_at: None,
            base: Position::default(),
            last: Position::default(),
        };
        fs::write(directory.join("state"), state.encode()).expect("the state can be written");
    }
    let limits = Options { bytes_max: 1 << 30, segment_bytes_max: 1 << 20, fsync: Fsync::OsOnly };
    let (mut spool, recovered) = match Spool::open(directory, limits, [1; 16]) {
        Ok(opened) => opened,
        Err(error) => {
            let unchanged = fs::read(directory.join(&name)).expect("the segment is there");
            assert!(unchanged == bytes, "a spool that was refused was changed: {error}");
            let damaged = !matches!(SegmentHeader::decode(bytes), Decoded::Intact(_));
            let foreign = matches!(error, Error::Foreign { .. } | Error::NewerVersion { .. });
            assert!(damaged || foreign, "a spool was refused without need: {error}");
            return;
        }
    };
    // A hole may be as large as the numbers; one look into each is enough.
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
    let (mut spool, again) = Spool::open(directory, limits, [1; 16]).expect("it opened before");
    assert_eq!(again.missing, recovered.missing, "a hole has changed");
    if appended.is_ok() {
        let expected = Stored::Batch { sequence: next, rows: 0, payload: b"next".to_vec() };
        assert_eq!(spool.read(next).expect("it is pending"), expected);
    }
}
