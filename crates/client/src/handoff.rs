//! A place for one chunk between the caller that gives rows and the task that sends them. Unlike with
//! a channel, closing it and taking what is in it are one step, so nothing is lost uncounted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::rows::Chunk;

/// The side that gives. There is one.
pub(crate) struct Giver(Arc<Place>);

/// The side that takes. There is one.
pub(crate) struct Taker(Arc<Place>);

#[derive(Default)]
struct Place {
    state: Mutex<State>,
    filled: Notify,
    emptied: Notify,
}

#[derive(Default)]
struct State {
    chunk: Option<Chunk>,
    giver_gone: bool,
    taker_gone: bool,
}

/// A new place.
pub(crate) fn handoff() -> (Giver, Taker) {
    let place = Arc::<Place>::default();
    (Giver(Arc::clone(&place)), Taker(place))
}

// === impl Place ===

impl Place {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Giver ===

impl Giver {
    /// Waits until the place is free. False: nobody takes any more.
    pub(crate) async fn room(&self) -> bool {
        loop {
            {
                let state = self.0.lock();
                if state.taker_gone || state.chunk.is_none() {
                    return !state.taker_gone;
                }
            }
            self.0.emptied.notified().await;
        }
    }

    /// Gives a chunk, or has it back when the place is not free or nobody takes it.
    pub(crate) fn give(&self, chunk: Chunk) -> Result<(), Chunk> {
        let mut state = self.0.lock();
        if state.taker_gone || state.chunk.is_some() {
            return Err(chunk);
        }
        state.chunk = Some(chunk);
        drop(state);
        self.0.filled.notify_one();
        Ok(())
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        self.0.lock().giver_gone = true;
        self.0.filled.notify_one();
    }
}

// === impl Taker ===

impl Taker {
    /// The next chunk; none when there will be no more. Dropping the future loses nothing.
    pub(crate) async fn take(&self) -> Option<Chunk> {
        loop {
            {
                let mut state = self.0.lock();
                if let Some(chunk) = state.chunk.take() {
                    drop(state);
                    self.0.emptied.notify_one();
                    return Some(chunk);
                }
                if state.giver_gone {
                    return None;
                }
            }
            self.0.filled.notified().await;
        }
    }

    /// Takes no more. What was given is answered.
    pub(crate) fn close(&self) -> Option<Chunk> {
        let mut state = self.0.lock();
        state.taker_gone = true;
        let chunk = state.chunk.take();
        drop(state);
        self.0.emptied.notify_one();
        chunk
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Drops;

    fn chunk(day: i32) -> Chunk {
        let mut drops = Drops::default();
        drops.add(day, 1);
        Chunk { rows: Vec::new(), drops }
    }

    #[tokio::test]
    async fn what_is_given_is_taken_or_given_back() {
        let (giver, taker) = handoff();
        assert!(giver.room().await);
        giver.give(chunk(1)).expect("it is free");
        assert_eq!(giver.give(chunk(2)).expect_err("it is not").drops, chunk(2).drops);
        assert_eq!(taker.take().await.expect("the first").drops, chunk(1).drops);
        assert!(giver.room().await);
        giver.give(chunk(3)).expect("it is free again");
        assert_eq!(taker.close().expect("the third").drops, chunk(3).drops);
        assert!(!giver.room().await);
        assert!(giver.give(chunk(4)).is_err());
    }

    #[tokio::test]
    async fn the_end_comes_after_what_was_given() {
        let (giver, taker) = handoff();
        giver.give(chunk(1)).expect("it is free");
        drop(giver);
        assert!(taker.take().await.is_some());
        assert!(taker.take().await.is_none());
    }
}
