//! The handle that services record with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Endpoint, Method};

/// Takes requests and sends them to Tally in the background. Clones are the same queue.
#[derive(Debug, Clone)]
pub struct Queue(Arc<Inner>);

/// A request could not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TryRecordError;

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    endpoints: Vec<(Method, String)>,
    counts: BTreeMap<u32, u64>,
    skipped: u64,
}

// === impl Queue ===

impl Queue {
    /// A queue that sends nothing and keeps its counts, for the tests of services.
    #[must_use]
    pub fn in_memory() -> Self {
        Self(Arc::default())
    }

    /// The endpoint of a method and a path.
    #[must_use]
    pub fn endpoint(&self, method: Method, path: &str) -> Endpoint {
        let mut state = self.lock();
        let known = state.endpoints.iter().position(|(m, p)| *m == method && p == path);
        let number = known.unwrap_or_else(|| {
            state.endpoints.push((method, path.to_owned()));
            state.endpoints.len() - 1
        });
        Endpoint(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// Counts a request that comes now.
    ///
    /// # Errors
    /// When there is no room.
    pub fn try_record(&self, endpoint: Endpoint) -> Result<(), TryRecordError> {
        *self.lock().counts.entry(endpoint.0).or_default() += 1;
        Ok(())
    }

    /// Notes a request that is not counted on purpose.
    pub fn note_skipped(&self) {
        self.lock().skipped += 1;
    }

    /// How many requests were not counted on purpose.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.lock().skipped
    }

    /// What an [in-memory](Self::in_memory) queue has counted.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(Method, String), u64> {
        let state = self.lock();
        let name = |number: u32| state.endpoints[number as usize].clone();
        state.counts.iter().map(|(number, count)| (name(*number), *count)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
