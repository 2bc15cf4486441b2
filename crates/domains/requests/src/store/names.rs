//! What a batch's transaction must know about series.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::changes::Version;
use crate::model::{Named, SeriesId};

/// What a batch's transaction must know about series.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Series that the database may lack, sorted by id. They are stored before the rows, in the
    /// same transaction.
    pub new: Vec<Arc<Named>>,
    /// From ids of rows to those that they are stored with: the database has the series under another id,
    /// or it has moved.
    pub stored_as: HashMap<SeriesId, SeriesId>,
    /// The [state of the store](super::Store::state) for which this holds.
    pub state: u64,
    /// The last merge or forget that they follow.
    pub(crate) version: Version,
    /// The belief for which this holds.
    pub(crate) belief: u64,
}

// === impl Names ===

impl Names {
    /// For a store in this state.
    #[must_use]
    pub fn new(new: Vec<Arc<Named>>, state: u64) -> Self {
        Self { new, state, ..Self::default() }
    }

    /// The ids that rows are stored with, including those that were just found.
    pub(super) fn stored_as_with(
        &self,
        renumbered: &HashMap<SeriesId, SeriesId>,
    ) -> HashMap<SeriesId, SeriesId> {
        self.stored_as.iter().chain(renumbered).map(|(from, to)| (*from, *to)).collect()
    }
}
