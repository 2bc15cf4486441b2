//! Days that are cut, as a store reads their quarters.

use std::sync::Arc;

use super::cache::{CacheUse, PieceCache, Stamp};
use super::pieces::{Cut, PiecesBuilder};
use super::{Plan, TooMany};
use crate::model::{Day, SeriesId};

/// Takes days apart into their pieces, and adds these to the cache.
#[derive(Debug)]
pub(super) struct DayReader {
    pub(super) cache_use: CacheUse,
    /// The day whose quarters are read.
    day: Option<Reading>,
}

/// A day that is read by quarters.
#[derive(Debug)]
struct Reading {
    day: Day,
    cut: Cut,
    /// What is to be cached of it, and its stamp.
    builder: Option<(Stamp, PiecesBuilder)>,
}

// === impl DayReader ===

impl DayReader {
    pub(super) fn new(cache: &Arc<PieceCache>) -> Self {
        Self { cache_use: CacheUse::new(cache), day: None }
    }

    /// Reads the quarters of a series, and adds them to the periods of their pieces if `add` is given. The
    /// rows of a day come together, by series.
    pub(super) fn read(
        &mut self,
        plan: &Plan,
        day: Day,
        series: SeriesId,
        quarters: &[u8],
        add: Option<impl FnMut(u32, i64) -> Result<(), TooMany>>,
    ) -> Result<(), tally_store::Error> {
        if self.day.as_ref().is_none_or(|reading| reading.day != day) {
            self.end_day();
            let builder = self.cache_use.builder(day);
            let cut = Cut::of(&plan.of_quarters(day));
            self.day = Some(Reading { day, cut, builder });
        }
        let Some(Reading { cut, builder, .. }) = &mut self.day else { return Ok(()) };
        if add.is_none() && builder.is_none() {
            return Ok(());
        }
        let sums = match cut.sums(quarters) {
            Ok(sums) => sums,
            // What is not asked for stops no answer.
            Err(_) if add.is_none() => {
                *builder = None;
                return Ok(());
            }
            Err(malformed) => return Err(malformed.into()),
        };
        let sums = &sums[..cut.len()];
        if let Some((_, builder)) = builder {
            builder.push(series, sums);
        }
        if let Some(mut add) = add {
            for (period, sum) in cut.in_periods(sums.iter().copied()) {
                add(period, sum)?;
            }
        }
        Ok(())
    }

    fn end_day(&mut self) {
        if let Some(Reading { day, cut, builder: Some((stamp, builder)) }) = self.day.take() {
            self.cache_use.take(day, cut.cuts, stamp, builder);
        }
    }

    /// Everything is read.
    pub(super) fn end(mut self) {
        self.end_day();
        self.cache_use.end();
    }
}
