//! What a directory holds: which files count, which batches are there, and what is damaged.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Read;
use std::path::PathBuf;

use super::files::{self, Directory, SegmentFile, options};
use super::log::Segment;
use super::reading::between;
use super::record::{Decoded, Identity, Position, SEGMENT_HEADER_BYTES, SegmentHeader, VERSION};
use super::scan::{self, Scan, Tail, scan};
use super::state::{Found, STATE_BYTES, State};
use super::{Error, Finding, Missing, Recovered};

/// What was found.
pub(super) struct Recovery {
    pub(super) state: State,
    pub(super) segments: VecDeque<Segment>,
    /// The last segment takes no more records.
    pub(super) sealed: bool,
    /// The state is not what the file has.
    pub(super) changed: bool,
    pub(super) recovered: Recovered,
}

/// A segment, with its header.
type Headed = (SegmentFile, Decoded<SegmentHeader>);

/// Where the state is from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    File,
    Copy,
    New,
    Lost,
}

/// Goes through the segments in order.
struct Walk {
    acknowledged: u64,
    position: Position,
    segments: VecDeque<Segment>,
    missing: Vec<Missing>,
    findings: Vec<Finding>,
    sealed: bool,
    /// The end of the last segment is no record: cut it to this length.
    cut: Option<(PathBuf, u64)>,
}

/// Reads everything, and only then changes anything.
pub(super) fn recover(directory: &Directory, new_id: [u8; 16]) -> Result<Recovery, Error> {
    let mut headed = Vec::new();
    for file in directory.segments()? {
        let header = header(&file)?;
        headed.push((file, header));
    }
    let (mut state, origin, base) = state(directory, &headed, new_id)?;
    let mut current = Vec::new();
    let mut left = Vec::new();
    for (file, header) in headed {
        if is_left(&file, &header, &state)? { &mut left } else { &mut current }
            .push((file, header));
    }

    let mut walk = Walk {
        acknowledged: state.acknowledged,
        position: base.unwrap_or_default(),
        segments: VecDeque::new(),
        missing: Vec::new(),
        findings: Vec::new(),
        sealed: false,
        cut: None,
    };
    let path = directory.state_path();
    match origin {
        Origin::Copy => walk.findings.push(Finding::StateCopy { path }),
        Origin::Lost => walk.findings.push(Finding::State { path }),
        Origin::File | Origin::New => {}
    }
    let count = current.len();
    for (at, segment) in current.iter().enumerate() {
        let known = at > 0 || base.is_some();
        let start = walk.segment(segment, state.identity.salt, known, at + 1 == count)?;
        if !known {
            state.base = start;
            state.acknowledged = start.sequence;
            walk.acknowledged = start.sequence;
        }
    }
    if state.last.sequence > walk.position.sequence {
        walk.missing.push(between(walk.position, state.last));
        walk.position = state.last;
        walk.sealed = true;
    }
    let mut changed = origin != Origin::File || walk.cut.is_some();
    changed |= state.last != walk.position;
    state.last = walk.position;

    for (file, _) in left {
        files::remove(&file.path)?;
    }
    directory.remove_half_written()?;
    walk.mend()?;
    Ok(walk.finish(state, origin, changed))
}

fn header(file: &SegmentFile) -> Result<Decoded<SegmentHeader>, Error> {
    let path = &file.path;
    let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
    File::open(path)
        .and_then(|it| it.take(SEGMENT_HEADER_BYTES as u64).read_to_end(&mut bytes))
        .map_err(Error::io("read", path))?;
    let header = SegmentHeader::decode(&bytes);
    match header {
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
        header => Ok(header),
    }
}

/// The state, and the position before the first segment if it is known.
fn state(
    directory: &Directory,
    headed: &[Headed],
    new_id: [u8; 16],
) -> Result<(State, Origin, Option<Position>), Error> {
    let path = directory.state_path();
    let found = match files::regular(&path)? {
        Some(bytes) if bytes <= 2 * STATE_BYTES as u64 => {
            Some(State::decode(&fs::read(&path).map_err(Error::io("read", &path))?))
        }
        Some(_) => Some(Found::Damaged),
        None => None,
    };
    let (state, origin) = match found {
        Some(Found::Newer(found)) => {
            return Err(Error::NewerVersion { path, found, known: VERSION });
        }
        Some(Found::Both(state)) => (state, Origin::File),
        Some(Found::One(state)) => (state, Origin::Copy),
        Some(Found::Damaged) if headed.is_empty() => (fresh(new_id), Origin::Lost),
        None if headed.is_empty() => (fresh(new_id), Origin::New),
        Some(Found::Damaged) | None => {
            let (state, base) = from_segments(directory, headed)?;
            return Ok((state, Origin::Lost, base));
        }
    };
    let base = state.base;
    Ok((state, origin, Some(base)))
}

/// The state of a new spool.
fn fresh(producer_id: [u8; 16]) -> State {
    State {
        identity: Identity { producer_id, generation: 1, salt: random() },
        salt_before: random(),
        salt_next: random(),
        epoch: 0,
        claims: Vec::new(),
        acknowledged: 0,
        acknowledged_at: None,
        base: Position::default(),
        last: Position::default(),
    }
}

/// As much of the state as the segments know.
fn from_segments(
    directory: &Directory,
    headed: &[Headed],
) -> Result<(State, Option<Position>), Error> {
    let unreadable = || Error::Unreadable { directory: directory.path().to_owned() };
    let intact = |(_, header): &Headed| match header {
        Decoded::Intact(header) => Some(*header),
        Decoded::Damaged | Decoded::Newer(_) => None,
    };
    let identity = headed.iter().find_map(intact).ok_or_else(unreadable)?.identity;
    let alike = |file: &Headed| {
        file.0.generation == identity.generation
            && intact(file).is_none_or(|header| header.identity == identity)
    };
    if !headed.iter().all(alike) {
        return Err(unreadable());
    }
    let base = headed.first().and_then(intact).map(|header| header.before);
    let mut state = fresh(identity.producer_id);
    state.identity = identity;
    state.base = base.unwrap_or_default();
    state.acknowledged = state.base.sequence;
    state.last = state.base;
    Ok((state, base))
}

/// Whether the file only waits to be removed.
fn is_left(
    file: &SegmentFile,
    header: &Decoded<SegmentHeader>,
    state: &State,
) -> Result<bool, Error> {
    let current = state.identity.generation;
    let salt = if file.generation == current {
        state.identity.salt
    } else if current.checked_add(1) == Some(file.generation) {
        state.salt_next
    } else if current.checked_sub(1) == Some(file.generation) {
        state.salt_before
    } else {
        let why = "its generation is not the spool's";
        return Err(Error::Foreign { path: file.path.clone(), why });
    };
    let is_current = file.generation == current;
    if let Decoded::Intact(header) = header {
        let other = is_current && header.identity.producer_id != state.identity.producer_id;
        if header.identity.salt != salt || other {
            let why = "it is a segment of another spool";
            return Err(Error::Foreign { path: file.path.clone(), why });
        }
    }
    Ok(!is_current || file.first <= state.base.sequence)
}

/// A number that nobody outside of this process can guess.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

// === impl Walk ===

impl Walk {
    /// Goes through a segment. Gives the position before its first record.
    fn segment(
        &mut self,
        (file, header): &Headed,
        salt: u64,
        known: bool,
        is_last: bool,
    ) -> Result<Position, Error> {
        let path = &file.path;
        let before = match header {
            Decoded::Intact(header) => Some(header.before),
            _ => Some(self.position).filter(|it| known && it.sequence < file.first),
        };
        let segment = scan::Segment { salt, first: file.first, bytes: file.bytes, before };
        let mut found =
            File::open(path).and_then(|it| scan(it, &segment)).map_err(Error::io("read", path))?;
        let unknown = || Position { sequence: file.first - 1, rows: 0 };
        let first = found.entries.first();
        let before = before.or_else(|| first.map(|it| it.header.before())).unwrap_or_else(unknown);
        if !known {
            self.position = before;
        }

        let findings_before = self.findings.len();
        if !matches!(header, Decoded::Intact(_)) && file.bytes >= SEGMENT_HEADER_BYTES as u64 {
            self.findings.push(Finding::SegmentHeader { path: path.clone() });
        }
        self.reach(before);
        self.entries(path, &found);
        self.sealed = !matches!(header, Decoded::Intact(_));
        if self.position.sequence <= self.acknowledged {
            self.findings.truncate(findings_before);
            found.tail = found.tail.filter(|_| is_last);
        }
        let mut bytes = file.bytes;
        if let Some(tail) = found.tail {
            self.tail(path, &tail, is_last);
            if is_last {
                // A header that is whole stays: it says where its place in the row is.
                let is_whole = !found.entries.is_empty() || !self.sealed;
                bytes = if is_whole { tail.offset } else { 0 };
                self.cut = Some((path.clone(), bytes));
            }
        }
        if bytes == 0 {
            // The one before it is the last now, and its end was not looked at as such.
            self.sealed = true;
            self.cut = Some((path.clone(), 0));
        } else {
            let kept = Segment { first: file.first, before, bytes, dirty: is_last };
            self.segments.push_back(kept);
        }
        Ok(before)
    }

    fn entries(&mut self, path: &std::path::Path, found: &Scan) {
        for (offset, bytes) in found.unreadable.iter().copied() {
            let path = path.to_owned();
            self.findings.push(Finding::Unreadable { path, offset, bytes, cut_off: false });
        }
        for entry in &found.entries {
            let (before, after) = (entry.header.before(), entry.after());
            if after.sequence <= self.position.sequence {
                continue;
            }
            self.reach(before);
            if !entry.intact {
                self.missing.push(between(before, after));
                let (sequence, rows) = (after.sequence, entry.header.rows);
                if sequence > self.acknowledged {
                    let (path, offset) = (path.to_owned(), entry.offset);
                    self.findings.push(Finding::Payload { path, offset, sequence, rows });
                }
            }
            self.position = after;
        }
    }

    /// What lies between is missing.
    fn reach(&mut self, position: Position) {
        if position.sequence > self.position.sequence {
            self.missing.push(between(self.position, position));
            self.position = position;
        }
    }

    fn tail(&mut self, path: &std::path::Path, tail: &Tail, cut_off: bool) {
        let (path, offset, bytes) = (path.to_owned(), tail.offset, tail.bytes);
        self.findings.push(match tail.torn && cut_off {
            true => {
                let batch = tail.header.map(|header| (header.after.sequence, header.rows));
                Finding::TornTail { path, offset, bytes, batch }
            }
            false => Finding::Unreadable { path, offset, bytes, cut_off },
        });
    }

    /// Cuts off what is no record.
    fn mend(&self) -> Result<(), Error> {
        match &self.cut {
            None => Ok(()),
            Some((path, 0)) => files::remove(path),
            Some((path, bytes)) => options()
                .write(true)
                .open(path)
                .and_then(|file| file.set_len(*bytes))
                .map_err(Error::io("cut the end off", path)),
        }
    }

    fn finish(mut self, state: State, origin: Origin, changed: bool) -> Recovery {
        self.missing.retain(|missing| missing.last > state.acknowledged);
        let recovered = Recovered {
            is_new: origin == Origin::New,
            producer_id: state.identity.producer_id,
            epoch: state.epoch,
            claims: state.claims.clone(),
            custody_lost: origin == Origin::Lost,
            acknowledged: state.acknowledged,
            acknowledged_at: state.acknowledged_at,
            next_sequence: state.last.sequence.saturating_add(1),
            pending_batches: state.last.sequence - state.acknowledged,
            bytes: self.segments.iter().map(|segment| segment.bytes).sum(),
            missing: self.missing,
            findings: self.findings,
        };
        Recovery { state, segments: self.segments, sealed: self.sealed, changed, recovered }
    }
}
