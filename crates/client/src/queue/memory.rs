//! The in-memory queue.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::builder::CUSTOMERS_MAX;
use super::{Limits, Shared};
use crate::error::Refusal;
use crate::queue::shards::Shards;
use crate::rows::Row;
use crate::series::Table;
use crate::settings::{SERIES_MAX, Settings};
use crate::{Method, SeriesKey};

/// How many requests wait before they are added up.
const REQUESTS_MAX: usize = 100_000;

/// An exclusive limit for the numbers of this queue's series.
const NUMBERS_MAX: u32 = 2 * SERIES_MAX as u32;

/// Counts by the series' number.
#[derive(Default)]
pub(super) struct Memory(Mutex<Vec<u64>>);

pub(super) fn shared() -> Shared {
    let settings = Settings::new("");
    let limits = Limits { queue_rows_max: REQUESTS_MAX, customers_max: CUSTOMERS_MAX };
    Shared::new(&settings, limits, "", Arc::new(Table::new(SERIES_MAX)), None)
}

pub(super) fn series_counts(shared: &Shared) -> Vec<(SeriesKey<'_>, u64)> {
    if shared.driver.is_some() {
        return Vec::new();
    }
    let counts = shared.memory.add_up(&shared.shards);
    let counted = (0..).zip(counts.iter().copied()).filter(|(_, count)| *count > 0);
    counted.map(|(series, count)| (shared.table.key(series), count)).collect()
}

pub(super) fn counts(shared: &Shared) -> BTreeMap<(Method, String), u64> {
    let mut named = BTreeMap::new();
    for (SeriesKey { method, path, .. }, count) in series_counts(shared) {
        *named.entry((method, path.to_owned())).or_default() += count;
    }
    named
}

// === impl Memory ===

impl Memory {
    /// Adds up what waits, to make room for this one.
    pub(super) fn record(&self, shards: &Shards, row: Row) -> Result<(), Refusal> {
        loop {
            let _counts = self.add_up(shards);
            match shards.record(row) {
                // Other threads took the room.
                Err(Refusal::Full) => {}
                recorded => return recorded,
            }
        }
    }

    pub(super) fn add_up(&self, shards: &Shards) -> MutexGuard<'_, Vec<u64>> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for row in shards.take(REQUESTS_MAX, 0).rows {
            // Another queue's series counts as the last resort.
            let at = Some(row.series.0).filter(|at| *at < NUMBERS_MAX);
            let at = at.unwrap_or(Table::LAST_RESORT) as usize;
            if counts.len() <= at {
                counts.resize(at + 1, 0);
            }
            counts[at] += u64::from(row.requests);
        }
        counts
    }
}
