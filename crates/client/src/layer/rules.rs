//! What is counted, and under which path.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Head, UNMATCHED};
use crate::{Method, Queue};

type PathFn = dyn for<'r> Fn(Head<'r>) -> Option<Cow<'r, str>> + Send + Sync;
type SkipFn = dyn for<'r> Fn(Head<'r>) -> bool + Send + Sync;

/// What a layer does with a request. All clones of a layer and its services share one, so that
/// a clone of a service, which axum makes for every request, costs one reference count.
#[derive(Clone)]
pub(super) struct Rules {
    queue: Queue,
    pub(super) path: Option<Arc<PathFn>>,
    pub(super) skip: Option<Arc<SkipFn>>,
    pub(super) raw_path: bool,
    /// Not empty.
    pub(super) unmatched: Arc<str>,
    routes: Routes,
}

/// Finds out whether a layer sees any route at all.
struct Routes(AtomicU32);

/// So many requests without a route, and none with one, are a mistake.
const ROUTELESS: u32 = 100;

/// What helps then.
const HINT: &str = if cfg!(feature = "axum") {
    "Only axum 0.8 tells routes, and only to a layer that is put there by Router::layer; elsewhere \
     say CountLayer::path or CountLayer::raw_path"
} else {
    "Enable the feature `axum` of tally-client, or say CountLayer::path or CountLayer::raw_path"
};

/// Counts a request without its path when a closure panics on it, so that the sum stays exact.
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
            routes: Routes::default(),
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
        self.routes.note(path.is_some(), &self.unmatched);
        self.record(method, path);
    }

    fn record(&self, method: Method, path: Option<&str>) {
        let path = path.filter(|path| !path.is_empty()).unwrap_or(&self.unmatched);
        let endpoint = self.queue.endpoint(method, path);
        self.queue.record_or_drop(endpoint);
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Rules")
            .field("path", &self.path.is_some())
            .field("skip", &self.skip.is_some())
            .field("raw_path", &self.raw_path)
            .field("unmatched", &self.unmatched)
            .finish_non_exhaustive()
    }
}

// === impl Routes ===

impl Routes {
    /// There is nothing more to find out. So many more may still be added.
    const KNOWN: u32 = 1 << 31;

    #[inline]
    fn note(&self, routed: bool, unmatched: &str) {
        if self.0.load(Ordering::Relaxed) < ROUTELESS {
            self.look(routed, unmatched);
        }
    }

    #[cold]
    fn look(&self, routed: bool, unmatched: &str) {
        if routed {
            self.0.store(Self::KNOWN, Ordering::Relaxed);
        } else if self.0.fetch_add(1, Ordering::Relaxed) + 1 == ROUTELESS {
            self.0.store(Self::KNOWN, Ordering::Relaxed);
            tracing::warn!(
                counted_as = unmatched,
                requests = ROUTELESS,
                "no request had a route so far. {HINT}"
            );
        }
    }
}

impl Default for Routes {
    fn default() -> Self {
        Self(AtomicU32::new(0))
    }
}

impl Clone for Routes {
    /// A layer with other rules begins anew.
    fn clone(&self) -> Self {
        Self::default()
    }
}

// === impl OnPanic ===

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        self.rules.record(self.method, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread may have looked before another one knew.
    #[test]
    fn what_is_known_stays_known() {
        for routed in [true, false] {
            let routes = Routes::default();
            (0..ROUTELESS).for_each(|_| routes.look(routed, "_unmatched"));
            (0..1_000).for_each(|_| routes.look(false, "_unmatched"));
            assert!(routes.0.load(Ordering::Relaxed) >= Routes::KNOWN);
        }
    }
}
