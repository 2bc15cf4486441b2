//! The endpoints that a thread has met last: a known one costs a hash of its path and a comparison, while
//! the table of all series hashes and compares each of their fields, and checks the path first.

use std::cell::RefCell;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use crate::changes::Version;
use crate::model::{Named, Namespace};
use crate::series::KnownSeries;

/// How many: 64 KiB for each thread.
const SLOTS: usize = 4_096;

/// One in this many of those that find another one in their place takes the place. Taking it costs more
/// than a lookup saves, so it pays only for those that come again and again.
const TURN: u32 = 8;

/// Spreads the numbers of namespaces over 64 bits.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// A direct-mapped cache.
#[derive(Default)]
pub(crate) struct Recent {
    /// Which series these are, and the last merge or forget that they follow.
    of: (u64, Version),
    /// Whose endpoints are looked for. They share the places, and no other one is found.
    namespace: Namespace,
    slots: Vec<Option<Endpoint>>,
    hasher: DefaultHashBuilder,
    /// How many found another one in their place.
    displaced: u32,
}

struct Endpoint {
    method: i32,
    /// Other bits of the hash: what is not asked for is not touched.
    tag: u32,
    named: Arc<Named>,
}

thread_local! {
    static RECENT: RefCell<Recent> = RefCell::default();
}

/// Those of this thread, as far as they are among these series of a namespace.
pub(crate) fn with<T>(
    series: &KnownSeries,
    namespace: Namespace,
    then: impl FnOnce(&mut Recent) -> T,
) -> T {
    RECENT.with_borrow_mut(|recent| {
        let of = (series.number(), series.version());
        if recent.of != of {
            recent.of = of;
            recent.slots.clear();
        }
        recent.namespace = namespace;
        then(recent)
    })
}

// === impl Recent ===

impl Recent {
    /// The series of an endpoint without further fields.
    #[inline]
    pub(crate) fn find(&self, method: i32, path: &[u8]) -> Option<&Arc<Named>> {
        let (place, tag) = self.place(path);
        let endpoint = self.slots.get(place)?.as_ref()?;
        let may_be = endpoint.method == method && endpoint.tag == tag;
        let series = &endpoint.named.series;
        let is_it = may_be && series.namespace == self.namespace && series.path.as_bytes() == path;
        is_it.then_some(&endpoint.named)
    }

    /// Remembers a series that was asked for by just this method and path.
    pub(crate) fn note(&mut self, method: i32, named: &Arc<Named>) {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        let (place, tag) = self.place(named.series.path.as_bytes());
        let slot = &mut self.slots[place];
        if slot.is_some() {
            self.displaced = self.displaced.wrapping_add(1);
            if !self.displaced.is_multiple_of(TURN) {
                return;
            }
        }
        *slot = Some(Endpoint { method, tag, named: Arc::clone(named) });
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
    fn place(&self, path: &[u8]) -> (usize, u32) {
        let hash = self.hasher.hash_one(path) ^ self.namespace.0.cast_unsigned().wrapping_mul(MIX);
        (hash as usize % SLOTS, (hash >> 32) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Changes;
    use crate::model::SeriesRef;

    fn found(series: &KnownSeries, path: &str) -> bool {
        with(series, Namespace::DEFAULT, |recent| recent.find(3, path.as_bytes()).is_some())
    }

    #[test]
    fn what_comes_again_takes_the_place_of_another() {
        let series = KnownSeries::new(10);
        let place = |path: &str| {
            with(&series, Namespace::DEFAULT, |recent| recent.place(path.as_bytes()).0)
        };
        let other = (0..).map(|n| format!("/{n}")).find(|path| place(path) == place("/a"));
        let paths = ["/a", &*other.expect("there are few places")];
        let named = series.resolve(paths.map(|path| (SeriesRef::of_endpoint("GET", path), 1)));
        with(&series, Namespace::DEFAULT, |recent| recent.note(3, &named[0]));
        with(&series, Namespace::DEFAULT, |recent| recent.note(3, &named[1]));
        assert!(found(&series, paths[0]) && !found(&series, paths[1]), "it came once");
        (1..TURN)
            .for_each(|_| with(&series, Namespace::DEFAULT, |recent| recent.note(3, &named[1])));
        assert!(!found(&series, paths[0]) && found(&series, paths[1]));
    }

    #[test]
    fn only_what_these_series_have_now_is_found() {
        let (series, other) = (KnownSeries::new(100), KnownSeries::new(100));
        let named = series.resolve([(SeriesRef::of_endpoint("GET", "/a"), 1)]).remove(0);
        with(&series, Namespace::DEFAULT, |recent| recent.note(3, &named));
        assert!(found(&series, "/a"));
        assert!(with(&series, Namespace(1), |recent| recent.find(3, b"/a").is_none()));
        assert!(with(&series, Namespace::DEFAULT, |recent| recent.find(4, b"/a").is_none()));
        assert!(!found(&other, "/a"), "of another server in this program");
        assert!(!found(&series, "/a"), "the other one took the place");
        with(&series, Namespace::DEFAULT, |recent| recent.note(3, &named));
        let version = Version { seq: 1, ..series.version() };
        series.follow_changes(Changes { version, ..Changes::default() });
        assert!(!found(&series, "/a"), "from before a merge or a forget");
    }
}
