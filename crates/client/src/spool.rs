//! A queue of batches in files, which survives the end of the process.
//!
//! The next process continues as the same producer and resends; the server skips what it has.
//!
//! | what ends | what is lost |
//! |---|---|
//! | the process, even by SIGKILL | nothing in the spool, with any [`Fsync`] |
//! | the machine or its power | with [`Fsync::EachBatch`] nothing in the spool; otherwise unsynced batches at the end |
//! | a part of a file | the batches in it; the log says which, and the server learns how many requests they had |
//!
//! After losing batches at the end, the spool reuses their sequences, although the server may have
//! them. If it does, it names a committed sequence that the spool does not know, and the process
//! goes on as a new producer.
//!
//! Give each process a directory on a local file system; foreign files in it are left alone. The
//! lock is a `flock`, which ends with the process. A child made by `fork` without `exec` holds it
//! too, and must not use the spool. NFS may hide the lock from other machines.
//!
//! `FORMAT.md` beside the source describes the files.

mod error;
mod files;
mod log;
mod reading;
mod record;
mod recover;
mod report;
mod rewrite;
mod scan;
mod state;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{Duration, Instant};

use tally_proto::wire::CLAIMS_MAX;

pub(crate) use error::Error;
pub(crate) use report::{Finding, Missing, Recovered, Stored};

use files::Directory;
use log::Log;
use recover::Recovery;
use state::State;

/// The size and the durability of a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Disk space of all segments; 256 MiB by default. Segments are removed once acknowledged.
    pub bytes_max: u64,
    /// When to begin the next segment; 8 MiB by default, from 1,024 to half of `bytes_max`.
    pub segment_bytes_max: u64,
    /// When the disk must have an appended batch.
    pub fsync: Fsync,
}

/// When the disk must have an appended batch. A killed process loses nothing either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Before the batch is sent. The default.
    EachBatch,
    /// At most this long after the batch is appended.
    Interval(Duration),
    /// When the operating system decides.
    OsOnly,
}

#[derive(Debug)]
pub(crate) struct Spool {
    state: State,
    log: Log,
    /// Pending batches that cannot be read, in order.
    missing: Vec<Missing>,
    /// The last field, because it unlocks the directory.
    directory: Directory,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self { bytes_max: 256 << 20, segment_bytes_max: 8 << 20, fsync: Fsync::EachBatch }
    }
}

impl Options {
    fn check(&self) -> Result<(), Error> {
        let what = if self.segment_bytes_max < 1024 {
            "segment_bytes_max of the spool is below 1024"
        } else if self.segment_bytes_max > self.bytes_max / 2 {
            "segment_bytes_max of the spool is more than half of its bytes_max"
        } else {
            return Ok(());
        };
        Err(Error::Invalid { what })
    }
}

// === impl Spool ===

impl Spool {
    /// Opens or makes the spool, and checks every record. `new_producer_id` is for an empty spool.
    /// Damage is not an error: [`Recovered`] has it. An error has changed nothing.
    pub(crate) fn open(
        directory: impl AsRef<Path>,
        options: Options,
        new_producer_id: [u8; 16],
    ) -> Result<(Self, Recovered), Error> {
        options.check()?;
        let directory = Directory::open(directory.as_ref())?;
        let found = recover::recover(&directory, options, new_producer_id)?;
        let Recovery { state, log, missing, findings, changed, .. } = found;
        let recovered = Recovered {
            producer_id: state.identity.producer_id,
            epoch: state.epoch,
            claims: state.claims.clone(),
            acknowledged: state.acknowledged,
            acknowledged_at: state.acknowledged_at,
            next_sequence: log.last.sequence.saturating_add(1),
            missing: missing.clone(),
            findings,
        };
        let mut spool = Self { state, log, missing, directory };
        if changed {
            spool.write_state()?;
        }
        spool.collect()?;
        Ok((spool, recovered))
    }

    /// Adds the next batch. `rows` is what is lost with it: its requests and its drops. After an
    /// error the batch is not in the spool, and the same sequence is next.
    pub(crate) fn append(&mut self, sequence: u64, rows: u64, payload: &[u8]) -> Result<(), Error> {
        let next = self.next_sequence();
        if sequence != next {
            return Err(Error::OutOfSequence { given: sequence, next });
        }
        if let Err(Error::Full { .. }) = self.log.room_for(payload) {
            if self.state.acknowledged == self.log.last.sequence {
                // Nothing is pending: even the segment that is written to can go.
                self.log.seal();
            }
            self.collect()?;
        }
        if self.log.append(rows, payload)? {
            // The segment before may be acknowledged. The batch is stored even if that stays.
            let _ = self.collect();
        }
        Ok(())
    }

    /// Reads a pending batch; [`Stored::Missing`] if it is damaged.
    pub(crate) fn read(&mut self, sequence: u64) -> Result<Stored, Error> {
        let (acknowledged, next) = (self.state.acknowledged, self.next_sequence());
        if sequence <= acknowledged || sequence >= next {
            return Err(Error::NotPending { given: sequence, acknowledged, next });
        }
        let contains = |it: &&Missing| (it.first..=it.last).contains(&sequence);
        if let Some(missing) = self.missing.iter().find(contains) {
            return Ok(Stored::Missing(*missing));
        }
        let stored = reading::read(&self.log, sequence)?;
        if let Stored::Missing(missing) = stored {
            // The file was whole when it was opened.
            self.missing.push(missing);
            self.missing.sort_by_key(|missing| missing.first);
        }
        Ok(stored)
    }

    /// The server has every batch up to this one: removes the segments that have no others. Not
    /// durable by itself: the server skips what is resent after a crash. An error that leaves a
    /// segment is retried with the next acknowledgement.
    pub(crate) fn acknowledge(&mut self, up_to: u64) -> Result<(), Error> {
        let (acknowledged, next) = (self.state.acknowledged, self.next_sequence());
        if up_to >= next {
            return Err(Error::NotPending { given: up_to, acknowledged, next });
        }
        if up_to <= acknowledged {
            return Ok(());
        }
        self.state.acknowledged = up_to;
        self.missing.retain(|missing| missing.last > up_to);
        self.collect()
    }

    /// Notes when that was heard, in microseconds since 1970-01-01 UTC. Not durable by itself.
    pub(crate) fn set_acknowledged_at(&mut self, at_micros: Option<i64>) {
        self.state.acknowledged_at = at_micros;
    }

    /// Stores the epoch and the claims, durably. After an error the old ones stay in force.
    pub(crate) fn set_lease(&mut self, epoch: u64, claims: &[u64]) -> Result<(), Error> {
        if claims.len() > CLAIMS_MAX {
            return Err(Error::Invalid { what: "a producer has at most 64 claims" });
        }
        let before = (self.state.epoch, std::mem::take(&mut self.state.claims));
        self.state.epoch = epoch;
        self.state.claims = claims.to_vec();
        self.write_state().inspect_err(|_| (self.state.epoch, self.state.claims) = before)
    }

    /// Syncs what was appended. After an error, what was appended since the last sync may be lost
    /// with the power; the next batch goes to a new segment.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        self.log.sync()
    }

    /// When to call [`sync`](Self::sync); None without [`Fsync::Interval`] or unsynced batches.
    pub(crate) fn sync_due(&self) -> Option<Instant> {
        self.log.sync_due()
    }

    /// Syncs everything with its acknowledgements, and unlocks the directory. A spool that is only
    /// dropped loses no batch, but may forget acknowledgements.
    pub(crate) fn close(mut self) -> Result<(), Error> {
        self.log.sync()?;
        if self.state.acknowledged == self.log.last.sequence {
            self.log.seal();
        }
        self.collect()?;
        self.write_state()
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        self.log.last.sequence.saturating_add(1)
    }

    fn write_state(&mut self) -> Result<(), Error> {
        self.state.last = self.log.last;
        self.directory.put_state(&self.state)?;
        files::sync_directory(self.directory.path())
    }

    /// Removes the acknowledged segments. The state says so first, so a power failure that undoes
    /// some removals leaves no hole.
    fn collect(&mut self) -> Result<(), Error> {
        let removable = self.log.removable(self.state.acknowledged);
        if removable == 0 {
            return Ok(());
        }
        self.state.base = self.log.before(removable);
        if self.write_state().is_ok() {
            return self.log.remove(removable);
        }
        // The disk may be full: make room first. The last segment stays until the state is written
        // because it says how far the numbers have come.
        let last = self.log.segments.len() - 1;
        self.log.remove(removable.min(last))?;
        self.write_state()?;
        self.log.remove(self.log.removable(self.state.acknowledged))
    }
}
