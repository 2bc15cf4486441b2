//! The bytes of a segment: its header and the header of a record, as FORMAT.md describes them.

use crc32fast::Hasher;

/// The version of the format that is written, and the newest that is read.
pub(super) const VERSION: u32 = 1;

/// The magic, the version and their checksum: the same in every version of the format.
const PREAMBLE_BYTES: usize = 16;

/// What a segment begins with.
pub(super) const SEGMENT_HEADER_BYTES: usize = 68;

/// What a record begins with.
pub(super) const RECORD_HEADER_BYTES: usize = 44;

/// The largest payload. It bounds what a damaged file can make a reader allocate.
pub(super) const PAYLOAD_BYTES_MAX: u32 = 64 << 20;

const SEGMENT_MAGIC: [u8; 8] = *b"TALLYSEG";

/// What a header turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoded<T> {
    Intact(T),
    Damaged,
    Newer(u32),
}

/// A place in the row of batches: after this sequence, and after this number of rows in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    pub(super) sequence: u64,
    pub(super) rows: u64,
}

/// Whose batches they are, and under which numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) producer_id: [u8; 16],
    /// Counts the numberings of a spool: a new producer's batches are in files of their own.
    pub(super) generation: u64,
    /// Begins each record. Random, so that no payload can imitate a record.
    pub(super) salt: u64,
}

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) identity: Identity,
    /// The position before the segment's first record.
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

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    /// The position after this batch.
    pub(super) after: Position,
    /// The rows of this batch.
    pub(super) rows: u64,
    /// The size of the payload.
    pub(super) length: u32,
    pub(super) payload_crc: u32,
}

/// Reads little-endian numbers. The caller has checked the length.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

pub(super) fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// The part of a file that every version of the format has.
pub(super) fn preamble(magic: [u8; 8]) -> Vec<u8> {
    let mut bytes = [&magic[..], &VERSION.to_le_bytes()].concat();
    bytes.extend(crc(&bytes).to_le_bytes());
    bytes
}

/// Appends numbers, little-endian.
pub(super) fn put(bytes: &mut Vec<u8>, numbers: &[u64]) {
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

/// Reads the first `length` bytes, which begin with the preamble and end with a checksum.
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

/// The first `length` bytes without the checksum that ends them, and the checksum.
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

    /// The header, if these bytes are one and were written at this place.
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

    /// The position before this batch.
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
