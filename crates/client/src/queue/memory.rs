//! A queue that sends nothing.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use super::source::Reported;
use super::{Sending, Shared};
use crate::Method;
use crate::clock::AnyClock;
use crate::endpoints::Endpoints;
use crate::error::Refusal;
use crate::queue::shards::Shards;
use crate::rows::Row;
use crate::settings::{BATCH_ROWS_MAX, CLOSE_TIMEOUT, ENDPOINTS_MAX};

/// How many requests wait before they are added up.
const REQUESTS_MAX: usize = 100_000;

/// No endpoint of such a queue has a number as high as this.
const NUMBERS_MAX: u32 = 2 * ENDPOINTS_MAX as u32;

/// What was added up, by the number of the endpoint.
#[derive(Default)]
pub(super) struct Memory(Mutex<Vec<u64>>);

/// The parts of such a queue.
pub(super) fn shared() -> Shared {
    Shared {
        shards: Shards::new(REQUESTS_MAX, BATCH_ROWS_MAX),
        endpoints: Arc::new(Endpoints::new(ENDPOINTS_MAX)),
        clock: AnyClock::System,
        skipped: AtomicU64::new(0),
        close_timeout: CLOSE_TIMEOUT,
        reported: Mutex::new(Reported::default()),
        sending: Sending::Memory(Memory::default()),
    }
}

/// What was counted and what waits.
pub(super) fn counts(shared: &Shared) -> BTreeMap<(Method, String), u64> {
    // The lock is held meanwhile, so that nothing moves from one to the other.
    let added_up = match &shared.sending {
        Sending::Memory(memory) => Some(memory.lock()),
        Sending::Server(_) => None,
    };
    let added_up = added_up.as_deref().map_or(&[][..], Vec::as_slice);
    let counts = (0..).zip(added_up.iter().copied()).filter(|(_, count)| *count > 0);
    named(shared, counts.collect())
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
    /// Adds up what waits, which makes room for this one.
    pub(super) fn record(&self, shards: &Shards, row: Row) -> Result<(), Refusal> {
        let mut counts = self.lock();
        loop {
            for row in shards.take(REQUESTS_MAX, 0).rows {
                // Another queue's endpoint is unknown here, and counted where those are.
                let at = Some(row.endpoint.0).filter(|at| *at < NUMBERS_MAX);
                let at = at.unwrap_or(Endpoints::LAST_RESORT) as usize;
                if counts.len() <= at {
                    counts.resize(at + 1, 0);
                }
                counts[at] += 1;
            }
            match shards.record(row) {
                // Others were faster.
                Err(Refusal::Full) => {}
                recorded => return recorded,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
