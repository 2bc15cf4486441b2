//! The endpoints that a client knows, by number: found without a lock or an allocation.
//!
//! An open-addressing table of fixed size holds numbers that lead to entries, each written once.
//! Only a new endpoint takes the lock.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use tally_proto::wire::{self, OTHER_PATH, PATH_BYTES_MAX};

use crate::{Endpoint, Method};

/// How many methods can have an [`OTHER_PATH`] of their own; the rest share one.
const OTHERS_MAX: usize = 32;

/// How many entries are allocated at a time.
const BLOCK: usize = 256;

/// An empty slot of the table.
const FREE: u32 = u32::MAX;

pub(crate) struct Endpoints {
    /// How many may be added, not counting those with [`OTHER_PATH`].
    max: usize,
    hasher: RandomState,
    /// Numbers, at their hash's place or after it. At most half of the slots are used.
    table: Box<[AtomicU32]>,
    /// The entries by number.
    blocks: Box<[OnceLock<Box<Block>>]>,
    growing: Mutex<Growing>,
}

type Block = [OnceLock<Entry>; BLOCK];

struct Entry {
    method: Method,
    path: Box<str>,
}

#[derive(Default)]
struct Growing {
    /// How many entries there are.
    len: usize,
    /// How many of them have [`OTHER_PATH`].
    others: usize,
}

// === impl Endpoints ===

impl Endpoints {
    /// The endpoint for all that have no room; always there.
    pub(crate) const LAST_RESORT: u32 = 0;

    pub(crate) fn new(max: usize) -> Self {
        // FREE is never a number.
        let max = max.clamp(1, 1 << 24);
        let all = max + OTHERS_MAX + 1;
        let table = (0..(2 * all).next_power_of_two()).map(|_| AtomicU32::new(FREE)).collect();
        let blocks = (0..all.div_ceil(BLOCK)).map(|_| OnceLock::new()).collect();
        let endpoints =
            Self { max, hasher: RandomState::new(), table, blocks, growing: Mutex::default() };
        // This one gets the number LAST_RESORT.
        endpoints.insert(Method::UNSPECIFIED, OTHER_PATH, &mut endpoints.grow());
        endpoints
    }

    /// Finds or adds an endpoint. Without room, or for an empty path, one longer than
    /// [`PATH_BYTES_MAX`] or one with a NUL, it is [`OTHER_PATH`] of the same method.
    #[inline]
    pub(crate) fn endpoint(&self, method: Method, path: &str) -> Endpoint {
        self.find(method, path).unwrap_or_else(|| self.add(method, path))
    }

    /// The method and the path of an endpoint. Another client's may be unknown: [`OTHER_PATH`].
    pub(crate) fn name(&self, endpoint: u32) -> (Method, &str) {
        match self.entry(endpoint) {
            Some(entry) => (entry.method, &entry.path),
            None => (Method::UNSPECIFIED, OTHER_PATH),
        }
    }

    #[inline]
    pub(crate) fn knows(&self, endpoint: u32) -> bool {
        self.entry(endpoint).is_some()
    }

    fn entry(&self, number: u32) -> Option<&Entry> {
        let number = number as usize;
        self.blocks.get(number / BLOCK)?.get()?[number % BLOCK].get()
    }

    #[inline]
    fn slots(&self, method: Method, path: &str) -> impl Iterator<Item = &AtomicU32> {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_i32(method.0);
        hasher.write(path.as_bytes());
        let mask = self.table.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let start = hasher.finish() as usize;
        (0..self.table.len()).map(move |step| &self.table[(start + step) & mask])
    }

    #[inline]
    fn find(&self, method: Method, path: &str) -> Option<Endpoint> {
        for slot in self.slots(method, path) {
            let number = slot.load(Ordering::Acquire);
            if number == FREE {
                return None;
            }
            let entry = self.entry(number)?;
            if entry.method == method && *entry.path == *path {
                return Some(Endpoint(number));
            }
        }
        None
    }

    #[cold]
    fn add(&self, method: Method, path: &str) -> Endpoint {
        let mut growing = self.grow();
        for path in [wire::path(path, PATH_BYTES_MAX), OTHER_PATH] {
            // Another thread may have been faster.
            if let Some(found) = self.find(method, path) {
                return found;
            }
            let has_room = match path {
                OTHER_PATH => growing.others <= OTHERS_MAX,
                _ => growing.len - growing.others < self.max,
            };
            if has_room {
                return self.insert(method, path, &mut growing);
            }
        }
        self.find(Method::UNSPECIFIED, OTHER_PATH).expect("it was the first to be added")
    }

    /// Adds a new endpoint. The table has twice as many slots as entries, so there is room.
    fn insert(&self, method: Method, path: &str, growing: &mut Growing) -> Endpoint {
        let at = growing.len;
        let block = self.blocks[at / BLOCK]
            .get_or_init(|| Box::new(std::array::from_fn(|_| OnceLock::new())));
        let entry = Entry { method, path: path.into() };
        let number = u32::try_from(at).expect("at most 2^24 and some");
        assert!(block[at % BLOCK].set(entry).is_ok(), "a number is given out once");
        growing.len += 1;
        growing.others += usize::from(path == OTHER_PATH);
        let free = self
            .slots(method, path)
            .find(|slot| slot.load(Ordering::Relaxed) == FREE)
            .expect("at most half of the table is taken");
        // The entry is written before anyone can find its number.
        free.store(number, Ordering::Release);
        Endpoint(number)
    }

    fn grow(&self) -> std::sync::MutexGuard<'_, Growing> {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
