//! One request of a connection: while it is unfinished, and while a service works on it.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use tally_runtime::turns::Asker;

use super::{OPEN_MAX, OPEN_OWN_MAX, State, UNFINISHED_MAX};

/// One unfinished request, until it is dropped.
///
/// tonic carries it as the request's connection information, which it clones with its services, and
/// hyper clones those in the connection's task, before it spawns the request's.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<State>);

/// One open request, until this is dropped.
#[derive(Debug)]
pub(crate) struct Open(Arc<State>);

// === impl Ticket ===

impl Ticket {
    pub(crate) fn new(state: &Arc<State>) -> Self {
        state.unfinished.fetch_add(1, SeqCst);
        Self(Arc::clone(state))
    }

    /// Begins the work on a request. None if too many are open.
    pub(crate) fn open(&self) -> Option<Open> {
        let state = &self.0;
        state.note_head();
        let own = state.open.fetch_add(1, SeqCst);
        let all = state.all.open.fetch_add(1, SeqCst);
        state.note_activity();
        let open = Open(Arc::clone(state));
        (all < OPEN_MAX || own < OPEN_OWN_MAX).then_some(open)
    }
}

impl Clone for Ticket {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.unfinished.fetch_sub(1, SeqCst) == UNFINISHED_MAX {
            self.0.reader.wake();
        }
    }
}

// === impl Open ===

impl Open {
    /// Whose turn it is when the request is worked on.
    pub(crate) fn asker(&self) -> Asker {
        Asker::connection(self.0.number)
    }

    /// A service has read so many bytes of its request.
    pub(crate) fn note_read(&self, bytes: usize) {
        self.0.note_read(bytes);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
        self.0.all.open.fetch_sub(1, SeqCst);
        self.0.note_activity();
    }
}
