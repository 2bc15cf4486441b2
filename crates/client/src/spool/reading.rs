//! Reads batches back.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use super::log::Log;
use super::record::{Place, RECORD_HEADER_BYTES, RecordHeader, crc};
use super::scan::Entry;
use super::{Error, Missing, Stored};

/// Reads a batch, or returns the hole it is in.
pub(super) fn read(log: &Log, sequence: u64) -> Result<Stored, Error> {
    let Some((segment, after)) = log.segment_of(sequence) else {
        // Before the first segment, or there is none.
        let last = log.before(0).sequence;
        return Ok(Stored::Missing(Missing { first: sequence, last, rows: 0 }));
    };
    let at = segment.entries.partition_point(|it| it.header.after.sequence < sequence);
    let Some(Entry { offset, header, .. }) =
        segment.entries.get(at).filter(|it| it.header.after.sequence == sequence)
    else {
        let before = at.checked_sub(1).map(|at| segment.entries[at].header.after);
        let after = segment.entries.get(at).map_or(after, |entry| entry.header.before());
        return Ok(Stored::Missing(Missing::between(before.unwrap_or(segment.before), after)));
    };
    let path = log.path(segment.first);
    let place = Place { salt: log.identity.salt, first: segment.first, offset: *offset };
    let payload = payload(&path, header, place).map_err(Error::io("read", &path))?;
    Ok(match payload {
        Some(payload) => Stored::Batch { sequence, rows: header.rows, payload },
        None => Stored::Missing(Missing::between(header.before(), header.after)),
    })
}

/// The payload, if the record is unchanged.
fn payload(path: &Path, expected: &RecordHeader, place: Place) -> io::Result<Option<Vec<u8>>> {
    let mut record = vec![0; RECORD_HEADER_BYTES + expected.length as usize];
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(place.offset))?;
        file.read_exact(&mut record)
    });
    match read {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    let payload = record.split_off(RECORD_HEADER_BYTES);
    let same = RecordHeader::decode(&record, place).as_ref() == Some(expected);
    Ok((same && crc(&payload) == expected.payload_crc).then_some(payload))
}
