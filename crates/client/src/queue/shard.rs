//! One shard: a chunk that is written to, and a list of full ones; and what was dropped.

use std::collections::VecDeque;

use crate::clock;
use crate::rows::{Drops, Row};

#[derive(Default)]
pub(super) struct Shard {
    current: Vec<Row>,
    full: VecDeque<Vec<Row>>,
    /// How many of the oldest chunk's requests are dropped.
    skip: usize,
    /// How many requests may come before anything has to be looked at.
    pub(super) free: usize,
    /// How many requests there is room for; at least `free`.
    pub(super) reserved: usize,
    pub(super) recorded: u64,
    pub(super) taken: u64,
    pub(super) dropped: u64,
    pub(super) closed: bool,
}

/// Requests that were dropped, by day.
#[derive(Default)]
pub(super) struct DropBook {
    /// Those that the server has not been told of.
    pub(super) untold: Drops,
    pub(super) all: Drops,
}

// === impl DropBook ===

impl DropBook {
    pub(super) fn add(&mut self, row: &Row) {
        let day = clock::day(row.time_us);
        self.untold.add(day, 1);
        self.all.add(day, 1);
    }
}

// === impl Shard ===

impl Shard {
    /// Room for one chunk, and for the names of so many without asking for memory.
    pub(super) fn new(chunk_rows: usize, chunks: usize) -> Self {
        let (current, full) = (Vec::with_capacity(chunk_rows), VecDeque::with_capacity(chunks));
        Self { current, full, ..Self::default() }
    }

    /// Those that wait, from the oldest.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.full.iter().flatten().chain(&self.current).skip(self.skip)
    }

    /// Adds a request; `free` is not 0. True: there was nothing before.
    #[inline]
    pub(super) fn push(&mut self, row: Row) -> bool {
        let was_empty = self.current.is_empty() && self.full.is_empty();
        self.free -= 1;
        self.reserved -= 1;
        self.recorded += 1;
        self.current.push(row);
        was_empty
    }

    /// Makes room for the requests that are reserved, or for a chunk.
    pub(super) fn make_free(&mut self, chunk_rows: usize, spare: impl FnOnce() -> Vec<Row>) {
        if self.current.len() >= chunk_rows {
            self.full.push_back(std::mem::replace(&mut self.current, spare()));
        }
        self.free = self.reserved.min(chunk_rows - self.current.len());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.current.is_empty() && self.full.is_empty()
    }

    /// The oldest chunk, if it has at most this many requests, and how many of its first ones
    /// are dropped.
    pub(super) fn take(
        &mut self,
        rows_max: usize,
        spare: impl FnOnce() -> Vec<Row>,
    ) -> Option<(Vec<Row>, usize)> {
        let oldest = self.full.front().unwrap_or(&self.current);
        let rows = oldest.len() - self.skip;
        if rows == 0 || rows > rows_max {
            return None;
        }
        let chunk = self.full.pop_front().unwrap_or_else(|| {
            // The next request looks for room again.
            self.free = 0;
            std::mem::replace(&mut self.current, spare())
        });
        self.taken += rows as u64;
        Some((chunk, std::mem::take(&mut self.skip)))
    }

    /// Gives up the oldest request; its room is free then.
    pub(super) fn drop_oldest(&mut self) -> Option<Row> {
        let oldest = self.full.front().unwrap_or(&self.current);
        let row = *oldest.get(self.skip)?;
        self.skip += 1;
        if self.skip == oldest.len() {
            self.skip = 0;
            if self.full.pop_front().is_none() {
                self.current.clear();
                self.free = 0;
            }
        }
        self.dropped += 1;
        self.reserved += 1;
        Some(row)
    }
}
