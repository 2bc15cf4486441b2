//! One shard: the current chunk, the full ones, the drops, and the open requests.

use std::collections::VecDeque;

use tally_proto::wire::ENTRY_REQUESTS_MAX;

use super::open::OpenRequests;
use super::steps::Steps;
use crate::rows::{Drops, Row};

#[derive(Default)]
pub(super) struct Shard {
    /// The newest rows, with memory for a chunk.
    current: Vec<Row>,
    /// How long `current` may become: this room is reserved.
    limit: usize,
    /// The chunks before it, and how many requests were recorded up to the end of each.
    full: VecDeque<(Vec<Row>, u64)>,
    steps: Steps,
    pub(super) recorded: u64,
    pub(super) taken: u64,
    pub(super) dropped: u64,
    /// How many requests were noted as dropped.
    pub(super) refused: u64,
    /// Drops that are still to be reported.
    pub(super) noted: Drops,
    pub(super) closed: bool,
    pub(super) open: OpenRequests,
}

// === impl Shard ===

impl Shard {
    /// Allocates one chunk and a list for this many.
    pub(super) fn new(number: usize, chunk_rows: usize, chunks: usize) -> Self {
        let (current, full) = (Vec::with_capacity(chunk_rows), VecDeque::with_capacity(chunks));
        Self { current, full, open: OpenRequests::new(number), ..Self::default() }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.current.is_empty() && self.full.is_empty()
    }

    /// How many rows wait.
    pub(super) fn len(&self) -> usize {
        self.full.iter().map(|(chunk, _)| chunk.len()).sum::<usize>() + self.current.len()
    }

    /// Merges requests by steps of this length. Those that wait stay as they are.
    pub(super) fn set_step(&mut self, length_us: u64) {
        // A closed shard takes no request, not even to add it to a row.
        self.steps.set_length(if self.closed { 0 } else { length_us });
    }

    /// Adds one request to the row of its series and step, or as a row, and returns whether the shard was
    /// empty. None: it needs more room than is reserved.
    #[inline]
    pub(super) fn add(&mut self, mut row: Row) -> Option<bool> {
        let at = self.current.len();
        let mut hint = None;
        if let Some((start_us, place)) = self.steps.of(row) {
            row.time_us = start_us;
            if let Some(known) = self.current.get_mut(usize::from(*place))
                && (known.series, known.time_us) == (row.series, row.time_us)
                && known.requests < ENTRY_REQUESTS_MAX
            {
                known.requests += 1;
                self.recorded += 1;
                return Some(false);
            }
            hint = Some(place);
        }
        if at == self.limit {
            return None;
        }
        if let Some(hint) = hint {
            *hint = u16::try_from(at).unwrap_or(u16::MAX);
        }
        let was_empty = self.is_empty();
        self.current.push(row);
        self.recorded += 1;
        Some(was_empty)
    }

    /// Reserves room for as many rows as `reserve` grants.
    pub(super) fn make_free(
        &mut self,
        chunk_rows: usize,
        reserve: impl FnOnce(usize) -> usize,
        spare: impl FnOnce() -> Vec<Row>,
    ) {
        let is_full = self.current.len() == chunk_rows;
        let granted = reserve(if is_full { chunk_rows } else { chunk_rows - self.current.len() });
        if is_full && granted > 0 {
            let chunk = std::mem::replace(&mut self.current, spare());
            self.full.push_back((chunk, self.recorded));
        }
        self.limit = self.current.len() + granted;
    }

    pub(super) fn close(&mut self) {
        self.limit = self.current.len();
        self.closed = true;
        self.set_step(0);
    }

    /// The oldest chunk, if it has at most this many rows. Only the newest chunk is added to, so that what
    /// was recorded before a moment is taken once as many requests are.
    pub(super) fn take(
        &mut self,
        rows_max: usize,
        spare: impl FnOnce() -> Vec<Row>,
    ) -> Option<Vec<Row>> {
        let rows = self.full.front().map_or(&self.current, |(chunk, _)| chunk).len();
        if rows == 0 || rows > rows_max {
            return None;
        }
        let (chunk, recorded) = self.full.pop_front().unwrap_or_else(|| {
            self.limit -= rows;
            (std::mem::replace(&mut self.current, spare()), self.recorded)
        });
        self.taken = recorded;
        Some(chunk)
    }

    /// Drops the waiting requests of a closed shard.
    pub(super) fn drop_all(&mut self) {
        self.dropped = self.recorded - self.taken;
        (self.full, self.current, self.limit) = Default::default();
    }

    /// How many rows fit into the reserved room.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.limit - self.current.len()
    }

    /// The waiting rows.
    #[cfg(test)]
    pub(super) fn rows(&self) -> impl Iterator<Item = Row> {
        let full = self.full.iter().map(|(chunk, _)| chunk);
        full.chain([&self.current]).flatten().copied()
    }

    pub(super) fn refuse(&mut self, row: Row) {
        self.noted.add_rows(&[row]);
        self.refused += 1;
    }
}
