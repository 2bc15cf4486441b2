//! A cache of the days that queries have read in pieces.
//!
//! A day in another zone lies in two days of UTC, so a year of them takes the quarters of every day and
//! series: texts of hundreds of megabytes, of which a query needs two sums each. A page asks for the same
//! again and again.
//!
//! What is cached of a day is right for the stamp that it was read with. Whatever changes the rows of a day
//! draws its stamp anew in the same transaction, at random, so that a database that has gone back to an
//! earlier state has no stamp again with other rows. A query reads the stamps in its snapshot. So it does
//! not matter who changes days, and nobody has to tell this server.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::{HashMap, HashSet};
use uuid::Uuid;

use super::Groups;
use super::pieces::{Cuts, Pieces, PiecesBuilder};
use crate::model::{Day, SeriesId};

/// For a year of days of a zone, if each has 5,000 series of its own; or of two, if all have the same. A
/// query that reads has at most as much again.
const BYTES_MAX: usize = 32 << 20;
/// What is cached of a day takes at least this much.
const DAY_BYTES: usize = 200;
/// Days in more pieces are not cached, because hours would leave no room for anything else. An end of the
/// range can cut a day beside its zone.
pub(super) const PIECES_MAX: usize = 4;

/// A random number, drawn anew by each change of the day's rows.
pub(crate) type Stamp = Uuid;

/// The pieces of days, at most [`BYTES_MAX`].
#[derive(Debug)]
pub(crate) struct PieceCache {
    inner: Mutex<Inner>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    days: HashMap<(Day, Cuts), CachedDay>,
    queries: u64,
    added: u64,
}

/// What is cached of a day.
#[derive(Debug)]
struct CachedDay {
    stamp: Stamp,
    pieces: Arc<Pieces>,
    /// The last query that has used it.
    query: u64,
    /// Its number among the days that were ever added, from 1.
    added_as: u64,
}

/// What a query takes from the cache, and adds to it.
#[derive(Debug)]
pub(super) struct CacheUse {
    cache: Arc<PieceCache>,
    /// Its number.
    query: u64,
    /// The days that are to be cached when they are read.
    stamps: HashMap<Day, Stamp>,
    read: HashMap<Day, (Cuts, Stamp, Pieces)>,
    /// How many bytes these take.
    bytes: usize,
    /// The series of the day before.
    series: Option<Arc<[SeriesId]>>,
    /// Those of them that are asked for: their places, and their groups.
    asked: Vec<(usize, u32)>,
    /// The list that these are of.
    asked_of: Option<Arc<[SeriesId]>>,
}

// === impl PieceCache ===

impl Default for PieceCache {
    fn default() -> Self {
        Self { inner: Mutex::default(), bytes_max: BYTES_MAX }
    }
}

impl PieceCache {
    /// The number of the next query.
    fn begin(&self) -> u64 {
        let mut inner = self.lock();
        inner.queries += 1;
        inner.queries
    }

    /// What is cached of a day with this stamp.
    fn find(&self, query: u64, day: Day, cuts: Cuts, stamp: Stamp) -> Option<Arc<Pieces>> {
        let mut inner = self.lock();
        let one = inner.days.get_mut(&(day, cuts)).filter(|one| one.stamp == stamp)?;
        one.query = one.query.max(query);
        Some(Arc::clone(&one.pieces))
    }

    /// Adds what a query has read: what does not fit beside the days it has used is evicted.
    fn insert(&self, query: u64, read: impl IntoIterator<Item = ((Day, Cuts), Stamp, Pieces)>) {
        let mut inner = self.lock();
        for (key, stamp, pieces) in read {
            inner.added += 1;
            let one = CachedDay { stamp, pieces: Arc::new(pieces), query, added_as: inner.added };
            inner.days.insert(key, one);
        }
        inner.evict(self.bytes_max);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inner ===

impl Inner {
    /// Drops what has not been used for longest. Of what one query has used, the first days stay: if not
    /// all of them find room, the next one like it still has some.
    fn evict(&mut self, bytes_max: usize) {
        let mut all: Vec<_> = self.days.iter().map(|(key, one)| (one, *key)).collect();
        all.sort_unstable_by_key(|(one, _)| (Reverse(one.query), one.added_as));
        let (mut bytes, mut lists) = (0, HashSet::<*const SeriesId>::new());
        let mut dropped = Vec::new();
        for (CachedDay { pieces, .. }, key) in all {
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

// === impl CacheUse ===

impl CacheUse {
    pub(super) fn new(cache: &Arc<PieceCache>) -> Self {
        Self {
            cache: Arc::clone(cache),
            query: cache.begin(),
            stamps: HashMap::new(),
            read: HashMap::new(),
            bytes: 0,
            series: None,
            asked: Vec::new(),
            asked_of: None,
        }
    }

    /// What is cached of a day with this stamp.
    pub(super) fn find(&mut self, day: Day, cuts: Cuts, stamp: Stamp) -> Option<Arc<Pieces>> {
        let pieces = self.cache.find(self.query, day, cuts, stamp)?;
        self.series = Some(Arc::clone(&pieces.series));
        Some(pieces)
    }

    /// Those of these series that are asked for: their places, and their groups.
    pub(super) fn asked(
        &mut self,
        series: &Arc<[SeriesId]>,
        groups: &mut Groups,
    ) -> &[(usize, u32)] {
        if !self.asked_of.as_ref().is_some_and(|of| Arc::ptr_eq(of, series)) {
            let all = series.iter().enumerate();
            let found = all.filter_map(|(place, id)| groups.of(*id).map(|group| (place, group)));
            self.asked = found.collect();
            self.asked_of = Some(Arc::clone(series));
        }
        &self.asked
    }

    /// A day is to be read and cached.
    pub(super) fn want(&mut self, day: Day, stamp: Stamp) {
        self.stamps.insert(day, stamp);
    }

    /// Begins to read a day, if it is to be cached.
    pub(super) fn builder(&mut self, day: Day) -> Option<(Stamp, PiecesBuilder)> {
        // If its rows have not come together, what came first is not all of it.
        self.read.remove(&day);
        let stamp = self.stamps.remove(&day)?;
        (self.bytes <= self.cache.bytes_max).then(|| (stamp, PiecesBuilder::default()))
    }

    /// A day is read.
    pub(super) fn take(&mut self, day: Day, cuts: Cuts, stamp: Stamp, builder: PiecesBuilder) {
        let Some(pieces) = builder.into_pieces(self.series.as_ref()) else { return };
        let is_first = self.series.as_ref().is_none_or(|of| !Arc::ptr_eq(of, &pieces.series));
        self.bytes += bytes(&pieces, is_first);
        self.series = Some(Arc::clone(&pieces.series));
        self.read.insert(day, (cuts, stamp, pieces));
    }

    /// Adds what was read to the cache.
    pub(super) fn end(self) {
        if self.read.is_empty() {
            return;
        }
        let mut read: Vec<_> = self.read.into_iter().collect();
        read.sort_unstable_by_key(|(day, _)| *day);
        let read = read.into_iter();
        let read = read.map(|(day, (cuts, stamp, pieces))| ((day, cuts), stamp, pieces));
        self.cache.insert(self.query, read);
    }
}

/// How many bytes the pieces of a day take, with the list of series if no other day has it.
fn bytes(pieces: &Pieces, is_first: bool) -> usize {
    let list = if is_first { size_of_val(&*pieces.series) } else { 0 };
    DAY_BYTES + pieces.sums_bytes() + list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::QUARTERS;
    use crate::totals::pieces::{Cut, PiecesBuilder};

    /// For three days of two series, if each day has its own.
    const ROOM: usize = 3 * (DAY_BYTES + 2 * 2 * 4 + 2 * 8);

    fn cache() -> PieceCache {
        PieceCache { bytes_max: ROOM, ..PieceCache::default() }
    }

    fn cuts() -> Cuts {
        let mut quarters = [1; QUARTERS.slots];
        quarters[..22].fill(0);
        Cut::of(&quarters).cuts
    }

    fn pieces(first: SeriesId) -> Pieces {
        let mut builder = PiecesBuilder::default();
        [first, first + 1].iter().for_each(|id| builder.push(*id, &[1, 2]));
        builder.into_pieces(None).expect("in order")
    }

    fn stamp(n: u128) -> Stamp {
        Stamp::from_u128(n)
    }

    /// A query of these days; returns those that it has not found.
    fn ask(cache: &PieceCache, days: &[i32]) -> Vec<i32> {
        let query = cache.begin();
        let is_cached = |day: &i32| cache.find(query, Day(*day), cuts(), stamp(7)).is_some();
        let read: Vec<_> = days.iter().copied().filter(|day| !is_cached(day)).collect();
        let all =
            read.iter().map(|day| ((Day(*day), cuts()), stamp(7), pieces(i64::from(*day) * 10)));
        cache.insert(query, all);
        read
    }

    #[test]
    fn what_was_not_used_for_longest_goes() {
        let cache = cache();
        assert_eq!(ask(&cache, &[1, 2, 3]), [1, 2, 3]);
        assert_eq!(ask(&cache, &[1, 3]), [0; 0]);
        assert_eq!(ask(&cache, &[4]), [4]);
        assert_eq!(ask(&cache, &[1, 3, 4]), [0; 0]);
        assert_eq!(ask(&cache, &[2]), [2]);
    }

    /// Otherwise a query that is asked again would find nothing if not all of it has room.
    #[test]
    fn of_a_query_that_is_too_large_some_stays() {
        let cache = cache();
        assert_eq!(ask(&cache, &[9]), [9]);
        assert_eq!(ask(&cache, &[1, 2, 3, 4, 5]), [1, 2, 3, 4, 5]);
        for _ in 0..3 {
            assert_eq!(ask(&cache, &[1, 2, 3, 4, 5]), [4, 5]);
        }
    }

    #[test]
    fn a_list_of_series_takes_room_once() {
        let cache = PieceCache { bytes_max: 10 * (DAY_BYTES + 800), ..PieceCache::default() };
        let list: Arc<[SeriesId]> = (1..=100).collect();
        let days = (1..=20).map(|day| {
            let mut builder = PiecesBuilder::default();
            list.iter().for_each(|id| builder.push(*id, &[1, 2]));
            let pieces = builder.into_pieces(Some(&list)).expect("in order");
            ((Day(day), cuts()), stamp(7), pieces)
        });
        cache.insert(cache.begin(), days);
        assert_eq!(cache.lock().days.len(), 9, "the list takes as much as the sums of a day");
    }

    #[test]
    fn another_stamp_or_other_cuts_are_another_day() {
        let cache = cache();
        ask(&cache, &[1]);
        assert!(cache.find(2, Day(1), cuts(), stamp(7)).is_some());
        assert!(cache.find(2, Day(1), cuts(), stamp(8)).is_none());
        assert!(cache.find(2, Day(1), Cut::of(&[0; QUARTERS.slots]).cuts, stamp(7)).is_none());
        cache.insert(2, [((Day(1), cuts()), stamp(8), pieces(1))]);
        assert!(cache.find(3, Day(1), cuts(), stamp(7)).is_none());
        assert_eq!(cache.lock().days.len(), 1);
    }
}
