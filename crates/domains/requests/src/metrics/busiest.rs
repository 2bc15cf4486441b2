//! The busiest endpoints, each with a counter, and one for all others.
//!
//! An endpoint gets a counter at a scrape, and that begins at 0: what came before stays with the others. It
//! loses it to one that is twice as busy, and what it had counted goes to the others. So no counter ever falls,
//! and together they are what is committed, at each scrape. Those of the namespace `default` alone get one, because
//! its keys may scrape.

use std::hash::BuildHasher as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::{DefaultHashBuilder, HashMap};
use tally_runtime::metrics::{Counter, Metric, Scrape};

use crate::changes::Version;
use crate::model::{Namespace, SeriesId};
use crate::series::KnownSeries;

const ENDPOINT: Metric = Metric::counter(
    "tally_endpoint_requests_total",
    "Requests that this server has committed: for each of its busiest endpoints, since it became one, and for \
     all others together; only with --requests-metrics-endpoints.",
);

/// The method and the path of the others. No endpoint with these names gets a counter.
const OTHERS: &str = "other";

/// An endpoint takes the place of one that has had less than this part of its requests.
const BUSIER: u64 = 2;

/// What each endpoint has had.
#[derive(Debug)]
pub(super) struct Busiest {
    places: usize,
    hasher: DefaultHashBuilder,
    state: Mutex<State>,
}

/// While this exists, nothing else counts and no scrape looks.
pub(super) struct Counting<'a>(MutexGuard<'a, State>);

#[derive(Debug, Default)]
struct State {
    /// Since the last scrape. There are no more series than a server knows.
    fresh: HashMap<SeriesId, u64>,
    /// All requests of each endpoint, by a hash of it.
    all: HashMap<u64, u64>,
    /// The counters.
    shown: HashMap<Endpoint, Shown>,
    others: u64,
    /// The last merge or forget that the names follow.
    version: Version,
}

/// A method and a path.
type Endpoint = (Box<str>, Box<str>);

#[derive(Debug, Clone, Copy)]
struct Shown {
    hash: u64,
    requests: u64,
}

// === impl Busiest ===

impl Busiest {
    pub(super) fn new(places: usize) -> Self {
        Self { places, hasher: DefaultHashBuilder::default(), state: Mutex::default() }
    }

    /// Begins to count a batch.
    pub(super) fn counting(&self) -> Counting<'_> {
        Counting(self.lock())
    }

    /// Tells a scrape, and returns what all have had, which is `committed`.
    pub(super) fn measure(
        &self,
        committed: &Counter,
        series: &KnownSeries,
        scrape: &mut Scrape,
    ) -> u64 {
        let mut state = self.lock();
        let version = series.version();
        if state.version != version {
            // A name may be one that must not be kept.
            state.version = version;
            state.all.clear();
            let shown = std::mem::take(&mut state.shown);
            state.others += shown.values().map(|shown| shown.requests).sum::<u64>();
        }
        for endpoint in self.spread(&mut state, series) {
            self.admit(&mut state, endpoint);
        }
        for ((method, path), shown) in &state.shown {
            scrape.put(ENDPOINT, &[("method", method), ("path", path)], shown.requests);
        }
        scrape.put(ENDPOINT, &[("method", OTHERS), ("path", OTHERS)], state.others);
        committed.get()
    }

    /// Adds what is fresh to the endpoints. Returns those without a counter, the busiest first.
    fn spread(&self, state: &mut State, series: &KnownSeries) -> Vec<Endpoint> {
        let mut candidates = HashMap::new();
        for (id, requests) in std::mem::take(&mut state.fresh) {
            let named = series.named(id);
            let Some(named) = named.filter(|one| one.series.namespace == Namespace::DEFAULT) else {
                state.others += requests;
                continue;
            };
            let (method, path) = (named.series.method.clone(), named.series.path.clone());
            let endpoint = (method, path);
            let hash = self.hasher.hash_one(&endpoint);
            let all = state.all.entry(hash).or_default();
            *all += requests;
            match state.shown.get_mut(&endpoint) {
                Some(shown) => shown.requests += requests,
                None => {
                    state.others += requests;
                    candidates.insert(endpoint, *all);
                }
            }
        }
        candidates.remove(&(OTHERS.into(), OTHERS.into()));
        let mut candidates: Vec<_> = candidates.into_iter().collect();
        candidates.sort_unstable_by(|(a, more), (b, less)| less.cmp(more).then_with(|| a.cmp(b)));
        // At most as many as there are places can get one.
        candidates.truncate(self.places);
        candidates.into_iter().map(|(endpoint, _)| endpoint).collect()
    }

    /// Gives an endpoint a counter, if there is one, or if the least busy one with a counter has had much less.
    fn admit(&self, state: &mut State, endpoint: Endpoint) {
        let all = |hash: u64| state.all.get(&hash).copied().unwrap_or(0);
        let hash = self.hasher.hash_one(&endpoint);
        if state.shown.len() >= self.places {
            let least = state.shown.iter().min_by_key(|(_, shown)| all(shown.hash));
            let Some((least, shown)) = least.map(|(least, shown)| (least.clone(), *shown)) else {
                return;
            };
            if all(shown.hash).saturating_mul(BUSIER) >= all(hash) {
                return;
            }
            state.shown.remove(&least);
            state.others += shown.requests;
        }
        state.shown.insert(endpoint, Shown { hash, requests: 0 });
    }

    /// A poisoned lock is fine: at worst a batch is not counted here.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Counting ===

impl Counting<'_> {
    pub(super) fn add(&mut self, series: SeriesId, requests: u64) {
        *self.0.fresh.entry(series).or_default() += requests;
    }
}

#[cfg(test)]
mod tests;
