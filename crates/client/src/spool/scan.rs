//! Finds the records of a segment, also of a damaged one.

use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};

use super::record::{
    Place, Position, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, crc,
};

/// How much is looked through at once for the next record after damage.
const SEARCH_BYTES: usize = 64 << 10;

/// A record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) offset: u64,
    pub(super) header: RecordHeader,
    /// The payload has its checksum.
    pub(super) intact: bool,
}

/// What a segment holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// The records, in order.
    pub(super) entries: Vec<Entry>,
    /// Bytes between records that are none: offset and length.
    pub(super) unreadable: Vec<(u64, u64)>,
    /// What comes after the last record.
    pub(super) tail: Option<Tail>,
}

/// Bytes after the last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// It is the beginning of a record, as far as can be seen.
    pub(super) torn: bool,
    /// That record's header, if it is whole.
    pub(super) header: Option<RecordHeader>,
}

/// What a scan needs to know about its segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) salt: u64,
    /// The first sequence, as in the segment's name.
    pub(super) first: u64,
    /// How many bytes of the file count.
    pub(super) bytes: u64,
    /// The position before the first record, if it is known.
    pub(super) before: Option<Position>,
}

/// A file that is read from front to back, with jumps after damage.
struct Source<R> {
    reader: BufReader<R>,
    at: u64,
    bytes: u64,
}

/// Finds every record that is certainly one.
pub(super) fn scan<R: Read + Seek>(reader: R, segment: &Segment) -> io::Result<Scan> {
    let mut source = Source {
        reader: BufReader::with_capacity(SEARCH_BYTES, reader),
        at: 0,
        bytes: segment.bytes,
    };
    source.reader.rewind()?;
    let mut scan = Scan::default();
    let mut last = segment.before;
    let mut offset = SEGMENT_HEADER_BYTES as u64;
    let mut payload = Vec::new();
    if segment.bytes < offset {
        scan.tail = tail(0, segment.bytes, None);
        return Ok(scan);
    }
    while offset < segment.bytes {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        let found = match source.read(offset, &mut bytes)? {
            true => accept(&bytes, segment, offset, last).map(|header| (offset, header)),
            false => None,
        };
        let found = match found {
            Some(found) => Some(found),
            None => search(&mut source, segment, offset + 1, last)?,
        };
        let Some((start, header)) = found else {
            scan.tail = tail(offset, segment.bytes, None);
            break;
        };
        if start > offset {
            scan.unreadable.push((offset, start - offset));
        }
        let payload_at = start + RECORD_HEADER_BYTES as u64;
        let end = payload_at + u64::from(header.length);
        if end <= segment.bytes {
            payload.resize(header.length as usize, 0);
        }
        if end > segment.bytes || !source.read(payload_at, &mut payload)? {
            scan.tail = tail(start, segment.bytes, Some(header));
            break;
        }
        let intact = crc(&payload) == header.payload_crc;
        scan.entries.push(Entry { offset: start, header, intact });
        last = Some(header.after);
        offset = end;
    }
    Ok(scan)
}

fn tail(offset: u64, end: u64, header: Option<RecordHeader>) -> Option<Tail> {
    let bytes = end - offset;
    let torn = header.is_some() || bytes < RECORD_HEADER_BYTES as u64;
    Some(Tail { offset, bytes, torn: torn || offset == 0, header })
}

/// The header, if it is one and its batch can come after the last.
fn accept(
    bytes: &[u8],
    segment: &Segment,
    offset: u64,
    last: Option<Position>,
) -> Option<RecordHeader> {
    let place = Place { salt: segment.salt, first: segment.first, offset };
    let header = RecordHeader::decode(bytes, place)?;
    let follows = match last {
        Some(last) => header.can_follow(last),
        // The first of all: it comes after whatever it says.
        None => header.after.sequence >= segment.first && header.can_follow(header.before()),
    };
    follows.then_some(header)
}

/// The first record at or after this offset, by its salt and its checksum.
fn search<R: Read + Seek>(
    source: &mut Source<R>,
    segment: &Segment,
    mut from: u64,
    last: Option<Position>,
) -> io::Result<Option<(u64, RecordHeader)>> {
    let salt = segment.salt.to_le_bytes();
    let mut chunk = vec![0; SEARCH_BYTES];
    loop {
        let rest = usize::try_from(segment.bytes.saturating_sub(from)).unwrap_or(usize::MAX);
        let chunk = &mut chunk[..rest.min(SEARCH_BYTES)];
        if chunk.len() < RECORD_HEADER_BYTES || !source.read(from, chunk)? {
            return Ok(None);
        }
        for (at, header) in (from..).zip(chunk.windows(RECORD_HEADER_BYTES)) {
            if header.starts_with(&salt)
                && let Some(header) = accept(header, segment, at, last)
            {
                return Ok(Some((at, header)));
            }
        }
        // A header may begin in this chunk and end in the next.
        from += (chunk.len() - RECORD_HEADER_BYTES + 1) as u64;
    }
}

// === impl Entry ===

impl Entry {
    /// The position after the batch.
    pub(super) fn after(&self) -> Position {
        self.header.after
    }
}

// === impl Source ===

impl<R: Read + Seek> Source<R> {
    /// Fills the bytes; false when the file ends before.
    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<bool> {
        if offset + bytes.len() as u64 > self.bytes {
            return Ok(false);
        }
        if offset != self.at {
            self.reader.seek(SeekFrom::Start(offset))?;
        }
        self.at = offset + bytes.len() as u64;
        match self.reader.read_exact(bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                self.at = u64::MAX;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
