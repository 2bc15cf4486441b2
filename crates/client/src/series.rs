//! The series that a client knows, by number: found without a lock or an allocation.
//!
//! An open-addressing table of fixed size holds numbers that lead to entries, each written once.
//! Only a new series takes the lock.

use std::hash::{BuildHasher, Hash as _, Hasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use tally_proto::wire::OTHER_PATH;

use crate::{Method, SeriesKey};

/// How many series can have an [`OTHER_PATH`] of their own when there is no room; the rest share one.
const OTHERS_MAX: usize = 256;

/// How many entries are allocated at a time.
const BLOCK: usize = 256;

/// How many statuses are looked through before a hash is cheaper.
const NEAR: usize = 8;

/// An empty slot of the table, and the end of a chain.
const FREE: u32 = u32::MAX;

/// What a request counts under, known to the [`Queue`](crate::Queue) or the
/// [`Producer`](crate::Producer) that made it, and to a queue's clones only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Series(pub(crate) u32);

/// The series of a client.
pub(crate) struct Table {
    /// How many may be added, not counting those for what has no room.
    max: usize,
    hasher: RandomState,
    /// Numbers, at their hash's place or after it. At most half of the slots are used.
    slots: Box<[AtomicU32]>,
    /// The entries by number.
    blocks: Box<[OnceLock<Box<Block>>]>,
    growing: Mutex<Growing>,
}

type Block = [OnceLock<Entry>; BLOCK];

/// A [`SeriesKey`] that owns its texts.
struct Entry {
    service: Box<str>,
    method: Method,
    path: Box<str>,
    status: u16,
    customer: Box<str>,
    /// The number of another series that differs in the status alone. These chains begin at the
    /// status 0.
    next: AtomicU32,
}

#[derive(Default)]
struct Growing {
    /// How many entries there are.
    len: usize,
    /// How many of them are for what has no room.
    others: usize,
}

// === impl Table ===

impl Table {
    /// The series for all that has no other; always there.
    pub(crate) const LAST_RESORT: u32 = 0;

    pub(crate) fn new(max: usize) -> Self {
        // FREE is never a number.
        let max = max.clamp(1, 1 << 24);
        let all = max + OTHERS_MAX + 1;
        let slots = (0..(2 * all).next_power_of_two()).map(|_| AtomicU32::new(FREE)).collect();
        let blocks = (0..all.div_ceil(BLOCK)).map(|_| OnceLock::new()).collect();
        let table =
            Self { max, hasher: RandomState::new(), slots, blocks, growing: Mutex::default() };
        // This one gets the number LAST_RESORT.
        table.insert(SeriesKey { path: OTHER_PATH, ..SeriesKey::default() }, &mut table.grow());
        table
    }

    /// Finds or adds a series. Without room, it has [`OTHER_PATH`] and no customer.
    #[inline]
    pub(crate) fn series(&self, key: SeriesKey<'_>) -> Series {
        self.find(key).unwrap_or_else(|| self.add(key))
    }

    /// The series that differs from this one in its status alone.
    #[inline]
    pub(crate) fn with_status(&self, series: Series, status: u16) -> Series {
        self.near(series, status)
            .unwrap_or_else(|| self.series(SeriesKey { status, ..self.key(series.0) }))
    }

    /// Looks for it in the chain, without a hash of the texts.
    #[inline]
    fn near(&self, series: Series, status: u16) -> Option<Series> {
        let mut number = series.0;
        for _ in 0..NEAR {
            let entry = self.entry(number)?;
            if entry.status == status {
                return Some(Series(number));
            }
            number = entry.next.load(Ordering::Acquire);
        }
        None
    }

    /// What a series stands for. Another client's may be unknown: the last resort.
    pub(crate) fn key(&self, series: u32) -> SeriesKey<'_> {
        let entry = self.entry(series).or_else(|| self.entry(Self::LAST_RESORT));
        entry.expect("it was the first to be added").key()
    }

    #[inline]
    pub(crate) fn knows(&self, series: u32) -> bool {
        self.entry(series).is_some()
    }

    #[inline]
    fn entry(&self, number: u32) -> Option<&Entry> {
        let number = number as usize;
        self.blocks.get(number / BLOCK)?.get()?[number % BLOCK].get()
    }

    #[inline]
    fn slots(&self, key: SeriesKey<'_>) -> impl Iterator<Item = &AtomicU32> {
        let SeriesKey { service, method, path, status, customer } = key;
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(u64::from(method.0.cast_unsigned()) << 16 | u64::from(status));
        hasher.write(path.as_bytes());
        if !(service.is_empty() && customer.is_empty()) {
            (service, customer).hash(&mut hasher);
        }
        let mask = self.slots.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let start = hasher.finish() as usize;
        (0..self.slots.len()).map(move |step| &self.slots[(start + step) & mask])
    }

    /// Finds a series, unless it is yet to be added.
    #[inline]
    pub(crate) fn find(&self, key: SeriesKey<'_>) -> Option<Series> {
        for slot in self.slots(key) {
            let number = slot.load(Ordering::Acquire);
            if number == FREE {
                return None;
            }
            if self.entry(number)?.is(key) {
                return Some(Series(number));
            }
        }
        None
    }

    #[cold]
    fn add(&self, key: SeriesKey<'_>) -> Series {
        let mut growing = self.grow();
        let key = key.storable();
        for key in [key, SeriesKey { path: OTHER_PATH, customer: "", ..key }] {
            // Another thread may have been faster.
            if let Some(found) = self.find(key) {
                return found;
            }
            let has_room = match is_other(key) {
                true => growing.others <= OTHERS_MAX,
                false => growing.len - growing.others < self.max,
            };
            if has_room {
                return self.insert(key, &mut growing);
            }
        }
        Series(Self::LAST_RESORT)
    }

    /// Adds a new series. The table has twice as many slots as entries, so there is room.
    fn insert(&self, key: SeriesKey<'_>, growing: &mut Growing) -> Series {
        let at = growing.len;
        let block = self.blocks[at / BLOCK]
            .get_or_init(|| Box::new(std::array::from_fn(|_| OnceLock::new())));
        let number = u32::try_from(at).expect("at most 2^24 and some");
        assert!(block[at % BLOCK].set(Entry::new(key)).is_ok(), "a number is given out once");
        growing.len += 1;
        growing.others += usize::from(is_other(key));
        let free = self
            .slots(key)
            .find(|slot| slot.load(Ordering::Relaxed) == FREE)
            .expect("at most half of the table is taken");
        // The entry is written before anyone can find its number.
        free.store(number, Ordering::Release);
        if key.status != 0 {
            self.chain(key, number);
        }
        Series(number)
    }

    /// Adds a series to the end of its chain, because the first statuses are the most frequent. The
    /// caller holds the lock.
    fn chain(&self, key: SeriesKey<'_>, number: u32) {
        let first = self.find(SeriesKey { status: 0, ..key });
        let mut last = first.and_then(|Series(first)| self.entry(first));
        while let Some(entry) = last {
            last = self.entry(entry.next.load(Ordering::Relaxed));
            if last.is_none() {
                entry.next.store(number, Ordering::Release);
            }
        }
    }

    fn grow(&self) -> std::sync::MutexGuard<'_, Growing> {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a series is one of those for what has no room.
fn is_other(key: SeriesKey<'_>) -> bool {
    key.path == OTHER_PATH && key.customer.is_empty()
}

// === impl Entry ===

impl Entry {
    fn new(key: SeriesKey<'_>) -> Self {
        let SeriesKey { service, method, path, status, customer } = key;
        Self {
            service: service.into(),
            method,
            path: path.into(),
            status,
            customer: customer.into(),
            next: AtomicU32::new(FREE),
        }
    }

    #[inline]
    fn is(&self, key: SeriesKey<'_>) -> bool {
        self.status == key.status
            && self.method == key.method
            && is_same(&self.path, key.path)
            && is_same(&self.service, key.service)
            && is_same(&self.customer, key.customer)
    }

    #[inline]
    fn key(&self) -> SeriesKey<'_> {
        SeriesKey {
            service: &self.service,
            method: self.method,
            path: &self.path,
            status: self.status,
            customer: &self.customer,
        }
    }
}

/// An empty text has an address without memory. Where `memcmp` is of AVX-512, it takes some 60 ns to
/// compare nothing there.
#[inline]
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && (one.is_empty() || one == other)
}

#[cfg(test)]
mod tests;
