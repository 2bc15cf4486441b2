//! One shard: the current chunk, the full ones, the drops, and the open requests.

use std::collections::VecDeque;

use super::open::OpenRequests;
use crate::rows::{Drops, Row};

#[derive(Default)]
pub(super) struct Shard {
    /// The newest requests, with memory for a chunk.
    current: Vec<Row>,
    /// How long `current` may become: this room is reserved.
    limit: usize,
    full: VecDeque<Vec<Row>>,
    full_rows: usize,
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

    pub(super) fn recorded(&self) -> u64 {
        self.taken + self.dropped + (self.full_rows + self.current.len()) as u64
    }

    /// How many requests fit into the reserved room.
    #[inline]
    pub(super) fn free(&self) -> usize {
        self.limit - self.current.len()
    }

    /// Adds a request to reserved room. True: the shard was empty.
    #[inline]
    pub(super) fn push(&mut self, row: Row) -> bool {
        let was_empty = self.is_empty();
        self.current.push(row);
        was_empty
    }

    /// Reserves room for as many requests as `reserve` grants. False: none.
    pub(super) fn make_free(
        &mut self,
        chunk_rows: usize,
        reserve: impl FnOnce(usize) -> usize,
        spare: impl FnOnce() -> Vec<Row>,
    ) -> bool {
        let is_full = self.current.len() == chunk_rows;
        let granted = reserve(if is_full { chunk_rows } else { chunk_rows - self.current.len() });
        if is_full && granted > 0 {
            self.full_rows += chunk_rows;
            self.full.push_back(std::mem::replace(&mut self.current, spare()));
        }
        self.limit = self.current.len() + granted;
        granted > 0
    }

    pub(super) fn close(&mut self) {
        self.limit = self.current.len();
        self.closed = true;
    }

    /// The oldest chunk, if it has at most this many requests.
    pub(super) fn take(
        &mut self,
        rows_max: usize,
        spare: impl FnOnce() -> Vec<Row>,
    ) -> Option<Vec<Row>> {
        let rows = self.full.front().unwrap_or(&self.current).len();
        if rows == 0 || rows > rows_max {
            return None;
        }
        self.taken += rows as u64;
        self.full.pop_front().inspect(|_| self.full_rows -= rows).or_else(|| {
            self.limit -= rows;
            Some(std::mem::replace(&mut self.current, spare()))
        })
    }

    /// Drops the waiting requests of a closed shard.
    pub(super) fn drop_all(&mut self) {
        self.dropped += (self.full_rows + self.current.len()) as u64;
        (self.full_rows, self.full, self.current, self.limit) = Default::default();
    }

    pub(super) fn refuse(&mut self, row: Row) {
        self.noted.add_rows(&[row]);
        self.refused += 1;
    }
}
