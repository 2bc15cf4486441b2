//! A queue that sends nothing.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Sending, Shared, WhenFull};
use crate::Method;
use crate::clock::AnyClock;
use crate::endpoints::Endpoints;
use crate::queue::shards::Shards;
use crate::rows::Row;
use crate::settings::{BATCH_ROWS_MAX, CLOSE_TIMEOUT, ENDPOINTS_MAX};

/// How many requests wait before they are added up.
const REQUESTS_MAX: usize = 100_000;

/// What was added up, by the number of the endpoint.
#[derive(Default)]
pub(super) struct Memory(Mutex<BTreeMap<u32, u64>>);

/// The parts of such a queue.
pub(super) fn shared() -> Shared {
    Shared {
        shards: Shards::new(REQUESTS_MAX, BATCH_ROWS_MAX),
        endpoints: Arc::new(Endpoints::new(ENDPOINTS_MAX)),
        clock: AnyClock::System,
        when_full: WhenFull::GiveBack,
        skipped: AtomicU64::new(0),
        close_timeout: CLOSE_TIMEOUT,
        sending: Sending::Memory(Memory::default()),
    }
}

/// What was counted and what waits.
pub(super) fn counts(shared: &Shared) -> BTreeMap<(Method, String), u64> {
    let added_up = match &shared.sending {
        Sending::Memory(memory) => memory.lock(),
        Sending::Server { .. } => return named(shared, BTreeMap::new()),
    };
    // The lock is held meanwhile, so that nothing moves from one to the other.
    named(shared, added_up.clone())
}

fn named(shared: &Shared, mut counts: BTreeMap<u32, u64>) -> BTreeMap<(Method, String), u64> {
    shared.shards.for_each(|row| *counts.entry(row.endpoint.0).or_default() += 1);
    let mut named = BTreeMap::new();
    for (endpoint, count) in counts {
        let (method, path) = shared.endpoints.name(endpoint);
        *named.entry((method, path.to_owned())).or_default() += count;
    }
    named
}

// === impl Memory ===

impl Memory {
    /// Adds up what waits, and this one.
    pub(super) fn record(&self, shards: &Shards, row: Row) {
        let mut counts = self.lock();
        *counts.entry(row.endpoint.0).or_default() += 1;
        loop {
            let rows = shards.take(REQUESTS_MAX, 0).rows;
            if rows.is_empty() {
                return;
            }
            for row in rows {
                *counts.entry(row.endpoint.0).or_default() += 1;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
