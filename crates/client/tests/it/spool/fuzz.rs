//! The entry points of the fuzz targets with a bounded number of pseudo-random inputs.

use tally_client::spool::fuzz;

use super::scratch;

/// The same numbers each time (SplitMix64), so that a failure can be repeated.
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

#[test]
fn any_bytes_can_be_read() {
    let mut random = Random(1);
    for _ in 0..5_000 {
        let bytes = random.bytes();
        fuzz::read(&bytes);
        let mut segment = fuzz::segment(&bytes);
        fuzz::read(&segment);
        let at = random.next() as usize % segment.len();
        segment[at] ^= random.next() as u8;
        fuzz::read(&segment);
        fuzz::read(&segment[..at]);
    }
}

#[test]
fn any_segment_can_be_opened() {
    let folder = scratch();
    let directory = folder.path().join("spool");
    let mut random = Random(2);
    for round in 0..1_500 {
        let bytes = random.bytes();
        let mut segment = fuzz::segment(&bytes);
        fuzz::open(&directory, &segment, round % 2 == 0);
        let at = random.next() as usize % segment.len();
        segment[at] ^= random.next() as u8;
        fuzz::open(&directory, &segment, round % 2 == 1);
    }
}
