//! From a method and a path to an id, without a lock, an allocation or the database.
//!
//! The cache is cut into shards. A lookup loads a shard's current table, which never changes;
//! adding endpoints replaces the table.
//!
//! An id is a function of what it names, so the cache is always right. What can change is what the
//! database *has*: a name is written in the transaction of the first rows that use it, and is then
//! confirmed under the present *belief*. Any hint that the database has gone back, such as a new
//! connection or a gap in a worker's numbers, begins a new belief, under which nothing is
//! confirmed.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hashbrown::{DefaultHashBuilder, HashMap, HashSet, HashTable};
use tally_producers::Parcel;
use tally_proto::count::v1::Method;
use tally_proto::wire::OTHER_PATH;
use tally_runtime::faults;
use tokio::time::Instant;

use crate::model::{Endpoint, EndpointId, Named};
use crate::rows::Rows;
use crate::store::Names;

/// Enough that adding one of 100,000 endpoints copies less than 400.
const SHARDS: usize = 256;
/// How many endpoints have the path `_other`: one for each method of count.v1. Other methods become
/// METHOD_UNSPECIFIED there, which bounds `_other` itself.
const OTHERS_MAX: usize = 11;
/// The longest that paths may be on average. It bounds the cache's memory and the table's size.
pub(crate) const MEAN_PATH_BYTES_MAX: usize = 256;

/// Every answer lacks names that are gone for good, so log them and store them again at most this
/// often.
const UNNAMED_INTERVAL: Duration = Duration::from_secs(60);

type Shard = HashTable<Arc<Named>>;

/// The endpoints that this server distinguishes.
pub(crate) struct Endpoints {
    shards: Vec<ArcSwap<Shard>>,
    hasher: DefaultHashBuilder,
    belief: AtomicU64,
    is_full: AtomicBool,
    max: usize,
    inner: Mutex<Inner>,
    /// When an answer last lacked names, if one did.
    unnamed_at: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Inner {
    by_id: HashMap<EndpointId, Arc<Named>>,
    /// How many of them are not `_other`.
    told_apart: usize,
    /// The length of those paths in all.
    path_bytes: usize,
    /// The state of the store under the present belief.
    state: u64,
    /// Endpoints that the database has under other ids, because another name had the id first.
    moved: HashMap<EndpointId, EndpointId>,
}

// === impl Endpoints ===

impl Endpoints {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| ArcSwap::default()).collect(),
            hasher: DefaultHashBuilder::default(),
            // A new name is confirmed under 0, which is never the belief.
            belief: AtomicU64::new(1),
            is_full: AtomicBool::new(false),
            max,
            inner: Mutex::default(),
            unnamed_at: Mutex::default(),
        }
    }

    fn path_bytes_max(&self) -> usize {
        self.max.saturating_mul(MEAN_PATH_BYTES_MAX)
    }

    /// How many endpoints, and bytes of paths, to load at most. The dictionary exceeds the limits
    /// by those of `_other`, and by those that several servers added at the same time.
    pub(crate) fn loaded_max(&self) -> (usize, usize) {
        let path_bytes = self.path_bytes_max().saturating_mul(2);
        (self.max.saturating_mul(2).saturating_add(OTHERS_MAX), path_bytes)
    }

    /// Adds what the database has in this state.
    pub(crate) fn load(&self, names: Vec<(EndpointId, Endpoint)>, state: u64) {
        self.follow(&mut self.lock(), state);
        let belief = self.belief();
        self.learn(names).iter().for_each(|named| named.confirm(belief));
    }

    /// Adds names that are new, while there is room, and returns them. They are unconfirmed, because
    /// the database may have gone back since they were read: each is written once more with the first
    /// rows that need it.
    pub(crate) fn learn(&self, names: Vec<(EndpointId, Endpoint)>) -> Vec<Arc<Named>> {
        let (count_max, path_bytes_max) = self.loaded_max();
        let mut inner = self.lock();
        let mut added = Vec::new();
        for (id, endpoint) in names {
            let has_room = inner.by_id.len() < count_max
                && inner.path_bytes + endpoint.path.len() <= path_bytes_max;
            if has_room
                && self.find(endpoint.method, &endpoint.path, |_| ()).is_none()
                && !inner.by_id.contains_key(&id)
            {
                added.push(inner.add(id, endpoint));
            }
        }
        self.publish(added.iter().cloned());
        added
    }

    /// Looks up a known endpoint.
    pub(crate) fn find<T>(
        &self,
        method: i32,
        path: &str,
        then: impl FnOnce(&Arc<Named>) -> T,
    ) -> Option<T> {
        let hash = self.hash(method, path);
        let shard = self.shards[shard_index(hash)].load();
        let is_it =
            |named: &Arc<Named>| named.endpoint.method == method && *named.endpoint.path == *path;
        shard.find(hash, is_it).map(then)
    }

    /// Names the endpoints, in the same order; beyond the limit, as `_other`.
    pub(crate) fn resolve(&self, endpoints: &[Endpoint]) -> Vec<Arc<Named>> {
        let find = |one: &Endpoint| self.find(one.method, &one.path, Arc::clone);
        // When the cache is full, an unknown endpoint stays unknown.
        let known = |one| find(one).or_else(|| self.is_full().then(|| find(&other(one)))?);
        if let Some(all) = endpoints.iter().map(known).collect() {
            return all;
        }
        let mut inner = self.lock();
        let mut added: HashMap<Endpoint, Arc<Named>> = HashMap::new();
        let mut add = |endpoint: &Endpoint| {
            let known =
                |one, added: &HashMap<Endpoint, _>| find(one).or_else(|| added.get(one).cloned());
            if let Some(named) = known(endpoint, &added) {
                return named;
            }
            let has_room = self.has_room(&inner, endpoint);
            let endpoint = if has_room { endpoint.clone() } else { other(endpoint) };
            known(&endpoint, &added).unwrap_or_else(|| {
                let id = inner.free_id(&endpoint);
                let named = inner.add(id, endpoint.clone());
                added.insert(endpoint, Arc::clone(&named));
                named
            })
        };
        let all = endpoints.iter().map(&mut add).collect();
        self.publish(added.into_values());
        all
    }

    /// The present belief. Read it before encoding rows.
    pub(crate) fn belief(&self) -> u64 {
        self.belief.load(Ordering::Acquire)
    }

    /// Stops believing that the database has what this server has stored.
    pub(crate) fn doubt(&self) {
        self.begin_belief(&mut self.lock());
    }

    /// The dictionary lacks the names of this many endpoints in an answer: they were removed. Those
    /// that this server knows are stored again with their next rows.
    pub(crate) fn notice_unnamed(&self, unnamed: usize) {
        let mut last = self.unnamed_at.lock().unwrap_or_else(PoisonError::into_inner);
        if unnamed > 0 && last.is_none_or(|last| last.elapsed() >= UNNAMED_INTERVAL) {
            *last = Some(Instant::now());
            tracing::error!(
                endpoints = unnamed,
                "the table tally_request_series lacks names: their requests are counted as _unknown; \
                 those that still come get their names back"
            );
            self.doubt();
        }
    }

    /// The names to store with a batch, for a store in this state.
    pub(crate) fn names_of(&self, chunks: &[Parcel<Rows>], state: u64) -> Names {
        let (belief, moved) = {
            let mut inner = self.lock();
            self.follow(&mut inner, state);
            (self.belief(), inner.moved.clone())
        };
        let mut new: HashMap<EndpointId, Arc<Named>> = HashMap::new();
        for Parcel { content, .. } in chunks {
            let (unconfirmed, encoded_under) = content.unconfirmed();
            if encoded_under == belief {
                new.extend(unconfirmed.iter().map(|named| (named.id, Arc::clone(named))));
                continue;
            }
            // The names that were left out then may be needed now.
            let ids: HashSet<EndpointId> = content.iter().map(|(id, _)| id).collect();
            let inner = self.lock();
            let named = ids.iter().filter_map(|id| inner.by_id.get(id));
            new.extend(named.map(|named| (named.id, Arc::clone(named))));
        }
        let mut new: Vec<_> =
            new.into_values().filter(|named| !named.is_confirmed(belief)).collect();
        new.sort_unstable_by_key(|named| named.id);
        Names { new, moved, state, belief }
    }

    /// The names are committed; some under other ids.
    pub(crate) fn confirm(&self, names: &Names, moved: HashMap<EndpointId, EndpointId>) {
        if names.new.is_empty() {
            return;
        }
        let mut inner = self.lock();
        if self.belief() == names.belief {
            inner.moved.extend(moved);
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
        if faults::is_on("endpoints.keep") {
            return;
        }
        inner.moved.clear();
        self.belief.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether an endpoint was counted as `_other` for want of room.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    fn has_room(&self, inner: &Inner, endpoint: &Endpoint) -> bool {
        let path_bytes = inner.path_bytes + endpoint.path.len();
        let has_room =
            !self.is_full() && inner.told_apart < self.max && path_bytes <= self.path_bytes_max();
        if !has_room && !self.is_full.swap(true, Ordering::Relaxed) {
            let (endpoints_max, path_bytes) = (self.max, inner.path_bytes);
            tracing::warn!(
                endpoints_max,
                endpoints = inner.told_apart,
                path_bytes,
                "no more endpoints are told apart: requests to new ones are counted as _other"
            );
        }
        has_room
    }

    /// Makes endpoints visible to lookups.
    fn publish(&self, added: impl IntoIterator<Item = Arc<Named>>) {
        let mut by_shard: Vec<Vec<(u64, Arc<Named>)>> = vec![Vec::new(); SHARDS];
        for named in added {
            let hash = self.hash(named.endpoint.method, &named.endpoint.path);
            by_shard[shard_index(hash)].push((hash, named));
        }
        for (shard, added) in self.shards.iter().zip(by_shard) {
            if added.is_empty() {
                continue;
            }
            let mut table = Shard::clone(&shard.load());
            for (hash, named) in added {
                table.insert_unique(hash, named, |named| {
                    self.hash(named.endpoint.method, &named.endpoint.path)
                });
            }
            shard.store(Arc::new(table));
        }
    }

    /// A poisoned lock is fine: no operation leaves it half done.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hash(&self, method: i32, path: &str) -> u64 {
        self.hasher.hash_one((method, path))
    }
}

// === impl Inner ===

impl Inner {
    fn add(&mut self, id: EndpointId, endpoint: Endpoint) -> Arc<Named> {
        if &*endpoint.path != OTHER_PATH {
            self.told_apart += 1;
            self.path_bytes += endpoint.path.len();
        }
        let named = Arc::new(Named::new(id, endpoint));
        self.by_id.insert(id, Arc::clone(&named));
        named
    }

    /// The first of the endpoint's ids that no other endpoint has.
    fn free_id(&self, endpoint: &Endpoint) -> EndpointId {
        let mut ids = (0..).map(|salt| endpoint.id(salt));
        ids.find(|id| !self.by_id.contains_key(id)).expect("there are 2^32 salts")
    }
}

/// Uses bits that the table itself hardly uses.
fn shard_index(hash: u64) -> usize {
    usize::from((hash >> 40).to_le_bytes()[0])
}

fn other(endpoint: &Endpoint) -> Endpoint {
    let method = Method::try_from(endpoint.method).unwrap_or(Method::Unspecified);
    Endpoint::new(method.into(), OTHER_PATH)
}

#[cfg(test)]
mod tests;
