//! One request of a connection: while it is unfinished, and while a service works on it.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, OnceLock};

use tally_runtime::turns::Asker;

use super::{
    Data, OPEN_MAX, OPEN_OF_ANYONE_MAX, OPEN_OWN_MAX, State, TICKETS_OWN_MAX, UNFINISHED_MAX,
};

/// One unfinished request, until it is dropped.
///
/// tonic carries it as the request's connection information, of which it keeps one for the connection, and
/// which it clones with its services; hyper clones those in the connection's task, before it spawns the
/// request's.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<State>);

/// One open request, until this is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    state: Arc<State>,
    /// In whose place it is; none until its caller is known, and beyond the limit.
    place: OnceLock<Whose>,
}

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Somebody's who may make it.
    Caller,
    /// Anyone's: it needs no key where others do.
    Anyone,
}

// === impl Ticket ===

impl Ticket {
    pub(crate) fn new(state: &Arc<State>) -> Self {
        if state.unfinished.fetch_add(1, SeqCst) >= TICKETS_OWN_MAX {
            state.all.unfinished.fetch_add(1, SeqCst);
        }
        Self(Arc::clone(state))
    }

    /// Begins the work on a request.
    pub(crate) fn open(&self) -> Open {
        let state = &self.0;
        state.note_head();
        state.open.fetch_add(1, SeqCst);
        state.note_activity();
        Open { state: Arc::clone(state), place: OnceLock::new() }
    }
}

impl Clone for Ticket {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let before = self.0.unfinished.fetch_sub(1, SeqCst);
        if before > TICKETS_OWN_MAX {
            self.0.all.unfinished.fetch_sub(1, SeqCst);
        }
        if before == UNFINISHED_MAX {
            self.0.reader.wake();
        }
    }
}

// === impl Open ===

impl Open {
    /// Takes its place among those of all connections. False if there is none.
    pub(crate) fn take_place(&self, whose: Whose) -> bool {
        let (own, all, max) = self.places(whose);
        let (taken, taken_own) = (all.fetch_add(1, SeqCst), own.fetch_add(1, SeqCst));
        let has_place = taken < max || taken_own < OPEN_OWN_MAX;
        if !has_place || self.place.set(whose).is_err() {
            all.fetch_sub(1, SeqCst);
            own.fetch_sub(1, SeqCst);
        }
        has_place
    }

    pub(crate) fn has_place(&self) -> bool {
        self.place.get().is_some()
    }

    /// It has an answer.
    pub(crate) fn note_answer(&self) {
        if self.place.get() == Some(&Whose::Caller) {
            self.state.was_served.store(true, SeqCst);
        }
    }

    /// The places of its connection, those of all, and how many these are.
    fn places(&self, whose: Whose) -> (&AtomicUsize, &AtomicUsize, usize) {
        let (own, all) = (&self.state, &self.state.all);
        match whose {
            Whose::Caller => (&own.of_callers, &all.of_callers, OPEN_MAX),
            Whose::Anyone => (&own.of_anyone, &all.of_anyone, OPEN_OF_ANYONE_MAX),
        }
    }

    /// Whose turn it is when the request is worked on.
    pub(crate) fn asker(&self) -> Asker {
        Asker::connection(self.state.number)
    }

    /// A service has read this of its request.
    pub(crate) fn note_read(&self, data: Data) {
        self.state.note_read(data);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(whose) = self.place.get() {
            let (own, all, _) = self.places(*whose);
            all.fetch_sub(1, SeqCst);
            own.fetch_sub(1, SeqCst);
        }
        self.state.open.fetch_sub(1, SeqCst);
        self.state.note_activity();
    }
}
