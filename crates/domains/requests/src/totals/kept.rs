//! Days that queries have read in pieces, kept in memory.
//!
//! A day in another zone lies in two days of UTC, so a year of them takes the quarters of every day and
//! series: texts of hundreds of megabytes, of which a query needs two sums each. A page asks for the same
//! again and again.
//!
//! What is kept of a day is right for the stamp that it was read with. Whatever changes the rows of a day
//! draws its stamp anew in the same transaction, at random, so that a database that has gone back to an
//! earlier state has no stamp again with other rows. A query reads the stamps in its snapshot. So it does
//! not matter who changes days, and nobody has to tell this server.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::{HashMap, HashSet};
use uuid::Uuid;

use super::pieces::{Cuts, Pieces};
use crate::model::{Day, SeriesId};

/// For a year of days of a zone, if each has 5,000 series of its own; or two, if all have the same.
const BYTES_MAX: usize = 32 << 20;
/// What is kept of a day takes at least this much.
const DAY_BYTES: usize = 200;
/// Days in more pieces are not kept, because hours would leave no room for anything else. An end of the
/// range can cut a day beside its zone.
pub(super) const PIECES_MAX: usize = 4;

/// A number in the calendar that is another one after each change of the day's rows.
pub(crate) type Stamp = Uuid;

/// What is kept, at most [`BYTES_MAX`].
#[derive(Debug)]
pub(crate) struct Kept {
    inner: Mutex<Inner>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    days: HashMap<(Day, Cuts), One>,
    queries: u64,
    added: u64,
}

/// A day.
#[derive(Debug)]
struct One {
    stamp: Stamp,
    pieces: Arc<Pieces>,
    /// The last query that has used it.
    query: u64,
    /// How many days were added before.
    place: u64,
}

// === impl Kept ===

impl Default for Kept {
    fn default() -> Self {
        Self { inner: Mutex::default(), bytes_max: BYTES_MAX }
    }
}

impl Kept {
    /// The number of the next query.
    pub(super) fn begin(&self) -> u64 {
        let mut inner = self.lock();
        inner.queries += 1;
        inner.queries
    }

    /// What is kept of a day with this stamp.
    pub(super) fn find(
        &self,
        query: u64,
        day: Day,
        cuts: Cuts,
        stamp: Stamp,
    ) -> Option<Arc<Pieces>> {
        let mut inner = self.lock();
        let one = inner.days.get_mut(&(day, cuts)).filter(|one| one.stamp == stamp)?;
        one.query = one.query.max(query);
        Some(Arc::clone(&one.pieces))
    }

    /// Keeps what a query has read, as far as there is room beside what it has found.
    pub(super) fn keep(
        &self,
        query: u64,
        read: impl IntoIterator<Item = ((Day, Cuts), Stamp, Pieces)>,
    ) {
        let mut inner = self.lock();
        for (key, stamp, pieces) in read {
            inner.added += 1;
            let one = One { stamp, pieces: Arc::new(pieces), query, place: inner.added };
            inner.days.insert(key, one);
        }
        inner.shrink(self.bytes_max);
    }

    /// Whether something of this size may be kept.
    pub(super) fn has_room_for(&self, bytes: usize) -> bool {
        bytes <= self.bytes_max
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inner ===

impl Inner {
    /// Drops what has not been used for longest. Of what one query has used, the first days stay: if not
    /// all of them find room, the next one like it still has some.
    fn shrink(&mut self, bytes_max: usize) {
        let mut all: Vec<_> = self.days.iter().map(|(key, one)| (one, *key)).collect();
        all.sort_unstable_by_key(|(one, _)| (Reverse(one.query), one.place));
        let (mut bytes, mut lists) = (0, HashSet::<*const SeriesId>::new());
        let mut dropped = Vec::new();
        for (One { pieces, .. }, key) in all {
            bytes += self::bytes(pieces, lists.insert(pieces.series.as_ptr()));
            if bytes > bytes_max {
                dropped.push(key);
            }
        }
        for key in dropped {
            self.days.remove(&key);
        }
    }
}

/// How many bytes the pieces of a day take, with the list of series if no other day has it.
pub(super) fn bytes(pieces: &Pieces, is_first: bool) -> usize {
    let list = if is_first { size_of_val(&*pieces.series) } else { 0 };
    DAY_BYTES + pieces.sums_bytes() + list
}
