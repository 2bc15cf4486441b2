//! Payments that are received and not stored yet, so that no sweep judges what they may settle.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

type Counts = BTreeMap<Timestamp, usize>;

/// When the payments were received that this server holds: while they wait, and as long as the database may
/// take to store them. Clones share everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held(Arc<Mutex<Counts>>);

/// Some payments are held until this is dropped.
#[derive(Debug)]
pub(crate) struct Holding {
    held: Held,
    since: Timestamp,
}

// === impl Held ===

impl Held {
    /// Holds payments of which the first one was received then.
    pub(crate) fn since(&self, received: Timestamp) -> Holding {
        *self.lock().entry(received).or_default() += 1;
        Holding { held: self.clone(), since: received }
    }

    /// When the first one of all was received.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.lock().keys().next().copied()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut counts = self.held.lock();
        if let Some(count) = counts.get_mut(&self.since) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.since);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_held_until_all_of_its_time_are_stored() {
        let held = Held::default();
        let at = |second| Timestamp::constant(second, 0);
        let (first, second, again) = (held.since(at(2)), held.since(at(1)), held.since(at(1)));
        assert_eq!(held.oldest(), Some(at(1)));
        drop(second);
        assert_eq!(held.oldest(), Some(at(1)));
        drop(again);
        assert_eq!(held.oldest(), Some(at(2)));
        drop(first);
        assert_eq!(held.oldest(), None);
    }
}
