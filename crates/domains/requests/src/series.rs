//! From a series to an id, without a lock, an allocation or the database.
//!
//! | file | what it owns |
//! |---|---|
//! | `moves.rs` | series that were merged or forgotten, and what they have become |
//! | `room.rs` | how many series there may be, and how often a new one must come to be told apart |
//! | `view.rs` | looking series up |
//!
//! The cache is cut into shards. A lookup uses a view of their current tables, which never change;
//! adding series replaces some of the tables. Many lookups share a view, because loading one costs as much
//! as a lookup.
//!
//! An id is a function of what it names, so the cache is always right. What can change is what the
//! database *has*: a name is written in the transaction of the first rows that use it, and is then
//! confirmed under the present *belief*. Any hint that the database has gone back, such as a new
//! connection or a gap in a worker's numbers, begins a new belief, under which nothing is
//! confirmed.

mod moves;
mod room;
mod view;

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hashbrown::{DefaultHashBuilder, HashMap, HashSet, HashTable};
use tally_producers::Parcel;
use tally_runtime::faults;
use tokio::time::Instant;

use self::moves::Moved;
use self::room::{FORMS, Room, Rooms, coarser, form_of};
pub(crate) use self::view::View;
use crate::model::{Named, Namespace, Series, SeriesId, SeriesRef};
use crate::rows::Rows;
use crate::store::Names;

/// Enough that adding one of 100,000 series copies less than 400.
const SHARDS: usize = 256;

/// Every answer lacks names that are gone for good, so log them and store them again at most this
/// often.
const UNNAMED_INTERVAL: Duration = Duration::from_secs(60);

/// Enough requests for a series to be told apart as long as there is room.
pub(crate) const REQUESTS_ENOUGH: u32 = u32::MAX;

/// The number of the next one.
static NUMBER: AtomicU64 = AtomicU64::new(1);

type Shard = HashTable<Arc<Named>>;
type Shards = [Arc<Shard>; SHARDS];

/// The series that this server tells apart.
pub(crate) struct KnownSeries {
    shards: ArcSwap<Shards>,
    hasher: DefaultHashBuilder,
    belief: AtomicU64,
    rooms: Rooms,
    moved: ArcSwap<Moved>,
    inner: Mutex<Inner>,
    /// When an answer last lacked names, if one did.
    unnamed_at: Mutex<Option<Instant>>,
    /// Which of the program's it is.
    number: u64,
}

#[derive(Default)]
struct Inner {
    by_id: HashMap<SeriesId, Arc<Named>>,
    /// The state of the store under the present belief.
    state: u64,
    /// Series that the database has under other ids, because another name had the id first.
    renumbered: HashMap<SeriesId, SeriesId>,
}

// === impl KnownSeries ===

impl KnownSeries {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            shards: ArcSwap::from_pointee(std::array::from_fn(|_| Arc::default())),
            hasher: DefaultHashBuilder::default(),
            // A new name is confirmed under 0, which is never the belief.
            belief: AtomicU64::new(1),
            rooms: Rooms::new(max),
            moved: ArcSwap::default(),
            inner: Mutex::default(),
            unnamed_at: Mutex::default(),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Not that of any other one in this program.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// How many series of each namespace, and bytes of their texts, to load at most.
    pub(crate) fn loaded_max(&self) -> (usize, usize) {
        self.rooms.loaded_max()
    }

    /// Adds what the database has in this state.
    pub(crate) fn load(&self, names: Vec<(SeriesId, Series)>, state: u64) {
        self.follow(&mut self.lock(), state);
        let belief = self.belief();
        self.learn(names).iter().for_each(|named| named.confirm(belief));
    }

    /// Adds names that are new, while there is room, and returns them. They are unconfirmed, because
    /// the database may have gone back since they were read: each is written once more with the first
    /// rows that need it.
    pub(crate) fn learn(&self, names: Vec<(SeriesId, Series)>) -> Vec<Arc<Named>> {
        let mut inner = self.lock();
        let moved = self.moved.load();
        let mut added = Vec::new();
        for (id, series) in names {
            let fields = SeriesRef::from(&series);
            let room = self.rooms.of(series.namespace);
            if !moved.has_moved(id, fields)
                && room.has_room_for_loaded(fields)
                && self.find(fields, |_| ()).is_none()
                && !inner.by_id.contains_key(&id)
            {
                room.take(fields);
                added.push(inner.add(id, series));
            }
        }
        self.publish(added.iter().cloned());
        added
    }

    /// Looks up a known series.
    pub(crate) fn find<T>(
        &self,
        series: SeriesRef<'_>,
        then: impl FnOnce(&Arc<Named>) -> T,
    ) -> Option<T> {
        self.view().find(series).map(then)
    }

    /// What is known now.
    pub(crate) fn view(&self) -> View<'_> {
        View { series: self, shards: self.shards.load() }
    }

    /// Names the series, in the same order, each with how many requests of it come now; those without
    /// room in coarser forms, and those that were merged or forgotten as what they have become. Takes the
    /// lock only to add one.
    pub(crate) fn resolve<'a>(
        &self,
        series: impl IntoIterator<Item = (SeriesRef<'a>, u32)>,
    ) -> Vec<Arc<Named>> {
        let moved = self.moved.load();
        if moved.is_empty() {
            return self.resolve_as_is(series);
        }
        let series: Vec<_> = series.into_iter().collect();
        let new = |one| self.renamed_by(&moved, one);
        let rename = |one| self.find(one, |_| ()).map_or_else(|| new(one), |()| None);
        let renamed: Vec<Option<Series>> = series.iter().map(|(one, _)| rename(*one)).collect();
        self.resolve_as_is(series.iter().zip(&renamed).map(|((one, requests), renamed)| {
            (renamed.as_ref().map_or(*one, SeriesRef::from), *requests)
        }))
    }

    fn resolve_as_is<'a>(
        &self,
        series: impl IntoIterator<Item = (SeriesRef<'a>, u32)>,
    ) -> Vec<Arc<Named>> {
        let decide = |(series, requests): (SeriesRef<'a>, u32)| {
            let room = self.rooms.of(series.namespace);
            let seen = room.seen(series, || self.hash(series), requests);
            place(&room, series, seen, |one| self.find(one, Arc::clone)).map_err(|_| (series, seen))
        };
        let known = |(series, requests)| {
            self.find(series, Arc::clone).map_or_else(|| decide((series, requests)), Ok)
        };
        let decided: Vec<Result<Arc<Named>, (SeriesRef<'a>, u32)>> =
            series.into_iter().map(known).collect();
        if decided.iter().all(Result::is_ok) {
            return decided.into_iter().flatten().collect();
        }
        let mut inner = self.lock();
        let mut added: HashMap<SeriesRef<'a>, Arc<Named>> = HashMap::new();
        // Decided again, because the series before it, and other tasks, have taken room.
        let mut add = |(series, seen): (SeriesRef<'a>, u32)| {
            let room = self.rooms.of(series.namespace);
            let find = |one| self.find(one, Arc::clone).or_else(|| added.get(&one).cloned());
            place(&room, series, seen, find).unwrap_or_else(|new| {
                room.take(new);
                let series = new.to_owned();
                let id = inner.free_id(&series);
                let named = inner.add(id, series);
                added.insert(new, Arc::clone(&named));
                named
            })
        };
        let all = decided.into_iter().map(|one| one.unwrap_or_else(&mut add)).collect();
        self.publish(added.into_values());
        all
    }

    /// The present belief. Read it before making rows.
    pub(crate) fn belief(&self) -> u64 {
        self.belief.load(Ordering::Acquire)
    }

    /// Stops believing that the database has what this server has stored.
    pub(crate) fn doubt(&self) {
        self.begin_belief(&mut self.lock());
    }

    /// The dictionary lacks the names of this many series in an answer: they were removed. Those
    /// that this server knows are stored again with their next rows.
    pub(crate) fn notice_unnamed(&self, unnamed: usize) {
        let mut last = self.unnamed_at.lock().unwrap_or_else(PoisonError::into_inner);
        if unnamed > 0 && last.is_none_or(|last| last.elapsed() >= UNNAMED_INTERVAL) {
            *last = Some(Instant::now());
            tracing::error!(
                series = unnamed,
                "the table tally_request_series lacks names: their requests are counted as _unknown; \
                 those that still come get their names back"
            );
            self.doubt();
        }
    }

    /// The names to store with a batch, for a store in this state.
    pub(crate) fn names_of(&self, chunks: &[Parcel<Rows>], state: u64) -> Names {
        let (belief, mut stored_as) = {
            let mut inner = self.lock();
            self.follow(&mut inner, state);
            (self.belief(), inner.renumbered.clone())
        };
        let merged = self.moved.load();
        let mut new: HashMap<SeriesId, Arc<Named>> = HashMap::new();
        let mut take = |inner: &Inner, id: SeriesId, named: Option<&Arc<Named>>| {
            let to = merged.follow(id);
            if to != id {
                stored_as.insert(id, inner.renumbered.get(&to).copied().unwrap_or(to));
            }
            let named = if to == id { named } else { inner.by_id.get(&to) };
            new.extend(named.map(|named| (to, Arc::clone(named))));
        };
        for Parcel { content, .. } in chunks {
            let (unconfirmed, made_under) = content.unconfirmed();
            if unconfirmed.is_empty() && made_under == belief {
                continue;
            }
            let inner = self.lock();
            unconfirmed.iter().for_each(|named| take(&inner, named.id, Some(named)));
            if made_under != belief {
                // The names that were left out then may be needed now.
                let ids: HashSet<SeriesId> = content.iter().map(|row| row.series).collect();
                ids.iter().for_each(|id| take(&inner, *id, inner.by_id.get(id)));
            }
        }
        let mut new: Vec<_> =
            new.into_values().filter(|named| !named.is_confirmed(belief)).collect();
        new.sort_unstable_by_key(|named| named.id);
        Names { new, stored_as, state, belief, version: merged.version }
    }

    /// The names are committed; some under other ids.
    pub(crate) fn confirm(&self, names: &Names, renumbered: HashMap<SeriesId, SeriesId>) {
        if names.new.is_empty() {
            return;
        }
        let mut inner = self.lock();
        if self.belief() == names.belief {
            inner.renumbered.extend(renumbered);
            names.new.iter().for_each(|named| named.confirm(names.belief));
        }
    }

    /// A new state of the store begins a new belief.
    fn follow(&self, inner: &mut Inner, state: u64) {
        if inner.state != state {
            inner.state = state;
            self.begin_belief(inner);
        }
    }

    fn begin_belief(&self, inner: &mut Inner) {
        if faults::is_on("series.keep") {
            return;
        }
        inner.renumbered.clear();
        self.belief.fetch_add(1, Ordering::AcqRel);
    }

    /// What it knows.
    pub(crate) fn names(&self) -> Vec<Series> {
        self.lock().by_id.values().map(|named| named.series.clone()).collect()
    }

    /// How many of a namespace are told apart, and how many may be.
    pub(crate) fn filled(&self, namespace: Namespace) -> (usize, usize) {
        self.rooms.of(namespace).filled()
    }

    /// The same of the namespace that has most.
    pub(crate) fn fullest(&self) -> (usize, usize) {
        self.rooms.fullest()
    }

    /// Whether a request of a namespace was counted under a coarser series for want of room.
    pub(crate) fn has_refused(&self, namespace: Namespace) -> bool {
        self.rooms.of(namespace).has_refused()
    }

    /// Whether one of any namespace was.
    pub(crate) fn have_refused(&self) -> bool {
        self.rooms.have_refused()
    }

    /// Whether no series of a namespace may be added that is told apart.
    pub(crate) fn is_full(&self, namespace: Namespace) -> bool {
        self.rooms.of(namespace).is_full()
    }

    /// Makes series visible to lookups.
    fn publish(&self, added: impl IntoIterator<Item = Arc<Named>>) {
        let mut added = added.into_iter().peekable();
        if added.peek().is_none() {
            return;
        }
        let mut shards = Shards::clone(&self.shards.load());
        for named in added {
            let hash = self.hash((&named.series).into());
            let table = Arc::make_mut(&mut shards[shard_index(hash)]);
            table.insert_unique(hash, named, |named| self.hash((&named.series).into()));
        }
        self.shards.store(Arc::new(shards));
    }

    /// A poisoned lock is fine: no operation leaves it half done.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hash(&self, series: SeriesRef<'_>) -> u64 {
        self.hasher.hash_one(series)
    }
}

// === impl Inner ===

impl Inner {
    fn add(&mut self, id: SeriesId, series: Series) -> Arc<Named> {
        let named = Arc::new(Named::new(id, series));
        self.by_id.insert(id, Arc::clone(&named));
        named
    }

    /// The first of the series' ids that no other series has.
    fn free_id(&self, series: &Series) -> SeriesId {
        let mut ids = (0..).map(|salt| series.id(salt));
        ids.find(|id| !self.by_id.contains_key(id)).expect("there are 2^32 salts")
    }
}

/// What a series is counted under that has been seen this often, or what is to be added for it.
fn place<'a>(
    room: &Room,
    series: SeriesRef<'a>,
    seen: u32,
    find: impl Fn(SeriesRef<'a>) -> Option<Arc<Named>>,
) -> Result<Arc<Named>, SeriesRef<'a>> {
    for form in form_of(series)..FORMS {
        let candidate = coarser(series, form);
        if let Some(known) = find(candidate) {
            return Ok(known);
        }
        if room.admits(candidate, seen) {
            return Err(candidate);
        }
    }
    unreachable!("the coarsest form has room")
}

/// Uses bits that the table itself hardly uses.
fn shard_index(hash: u64) -> usize {
    usize::from((hash >> 40).to_le_bytes()[0])
}

#[cfg(test)]
mod tests;
