//! Reads batches back, by the index of the segment that was read last.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use super::log::{Log, Segment};
use super::record::{Place, Position, RECORD_HEADER_BYTES, RecordHeader, crc};
use super::scan::{Entry, scan};
use super::{Error, Missing, Stored};

/// The index of one segment.
#[derive(Debug)]
pub(super) struct Reading {
    /// The first sequence of the segment.
    first: u64,
    entries: Vec<Entry>,
    /// The segment; nothing if somebody has removed it.
    file: Option<File>,
}

// === impl Reading ===

impl Reading {
    /// Reads a batch that is between the log's first and its last.
    pub(super) fn read(
        last_read: &mut Option<Self>,
        log: &Log,
        sequence: u64,
    ) -> Result<Stored, Error> {
        let Some((segment, after)) = log.segment_of(sequence) else {
            // Before the first segment, or there is none: nothing of it is left.
            let last = log.before(0).sequence;
            return Ok(Stored::Missing(Missing { first: sequence, last, rows: 0 }));
        };
        let path = log.path(segment.first);
        let salt = log.identity.salt;
        let mut read = || {
            let reading = match last_read.take() {
                Some(reading) if reading.first == segment.first => last_read.insert(reading),
                _ => last_read.insert(Self::load(&path, segment, salt)?),
            };
            reading.stored(sequence, segment.before, after, salt)
        };
        read().map_err(Error::io("read", &path))
    }

    fn load(path: &std::path::Path, segment: &Segment, salt: u64) -> io::Result<Self> {
        let Segment { first, before, bytes, .. } = *segment;
        let (entries, file) = match File::open(path) {
            Ok(file) => (scan(&file, salt, first, bytes, Some(before))?.entries, Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => (Vec::new(), None),
            Err(error) => return Err(error),
        };
        Ok(Self { first, entries, file })
    }

    /// Notes what was appended to a segment.
    pub(super) fn appended(&mut self, first: u64, entry: Entry) {
        if first == self.first {
            self.entries.push(entry);
        }
    }

    /// A batch, or the hole that it is in; the segment lies between `before` and `after`.
    fn stored(
        &mut self,
        sequence: u64,
        before: Position,
        after: Position,
        salt: u64,
    ) -> io::Result<Stored> {
        let at = self.entries.binary_search_by_key(&sequence, |it| it.header.after.sequence);
        let at = match at {
            Ok(at) => at,
            Err(at) => {
                let before = at.checked_sub(1).map_or(before, |at| self.entries[at].header.after);
                let after = self.entries.get(at).map_or(after, |entry| entry.header.before());
                return Ok(Stored::Missing(Missing::between(before, after)));
            }
        };
        let Entry { offset, header, intact } = self.entries[at];
        let payload = match &mut self.file {
            Some(file) if intact => {
                payload(file, &header, Place { salt, first: self.first, offset })?
            }
            _ => None,
        };
        Ok(match payload {
            Some(payload) => Stored::Batch { sequence, rows: header.rows, payload },
            None => Stored::Missing(Missing::between(header.before(), header.after)),
        })
    }
}

/// The payload, if the record is still what it was.
fn payload(file: &mut File, expected: &RecordHeader, place: Place) -> io::Result<Option<Vec<u8>>> {
    file.seek(SeekFrom::Start(place.offset))?;
    let mut header = vec![0; RECORD_HEADER_BYTES + expected.length as usize];
    match file.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let payload = header.split_off(RECORD_HEADER_BYTES);
    let same = RecordHeader::decode(&header, place).as_ref() == Some(expected);
    Ok((same && crc(&payload) == expected.payload_crc).then_some(payload))
}
