//! The bytes of a segment: its header and the header of a record, as FORMAT.md describes them.

use crc32fast::Hasher;

/// The version written, and the newest one read.
pub(super) const VERSION: u32 = 1;

/// The magic, the version and their checksum, in every version of the format.
const PREAMBLE_BYTES: usize = 16;

pub(super) const SEGMENT_HEADER_BYTES: usize = 68;
pub(super) const RECORD_HEADER_BYTES: usize = 44;

/// Bounds what a damaged file can make a reader allocate.
pub(super) const PAYLOAD_BYTES_MAX: u32 = 64 << 20;

const SEGMENT_MAGIC: [u8; 8] = *b"TALLYSEG";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoded<T> {
    Intact(T),
    Damaged,
    Newer(u32),
}

/// A position between batches: after this sequence, and this number of rows in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    pub(super) sequence: u64,
    pub(super) rows: u64,
}

/// The owner of the batches, and their numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) producer_id: [u8; 16],
    /// Counts the numberings of a spool; each new producer's batches are in new files.
    pub(super) generation: u64,
    /// Begins each record. Random, so that no payload can imitate a record.
    pub(super) salt: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) identity: Identity,
    pub(super) before: Position,
}

/// Where a record is. Its checksum covers this, so a record counts only where it was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) salt: u64,
    /// The first sequence of the segment.
    pub(super) first: u64,
    /// The record's first byte in the file.
    pub(super) offset: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    /// The position after this batch.
    pub(super) after: Position,
    pub(super) rows: u64,
    pub(super) length: u32,
    pub(super) payload_crc: u32,
}

/// Reads little-endian numbers. The caller has checked the length.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

pub(super) fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// The beginning of a file in every version of the format.
pub(super) fn preamble(magic: [u8; 8]) -> Vec<u8> {
    let mut bytes = [&magic[..], &VERSION.to_le_bytes()].concat();
    bytes.extend(crc(&bytes).to_le_bytes());
    bytes
}

/// Appends numbers, little-endian.
pub(super) fn put(bytes: &mut Vec<u8>, numbers: &[u64]) {
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

/// Reads a block of `length` bytes: a preamble, a body and a checksum.
pub(super) fn block<T>(
    magic: [u8; 8],
    bytes: &[u8],
    length: usize,
    read: impl FnOnce(Reader<'_>) -> Option<T>,
) -> Decoded<T> {
    if bytes.len() < PREAMBLE_BYTES {
        return Decoded::Damaged;
    }
    let mut reader = Reader(&bytes[8..]);
    let (version, expected) = (reader.u32(), reader.u32());
    if bytes[..8] != magic || crc(&bytes[..12]) != expected || version < VERSION {
        return Decoded::Damaged;
    }
    if version > VERSION {
        return Decoded::Newer(version);
    }
    match split_crc(bytes, length) {
        Some((body, check)) if crc(body) == check => {
            read(Reader(&body[PREAMBLE_BYTES..])).map_or(Decoded::Damaged, Decoded::Intact)
        }
        _ => Decoded::Damaged,
    }
}

// === impl Position ===

impl Position {
    /// The position after one more batch, unless a number ends. The largest is no sequence.
    pub(super) fn next(self, rows: u64) -> Option<Self> {
        let sequence = self.sequence.checked_add(1).filter(|next| *next < u64::MAX)?;
        Some(Self { sequence, rows: self.rows.checked_add(rows)? })
    }
}

// === impl SegmentHeader ===

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Identity { producer_id, generation, salt } = self.identity;
        let mut bytes = preamble(SEGMENT_MAGIC);
        bytes.extend(producer_id);
        put(&mut bytes, &[generation, salt, self.before.sequence, self.before.rows]);
        bytes.extend(crc(&bytes).to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Decoded<Self> {
        block(SEGMENT_MAGIC, bytes, SEGMENT_HEADER_BYTES, |mut reader| {
            Some(Self { identity: reader.identity(), before: reader.position() })
        })
    }
}

/// Splits a block of `length` bytes into its content and its checksum.
fn split_crc(bytes: &[u8], length: usize) -> Option<(&[u8], u32)> {
    let (body, check) = bytes.get(..length)?.split_at(length - 4);
    Some((body, Reader(check).u32()))
}

// === impl RecordHeader ===

impl RecordHeader {
    pub(super) fn encode(&self, place: Place) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(RECORD_HEADER_BYTES);
        put(&mut bytes, &[place.salt, self.after.sequence, self.rows, self.after.rows]);
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(self.payload_crc.to_le_bytes());
        bytes.extend(place.crc(&bytes).to_le_bytes());
        bytes
    }

    /// Decodes a header that was written at this place.
    pub(super) fn decode(bytes: &[u8], place: Place) -> Option<Self> {
        let (body, check) = split_crc(bytes, RECORD_HEADER_BYTES)?;
        let mut reader = Reader(body);
        if reader.u64() != place.salt || place.crc(body) != check {
            return None;
        }
        let (sequence, rows, rows_after) = (reader.u64(), reader.u64(), reader.u64());
        let after = Position { sequence, rows: rows_after };
        let header = Self { after, rows, length: reader.u32(), payload_crc: reader.u32() };
        (header.length <= PAYLOAD_BYTES_MAX).then_some(header)
    }

    /// Whether the batch can come next, or later with room for the rows of those between.
    pub(super) fn can_follow(&self, before: Position) -> bool {
        if self.after.sequence <= before.sequence || self.after.sequence == u64::MAX {
            return false;
        }
        match before.next(self.rows) {
            Some(next) if next.sequence == self.after.sequence => next.rows == self.after.rows,
            Some(next) => next.rows <= self.after.rows,
            None => false,
        }
    }

    pub(super) fn before(&self) -> Position {
        Position {
            sequence: self.after.sequence.saturating_sub(1),
            rows: self.after.rows.saturating_sub(self.rows),
        }
    }
}

// === impl Place ===

impl Place {
    fn crc(self, header: &[u8]) -> u32 {
        let mut hasher = Hasher::new();
        hasher.update(&self.first.to_le_bytes());
        hasher.update(&self.offset.to_le_bytes());
        hasher.update(header);
        hasher.finalize()
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (value, rest) = self.0.split_first_chunk().expect("the caller checked the length");
        self.0 = rest;
        *value
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    pub(super) fn identity(&mut self) -> Identity {
        Identity { producer_id: self.take(), generation: self.u64(), salt: self.u64() }
    }

    pub(super) fn position(&mut self) -> Position {
        Position { sequence: self.u64(), rows: self.u64() }
    }
}
