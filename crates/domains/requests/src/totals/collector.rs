//! From what a store finds, in any order, to an answer.

use std::sync::Arc;

use hashbrown::HashSet;
use tally_runtime::Kind;

use super::cache::{PIECES_MAX, PieceCache, Stamp};
use super::cells::Cells;
use super::day_reader::DayReader;
use super::pieces::Cut;
use super::plan::NONE;
use super::{
    Group, Groups, PeriodTotals, Plan, Query, TEXT_BYTES_FACTOR, TEXT_BYTES_LEAST, TooMany, Totals,
};
use crate::error::{Error, refused};
use crate::model::{Day, Quarter, SeriesId};
use crate::packed;

/// Adds up counts by period and group.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) plan: Plan,
    groups: Groups,
    cells: Cells,
    /// The same of corrections.
    corrections: Cells,
    is_sum: bool,
    max: usize,
    /// The periods of the days of the month before.
    month: Option<(Day, [u32; packed::DAYS.slots])>,
    reader: DayReader,
}

type Result<T = (), E = tally_store::Error> = std::result::Result<T, E>;

// === impl Collector ===

impl Collector {
    pub(crate) fn new(query: &Query, plan: Plan, groups: Groups, cache: &Arc<PieceCache>) -> Self {
        let new = |periods| Cells::new(periods, groups.len(), query.totals_max);
        let cells = new(plan.periods().len());
        let corrections = new(if query.with_corrections { plan.periods().len() } else { 0 });
        Self {
            plan,
            groups,
            cells,
            corrections,
            is_sum: query.sum,
            max: query.totals_max,
            month: None,
            reader: DayReader::new(cache),
        }
    }

    /// Adds the total of months that lie in one period.
    pub(crate) fn add_months(&mut self, period: u32, series: SeriesId, total: i64) -> Result {
        match self.groups.of(series) {
            Some(group) => Ok(self.cells.add(period, group, total)?),
            None => Ok(()),
        }
    }

    /// Adds the days of a month that are not cut.
    pub(crate) fn add_days(&mut self, month: Day, series: SeriesId, days: &[u8]) -> Result {
        let Some(group) = self.groups.of(series) else { return Ok(()) };
        let periods = match &mut self.month {
            Some((of, periods)) if *of == month => periods,
            last => &mut last.insert((month, self.plan.of_month(month))).1,
        };
        for one in packed::DAYS.counts(days) {
            let (slot, count) = one?;
            if periods[slot] != NONE {
                self.cells.add(periods[slot], group, count)?;
            }
        }
        Ok(())
    }

    /// Adds the total of a day that is not cut.
    pub(crate) fn add_day(&mut self, day: Day, series: SeriesId, total: i64) -> Result {
        match (self.plan.of_day(day), self.groups.of(series)) {
            (Some(period), Some(group)) => Ok(self.cells.add(period, group, total)?),
            _ => Ok(()),
        }
    }

    /// Adds those of these days that are cached with their stamps, and returns the others, which are to be
    /// read. With `are_all_read`, the query reads every series of these days, so they can be cached.
    pub(crate) fn add_cached(
        &mut self,
        days: Vec<(Day, Stamp)>,
        are_all_read: bool,
    ) -> Result<Vec<Day>> {
        let cache_use = &mut self.reader.cache_use;
        let mut left = Vec::new();
        for (day, stamp) in days {
            let cut = Cut::of(&self.plan.of_quarters(day));
            if let Some(pieces) = cache_use.find(day, cut.cuts, stamp) {
                for (place, group) in cache_use.asked(&pieces.series, &mut self.groups) {
                    for (period, sum) in cut.in_periods(pieces.sums(*place, &cut)) {
                        self.cells.add(period, *group, sum)?;
                    }
                }
                continue;
            }
            if are_all_read && cut.len() <= PIECES_MAX {
                cache_use.want(day, stamp);
            }
            left.push(day);
        }
        Ok(left)
    }

    /// Adds the quarters of a day that is cut. The rows of a day come together, by series.
    pub(crate) fn add_quarters(&mut self, day: Day, series: SeriesId, quarters: &[u8]) -> Result {
        let cells = &mut self.cells;
        let group = self.groups.of(series);
        let add = group.map(|group| move |period, sum| cells.add(period, group, sum));
        self.reader.read(&self.plan, day, series, quarters, add)
    }

    /// Adds rows of a quarter.
    pub(crate) fn add_rows(&mut self, quarter: Quarter, series: SeriesId, count: i64) -> Result {
        match (self.plan.of_quarter(quarter), self.groups.of(series)) {
            (Some(period), Some(group)) => Ok(self.cells.add(period, group, count)?),
            _ => Ok(()),
        }
    }

    /// Adds the corrections of a day, which are of a whole one.
    pub(crate) fn add_corrections(&mut self, day: Day, series: SeriesId, requests: i64) -> Result {
        let Some(group) = self.groups.of(series) else { return Ok(()) };
        if self.plan.is_cut(day) {
            let text = format!(
                "with_corrections: the corrections of {day} are of the whole day (UTC), and a period \
                 of this answer begins or ends within it: ask for days of UTC, or longer periods"
            );
            let refusal = Error::Refused(Kind::FailedPrecondition, text.into());
            return Err(refused("read totals")(refusal));
        }
        match self.plan.of_day(day) {
            Some(period) => Ok(self.corrections.add(period, group, requests)?),
            None => Ok(()),
        }
    }

    /// Whether the query asks for a series.
    pub(super) fn asks_for(&mut self, series: SeriesId) -> bool {
        self.groups.of(series).is_some()
    }

    /// The series to ask for, if they are few.
    pub(crate) fn few(&self, max: usize) -> Option<Vec<SeriesId>> {
        self.groups.few(max)
    }

    /// The answer.
    pub(crate) fn finish(self) -> Result<Totals, TooMany> {
        let Self { plan, groups, cells, corrections, is_sum, max, reader, .. } = self;
        reader.end();
        let unnamed = if is_sum { 0 } else { groups.unnamed() };
        let mut totals = cells.into_totals(max)?;
        let mut corrections = corrections.into_totals(max)?;
        if !corrections.is_empty() {
            let counted: HashSet<(u32, u32)> = totals.iter().map(|one| (one.0, one.1)).collect();
            let more = corrections.iter().filter(|one| !counted.contains(&(one.0, one.1)));
            totals.extend(more.map(|(period, group, _)| (*period, *group, 0)));
        }
        let mut are_used = vec![false; groups.len()];
        totals.iter().for_each(|(_, group, _)| are_used[*group as usize] = true);
        let text_bytes_max = max.saturating_mul(TEXT_BYTES_FACTOR).max(TEXT_BYTES_LEAST);
        let (groups, ranks): (Vec<Group>, _) = groups.ranked(&are_used, text_bytes_max)?;
        totals.iter_mut().for_each(|(_, group, _)| *group = ranks[*group as usize]);
        corrections.iter_mut().for_each(|(_, group, _)| *group = ranks[*group as usize]);
        for all in [&mut totals, &mut corrections] {
            all.sort_unstable_by_key(|(period, group, _)| (*period, *group));
        }
        let mut corrections = corrections.chunk_by(|a, b| a.0 == b.0).peekable();
        let periods = totals
            .chunk_by(|a, b| a.0 == b.0)
            .map(|of| PeriodTotals {
                label: plan.periods().label(of[0].0 as usize),
                counts: of.iter().map(|(_, group, count)| (*group, *count)).collect(),
                corrections: corrections
                    .next_if(|one| one[0].0 == of[0].0)
                    .map_or_else(Vec::new, |one| {
                        one.iter().map(|(_, group, count)| (*group, *count)).collect()
                    }),
            })
            .collect();
        let groups = if is_sum { Vec::new() } else { groups };
        Ok(Totals { groups, periods, unnamed, ..Totals::default() })
    }
}
