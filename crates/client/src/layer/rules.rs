//! Which requests are counted, and under what.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::pending::{Begun, Pending};
use super::{Head, UNMATCHED, status};
use crate::{Method, Queue, SeriesKey};

type NameFn = dyn for<'r> Fn(Head<'r>) -> Option<Cow<'r, str>> + Send + Sync;
type SkipFn = dyn for<'r> Fn(Head<'r>) -> bool + Send + Sync;

/// What a layer does with a request. Clones share it, because axum clones services per request.
#[derive(Clone)]
pub(super) struct Rules {
    queue: Queue,
    pub(super) path: Option<Arc<NameFn>>,
    pub(super) customer: Option<Arc<NameFn>>,
    pub(super) skip: Option<Arc<SkipFn>>,
    pub(super) raw_path: bool,
    /// Not empty.
    pub(super) unmatched: Arc<str>,
    /// Requests without a route, until one has a route.
    routeless: Arc<AtomicU32>,
}

/// After this many requests without a route, warn.
const ROUTELESS: u32 = 100;

/// The question is settled. Threads that looked earlier may still add to this.
const KNOWN: u32 = 1 << 31;

const HINT: &str = if cfg!(feature = "axum") {
    "Only axum 0.8 provides routes, and only to layers added with Router::layer; otherwise use \
     CountLayer::path or CountLayer::raw_path"
} else {
    "Enable the feature `axum` of tally-client, or use CountLayer::path or CountLayer::raw_path"
};

/// Counts a request without its path if a closure panics, so the sum stays exact.
struct OnClosurePanic<'r> {
    rules: &'r Rules,
    method: Method,
    status: u16,
}

// === impl Rules ===

impl Rules {
    pub(super) fn new(queue: Queue) -> Self {
        Rules {
            queue,
            path: None,
            customer: None,
            skip: None,
            raw_path: false,
            unmatched: UNMATCHED.into(),
            routeless: Arc::default(),
        }
    }

    /// Counts a request without a status, or notes that it is skipped.
    pub(super) fn count(&self, head: Head<'_>) {
        if let Some(Begun { series, .. }) = self.begun(head, false) {
            self.queue.record_or_drop(series);
        }
    }

    /// Begins to count a request. None: it is skipped, or the queue is closed.
    pub(super) fn begin(&self, head: Head<'_>) -> Option<Pending> {
        Pending::begin(&self.queue, self.begun(head, true)?)
    }

    /// What a request counts as before its answer, if that is waited for. None: it is skipped.
    fn begun(&self, head: Head<'_>, is_answered: bool) -> Option<Begun> {
        let is_grpc = head.is_grpc();
        let method = if is_grpc { Method::GRPC } else { Method::from(head.method) };
        let if_panics = if is_answered { status::FAILED } else { status::NOT_KNOWN };
        let on_panic = OnClosurePanic { rules: self, method, status: if_panics };
        if self.skip.as_ref().is_some_and(|skip| skip(head)) {
            std::mem::forget(on_panic);
            self.queue.note_skipped();
            return None;
        }
        // Without a closure these stay without a value, because to move an empty one takes some ns.
        let (named, on_behalf_of);
        let chosen = match &self.path {
            Some(path) => {
                named = path(head);
                named.as_deref()
            }
            None => None,
        };
        let customer = match &self.customer {
            Some(customer) => {
                on_behalf_of = customer(head);
                on_behalf_of.as_deref()
            }
            None => None,
        };
        std::mem::forget(on_panic);
        let path = match chosen {
            Some(path) => Some(path),
            None if is_grpc => Some(head.path()),
            None => self.routed(head),
        };
        if self.routeless.load(Ordering::Relaxed) < ROUTELESS {
            self.look(path.is_some());
        }
        let path = path.filter(|path| !path.is_empty()).unwrap_or(&self.unmatched);
        let customer = customer.map_or("", |name| self.queue.customer(name));
        let service = self.queue.service();
        let key = SeriesKey { service, method, path, status: 0, customer };
        if is_grpc && is_answered && chosen.is_none() && !self.raw_path {
            let known = self.queue.known(key);
            return Some(known.map_or_else(|| self.unconfirmed(head, key), Begun::grpc));
        }
        Some(Begun { series: self.queue.series(key), is_grpc, unconfirmed: None })
    }

    /// A call of a path that the client may have invented: its answer confirms it.
    #[cold]
    fn unconfirmed(&self, head: Head<'_>, key: SeriesKey<'_>) -> Begun {
        let path = self.routed(head).unwrap_or(&self.unmatched);
        let unconfirmed = Some(Box::new(head.original_uri().clone()));
        Begun { unconfirmed, ..Begun::grpc(self.queue.series(SeriesKey { path, ..key })) }
    }

    fn routed<'r>(&self, head: Head<'r>) -> Option<&'r str> {
        head.route().or_else(|| self.raw_path.then(|| head.path()))
    }

    #[cold]
    fn look(&self, routed: bool) {
        if routed {
            self.routeless.store(KNOWN, Ordering::Relaxed);
        } else if self.routeless.fetch_add(1, Ordering::Relaxed) + 1 == ROUTELESS {
            self.routeless.store(KNOWN, Ordering::Relaxed);
            tracing::warn!(
                counted_as = &*self.unmatched,
                requests = ROUTELESS,
                "no request had a route so far. {HINT}"
            );
        }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Rules").finish_non_exhaustive()
    }
}

// === impl OnClosurePanic ===

impl Drop for OnClosurePanic<'_> {
    fn drop(&mut self) {
        let OnClosurePanic { rules: Rules { queue, unmatched, .. }, method, status } = self;
        let (service, status) = (queue.service(), *status);
        let key = SeriesKey { service, method: *method, path: unmatched, status, customer: "" };
        queue.record_or_drop(queue.series(key));
    }
}

#[cfg(test)]
mod tests;
