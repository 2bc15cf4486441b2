//! Telling a stream when its own rows are stored.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tally_runtime::Kind;
use tokio::sync::Notify;

/// What one stream knows of its rows: how many are stored, what failed, and what the sink says of
/// them. Clones are the same receipt.
#[derive(Debug)]
pub struct Receipt<O> {
    inner: Arc<Inner<O>>,
    /// How many places of the stream the next rows take without being rows.
    skipped: u64,
}

/// Rows of this stream could not be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What happened, in one line.
    pub message: String,
    /// What it means to the stream.
    pub kind: Kind,
    /// How many rows from the beginning of the stream are stored, including skipped ones, and none
    /// after them; `None` if that is unknown.
    pub stored: Option<u64>,
}

/// The part of a receipt that travels with a chunk. Dropping it unsettled is a failure, so that no
/// stream waits for rows that are gone.
#[derive(Debug)]
pub(crate) struct Stub<O> {
    receipt: Receipt<O>,
    /// Where in its stream the chunk begins.
    first: u64,
    /// How many places it takes, and how many of them are no rows.
    places: u64,
    skipped: u64,
    settled: bool,
}

#[derive(Debug)]
struct Inner<O> {
    state: Mutex<State<O>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<O> {
    pushed: u64,
    /// How many chunks are under way. A chunk may have no rows.
    open: usize,
    /// Stored, wherever in the stream, with what was skipped over.
    stored: u64,
    /// How many of these were skipped over.
    skipped: u64,
    /// The first row that is not stored, of those that are lost.
    first_lost: Option<u64>,
    /// One past the last row that is stored.
    stored_end: u64,
    indeterminate: bool,
    failure: Option<(String, Kind)>,
    /// Of the chunk that was settled last, if it is stored.
    outcome: Option<O>,
}

// === impl Receipt ===

impl<O> Clone for Receipt<O> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), skipped: self.skipped }
    }
}

impl<O> Default for Receipt<O> {
    fn default() -> Self {
        let state = State {
            pushed: 0,
            open: 0,
            stored: 0,
            skipped: 0,
            first_lost: None,
            stored_end: 0,
            indeterminate: false,
            failure: None,
            outcome: None,
        };
        let inner = Inner { state: Mutex::new(state), changed: Notify::new() };
        Self { inner: Arc::new(inner), skipped: 0 }
    }
}

impl<O> Receipt<O> {
    /// For a new stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same receipt for rows before or among which the stream has skipped this many. Those have
    /// their places among these rows.
    pub fn skipping(&self, skipped: u64) -> Self {
        Self { inner: Arc::clone(&self.inner), skipped }
    }

    /// How many of the stored places were skipped.
    pub fn skipped(&self) -> u64 {
        self.lock().skipped
    }

    /// Waits until nothing of the stream is under way. Returns how many rows are stored, including
    /// skipped ones, or fails if some were not stored.
    pub async fn settled(&self) -> Result<u64, Failure> {
        loop {
            let changed = self.inner.changed.notified();
            {
                let state = self.lock();
                if state.open == 0 {
                    return state.verdict();
                }
            }
            changed.await;
        }
    }

    /// What the sink says of the chunk that was settled last, if it is stored. It is given once; a
    /// stream that needs it for each chunk has a receipt for each.
    pub fn outcome(&self) -> Option<O> {
        self.lock().outcome.take()
    }

    /// Whether some of the stream's rows could not be stored.
    pub fn has_failed(&self) -> bool {
        self.lock().failure.is_some()
    }

    /// Whether nothing of the stream is under way.
    pub fn is_settled(&self) -> bool {
        self.lock().open == 0
    }

    pub(crate) fn stub(&self, places: u64) -> Stub<O> {
        let skipped = self.skipped;
        let places = places + skipped;
        let mut state = self.lock();
        let first = state.pushed;
        state.pushed += places;
        state.open += 1;
        Stub { receipt: self.clone(), first, places, skipped, settled: false }
    }

    fn lock(&self) -> MutexGuard<'_, State<O>> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl<O> State<O> {
    fn verdict(&self) -> Result<u64, Failure> {
        let Some((message, kind)) = self.failure.clone() else { return Ok(self.stored) };
        let first_lost = self.first_lost.unwrap_or(0);
        // A prefix is stored only if nothing after the first lost row is.
        let is_prefix = !self.indeterminate && self.stored_end <= first_lost;
        Err(Failure { message, kind, stored: is_prefix.then_some(self.stored) })
    }
}

// === impl Stub ===

impl<O> Stub<O> {
    /// The chunk is committed.
    pub(crate) fn stored(mut self, outcome: O) {
        self.settled = true;
        let mut state = self.receipt.lock();
        state.outcome = Some(outcome);
        state.open -= 1;
        state.stored += self.places;
        state.skipped += self.skipped;
        state.stored_end = state.stored_end.max(self.first + self.places);
        drop(state);
        self.receipt.inner.changed.notify_waiters();
    }

    /// The chunk is not stored, or may not be.
    pub(crate) fn failed(mut self, message: &str, kind: Kind, indeterminate: bool) {
        self.fail(message, kind, indeterminate);
    }

    /// The chunk never entered the queue: forget it.
    pub(crate) fn withdrawn(mut self) {
        self.settled = true;
        let mut state = self.receipt.lock();
        state.open -= 1;
        state.pushed -= self.places;
        drop(state);
        self.receipt.inner.changed.notify_waiters();
    }

    fn fail(&mut self, message: &str, kind: Kind, indeterminate: bool) {
        self.settled = true;
        let mut state = self.receipt.lock();
        state.open -= 1;
        state.outcome = None;
        state.indeterminate |= indeterminate;
        state.first_lost = Some(state.first_lost.map_or(self.first, |at| at.min(self.first)));
        state.failure.get_or_insert_with(|| (message.to_owned(), kind));
        drop(state);
        self.receipt.inner.changed.notify_waiters();
    }
}

impl<O> Drop for Stub<O> {
    fn drop(&mut self) {
        if !self.settled {
            // A worker panicked with the batch in hand, or the server stops without it.
            self.fail("the server stopped before the rows were stored", Kind::Unavailable, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_prefix_is_known_when_what_follows_is_not_stored() {
        let receipt = Receipt::<()>::new();
        let (first, second) = (receipt.stub(3), receipt.stub(2));
        first.stored(());
        second.failed("disk full", Kind::Unavailable, false);
        assert_eq!(receipt.settled().await.expect_err("second").stored, Some(3));
    }

    #[tokio::test]
    async fn a_hole_is_not_a_prefix() {
        let receipt = Receipt::<()>::new();
        let (first, second) = (receipt.stub(3), receipt.stub(2));
        first.failed("disk full", Kind::Unavailable, false);
        second.stored(());
        assert_eq!(receipt.settled().await.expect_err("first").stored, None);
    }

    #[tokio::test]
    async fn an_unknown_outcome_is_no_known_prefix() {
        let receipt = Receipt::<()>::new();
        receipt.stub(3).failed("connection lost in COMMIT", Kind::Unavailable, true);
        assert_eq!(receipt.settled().await.expect_err("unknown").stored, None);
    }

    #[tokio::test]
    async fn a_chunk_that_vanishes_fails_its_stream() {
        let receipt = Receipt::<()>::new();
        drop(receipt.stub(1));
        assert!(receipt.settled().await.is_err());
        assert!(receipt.has_failed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_chunk_without_rows_is_waited_for_too() {
        let receipt = Receipt::<()>::new();
        let stub = receipt.stub(0);
        let early = tokio::time::timeout(std::time::Duration::from_secs(1), receipt.settled());
        assert!(early.await.is_err());
        stub.stored(());
        assert_eq!(receipt.settled().await, Ok(0));
    }

    #[tokio::test]
    async fn what_is_passed_over_has_its_place_in_the_stream() {
        let receipt = Receipt::<()>::new();
        let (first, second) = (receipt.skipping(2).stub(3), receipt.skipping(1).stub(2));
        first.stored(());
        second.failed("disk full", Kind::Unavailable, false);
        assert_eq!(receipt.settled().await.expect_err("second").stored, Some(5));
        assert_eq!(receipt.skipped(), 2);
        let receipt = Receipt::<()>::new();
        receipt.skipping(7).stub(1).withdrawn();
        receipt.skipping(4).stub(1).stored(());
        assert_eq!((receipt.settled().await, receipt.skipped()), (Ok(5), 4));
    }

    #[tokio::test]
    async fn what_became_of_a_chunk_is_told_once() {
        let receipt = Receipt::new();
        let (first, second) = (receipt.stub(1), receipt.stub(1));
        first.stored("refused");
        assert_eq!((receipt.outcome(), receipt.outcome()), (Some("refused"), None));
        second.failed("disk full", Kind::Unavailable, false);
        assert!(receipt.settled().await.is_err());
        assert_eq!(receipt.outcome(), None);
    }

    #[tokio::test]
    async fn nothing_pushed_is_stored_at_once() {
        assert_eq!(Receipt::<()>::new().settled().await, Ok(0));
    }
}
