//! Reads a directory: which files are valid, which batches they hold, and what is damaged.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::files::{self, Directory, SegmentFile};
use super::log::{Log, Segment};
use super::record::{Decoded, Identity, Position, SEGMENT_HEADER_BYTES, SegmentHeader, VERSION};
use super::scan::{Scan, Tail, scan};
use super::state::{STATE_BYTES, State};
use super::{Error, Finding, Missing, Options};
use crate::random;

pub(super) struct Recovery {
    pub(super) state: State,
    /// Its last position is how far the walk has come.
    pub(super) log: Log,
    /// Lost pending batches, in order.
    pub(super) missing: Vec<Missing>,
    pub(super) findings: Vec<Finding>,
    /// The state differs from its file.
    pub(super) changed: bool,
    /// The last segment ends in garbage: cut it to this length.
    cut: Option<(PathBuf, u64)>,
}

/// A segment, with its header if intact.
type Headed = (SegmentFile, Option<SegmentHeader>);

/// A state and its origin.
struct Start {
    state: State,
    /// The position before the first segment is known.
    base_known: bool,
    finding: Option<Finding>,
    changed: bool,
}

/// Reads everything, and only then changes anything.
pub(super) fn recover(
    directory: &Directory,
    options: Options,
    new_id: [u8; 16],
) -> Result<Recovery, Error> {
    let mut headed = Vec::new();
    for file in directory.segments()? {
        let header = header(&file)?;
        headed.push((file, header));
    }
    let Start { state, base_known, finding, changed } = start(directory, &headed, new_id)?;
    let (mut current, mut left) = (Vec::new(), Vec::new());
    for (file, header) in headed {
        let is_left = is_left(&file, header.as_ref(), &state)?;
        if is_left { &mut left } else { &mut current }.push((file, header));
    }

    let log = Log::new(directory.path(), options, state.identity, state.base);
    let findings = finding.into_iter().collect();
    let mut found = Recovery { state, log, missing: Vec::new(), findings, changed, cut: None };
    let count = current.len();
    for (at, segment) in current.iter().enumerate() {
        found.segment(segment, at > 0 || base_known, at + 1 == count)?;
    }
    found.end();

    for (file, _) in left {
        files::remove(&file.path)?;
    }
    directory.remove_half_written()?;
    if let Some((path, bytes)) = &found.cut {
        files::cut(path, *bytes)?;
    }
    Ok(found)
}

fn header(file: &SegmentFile) -> Result<Option<SegmentHeader>, Error> {
    let path = &file.path;
    let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
    File::open(path)
        .and_then(|it| it.take(SEGMENT_HEADER_BYTES as u64).read_to_end(&mut bytes))
        .map_err(Error::io("read", path))?;
    match SegmentHeader::decode(&bytes) {
        Decoded::Newer(found) => {
            Err(Error::NewerVersion { path: path.clone(), found, known: VERSION })
        }
        Decoded::Intact(it)
            if it.identity.generation != file.generation
                || it.before.sequence.checked_add(1) != Some(file.first) =>
        {
            let why = "it has another name than the one it was written under";
            Err(Error::Foreign { path: path.clone(), why })
        }
        Decoded::Intact(header) => Ok(Some(header)),
        Decoded::Damaged => Ok(None),
    }
}

/// The state, from its file if intact.
fn start(directory: &Directory, headed: &[Headed], new_id: [u8; 16]) -> Result<Start, Error> {
    let path = directory.state_path();
    let found = match files::regular(&path)? {
        Some(bytes) if bytes <= 2 * STATE_BYTES as u64 => {
            Some(State::decode(&fs::read(&path).map_err(Error::io("read", &path))?))
        }
        Some(_) => Some(Decoded::Damaged),
        None => None,
    };
    let is_new = found.is_none() && headed.is_empty();
    let (state, base_known, finding) = match found {
        Some(Decoded::Newer(found)) => {
            return Err(Error::NewerVersion { path, found, known: VERSION });
        }
        Some(Decoded::Intact((state, true))) => (state, true, None),
        Some(Decoded::Intact((state, false))) => (state, true, Some(Finding::StateCopy { path })),
        Some(Decoded::Damaged) | None if headed.is_empty() => {
            let identity = Identity { producer_id: new_id, generation: 1, salt: random::number() };
            (State::new(identity), true, (!is_new).then_some(Finding::State { path }))
        }
        Some(Decoded::Damaged) | None => {
            let (state, base_known) = from_segments(directory, headed)?;
            (state, base_known, Some(Finding::State { path }))
        }
    };
    let changed = is_new || finding.is_some();
    Ok(Start { state, base_known, finding, changed })
}

/// What the segments know of the state, and whether that includes its base.
fn from_segments(directory: &Directory, headed: &[Headed]) -> Result<(State, bool), Error> {
    let unreadable = || Error::Unreadable { directory: directory.path().to_owned() };
    let identity = headed.iter().find_map(|(_, header)| *header).ok_or_else(unreadable)?.identity;
    let alike = |(file, header): &Headed| {
        file.generation == identity.generation
            && header.is_none_or(|header| header.identity == identity)
    };
    if !headed.iter().all(alike) {
        return Err(unreadable());
    }
    let first = headed.first().and_then(|(_, header)| *header);
    let base = first.map(|header| header.before).unwrap_or_default();
    let acknowledged = base.sequence;
    let state = State { base, acknowledged, last: base, ..State::new(identity) };
    Ok((state, first.is_some()))
}

/// Whether the file only waits for its removal.
fn is_left(
    file: &SegmentFile,
    header: Option<&SegmentHeader>,
    state: &State,
) -> Result<bool, Error> {
    let foreign = |why| Err(Error::Foreign { path: file.path.clone(), why });
    let current = state.identity.generation;
    let is_current = file.generation == current;
    let salt = if is_current {
        state.identity.salt
    } else if current.checked_add(1) == Some(file.generation) {
        state.salt_next
    } else if current.checked_sub(1) == Some(file.generation) {
        state.salt_before
    } else {
        return foreign("its generation is not the spool's");
    };
    if let Some(SegmentHeader { identity, .. }) = header {
        let other = is_current && identity.producer_id != state.identity.producer_id;
        if identity.salt != salt || other {
            return foreign("it is a segment of another spool");
        }
    }
    Ok(!is_current || file.first <= state.base.sequence)
}

// === impl Recovery ===

impl Recovery {
    /// Walks a segment. `known`: the position before it is known.
    fn segment(
        &mut self,
        (file, header): &Headed,
        known: bool,
        is_last: bool,
    ) -> Result<(), Error> {
        let SegmentFile { path, first, bytes, .. } = file;
        let before = match header {
            Some(header) => Some(header.before),
            None => Some(self.log.last).filter(|it| known && it.sequence < *first),
        };
        let mut found = File::open(path)
            .and_then(|it| scan(it, self.state.identity.salt, *first, *bytes, before))
            .map_err(Error::io("read", path))?;
        let before = before
            .or_else(|| found.entries.first().map(|it| it.header.before()))
            .unwrap_or(Position { sequence: first - 1, rows: 0 });
        if !known {
            self.log.last = before;
        }

        let findings_before = self.findings.len();
        if header.is_none() && *bytes >= SEGMENT_HEADER_BYTES as u64 {
            self.findings.push(Finding::SegmentHeader { path: path.clone() });
        }
        self.reach(before);
        self.entries(path, &found);
        self.log.sealed = header.is_none();
        if self.log.last.sequence <= self.state.acknowledged {
            self.findings.truncate(findings_before);
            found.tail = found.tail.filter(|_| is_last);
        }
        let mut bytes = *bytes;
        if let Some(tail) = found.tail {
            self.tail(path, &tail, is_last);
            if is_last {
                // An intact header stays: it has the segment's position.
                let stays = !found.entries.is_empty() || header.is_some();
                bytes = if stays { tail.offset } else { 0 };
                self.cut = Some((path.clone(), bytes));
            }
        }
        if bytes == 0 {
            // The segment before it is the last now, and its end was not checked as such.
            self.log.sealed = true;
            self.cut = Some((path.clone(), 0));
        } else {
            let (first, entries) = (*first, found.entries);
            self.log.segments.push_back(Segment { first, before, entries, bytes, dirty: is_last });
        }
        if !known {
            (self.state.base, self.state.acknowledged) = (before, before.sequence);
        }
        Ok(())
    }

    fn entries(&mut self, path: &Path, found: &Scan) {
        for (offset, bytes) in found.unreadable.iter().copied() {
            let path = path.to_owned();
            self.findings.push(Finding::Unreadable { path, offset, bytes, cut_off: false });
        }
        for entry in &found.entries {
            let (before, after) = (entry.header.before(), entry.header.after);
            if after.sequence <= self.log.last.sequence {
                continue;
            }
            self.reach(before);
            if !entry.intact {
                self.missing.push(Missing::between(before, after));
                let (sequence, rows) = (after.sequence, entry.header.rows);
                if sequence > self.state.acknowledged {
                    let (path, offset) = (path.to_owned(), entry.offset);
                    self.findings.push(Finding::Payload { path, offset, sequence, rows });
                }
            }
            self.log.last = after;
        }
    }

    /// Marks unseen batches up to this position as missing.
    fn reach(&mut self, position: Position) {
        if position.sequence > self.log.last.sequence {
            self.missing.push(Missing::between(self.log.last, position));
            self.log.last = position;
        }
    }

    fn tail(&mut self, path: &Path, tail: &Tail, cut_off: bool) {
        let (path, offset, bytes) = (path.to_owned(), tail.offset, tail.bytes);
        self.findings.push(match tail.is_torn() && cut_off {
            true => {
                let batch = tail.header.map(|header| (header.after.sequence, header.rows));
                Finding::TornTail { path, offset, bytes, batch }
            }
            false => Finding::Unreadable { path, offset, bytes, cut_off },
        });
    }

    /// Compares the last record with the state.
    fn end(&mut self) {
        self.log.sealed |= self.state.last.sequence > self.log.last.sequence;
        self.reach(self.state.last);
        self.changed |= self.cut.is_some() || self.state.last != self.log.last;
        self.state.last = self.log.last;
        self.missing.retain(|missing| missing.last > self.state.acknowledged);
    }
}
