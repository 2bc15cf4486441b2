//! From a method and a path to an id, without a lock or an allocation.
//!
//! The cache is cut into shards. A lookup loads a shard's current table, which never changes;
//! whoever adds endpoints makes a new table and puts it in the old one's place.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use hashbrown::{DefaultHashBuilder, HashTable};
use tokio::sync::Mutex;

use crate::model::{Endpoint, EndpointId};
use crate::store::{Result, Store};

/// Enough that adding one of 100,000 endpoints copies less than 400.
const SHARDS: usize = 256;
/// The path that requests beyond the limit are counted under.
pub(crate) const OTHER_PATH: &str = "_other";
/// Methods that count.v1 lists; beyond the limit, others are counted as METHOD_UNSPECIFIED, so
/// that `_other` itself stays bounded.
const METHODS: [i32; 11] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 100];

type Shard = HashTable<(Arc<Endpoint>, EndpointId)>;

/// The endpoints that the database has, as far as this server knows.
pub(crate) struct Endpoints {
    store: Arc<dyn Store>,
    shards: Vec<ArcSwap<Shard>>,
    hasher: DefaultHashBuilder,
    count: AtomicUsize,
    max: usize,
    /// One stream asks the database at a time; the others often find the answer after it.
    asking: Mutex<()>,
    /// Whether the cache is known to be complete, because the limit is reached.
    is_full: AtomicBool,
}

// === impl Endpoints ===

impl Endpoints {
    pub(crate) fn new(store: Arc<dyn Store>, max: usize) -> Self {
        Self {
            store,
            shards: (0..SHARDS).map(|_| ArcSwap::default()).collect(),
            hasher: DefaultHashBuilder::default(),
            count: AtomicUsize::new(0),
            max,
            asking: Mutex::new(()),
            is_full: AtomicBool::new(false),
        }
    }

    /// Reads all endpoints from the database.
    pub(crate) async fn load(&self) -> Result<()> {
        let all = self.store.endpoints().await?;
        self.add(all);
        Ok(())
    }

    /// The id of an endpoint that the cache knows.
    pub(crate) fn get(&self, method: i32, path: &str) -> Option<EndpointId> {
        let hash = self.hash(method, path);
        let shard = self.shard(hash).load();
        shard
            .find(hash, |(endpoint, _)| endpoint.method == method && *endpoint.path == *path)
            .map(|(_, id)| *id)
    }

    /// The ids of endpoints in the same order, adding those that the database does not have,
    /// up to the limit.
    pub(crate) async fn resolve(&self, endpoints: &[Endpoint]) -> Result<Vec<EndpointId>> {
        let _asking = self.asking.lock().await;
        let mut unknown = self.unknown(endpoints);
        if self.count.load(Ordering::Relaxed) + unknown.len() > self.max {
            // Only now is it worth to know exactly. What other servers have added counts.
            if !self.is_full.load(Ordering::Relaxed) {
                self.load().await?;
                unknown = self.unknown(endpoints);
            }
            let room = self.max.saturating_sub(self.count.load(Ordering::Relaxed));
            if room == 0 && !self.is_full.swap(true, Ordering::Relaxed) {
                let endpoints_max = self.max;
                tracing::warn!(
                    endpoints_max,
                    "there are as many endpoints as may be told apart: requests to others are \
                     counted as _other"
                );
            }
            unknown.truncate(room);
            let others = endpoints.iter().map(other);
            unknown.extend(self.unknown(&others.collect::<Vec<_>>()));
        }
        if !unknown.is_empty() {
            let ids = self.store.resolve(&unknown).await?;
            self.add(ids.into_iter().zip(unknown));
        }
        endpoints.iter().map(|endpoint| self.known_or_other(endpoint)).collect()
    }

    fn known_or_other(&self, endpoint: &Endpoint) -> Result<EndpointId> {
        let other = other(endpoint);
        self.get(endpoint.method, &endpoint.path)
            .or_else(|| self.get(other.method, &other.path))
            .ok_or_else(|| {
                tally_store::Error::permanent(
                    "find an endpoint that was just added",
                    tally_runtime::Kind::Internal,
                )
            })
    }

    /// Those that the cache does not know, each once.
    fn unknown(&self, endpoints: &[Endpoint]) -> Vec<Endpoint> {
        let mut seen = std::collections::HashSet::new();
        endpoints
            .iter()
            .filter(|one| self.get(one.method, &one.path).is_none() && seen.insert(*one))
            .cloned()
            .collect()
    }

    /// Puts endpoints into the cache. Callers hold `asking`, or are alone.
    fn add(&self, endpoints: impl IntoIterator<Item = (EndpointId, Endpoint)>) {
        let mut by_shard: Vec<Vec<(u64, Arc<Endpoint>, EndpointId)>> = vec![Vec::new(); SHARDS];
        for (id, endpoint) in endpoints {
            let hash = self.hash(endpoint.method, &endpoint.path);
            by_shard[shard_index(hash)].push((hash, Arc::new(endpoint), id));
        }
        for (shard, added) in self.shards.iter().zip(by_shard) {
            if added.is_empty() {
                continue;
            }
            let mut table = Shard::clone(&shard.load());
            let before = table.len();
            let rehash = |(endpoint, _): &(Arc<Endpoint>, EndpointId)| {
                self.hash(endpoint.method, &endpoint.path)
            };
            for (hash, endpoint, id) in added {
                if table.find(hash, |(known, _)| *known == endpoint).is_none() {
                    table.insert_unique(hash, (endpoint, id), rehash);
                }
            }
            self.count.fetch_add(table.len() - before, Ordering::Relaxed);
            shard.store(Arc::new(table));
        }
    }

    fn hash(&self, method: i32, path: &str) -> u64 {
        self.hasher.hash_one((method, path))
    }

    fn shard(&self, hash: u64) -> &ArcSwap<Shard> {
        &self.shards[shard_index(hash)]
    }
}

/// By bits that the table itself hardly uses.
fn shard_index(hash: u64) -> usize {
    usize::from((hash >> 40).to_le_bytes()[0])
}

fn other(endpoint: &Endpoint) -> Endpoint {
    let method = if METHODS.contains(&endpoint.method) { endpoint.method } else { 0 };
    Endpoint::new(method, OTHER_PATH)
}
