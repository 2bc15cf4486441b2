//! What is new in the tables, by what was imported before.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use tally_producers::Days;
use tally_producers::stream::Builder as _;
use tally_proto::wire::{MICROS, OTHER_PATH};
use tally_runtime::Kind;
use tally_store::Error;

use super::{Count, ImportCount, Imported, Request};
use crate::books::Posting;
use crate::model::{Day, Named, Series, SeriesId, SeriesRef};
use crate::resolution::Resolution;
use crate::rows::{Rows, RowsBuilder};
use crate::series::{KnownSeries, REQUESTS_ENOUGH};

/// The tables, as far as they have been read.
pub(crate) struct Importing {
    series: KnownSeries,
    pub(crate) how: ImportCount,
    /// The ids of the Go server's methods.
    ids: HashMap<i32, SeriesId>,
    /// How many requests of a day and a method are still to be imported.
    wanted: HashMap<(i32, i32), i64>,
    /// What to add to the months, by day.
    pub(crate) totals: BTreeMap<(Day, SeriesId), i64>,
    /// What is imported of each UTC day.
    pub(crate) accepted: Days,
    pub(crate) imported: Imported,
}

/// How many more requests of a day and a method are imported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noted {
    pub(crate) day: i32,
    pub(crate) method: i32,
    pub(crate) imported: i64,
}

// === impl Importing ===

impl Importing {
    pub(super) fn new(series: KnownSeries, how: ImportCount) -> Self {
        Self {
            series,
            how,
            ids: HashMap::new(),
            wanted: HashMap::new(),
            totals: BTreeMap::new(),
            accepted: Days::new(),
            imported: Imported::default(),
        }
    }

    /// Checks whether these tables may be imported, given those that were before.
    pub(crate) fn begin(
        &mut self,
        source: String,
        time_zone: String,
        before: &[(String, String)],
    ) -> Result<(), Error> {
        let named = self.how.source.take();
        let is_named = named.is_some();
        let source = named.unwrap_or(source);
        let earlier = before.iter().find(|(earlier, _)| *earlier == source);
        if let Some((_, zone)) = earlier
            && *zone != time_zone
        {
            let step = format!(
                "import the Go server's tables: \u{201c}{source}\u{201d} were imported by days in \
                 {zone}, and the time zone of the Go server's database has changed: now it is \
                 {time_zone}, where the same requests are of other days and would be counted twice. \
                 Run it with ?timezone={zone} in the URL of that database"
            );
            return Err(Error::permanent(step, Kind::FailedPrecondition));
        }
        if earlier.is_none() && !is_named && !before.is_empty() {
            let names: Vec<&str> = before.iter().map(|(name, _)| &**name).collect();
            let before = names.join("\u{201d}, \u{201c}");
            let step = format!(
                "import the Go server's tables: \u{201c}{before}\u{201d} were imported before, and \
                 these are \u{201c}{source}\u{201d}. If they are the same tables, moved or \
                 restored, pass --source with the earlier name; if they are another Go server's, \
                 with a new name"
            );
            return Err(Error::permanent(step, Kind::FailedPrecondition));
        }
        self.imported.source = source;
        self.imported.time_zone = time_zone;
        Ok(())
    }

    /// The series that these methods are counted under.
    pub(crate) fn resolve(&mut self, methods: &[(i32, Series)]) -> Vec<Arc<Named>> {
        let namespace = self.how.namespace;
        let series = methods
            .iter()
            .map(|(_, one)| (SeriesRef { namespace, ..SeriesRef::from(one) }, REQUESTS_ENOUGH));
        let named = self.series.resolve(series);
        self.imported.methods += methods.len() as u64;
        let is_other = |named: &&Arc<Named>| &*named.series.path == OTHER_PATH;
        self.imported.other += named.iter().filter(is_other).count() as u64;
        self.ids.extend(methods.iter().zip(&named).map(|((id, _), named)| (*id, named.id)));
        let mut names = named;
        names.sort_unstable_by_key(|named| named.id);
        names.dedup_by_key(|named| named.id);
        names
    }

    /// Takes over the ids that the database has.
    pub(crate) fn renumber(
        &mut self,
        methods: &[(i32, Series)],
        renumbered: &HashMap<SeriesId, SeriesId>,
    ) {
        for (method, _) in methods {
            if let Some(id) = self.ids.get_mut(method)
                && let Some(to) = renumbered.get(id)
            {
                *id = *to;
            }
        }
    }

    /// What is new in these counts. `before` is how many of each were imported before.
    pub(crate) fn new_in(&mut self, counts: &[Count], before: &[i64]) -> Result<Vec<Noted>, Error> {
        let mut noted = Vec::new();
        for (count, before) in counts.iter().zip(before) {
            let of = &mut self.imported;
            let Some(day) = count.day else {
                let held = count.requests.saturating_add(count.total);
                of.endless = of.endless.saturating_add(held.max(0).unsigned_abs());
                continue;
            };
            let held = sum(count.requests, count.total, day, count.method)?;
            let new = held.saturating_sub(*before);
            of.before = of.before.saturating_add(held.min(*before).max(0).unsigned_abs());
            if new <= 0 {
                of.missing = of.missing.saturating_add(new.unsigned_abs());
                continue;
            }
            // It is known how many of the day's requests were imported, but not which.
            let requests = new.min(count.requests);
            let total = new - requests;
            noted.push(Noted { day, method: count.method, imported: new });
            of.requests = of.requests.saturating_add(requests.unsigned_abs());
            of.rolled_up = of.rolled_up.saturating_add(total.unsigned_abs());
            if requests > 0 {
                self.wanted.insert((day, count.method), requests);
            }
            if total > 0 {
                let within = Day(day.clamp(Day::MIN.0, Day::MAX.0));
                if within.0 != day {
                    of.clamped = of.clamped.saturating_add(total.unsigned_abs());
                }
                self.accept(within, count.method, total)?;
                // No overflow: it is a part of what was accepted.
                *self.totals.entry((within, self.id(count.method)?)).or_default() += total;
            }
        }
        Ok(noted)
    }

    /// The rows for the new ones of these requests.
    pub(crate) fn rows(&mut self, requests: &[Request]) -> Result<Rows, Error> {
        let mut rows = RowsBuilder::new(self.series.belief(), Resolution::Raw);
        for request in requests {
            let Some(wanted) = self.wanted.get_mut(&(request.day, request.method)) else {
                continue;
            };
            if *wanted == 0 {
                continue;
            }
            *wanted -= 1;
            let micros = request.micros.clamp(*MICROS.start(), *MICROS.end());
            if micros != request.micros {
                self.imported.clamped += 1;
            }
            self.accept(Day::of_micros(micros), request.method, 1)?;
            rows.push(self.id(request.method)?, micros, 1);
        }
        Ok(rows.finish())
    }

    /// The totals of days as postings of their months, and these days.
    pub(crate) fn for_months(&self) -> (Vec<Posting>, Vec<Day>) {
        let of_day = |((day, series), total): (&(Day, SeriesId), &i64)| {
            Posting::of_day(*day, *series, *total)
        };
        let mut postings: Vec<_> = self.totals.iter().map(of_day).collect();
        postings.sort_unstable();
        let mut days: Vec<_> = self.totals.keys().map(|(day, _)| *day).collect();
        days.dedup();
        (postings, days)
    }

    /// Counts requests of a method towards their day.
    fn accept(&mut self, day: Day, method: i32, count: i64) -> Result<(), Error> {
        let accepted = &mut self.accepted.entry(day.0).or_default().accepted;
        *accepted = sum(*accepted, count, day.0, method)?;
        Ok(())
    }

    /// The tables refer to each other, and were read in one snapshot.
    fn id(&self, method: i32) -> Result<SeriesId, Error> {
        self.ids.get(&method).copied().ok_or_else(|| {
            let step = format!("find method {method} of the Go server's tables");
            Error::permanent(step, Kind::FailedPrecondition)
        })
    }
}

fn sum(one: i64, other: i64, day: i32, method: i32) -> Result<i64, Error> {
    one.checked_add(other).ok_or_else(|| {
        let step = format!(
            "import the Go server's tables: with those of method {method}, {} has more requests than \
             {}: correct count.daily_method_totals",
            Day(day),
            i64::MAX,
        );
        Error::permanent(step, Kind::FailedPrecondition)
    })
}
