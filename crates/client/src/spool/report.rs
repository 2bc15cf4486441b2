//! What a spool says when it is opened and read.

use std::fmt;
use std::path::PathBuf;

/// What [`Spool::open`](super::Spool::open) found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// Nothing was there: the producer is the one that the caller proposed.
    pub is_new: bool,
    /// The id of the producer.
    pub producer_id: [u8; 16],
    /// The epoch of the last [`Spool::set_custody`](super::Spool::set_custody), or 0.
    pub epoch: u64,
    /// The claims of the last [`Spool::set_custody`](super::Spool::set_custody), or none.
    pub claims: Vec<u64>,
    /// The epoch and the claims are lost because both copies of the state are damaged: the
    /// server may not let the producer go on. Then take a new one with
    /// [`Spool::start_new_producer`](super::Spool::start_new_producer); which of the
    /// pending batches the server has is unknown.
    pub custody_lost: bool,
    /// Batches up to this one were acknowledged. A crash may have forgotten some: to send them
    /// again is harmless.
    pub acknowledged: u64,
    /// When the last acknowledgement came, in microseconds since 1970-01-01 UTC, if it was noted.
    pub acknowledged_at: Option<i64>,
    /// The sequence of the next batch. See the module's documentation for what to do when the
    /// server has a batch with this sequence already.
    pub next_sequence: u64,
    /// How many batches are pending, with those that are missing: `next_sequence` less
    /// `acknowledged`, less one.
    pub pending_batches: u64,
    /// How many bytes the segments have on the disk.
    pub bytes: u64,
    /// Pending batches that are lost for certain, in order. [`Spool::read`](super::Spool::read)
    /// gives them as [`Stored::Missing`].
    pub missing: Vec<Missing>,
    /// What was damaged, by file and place.
    pub findings: Vec<Finding>,
}

/// Batches that were appended and cannot be read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// How many rows they had together. It is exact: records count on from each other.
    pub rows: u64,
}

/// A pending batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// What was appended.
    Batch {
        /// Its sequence.
        sequence: u64,
        /// Its rows, as they were given.
        rows: u64,
        /// Its payload, whose checksum is right.
        payload: Vec<u8>,
    },
    /// The batch is damaged, perhaps with its neighbours. Since the server takes no batch
    /// before the one that precedes it, a batch that reports the rows as dropped goes in its
    /// place. A hole has the same extent at each opening for as long as any of it is pending,
    /// unless more is damaged beside it.
    Missing(Missing),
}

/// One damaged place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The last record was not written to its end, as when a process or the power went away in
    /// the middle. It was cut off.
    TornTail {
        /// The file.
        path: PathBuf,
        /// Where the file ends now.
        offset: u64,
        /// How much was cut off.
        bytes: u64,
        /// The batch and its rows, where enough was written to tell.
        batch: Option<(u64, u64)>,
    },
    /// Bytes in which no record can be found.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Where they begin.
        offset: u64,
        /// How many they are.
        bytes: u64,
        /// They were the end of the last segment and were cut off. How many batches they held
        /// is not known.
        cut_off: bool,
    },
    /// A record whose payload is not what was written.
    Payload {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// The batch.
        sequence: u64,
        /// Its rows.
        rows: u64,
    },
    /// A segment's header is damaged; its records do not need it.
    SegmentHeader {
        /// The file.
        path: PathBuf,
    },
    /// One of the two copies of the state is damaged. The other was used, and both are whole
    /// again.
    StateCopy {
        /// The file.
        path: PathBuf,
    },
    /// The state is lost: which producer it is was taken from a segment.
    State {
        /// The file.
        path: PathBuf,
    },
}

// === impl Missing ===

impl Missing {
    pub(super) fn contains(&self, sequence: u64) -> bool {
        (self.first..=self.last).contains(&sequence)
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, rows } = self;
        if first == last {
            write!(f, "batch {first} with {rows} rows is lost")
        } else {
            write!(f, "batches {first} to {last} with {rows} rows are lost")
        }
    }
}

// === impl Finding ===

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TornTail { path, offset, bytes, batch } => {
                let path = path.display();
                write!(f, "{path}: the last record was not written to its end; cut off ")?;
                write!(f, "{bytes} bytes at byte {offset}")?;
                match batch {
                    Some((sequence, rows)) => write!(f, ", batch {sequence} with {rows} rows"),
                    None => Ok(()),
                }
            }
            Self::Unreadable { path, offset, bytes, cut_off } => {
                let path = path.display();
                write!(f, "{path}: no record can be found in {bytes} bytes at byte {offset}")?;
                let end = if *cut_off { "; cut off, how many batches is not known" } else { "" };
                write!(f, "{end}")
            }
            Self::Payload { path, offset, sequence, rows } => write!(
                f,
                "{}: the payload of batch {sequence} with {rows} rows, whose record begins at \
                 byte {offset}, is damaged",
                path.display()
            ),
            Self::SegmentHeader { path } => {
                write!(f, "{}: the header is damaged; the records were read", path.display())
            }
            Self::StateCopy { path } => write!(
                f,
                "{}: one of two copies was damaged, and is written anew from the other",
                path.display()
            ),
            Self::State { path } => write!(
                f,
                "{}: lost; the producer's id was taken from a segment, but the server may not \
                 let it go on without the epoch and the claims",
                path.display()
            ),
        }
    }
}
