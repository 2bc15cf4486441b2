//! How many series there may be, and how often a new one must come to be told apart.
//!
//! A request whose series has no room is counted under a coarser form of it: with the path and the
//! customer `_other`, then with the service too, then with the method too. So the table is bounded
//! whatever clients make up, and each sum is exact.
//!
//! The first half of the room is for every new series. Behind it a series must have come several
//! times, and the more of the room is taken, the more often: four times when half of it is taken, 16
//! times when three quarters are, and so on. A route of a service comes that often soon; names that a
//! scanner makes up do not come again. How often is remembered in a bounded table.
//!
//! Each namespace has room of its own, as large as any other's: what one of them is sent takes nothing
//! from the others.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use tally_proto::wire::OTHER_PATH;

use crate::model::{Namespace, SeriesRef};

/// The longest that the texts of a series may be on average. It bounds the cache's memory and the
/// table's size.
pub(super) const MEAN_TEXT_BYTES_MAX: usize = 256;

/// A series' forms: its own, and the coarser ones. The coarsest has a series for each status only, so
/// it always has room.
pub(super) const FORMS: usize = 4;
/// How many series of each of the middle forms there may be, besides those that are told apart.
pub(super) const OTHERS_MAX: usize = 4_096;
/// How many series may be coarser than their own form: the middle ones, and the coarsest, which has at
/// most 1,000 statuses for an empty or other service, method and customer.
pub(super) const COARSE_MAX: usize = 2 * OTHERS_MAX + 8 * 1_000;

/// How many names that are not told apart are remembered: 512 KiB.
const SIGHTINGS: usize = 1 << 16;
/// How often a name must have come at most, as a power of four: 16,384 times.
const FOURFOLDS_MAX: u32 = 7;

/// The room of each namespace that has series.
pub(super) struct Rooms {
    max: usize,
    of: ArcSwap<HashMap<Namespace, Arc<Room>>>,
}

/// The room for the series of one namespace.
pub(super) struct Room {
    namespace: Namespace,
    max: usize,
    /// How many series there are of each form but the coarsest.
    taken: [AtomicUsize; FORMS - 1],
    /// How long the texts of those are that are told apart.
    bytes: AtomicUsize,
    /// Nothing needs it before half of the room is taken.
    sightings: OnceLock<Sightings>,
    /// What was logged: 1, that names must come several times; 2, that there is no room.
    logged: AtomicU8,
}

/// How often names have come, the frequent ones at least: a place remembers the name that has come
/// more often than all others of the place together.
struct Sightings(Box<[AtomicU64]>);

// === impl Rooms ===

impl Rooms {
    pub(super) fn new(max: usize) -> Self {
        Self { max, of: ArcSwap::default() }
    }

    /// The room of a namespace.
    pub(super) fn of(&self, namespace: Namespace) -> Arc<Room> {
        if let Some(room) = self.of.load().get(&namespace) {
            return Arc::clone(room);
        }
        let room = Arc::new(Room::new(namespace, self.max));
        self.of.rcu(|rooms| {
            let mut rooms = HashMap::clone(rooms);
            rooms.entry(namespace).or_insert_with(|| Arc::clone(&room));
            rooms
        });
        self.of.load().get(&namespace).map_or(room, Arc::clone)
    }

    /// How many series are told apart in the namespace that has most, and how many may be.
    pub(super) fn fullest(&self) -> (usize, usize) {
        let filled = self.of.load().values().map(|room| room.filled().0).max();
        (filled.unwrap_or_default(), self.max)
    }

    /// Whether one of them has refused something.
    pub(super) fn have_refused(&self) -> bool {
        self.of.load().values().any(|room| room.has_refused())
    }

    /// How many series of each namespace, and bytes of their texts, to take from the database at most. It
    /// exceeds the limits by coarse series, and by those that several servers added at the same time.
    pub(super) fn loaded_max(&self) -> (usize, usize) {
        let bytes = bytes_max(self.max).saturating_mul(2);
        let coarse_bytes = COARSE_MAX * MEAN_TEXT_BYTES_MAX;
        (self.max.saturating_mul(2).saturating_add(COARSE_MAX), bytes.saturating_add(coarse_bytes))
    }
}

/// How long the texts of this many series may be together.
fn bytes_max(max: usize) -> usize {
    max.saturating_mul(MEAN_TEXT_BYTES_MAX)
}

// === impl Room ===

impl Room {
    fn new(namespace: Namespace, max: usize) -> Self {
        Self {
            namespace,
            max,
            taken: Default::default(),
            bytes: AtomicUsize::new(0),
            sightings: OnceLock::new(),
            logged: AtomicU8::new(0),
        }
    }

    /// How many series are told apart, and how many may be.
    pub(super) fn filled(&self) -> (usize, usize) {
        (self.taken[0].load(Ordering::Relaxed), self.max)
    }

    fn bytes_max(&self) -> usize {
        bytes_max(self.max)
    }

    /// Whether a series that the database has may be told apart here too.
    pub(super) fn has_room_for_loaded(&self, series: SeriesRef<'_>) -> bool {
        let form = form_of(series);
        let Some(taken) = self.taken.get(form) else { return true };
        let (taken, bytes) = (taken.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        match form {
            0 => {
                taken < self.max.saturating_mul(2)
                    && bytes + series.text_bytes() <= self.bytes_max().saturating_mul(2)
            }
            _ => taken < 2 * OTHERS_MAX,
        }
    }

    /// Counts a series that is added.
    pub(super) fn take(&self, series: SeriesRef<'_>) {
        let form = form_of(series);
        if let Some(taken) = self.taken.get(form) {
            taken.fetch_add(1, Ordering::Relaxed);
        }
        if form == 0 {
            self.bytes.fetch_add(series.text_bytes(), Ordering::Relaxed);
        }
    }

    /// Counts a series that is gone.
    pub(super) fn give(&self, series: SeriesRef<'_>) {
        let form = form_of(series);
        if let Some(taken) = self.taken.get(form) {
            taken.fetch_sub(1, Ordering::Relaxed);
        }
        if form == 0 {
            self.bytes.fetch_sub(series.text_bytes(), Ordering::Relaxed);
        }
    }

    /// Whether there is room for this series, in the form that it has.
    pub(super) fn has(&self, series: SeriesRef<'_>) -> bool {
        let form = form_of(series);
        let Some(taken) = self.taken.get(form) else { return true };
        let taken = taken.load(Ordering::Relaxed);
        if form > 0 {
            return taken < OTHERS_MAX;
        }
        let bytes = self.bytes.load(Ordering::Relaxed) + series.text_bytes();
        taken < self.max && bytes <= self.bytes_max()
    }

    /// How often an unknown series, of which these requests come now, has come: as far as that matters.
    pub(super) fn seen(
        &self,
        series: SeriesRef<'_>,
        hash: impl FnOnce() -> u64,
        requests: u32,
    ) -> u32 {
        let matters = form_of(series) == 0 && self.wanted() > 1 && self.has(series);
        if matters {
            self.sightings.get_or_init(Sightings::new).add(hash(), requests)
        } else {
            requests
        }
    }

    /// Whether an unknown series, which has come this often, has room in the form that it has.
    pub(super) fn admits(&self, series: SeriesRef<'_>, seen: u32) -> bool {
        let has_room = self.has(series);
        if form_of(series) > 0 {
            return has_room;
        }
        let admits = has_room && seen >= self.wanted();
        if !admits {
            self.log(if has_room { 1 } else { 2 });
        }
        admits
    }

    /// How often a name must have come.
    fn wanted(&self) -> u32 {
        let halvings = |max: usize, taken: &AtomicUsize| {
            let left = max.saturating_sub(taken.load(Ordering::Relaxed)).max(1);
            (max / left).max(1).ilog2()
        };
        let halvings =
            halvings(self.max, &self.taken[0]).max(halvings(self.bytes_max(), &self.bytes));
        4_u32.pow(halvings.min(FOURFOLDS_MAX))
    }

    /// Whether a request was counted under a coarser form for want of room.
    pub(super) fn has_refused(&self) -> bool {
        self.logged.load(Ordering::Relaxed) > 0
    }

    /// Whether no series at all may be added that is told apart.
    pub(super) fn is_full(&self) -> bool {
        self.taken[0].load(Ordering::Relaxed) >= self.max
            || self.bytes.load(Ordering::Relaxed) >= self.bytes_max()
    }

    /// Logs each of the two once.
    fn log(&self, state: u8) {
        if self.logged.load(Ordering::Relaxed) >= state
            || self.logged.fetch_max(state, Ordering::Relaxed) >= state
        {
            return;
        }
        let (namespace, series_max) = (self.namespace.0, self.max);
        let series = self.taken[0].load(Ordering::Relaxed);
        let text_bytes = self.bytes.load(Ordering::Relaxed);
        if state == 1 {
            tracing::warn!(
                namespace,
                series_max,
                series,
                text_bytes,
                "half of the room for series is taken: new ones are counted as _other until they \
                 have come several times"
            );
        } else {
            tracing::warn!(
                namespace,
                series_max,
                series,
                text_bytes,
                "no more series are told apart: requests of new ones are counted as _other"
            );
        }
    }
}

// === impl Sightings ===

impl Sightings {
    fn new() -> Self {
        Self((0..SIGHTINGS).map(|_| AtomicU64::new(0)).collect())
    }

    /// Adds requests of a name, and returns how often it has come, as far as that is remembered. Races
    /// lose a count, which does no harm.
    fn add(&self, hash: u64, requests: u32) -> u32 {
        let (name, requests) = (hash >> 16, u64::from(requests));
        let place = &self.0[usize::from(hash as u16)];
        let before = place.load(Ordering::Relaxed);
        let (holder, count) = (before >> 16, before & COUNT_MAX);
        let (holder, count) = if holder == name {
            (name, count.saturating_add(requests).min(COUNT_MAX))
        } else if requests > count {
            (name, (requests - count).min(COUNT_MAX))
        } else {
            (holder, count - requests)
        };
        place.store(holder << 16 | count, Ordering::Relaxed);
        let seen = if holder == name { count.max(requests) } else { requests };
        u32::try_from(seen).unwrap_or(u32::MAX)
    }
}

/// The largest count of a place.
const COUNT_MAX: u64 = u16::MAX as u64;

/// A series in a coarser form: from 1 with its path and customer as `_other`, from 2 with its service
/// too, from 3 with its method too. What is empty stays empty.
pub(super) fn coarser(series: SeriesRef<'_>, form: usize) -> SeriesRef<'_> {
    let other = |from, text| if form < from || str::is_empty(text) { text } else { OTHER_PATH };
    SeriesRef {
        path: if form < 1 { series.path } else { OTHER_PATH },
        customer: other(1, series.customer),
        service: other(2, series.service),
        method: other(3, series.method),
        ..series
    }
}

/// The coarsest form that a series is in.
pub(super) fn form_of(series: SeriesRef<'_>) -> usize {
    let is_coarse = |text| str::is_empty(text) || text == OTHER_PATH;
    match series {
        _ if series.path != OTHER_PATH || !is_coarse(series.customer) => 0,
        _ if !is_coarse(series.service) => 1,
        _ if !is_coarse(series.method) => 2,
        _ => 3,
    }
}
