//! Unchecked files, with a bounded number of pseudo-random inputs.

#[path = "../../../fuzz/entry.rs"]
mod entry;

use std::io::Cursor;

use super::super::record::{Position, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::super::scan::scan;
use super::super::state::State;
use super::scratch;

/// The same numbers each time (SplitMix64), so failures are repeatable.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.next() % 700;
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// Reads any bytes as a segment and as a state, in memory.
fn read(bytes: &[u8]) {
    let _ = SegmentHeader::decode(bytes);
    let _ = State::decode(bytes);
    for salt in [entry::SALT, 0] {
        let length = bytes.len() as u64;
        let mut last = Position::default();
        let scan = scan(Cursor::new(bytes), salt, 1, length, Some(last)).unwrap();
        let mut end = SEGMENT_HEADER_BYTES as u64;
        for entry in &scan.entries {
            assert!(entry.offset >= end, "records overlap");
            assert!(entry.header.can_follow(last), "records are out of order");
            last = entry.header.after;
            end = entry.offset + RECORD_HEADER_BYTES as u64 + u64::from(entry.header.length);
        }
        assert!(scan.entries.is_empty() || end <= length, "a record ends after the file");
        let tail = scan.tail.map_or(0, |tail| tail.bytes);
        let lost: u64 = scan.unreadable.iter().map(|(_, bytes)| bytes).sum();
        assert!(tail + lost <= length, "more is lost than was there");
    }
}

#[test]
fn any_bytes_can_be_read() {
    let mut random = Random(1);
    for _ in 0..5_000 {
        let bytes = random.bytes();
        read(&bytes);
        let mut segment = entry::segment(&bytes);
        read(&segment);
        let at = random.next() as usize % segment.len();
        segment[at] ^= random.next() as u8;
        read(&segment);
        read(&segment[..at]);
    }
}

#[test]
fn any_segment_can_be_opened() {
    let folder = scratch();
    let directory = folder.path().join("spool");
    let mut random = Random(2);
    for round in 0..1_500 {
        let bytes = random.bytes();
        let mut segment = entry::segment(&bytes);
        entry::open(&directory, &segment, round % 2 == 0);
        let at = random.next() as usize % segment.len();
        segment[at] ^= random.next() as u8;
        entry::open(&directory, &segment, round % 2 == 1);
    }
}
