//! A question about totals, and its answer in order.
//!
//! | file | what it owns |
//! |---|---|
//! | `after.rs` | the rest of an answer, after a total that a client has |
//! | `cache.rs` | a cache of the days that queries have read in pieces |
//! | `cells.rs` | the counts of an answer while they are added up |
//! | `collector.rs` | from what a store finds to an answer |
//! | `compact.rs` | an answer in little memory, while a slow client reads it |
//! | `day_reader.rs` | days that are cut, as a store reads their quarters |
//! | `group.rs` | what totals are grouped by, and the groups of series |
//! | `limit.rs` | the first totals of an answer |
//! | `pieces.rs` | what series have in the pieces of a day that is cut |
//! | `plan.rs` | which months and days a store reads, and which period each of them is in |
//! | `pruned.rs` | days that a query cuts although their quarters are gone |
//! | `status.rs` | statuses as people write them |

mod after;
mod cache;
mod cells;
mod collector;
mod compact;
mod day_reader;
mod group;
mod limit;
mod pieces;
mod plan;
mod pruned;
mod status;

use std::sync::Arc;

use hashbrown::HashSet;
use tally_runtime::Kind;

pub(crate) use self::after::After;
pub(crate) use self::cache::{PieceCache, Stamp};
pub(crate) use self::collector::Collector;
pub(crate) use self::compact::{Compact, GroupRef, Place};
pub(crate) use self::group::Groups;
pub use self::group::{Group, GroupBy};
pub(crate) use self::limit::{LimitOrder, Omitted};
pub(crate) use self::plan::{DaysToRead, Plan, Span};
pub(crate) use self::pruned::Pruned;
pub use self::status::StatusIs;
use crate::model::{DayRange, Namespace, SeriesRef};
use crate::periods::{Granularity, Label, QuarterRange, Zone};

/// Which series are asked for. What is empty lets all through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Whose books.
    pub namespace: Namespace,
    /// Only these services.
    pub services: HashSet<String>,
    /// Only these methods.
    pub methods: HashSet<String>,
    /// Only paths that begin with this, byte by byte.
    pub path_prefix: String,
    /// Only these paths.
    pub paths: HashSet<String>,
    /// Only these statuses, or the classes below.
    pub statuses: HashSet<u16>,
    /// Only these classes of statuses, or the statuses above.
    pub status_classes: HashSet<u8>,
    /// Only these customers.
    pub customers: HashSet<String>,
}

/// A question about totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// From when to when.
    pub range: QuarterRange,
    /// What it is summed by.
    pub granularity: Granularity,
    /// Whose calendar the periods are of.
    pub zone: Zone,
    /// Which series.
    pub filter: Filter,
    /// What totals are told apart by.
    pub group_by: Vec<GroupBy>,
    /// Whether what is not rolled up is added.
    pub live: bool,
    /// Whether corrections are added beside the counts: without `live`, those of rolled-up days.
    pub with_corrections: bool,
    /// Whether all groups are summed.
    pub sum: bool,
    /// How many totals the answer may have.
    pub totals_max: usize,
    /// Return only this many totals, the first in this order. The service applies it to what the
    /// store finds.
    pub limit: Option<(usize, LimitOrder)>,
}

/// Queries whose answers agree with each other, because one snapshot has them all.
#[derive(Clone)]
pub(crate) struct Questions {
    /// Those that are asked first.
    pub(crate) first: Vec<Query>,
    /// Those that their answers lead to.
    pub(crate) then: Arc<Then>,
}

/// From answers to the queries that they lead to.
pub(crate) type Then = dyn Fn(&[Totals]) -> Vec<Query> + Send + Sync;

/// The totals of one period, in the order of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodTotals {
    /// The period.
    pub label: Label,
    /// Positions in [`Totals::groups`] and counts. A sum of all groups is one count.
    pub counts: Vec<(u32, i64)>,
    /// The same for corrections, which no count has in it. Each group has a count as well, if only 0.
    pub corrections: Vec<(u32, i64)>,
}

/// An answer, in order of period and group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// The groups that the totals refer to, by path, method, service, status and customer.
    pub groups: Vec<Group>,
    /// The periods that have requests.
    pub periods: Vec<PeriodTotals>,
    /// How many requests of these days clients have reported as dropped, over all series; of 2^63-1, at
    /// least as many.
    pub dropped: i64,
    /// How many series have no name in the dictionary: they are `_unknown`.
    pub unnamed: usize,
    /// What the query's limit leaves out.
    pub omitted: Option<Omitted>,
}

/// How many bytes of texts an answer may have for each total allowed, but at least the constant
/// below.
pub(crate) const TEXT_BYTES_FACTOR: usize = 64;
const TEXT_BYTES_LEAST: usize = 1 << 20;

/// More totals than the query allows, or longer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer has too many totals, or names that are too long")]
pub struct TooMany;

// === impl Filter ===

impl Filter {
    /// Whether it lets all series of the namespace through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self { namespace: self.namespace, ..Self::default() }
    }

    /// Whether it lets this series through.
    pub(crate) fn lets_through(&self, series: &SeriesRef<'_>) -> bool {
        let any = |of: &HashSet<String>, text| of.is_empty() || of.contains(text);
        series.namespace == self.namespace
            && any(&self.services, series.service)
            && any(&self.methods, series.method)
            && any(&self.paths, series.path)
            && any(&self.customers, series.customer)
            && series.path.as_bytes().starts_with(self.path_prefix.as_bytes())
            && ((self.statuses.is_empty() && self.status_classes.is_empty())
                || self.statuses.contains(&series.status)
                || self.status_classes.contains(&series.status_class()))
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            namespace: Namespace::DEFAULT,
            services: HashSet::new(),
            methods: HashSet::new(),
            path_prefix: String::new(),
            paths: HashSet::new(),
            statuses: HashSet::new(),
            status_classes: HashSet::new(),
            customers: HashSet::new(),
        }
    }
}

// === impl Query ===

impl Query {
    /// The days of UTC that the range touches.
    #[must_use]
    pub fn days(&self) -> DayRange {
        self.range.days()
    }

    /// What totals are told apart by: nothing, if all are summed.
    fn groups_by(&self) -> &[GroupBy] {
        if self.sum { &[] } else { &self.group_by }
    }
}

// === impl PeriodTotals ===

impl PeriodTotals {
    /// The sum of its counts, within 64 bits.
    pub(crate) fn sum(&self) -> i64 {
        self.counts.iter().fold(0, |sum: i64, (_, count)| sum.saturating_add(*count))
    }
}

// === impl TooMany ===

impl From<TooMany> for tally_store::Error {
    fn from(too_many: TooMany) -> Self {
        Self::permanent("read totals", Kind::ResourceExhausted).because(too_many)
    }
}

// === impl Totals ===

impl Totals {
    /// The sum of all counts, within 64 bits.
    #[must_use]
    pub fn sum(&self) -> i64 {
        self.periods.iter().fold(0, |sum: i64, period| sum.saturating_add(period.sum()))
    }
}

#[cfg(test)]
mod tests;
