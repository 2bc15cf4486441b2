//! Reads batches back, by the index of the segment that was read last.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use super::log::Log;
use super::record::{Place, Position, RECORD_HEADER_BYTES, RecordHeader, crc};
use super::scan::{Entry, Segment, scan};
use super::{Error, Missing, Stored};

/// The index of one segment.
#[derive(Debug)]
pub(super) struct Reading {
    /// The first sequence of the segment.
    first: u64,
    before: Position,
    entries: Vec<Entry>,
    /// The segment; nothing if somebody has removed it.
    file: Option<File>,
}

// === impl Reading ===

impl Reading {
    /// Reads a batch, or says which are missing.
    pub(super) fn read(
        kept: &mut Option<Self>,
        log: &Log,
        sequence: u64,
    ) -> Result<Result<Stored, Missing>, Error> {
        let Some((segment, after)) = log.segment_of(sequence) else {
            // Before the first segment, or there is none: nothing of it is left.
            let after = log.before(0);
            return Ok(Err(Missing { first: sequence, last: after.sequence, rows: 0 }));
        };
        let path = log.path(segment);
        let reading = match kept.take() {
            Some(reading) if reading.first == segment.first => kept.insert(reading),
            _ => {
                let scanned = Segment {
                    salt: log.identity().salt,
                    first: segment.first,
                    bytes: segment.bytes,
                    before: Some(segment.before),
                };
                let loaded = Self::load(&path, &scanned, segment.before);
                kept.insert(loaded.map_err(Error::io("read", &path))?)
            }
        };
        reading.stored(sequence, after, log.identity().salt).map_err(Error::io("read", &path))
    }

    fn load(path: &std::path::Path, segment: &Segment, before: Position) -> io::Result<Self> {
        let (entries, file) = match File::open(path) {
            Ok(file) => (scan(&file, segment)?.entries, Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => (Vec::new(), None),
            Err(error) => return Err(error),
        };
        Ok(Self { first: segment.first, before, entries, file })
    }

    /// Notes what was appended to a segment.
    pub(super) fn appended(&mut self, first: u64, entry: Entry) {
        if first == self.first {
            self.entries.push(entry);
        }
    }

    fn stored(
        &mut self,
        sequence: u64,
        after: Position,
        salt: u64,
    ) -> io::Result<Result<Stored, Missing>> {
        let at = self.entries.binary_search_by_key(&sequence, |it| it.header.after.sequence);
        let at = match at {
            Ok(at) => at,
            Err(at) => {
                let before = at.checked_sub(1).map_or(self.before, |at| self.entries[at].after());
                let after = self.entries.get(at).map_or(after, |entry| entry.header.before());
                return Ok(Err(between(before, after)));
            }
        };
        let entry = self.entries[at];
        let place = Place { salt, first: self.first, offset: entry.offset };
        let payload = match &mut self.file {
            Some(file) if entry.intact => payload(file, &entry, place)?,
            _ => None,
        };
        let rows = entry.header.rows;
        Ok(match payload {
            Some(payload) => Ok(Stored::Batch { sequence, rows, payload }),
            None => Err(between(entry.header.before(), entry.after())),
        })
    }
}

/// The batches after one position and up to another.
pub(super) fn between(before: Position, after: Position) -> Missing {
    Missing {
        first: before.sequence.saturating_add(1),
        last: after.sequence,
        rows: after.rows.saturating_sub(before.rows),
    }
}

/// The payload, if the record is still what it was.
fn payload(file: &mut File, entry: &Entry, place: Place) -> io::Result<Option<Vec<u8>>> {
    file.seek(SeekFrom::Start(entry.offset))?;
    let mut header = [0; RECORD_HEADER_BYTES];
    let mut payload = vec![0; entry.header.length as usize];
    match file.read_exact(&mut header).and_then(|()| file.read_exact(&mut payload)) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let same = RecordHeader::decode(&header, place) == Some(entry.header);
    Ok((same && crc(&payload) == entry.header.payload_crc).then_some(payload))
}
