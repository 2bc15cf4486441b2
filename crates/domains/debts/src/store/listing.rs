//! Which debts are listed, and in what order.

use jiff::Timestamp;
use tally_runtime::Namespace;

use crate::model::Debt;
use crate::state::{Standing, Status};

/// Which debts are listed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listing {
    pub(crate) namespace: Namespace,
    /// Empty: all.
    pub(crate) statuses: Vec<Status>,
    pub(crate) tags: Vec<String>,
    /// In lower case.
    pub(crate) search: String,
    /// In order of their slugs alone, so that a walk through all pages misses none, whatever becomes of them
    /// meanwhile. Otherwise the overdue ones come first, then the late ones.
    pub(crate) by_slug: bool,
    /// The rank and the slug of the last one.
    pub(crate) after: Option<Place>,
    pub(crate) limit: usize,
}

/// Where a debt stands in a list: its rank and its slug.
pub(crate) type Place = (u8, String);

// === impl Listing ===

impl Listing {
    /// The statuses that are asked for, each once.
    pub(super) fn each_status(&self) -> impl Iterator<Item = Status> {
        let all = [Status::New, Status::Up, Status::Down, Status::Paused];
        all.into_iter().filter(|one| self.statuses.is_empty() || self.statuses.contains(one))
    }

    /// Where a debt stands in it, as the database orders them.
    pub(crate) fn place(&self, debt: &Debt, now: Timestamp) -> Place {
        let rank = match debt.state.standing(now) {
            _ if self.by_slug => 2,
            Standing::Down => 0,
            Standing::Late => 1,
            Standing::New | Standing::Up | Standing::Paused => 2,
        };
        (rank, debt.definition.slug.clone())
    }
}
