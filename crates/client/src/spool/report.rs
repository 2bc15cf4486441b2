//! What a spool reports when it is opened and read.

use std::path::PathBuf;

use super::record::Position;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// The proposed id, if the spool is new.
    pub(crate) producer_id: [u8; 16],
    /// 0 without claims if they are lost: the server may then refuse the producer.
    pub(crate) epoch: u64,
    pub(crate) claims: Vec<u64>,
    /// The last acknowledged batch; a crash may have forgotten later ones.
    pub(crate) acknowledged: u64,
    /// When that was heard, in microseconds since 1970-01-01 UTC.
    pub(crate) acknowledged_at: Option<i64>,
    pub(crate) next_sequence: u64,
    /// Lost pending batches, in order.
    pub(crate) missing: Vec<Missing>,
    pub(crate) findings: Vec<Finding>,
}

/// Appended batches that cannot be read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Their rows together, exact because each record has the sum so far.
    pub(crate) rows: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    /// The batch as appended.
    Batch { sequence: u64, rows: u64, payload: Vec<u8> },
    /// The batch is damaged, perhaps with its neighbours: the server needs one in its place that
    /// reports the rows as dropped. While any of it is pending, a hole keeps its extent.
    Missing(Missing),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Finding {
    /// The process or the power failed during a write.
    #[error(
        "{}: the last record was not written to its end; cut off {bytes} bytes at byte {offset}{}",
        path.display(),
        batch.map(|(n, rows)| format!(", batch {n} with {rows} rows")).unwrap_or_default()
    )]
    TornTail {
        path: PathBuf,
        offset: u64,
        bytes: u64,
        /// The batch and its rows, if known.
        batch: Option<(u64, u64)>,
    },
    #[error(
        "{}: no record can be found in {bytes} bytes at byte {offset}{}",
        path.display(),
        if *cut_off { "; cut off, how many batches is not known" } else { "" }
    )]
    Unreadable {
        path: PathBuf,
        offset: u64,
        bytes: u64,
        /// At the end of the last segment.
        cut_off: bool,
    },
    #[error(
        "{}: the payload of batch {sequence} with {rows} rows, whose record begins at byte \
         {offset}, is damaged",
        path.display()
    )]
    Payload { path: PathBuf, offset: u64, sequence: u64, rows: u64 },
    #[error("{}: the header is damaged; the records were read", path.display())]
    SegmentHeader { path: PathBuf },
    #[error("{}: one of two copies was damaged, and is written anew from the other", path.display())]
    StateCopy { path: PathBuf },
    #[error(
        "{}: lost; the producer's id was taken from a segment, but the server may not let it go \
         on without the epoch and the claims",
        path.display()
    )]
    State { path: PathBuf },
}

// === impl Missing ===

impl Missing {
    pub(super) fn between(before: Position, after: Position) -> Self {
        Self {
            first: before.sequence.saturating_add(1),
            last: after.sequence,
            rows: after.rows.saturating_sub(before.rows),
        }
    }
}
