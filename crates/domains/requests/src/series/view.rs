//! Looking series up.

use std::sync::Arc;

use arc_swap::Guard;

use super::{KnownSeries, Shards, shard_index};
use crate::model::{Named, SeriesRef};

/// What is known at one moment. It is not kept for long: it does not follow what is added.
pub(crate) struct View<'a> {
    pub(super) series: &'a KnownSeries,
    pub(super) shards: Guard<Arc<Shards>>,
}

// === impl View ===

impl View<'_> {
    /// Looks up a known series.
    #[inline]
    pub(crate) fn find(&self, series: SeriesRef<'_>) -> Option<&Arc<Named>> {
        let hash = self.series.hash(series);
        self.shards[shard_index(hash)].find(hash, |named| series.is(&named.series))
    }
}
