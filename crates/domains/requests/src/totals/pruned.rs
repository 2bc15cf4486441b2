//! Days that a query cuts although their quarters are gone.

use super::{Collector, Plan};
use crate::error::Error;
use crate::model::{Day, SeriesId};
use crate::packed::{self, Malformed};

/// Days that are cut and pruned. A query is refused if what it asks for has counts on one of them: those of others
/// are nothing to it.
#[derive(Debug)]
pub(crate) struct Pruned {
    /// In order.
    days: Vec<Day>,
    /// The last pruned day of all.
    last: Day,
    is_asked_for: bool,
    /// The last day up to that one on which what is asked for has counts.
    last_counted: Option<Day>,
}

// === impl Pruned ===

impl Pruned {
    pub(crate) fn new(mut days: Vec<Day>, last: Day) -> Self {
        days.sort_unstable();
        Self { days, last, is_asked_for: false, last_counted: None }
    }

    /// The first and the last month to be [seen](Self::see).
    pub(crate) fn months(&self) -> (Day, Day) {
        let first = self.days.first().copied().unwrap_or(self.last);
        let month = |day: Day| Day::from(day.date().first_of_month());
        (month(first.min(self.last)), month(self.last))
    }

    /// Takes a month of a series.
    pub(crate) fn see(
        &mut self,
        collector: &mut Collector,
        month: Day,
        series: SeriesId,
        days: &[u8],
    ) -> Result<(), Malformed> {
        if !collector.asks_for(series) {
            return Ok(());
        }
        for one in packed::DAYS.counts(days) {
            let day = month.plus(i32::try_from(one?.0).unwrap_or_default());
            if day <= self.last {
                self.is_asked_for |= self.days.binary_search(&day).is_ok();
                self.last_counted = self.last_counted.max(Some(day));
            }
        }
        Ok(())
    }

    /// Whether there is an answer.
    pub(crate) fn check(self, plan: &Plan) -> Result<(), Error> {
        match self.last_counted {
            Some(day) if self.is_asked_for => Err(plan.refuse(day)),
            _ => Ok(()),
        }
    }
}
