//! The endpoints that a thread has met last: a known one costs a hash of its path and a comparison, while
//! the table of all series hashes and compares each of their fields, and checks the path first.

use std::cell::RefCell;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use crate::changes::Version;
use crate::model::Named;
use crate::series::KnownSeries;

/// How many: 64 KiB for each thread.
const SLOTS: usize = 4_096;

/// A direct-mapped cache.
#[derive(Default)]
pub(crate) struct Recent {
    /// Which series these are, and the last merge or forget that they follow.
    of: (u64, Version),
    slots: Vec<Option<Endpoint>>,
    hasher: DefaultHashBuilder,
}

struct Endpoint {
    method: i32,
    named: Arc<Named>,
}

thread_local! {
    static RECENT: RefCell<Recent> = RefCell::default();
}

/// Those of this thread, as far as they are among these series.
pub(crate) fn with<T>(series: &KnownSeries, then: impl FnOnce(&mut Recent) -> T) -> T {
    RECENT.with_borrow_mut(|recent| {
        let of = (series.number(), series.version());
        if recent.of != of {
            recent.of = of;
            recent.slots.clear();
        }
        then(recent)
    })
}

// === impl Recent ===

impl Recent {
    /// The series of an endpoint without further fields.
    #[inline]
    pub(crate) fn find(&self, method: i32, path: &[u8]) -> Option<&Arc<Named>> {
        let endpoint = self.slots.get(self.place(path))?.as_ref()?;
        let is_it = endpoint.method == method && endpoint.named.series.path.as_bytes() == path;
        is_it.then_some(&endpoint.named)
    }

    /// Remembers a series that was asked for by just this method and path.
    pub(crate) fn note(&mut self, method: i32, named: &Arc<Named>) {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        let place = self.place(named.series.path.as_bytes());
        self.slots[place] = Some(Endpoint { method, named: Arc::clone(named) });
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
    fn place(&self, path: &[u8]) -> usize {
        self.hasher.hash_one(path) as usize % SLOTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Changes;
    use crate::model::SeriesRef;

    fn found(series: &KnownSeries, path: &str) -> bool {
        with(series, |recent| recent.find(3, path.as_bytes()).is_some())
    }

    #[test]
    fn only_what_these_series_have_now_is_found() {
        let (series, other) = (KnownSeries::new(100), KnownSeries::new(100));
        let named = series.resolve([(SeriesRef::of_endpoint("GET", "/a"), 1)]).remove(0);
        with(&series, |recent| recent.note(3, &named));
        assert!(found(&series, "/a"));
        assert!(with(&series, |recent| recent.find(4, b"/a").is_none()));
        assert!(!found(&other, "/a"), "of another server in this program");
        assert!(!found(&series, "/a"), "the other one took the place");
        with(&series, |recent| recent.note(3, &named));
        let version = Version { seq: 1, ..series.version() };
        series.follow_changes(Changes { version, ..Changes::default() });
        assert!(!found(&series, "/a"), "from before a merge or a forget");
    }
}
