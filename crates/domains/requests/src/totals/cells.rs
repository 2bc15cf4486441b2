//! The counts of an answer while they are added up: one for each period and group.

use hashbrown::HashMap;

use super::TooMany;

/// Cells that are worth a place each, even if the answer may have fewer totals: half a MiB.
const DENSE_LEAST: usize = 1 << 16;
/// Beyond this, only cells that have counts get a place: 64 MiB.
const DENSE_MAX: usize = 1 << 23;

/// Sums saturate at 64 bits.
#[derive(Debug)]
pub(super) enum Cells {
    /// A place for each cell, by period.
    Dense { counts: Vec<i64>, groups: usize },
    /// Those that have counts, by period and group; at most `max`.
    Sparse { counts: HashMap<(u32, u32), i64>, max: usize },
}

// === impl Cells ===

impl Cells {
    /// For at most `max` totals.
    pub(super) fn new(periods: usize, groups: usize, max: usize) -> Self {
        let dense_max = max.saturating_mul(2).clamp(DENSE_LEAST, DENSE_MAX);
        match periods.checked_mul(groups) {
            Some(cells) if cells <= dense_max => Self::Dense { counts: vec![0; cells], groups },
            _ => Self::Sparse { counts: HashMap::new(), max },
        }
    }

    pub(super) fn add(&mut self, period: u32, group: u32, count: i64) -> Result<(), TooMany> {
        match self {
            Self::Dense { counts, groups } => {
                let cell = &mut counts[period as usize * *groups + group as usize];
                *cell = cell.saturating_add(count);
            }
            Self::Sparse { counts, max } => {
                let cell = counts.entry((period, group)).or_default();
                *cell = cell.saturating_add(count);
                if counts.len() > *max {
                    return Err(TooMany);
                }
            }
        }
        Ok(())
    }

    /// Period, group and count of each cell that has a count, in no order.
    pub(super) fn into_totals(self, max: usize) -> Result<Vec<(u32, u32, i64)>, TooMany> {
        let mut totals = Vec::new();
        match self {
            Self::Dense { groups: 0, .. } => {}
            Self::Dense { counts, groups } => {
                let len = counts.iter().filter(|count| **count != 0).count();
                if len > max {
                    return Err(TooMany);
                }
                // Otherwise it grows to up to three times as much.
                totals.reserve_exact(len);
                for (period, counts) in (0..).zip(counts.chunks(groups)) {
                    let cells = (0..).zip(counts).filter(|(_, count)| **count != 0);
                    totals.extend(cells.map(|(group, count)| (period, group, *count)));
                }
            }
            Self::Sparse { counts, .. } => {
                totals.extend(counts.into_iter().map(|((period, group), n)| (period, group, n)));
            }
        }
        Ok(totals)
    }
}
