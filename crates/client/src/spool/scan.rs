//! Finds the records of a segment, even of a damaged one.

use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};

use super::record::{
    Place, Position, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, crc,
};

/// How much to search at once for the next record after damage.
const SEARCH_BYTES: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) offset: u64,
    pub(super) header: RecordHeader,
    /// The payload matches its checksum.
    pub(super) intact: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) entries: Vec<Entry>,
    /// Bytes between records: offset and length.
    pub(super) unreadable: Vec<(u64, u64)>,
    pub(super) tail: Option<Tail>,
}

/// Bytes after the last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// The header of a record that continues beyond the file.
    pub(super) header: Option<RecordHeader>,
}

/// A segment, read from front to back with jumps after damage.
struct Source<R> {
    reader: BufReader<R>,
    at: u64,
    salt: u64,
    first: u64,
    bytes: u64,
    /// The position after the last record, if known.
    last: Option<Position>,
}

/// Finds every certain record in the first `bytes` of a segment that begins with the sequence
/// `first`, after the position `before` if known.
pub(super) fn scan<R: Read + Seek>(
    reader: R,
    salt: u64,
    first: u64,
    bytes: u64,
    before: Option<Position>,
) -> io::Result<Scan> {
    let reader = BufReader::with_capacity(SEARCH_BYTES, reader);
    let mut source = Source { reader, at: u64::MAX, salt, first, bytes, last: before };
    let mut scan = Scan::default();
    let mut offset = SEGMENT_HEADER_BYTES as u64;
    let mut payload = Vec::new();
    if bytes < offset {
        scan.tail = Some(Tail { offset: 0, bytes, header: None });
        return Ok(scan);
    }
    while offset < bytes {
        let Some((start, header)) = source.next(offset)? else {
            scan.tail = Some(Tail { offset, bytes: bytes - offset, header: None });
            break;
        };
        if start > offset {
            scan.unreadable.push((offset, start - offset));
        }
        let payload_at = start + RECORD_HEADER_BYTES as u64;
        let end = payload_at + u64::from(header.length);
        if end <= bytes {
            payload.resize(header.length as usize, 0);
        }
        if end > bytes || !source.read(payload_at, &mut payload)? {
            scan.tail = Some(Tail { offset: start, bytes: bytes - start, header: Some(header) });
            break;
        }
        let intact = crc(&payload) == header.payload_crc;
        scan.entries.push(Entry { offset: start, header, intact });
        source.last = Some(header.after);
        offset = end;
    }
    Ok(scan)
}

// === impl Tail ===

impl Tail {
    /// Whether it looks like the beginning of a record.
    pub(super) fn is_torn(&self) -> bool {
        self.header.is_some() || self.bytes < RECORD_HEADER_BYTES as u64 || self.offset == 0
    }
}

// === impl Source ===

impl<R: Read + Seek> Source<R> {
    /// The first record at or after this offset.
    fn next(&mut self, offset: u64) -> io::Result<Option<(u64, RecordHeader)>> {
        let mut header = [0; RECORD_HEADER_BYTES];
        if self.read(offset, &mut header)?
            && let Some(header) = self.accept(&header, offset)
        {
            return Ok(Some((offset, header)));
        }
        let salt = self.salt.to_le_bytes();
        let mut buffer = vec![0; SEARCH_BYTES];
        let mut from = offset + 1;
        loop {
            let rest = usize::try_from(self.bytes.saturating_sub(from)).unwrap_or(usize::MAX);
            let searched = &mut buffer[..rest.min(SEARCH_BYTES)];
            if searched.len() < RECORD_HEADER_BYTES || !self.read(from, searched)? {
                return Ok(None);
            }
            for (at, header) in (from..).zip(searched.windows(RECORD_HEADER_BYTES)) {
                if header.starts_with(&salt)
                    && let Some(header) = self.accept(header, at)
                {
                    return Ok(Some((at, header)));
                }
            }
            // A header may begin in these bytes and end in the next.
            from += (searched.len() - RECORD_HEADER_BYTES + 1) as u64;
        }
    }

    /// The header, if valid and its batch can come next.
    fn accept(&self, bytes: &[u8], offset: u64) -> Option<RecordHeader> {
        let place = Place { salt: self.salt, first: self.first, offset };
        let header = RecordHeader::decode(bytes, place)?;
        let follows = match self.last {
            Some(last) => header.can_follow(last),
            // The first record defines its position.
            None => header.after.sequence >= self.first && header.can_follow(header.before()),
        };
        follows.then_some(header)
    }

    /// Fills the bytes; false at the end of the file.
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
