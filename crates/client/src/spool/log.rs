//! Appends to segments, and removes them from the front.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::files::{self, options, segment_path, sync_directory};
use super::record::{
    Identity, PAYLOAD_BYTES_MAX, Place, Position, RECORD_HEADER_BYTES, RecordHeader,
    SEGMENT_HEADER_BYTES, SegmentHeader, crc,
};
use super::scan::Entry;
use super::{Error, Fsync, Options};

#[derive(Debug)]
pub(super) struct Segment {
    /// Its first sequence, as in its name.
    pub(super) first: u64,
    /// The position before its first record.
    pub(super) before: Position,
    pub(super) entries: Vec<Entry>,
    pub(super) bytes: u64,
    /// Not synced.
    pub(super) dirty: bool,
}

/// The segments of one generation.
#[derive(Debug)]
pub(super) struct Log {
    directory: PathBuf,
    pub(super) options: Options,
    pub(super) identity: Identity,
    pub(super) segments: VecDeque<Segment>,
    /// The last segment, once this process has written to it.
    active: Option<File>,
    /// The last segment takes no more.
    pub(super) sealed: bool,
    /// The position after the last batch.
    pub(super) last: Position,
    /// When the first unsynced batch was appended.
    unsynced_since: Option<Instant>,
    /// The names of some segments are not synced.
    directory_dirty: bool,
    /// Cut this file to this length, after a failed append that could not be undone.
    repair: Option<(PathBuf, u64)>,
}

// === impl Log ===

impl Log {
    pub(super) fn new(
        directory: &Path,
        options: Options,
        identity: Identity,
        last: Position,
    ) -> Self {
        Self {
            directory: directory.to_owned(),
            options,
            identity,
            segments: VecDeque::new(),
            active: None,
            sealed: false,
            last,
            unsynced_since: None,
            directory_dirty: false,
            repair: None,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    pub(super) fn path(&self, first: u64) -> PathBuf {
        segment_path(&self.directory, self.identity.generation, first)
    }

    /// The next record goes to a new segment.
    pub(super) fn seal(&mut self) {
        self.sealed = true;
        self.active = None;
    }

    /// Whether a batch fits: [`Error::TooLarge`] means never, [`Error::Full`] not now.
    pub(super) fn room_for(&self, payload: &[u8]) -> Result<(), Error> {
        let (header, bytes_max) = (SEGMENT_HEADER_BYTES as u64, self.options.bytes_max);
        let record = (RECORD_HEADER_BYTES + payload.len()) as u64;
        let headers = header + RECORD_HEADER_BYTES as u64;
        let payload_max = u64::from(PAYLOAD_BYTES_MAX).min(bytes_max.saturating_sub(headers));
        if payload.len() as u64 > payload_max {
            return Err(Error::TooLarge { bytes: payload.len() as u64, bytes_max: payload_max });
        }
        let wanted = record + if self.needs_segment(record) { header } else { 0 };
        let bytes = self.bytes();
        if bytes + wanted > bytes_max {
            let directory = self.directory.clone();
            return Err(Error::Full { directory, bytes, wanted, bytes_max });
        }
        Ok(())
    }

    fn needs_segment(&self, record: u64) -> bool {
        let empty = SEGMENT_HEADER_BYTES as u64;
        self.sealed
            || self.segments.back().is_none_or(|last| {
                last.bytes > empty && last.bytes + record > self.options.segment_bytes_max
            })
    }

    /// Adds a batch and syncs if due. True: it began a segment. An error adds nothing.
    pub(super) fn append(&mut self, rows: u64, payload: &[u8]) -> Result<bool, Error> {
        self.room_for(payload)?;
        self.repair()?;
        let after = self.last.next(rows).ok_or(Error::Invalid {
            what: "the spool has come to the end of the numbers: more than 2^64 rows or batches",
        })?;
        let length = u32::try_from(payload.len()).expect("there is room for it");
        let new = self.needs_segment(RECORD_HEADER_BYTES as u64 + payload.len() as u64);
        let (first, offset) = match self.segments.back() {
            Some(last) if !new => (last.first, last.bytes),
            _ => (after.sequence, SEGMENT_HEADER_BYTES as u64),
        };
        if new && self.segments.back().is_some_and(|last| last.first == first) {
            // An empty one, sealed: replace it.
            files::remove(&self.path(first))?;
            self.segments.pop_back();
        }

        let mut bytes = Vec::new();
        if new {
            bytes = SegmentHeader { identity: self.identity, before: self.last }.encode();
        }
        let header = RecordHeader { after, rows, length, payload_crc: crc(payload) };
        bytes.extend(header.encode(Place { salt: self.identity.salt, first, offset }));
        bytes.extend_from_slice(payload);
        let file = self.write(new, &self.path(first), offset, &bytes)?;

        if new {
            let (before, entries) = (self.last, Vec::new());
            self.segments.push_back(Segment { first, before, entries, bytes: 0, dirty: false });
            self.sealed = false;
        }
        let segment = self.segments.back_mut().expect("it was there or was added");
        segment.entries.push(Entry { offset, header, intact: true });
        segment.bytes += bytes.len() as u64;
        segment.dirty = self.unsynced_since.is_some();
        self.active = Some(file);
        self.last = after;
        Ok(new)
    }

    /// Appends to the file, and syncs if due.
    fn write(&mut self, new: bool, path: &Path, offset: u64, bytes: &[u8]) -> Result<File, Error> {
        let active = self.active.take_if(|_| !new);
        let mut file = match active {
            Some(file) => file,
            None => options()
                .append(true)
                .create_new(new)
                .open(path)
                .map_err(Error::io(if new { "make" } else { "open" }, path))?,
        };
        self.directory_dirty |= new;
        let written = file.write_all(bytes).map_err(Error::io("write", path));
        let now = Instant::now();
        let since = *self.unsynced_since.get_or_insert(now);
        let due = match self.options.fsync {
            Fsync::EachBatch => true,
            Fsync::Interval(interval) => now.duration_since(since) >= interval,
            Fsync::OsOnly => false,
        };
        let result = written.and_then(|()| {
            if !due {
                return Ok(());
            }
            // After a failed sync, the segment's state on the disk is unknown.
            file.sync_data().map_err(Error::io("sync", path)).inspect_err(|_| self.seal())?;
            self.sync_others()
        });
        match result {
            Ok(()) => Ok(file),
            Err(error) => {
                drop(file);
                self.repair = Some((path.to_owned(), if new { 0 } else { offset }));
                // After a failure, the next append retries and reports it.
                let _ = self.repair();
                Err(error)
            }
        }
    }

    /// Undoes a failed append.
    fn repair(&mut self) -> Result<(), Error> {
        if let Some((path, bytes)) = &self.repair {
            files::cut(path, *bytes)?;
            self.repair = None;
        }
        Ok(())
    }

    pub(super) fn sync(&mut self) -> Result<(), Error> {
        self.repair()?;
        self.sync_others()
    }

    /// Syncs dirty segments and their names. After a failure the next record goes to a new segment,
    /// because the state of pages after a failed write is undefined.
    fn sync_others(&mut self) -> Result<(), Error> {
        let result = (|| {
            for at in 0..self.segments.len() {
                if self.segments[at].dirty {
                    let path = self.path(self.segments[at].first);
                    let file =
                        options().write(true).open(&path).map_err(Error::io("open", &path))?;
                    file.sync_data().map_err(Error::io("sync", &path))?;
                    self.segments[at].dirty = false;
                }
            }
            if self.directory_dirty {
                sync_directory(&self.directory)?;
                self.directory_dirty = false;
            }
            Ok(())
        })();
        match result {
            Ok(()) => self.unsynced_since = None,
            Err(_) => self.seal(),
        }
        result
    }

    pub(super) fn sync_due(&self) -> Option<Instant> {
        match self.options.fsync {
            Fsync::Interval(interval) => self.unsynced_since?.checked_add(interval),
            Fsync::EachBatch | Fsync::OsOnly => None,
        }
    }

    /// The segment of a batch, and the position after it.
    pub(super) fn segment_of(&self, sequence: u64) -> Option<(&Segment, Position)> {
        let at =
            self.segments.partition_point(|it| it.before.sequence < sequence).checked_sub(1)?;
        Some((&self.segments[at], self.before(at + 1)))
    }

    /// The position before a segment, or after the last.
    pub(super) fn before(&self, at: usize) -> Position {
        self.segments.get(at).map_or(self.last, |next| next.before)
    }

    /// How many segments from the front have only acknowledged batches and are not written to.
    pub(super) fn removable(&self, acknowledged: u64) -> usize {
        let ends = (1..=self.segments.len()).map(|at| self.before(at).sequence);
        let done = ends.take_while(|end| *end <= acknowledged).count();
        done.min(self.segments.len() - usize::from(!self.sealed && !self.segments.is_empty()))
    }

    pub(super) fn remove(&mut self, segments: usize) -> Result<(), Error> {
        for _ in 0..segments {
            let Some(first) = self.segments.front() else { break };
            files::remove(&self.path(first.first))?;
            self.segments.pop_front();
        }
        Ok(())
    }

    pub(super) fn remove_all(&mut self) -> Result<(), Error> {
        self.seal();
        self.remove(self.segments.len())?;
        self.repair()
    }
}
