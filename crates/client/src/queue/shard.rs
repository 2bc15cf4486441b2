//! One shard: a chunk that is written to, and a list of full ones; and what was dropped.

use std::collections::VecDeque;

use crate::rows::{Drops, Row};

#[derive(Default)]
pub(super) struct Shard {
    /// The newest requests. There is memory for a chunk.
    current: Vec<Row>,
    /// How long `current` may become before anything has to be looked at: there is room.
    limit: usize,
    full: VecDeque<Vec<Row>>,
    full_rows: usize,
    /// How many more there is room for beyond `limit`.
    beyond: usize,
    pub(super) taken: u64,
    pub(super) dropped: u64,
    /// How many requests were refused and noted as dropped.
    pub(super) refused: u64,
    /// Those of them that were not taken to be reported.
    pub(super) noted: Drops,
    pub(super) closed: bool,
}

// === impl Shard ===

impl Shard {
    /// A shard with memory for one chunk and for a list of this many.
    pub(super) fn new(chunk_rows: usize, chunks: usize) -> Self {
        let (current, full) = (Vec::with_capacity(chunk_rows), VecDeque::with_capacity(chunks));
        Self { current, full, ..Self::default() }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.current.is_empty() && self.full.is_empty()
    }

    /// How many requests came.
    pub(super) fn recorded(&self) -> u64 {
        self.taken + self.dropped + (self.full_rows + self.current.len()) as u64
    }

    /// Whether a request may come without anything being looked at.
    #[inline]
    pub(super) fn is_free(&self) -> bool {
        self.current.len() < self.limit
    }

    /// How many more requests there is room for.
    pub(super) fn reserved(&self) -> usize {
        self.beyond + self.limit.saturating_sub(self.current.len())
    }

    /// Adds a request to a shard that is free. True: there was nothing before.
    #[inline]
    pub(super) fn push(&mut self, row: Row) -> bool {
        debug_assert!(self.is_free(), "there is room");
        let was_empty = self.is_empty();
        self.current.push(row);
        was_empty
    }

    /// Adds to the room.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.beyond += rows;
    }

    /// The next request looks for room again.
    fn look_again(&mut self) {
        self.beyond = self.reserved();
        self.limit = 0;
    }

    /// Makes the shard free for the requests that there is room for, or for a chunk.
    pub(super) fn make_free(&mut self, chunk_rows: usize, spare: impl FnOnce() -> Vec<Row>) {
        self.look_again();
        if self.current.len() >= chunk_rows {
            self.full_rows += self.current.len();
            self.full.push_back(std::mem::replace(&mut self.current, spare()));
        }
        let free = self.beyond.min(chunk_rows - self.current.len());
        self.limit = self.current.len() + free;
        self.beyond -= free;
    }

    /// No more requests come.
    pub(super) fn close(&mut self) {
        self.look_again();
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
            self.look_again();
            Some(std::mem::replace(&mut self.current, spare()))
        })
    }

    /// Drops the requests that wait in a shard that is closed.
    pub(super) fn drop_all(&mut self) {
        self.dropped += (self.full_rows + self.current.len()) as u64;
        (self.full_rows, self.full, self.current) = Default::default();
    }

    /// Notes a request that is not taken.
    pub(super) fn refuse(&mut self, row: Row) {
        self.noted.add_rows(&[row]);
        self.refused += 1;
    }
}
