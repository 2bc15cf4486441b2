//! Whether rows can be stored, as far as the workers know.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a worker may have a batch, including failed attempts, before nothing counts as storable.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// What the workers of one queue tell about their writes.
#[derive(Debug, Clone)]
pub(crate) struct Progress(Arc<Mutex<State>>);

/// Rows cannot be stored now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Why not, in one line.
    pub message: String,
    /// Whether a worker is trying now. If none is, only another write can show that it is over.
    pub is_trying: bool,
}

/// A batch in a worker's hands, until this is dropped.
pub(crate) struct Writing<'a> {
    progress: &'a Progress,
    worker: usize,
}

#[derive(Debug)]
struct State {
    /// Since when each worker has had its batch.
    since: Vec<Option<Instant>>,
    /// Since when the oldest row of that batch has waited.
    oldest: Vec<Option<Instant>>,
    /// What the last attempt said, if it failed.
    failure: Option<String>,
}

// === impl Progress ===

impl Progress {
    pub(crate) fn new(workers: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            since: vec![None; workers],
            oldest: vec![None; workers],
            failure: None,
        })))
    }

    /// A worker has taken a batch, whose oldest row came then.
    pub(crate) fn begin(&self, worker: usize, oldest: Option<Instant>) -> Writing<'_> {
        let mut state = self.lock();
        (state.since[worker], state.oldest[worker]) = (Some(Instant::now()), oldest);
        drop(state);
        Writing { progress: self, worker }
    }

    /// An attempt failed.
    pub(crate) fn failed(&self, message: &str) {
        self.lock().failure = Some(message.to_owned());
    }

    /// Something was stored.
    pub(crate) fn stored(&self) {
        self.lock().failure = None;
    }

    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let state = self.lock();
        let oldest = state.since.iter().flatten().min();
        let is_trying = oldest.is_some();
        let is_stalled = oldest.is_some_and(|since| since.elapsed() > STALLED_AFTER);
        let message = match (is_stalled, &state.failure) {
            (false, None) => return None,
            (false, Some(failure)) => failure.clone(),
            (true, None) => format!("a batch is not stored after {STALLED_AFTER:?}"),
            (true, Some(failure)) => {
                format!("a batch is not stored after {STALLED_AFTER:?}: {failure}")
            }
        };
        Some(Trouble { message, is_trying })
    }

    /// For how long the oldest row in a worker's hands has waited.
    pub(crate) fn oldest_age(&self) -> Duration {
        let oldest = self.lock().oldest.iter().flatten().min().copied();
        oldest.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Writing ===

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut state = self.progress.lock();
        (state.since[self.worker], state.oldest[self.worker]) = (None, None);
    }
}
