//! Which requests are counted, and under which path.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Head, UNMATCHED};
use crate::{Method, Queue};

type PathFn = dyn for<'r> Fn(Head<'r>) -> Option<Cow<'r, str>> + Send + Sync;
type SkipFn = dyn for<'r> Fn(Head<'r>) -> bool + Send + Sync;

/// What a layer does with a request. Clones share it, because axum clones services per request.
#[derive(Clone)]
pub(super) struct Rules {
    queue: Queue,
    pub(super) path: Option<Arc<PathFn>>,
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
struct OnPanic<'r> {
    rules: &'r Rules,
    method: Method,
}

// === impl Rules ===

impl Rules {
    pub(super) fn new(queue: Queue) -> Self {
        Rules {
            queue,
            path: None,
            skip: None,
            raw_path: false,
            unmatched: UNMATCHED.into(),
            routeless: Arc::default(),
        }
    }

    /// Counts a request, or notes that it is skipped.
    pub(super) fn count(&self, head: Head<'_>) {
        let is_grpc = head.is_grpc();
        let method = if is_grpc { Method::GRPC } else { Method::from(head.method) };
        let on_panic = OnPanic { rules: self, method };
        let skipped = self.skip.as_ref().is_some_and(|skip| skip(head));
        let chosen = match &self.path {
            Some(path) if !skipped => path(head),
            _ => None,
        };
        std::mem::forget(on_panic);
        if skipped {
            self.queue.note_skipped();
            return;
        }
        let path = match &chosen {
            Some(path) => Some(&**path),
            None if is_grpc => Some(head.path()),
            None => head.route().or_else(|| self.raw_path.then(|| head.path())),
        };
        if self.routeless.load(Ordering::Relaxed) < ROUTELESS {
            self.look(path.is_some());
        }
        self.record(method, path);
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

    fn record(&self, method: Method, path: Option<&str>) {
        let path = path.filter(|path| !path.is_empty()).unwrap_or(&self.unmatched);
        let endpoint = self.queue.endpoint(method, path);
        self.queue.record_or_drop(endpoint);
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Rules").finish_non_exhaustive()
    }
}

// === impl OnPanic ===

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        self.rules.record(self.method, None);
    }
}

#[cfg(test)]
mod tests;
