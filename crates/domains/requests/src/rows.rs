//! Rows as they travel from a stream to the store, with the names that they need.
//!
//! | file | what it owns |
//! |---|---|
//! | `blocks.rs` | a list of rows that grows without being moved |

mod blocks;

use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use tally_producers::stream::Builder;
use tally_producers::{Content, Parcel, Run};
use tally_runtime::faults;

use self::blocks::Blocks;
use crate::model::{Day, Named, SeriesId};
use crate::resolution::{Resolution, Steps};

/// Memory that one row takes.
pub(crate) const ROW_BYTES: usize = size_of::<Row>();

/// Requests of a series at a time: one, or several that were merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What they count under.
    pub series: SeriesId,
    /// Microseconds since 1970-01-01 UTC.
    pub micros: i64,
    /// How many they are.
    pub requests: i64,
}

/// Rows, ready to be stored.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    rows: Arc<Blocks>,
    /// The first ones of these that are left out.
    skipped: usize,
    /// How many requests each day has.
    days: Arc<[(Day, i64)]>,
    /// The names that the database may lack, under this belief.
    unconfirmed: Arc<[Arc<Named>]>,
    belief: u64,
    resolution: Resolution,
}

/// Builds [`Rows`].
#[derive(Debug)]
pub(crate) struct RowsBuilder {
    rows: Blocks,
    merging: Option<Merging>,
    days: Days,
    unconfirmed: HashMap<SeriesId, Arc<Named>>,
    belief: u64,
    resolution: Resolution,
}

/// Adds requests up by series and step.
#[derive(Debug)]
struct Merging {
    steps: Steps,
    /// Where the row of a series and step is.
    places: HashTable<usize>,
    hasher: DefaultHashBuilder,
}

/// How many requests each day has. Most have the day of the one before.
#[derive(Debug, Default)]
struct Days {
    /// The day of the last one, in microseconds, and the requests since it came up.
    last: std::ops::Range<i64>,
    requests: i64,
    counted: HashMap<Day, i64>,
}

/// Merges what several streams have brought, so that each series has one row for each step; but not rows
/// that are kept as they are. They are only good for being stored: their days and names are those of the
/// parts.
pub(crate) fn merge(all: Vec<Rows>) -> Vec<Rows> {
    let steps = |rows: &Rows| Merging::by(rows.resolution);
    let Some(mut merging) = all.first().and_then(steps) else { return all };
    let mut merged = Blocks::default();
    let rows = all.iter().flat_map(Rows::iter);
    rows.for_each(|row| merging.add(&mut merged, row));
    let resolution = all.first().map_or(Resolution::Raw, |rows| rows.resolution);
    vec![Rows { rows: Arc::new(merged), resolution, ..Rows::default() }]
}

// === impl Rows ===

impl Rows {
    /// These rows as the batches of a run, which must add up to them.
    #[must_use]
    pub fn of_run(self, run: Run) -> Parcel<Self> {
        Parcel { run: Some(Arc::new(run)), ..self.into() }
    }

    /// The names that the database may lack, and under which belief.
    pub(crate) fn unconfirmed(&self) -> (&[Arc<Named>], u64) {
        (&self.unconfirmed, self.belief)
    }

    /// These rows under the ids that the database has for them.
    #[must_use]
    pub(crate) fn stored_as(self, ids: &HashMap<SeriesId, SeriesId>) -> Self {
        if ids.is_empty() {
            return self;
        }
        let id = |id| ids.get(&id).copied().unwrap_or(id);
        let rows = self.iter().map(|row| Row { series: id(row.series), ..row });
        Self { rows: Arc::new(rows.collect()), skipped: 0, ..self }
    }

    /// Each row.
    pub fn iter(&self) -> impl Iterator<Item = Row> + Clone + '_ {
        self.rows.from(self.skipped).copied()
    }
}

impl Content for Rows {
    fn rows(&self) -> usize {
        self.rows.len() - self.skipped
    }

    fn bytes(&self) -> usize {
        self.rows() * ROW_BYTES
    }

    fn days(&self) -> &[(Day, i64)] {
        &self.days
    }

    fn skip(&self, rows: usize) -> Self {
        if rows == 0 {
            return self.clone();
        }
        let skipped = self.skipped + rows;
        let days = Days::of(self.rows.from(skipped)).finish();
        Self { days, skipped, ..self.clone() }
    }
}

/// One request each, kept as they are.
impl FromIterator<(SeriesId, i64)> for Rows {
    fn from_iter<I: IntoIterator<Item = (SeriesId, i64)>>(rows: I) -> Self {
        let mut builder = RowsBuilder::new(0, Resolution::Raw);
        rows.into_iter().for_each(|(series, micros)| builder.push(series, micros, 1));
        builder.finish()
    }
}

// === impl RowsBuilder ===

impl RowsBuilder {
    /// No rows, under this belief.
    pub(crate) fn new(belief: u64, resolution: Resolution) -> Self {
        let (rows, days, merging) = (Blocks::default(), Days::default(), Merging::by(resolution));
        Self { rows, merging, days, unconfirmed: HashMap::new(), belief, resolution }
    }

    /// Adds requests at `micros` since 1970-01-01 UTC.
    #[inline]
    pub(crate) fn push(&mut self, series: SeriesId, micros: i64, requests: i64) {
        self.days.add(micros, requests);
        let row = Row { series, micros, requests };
        match &mut self.merging {
            Some(merging) => merging.add(&mut self.rows, row),
            None => self.rows.push(row),
        }
    }

    /// From now on no row changes that is there: a batch of a run can be left out without the others.
    pub(crate) fn begin_batch(&mut self) {
        if let Some(merging) = &mut self.merging {
            merging.places.clear();
        }
    }

    /// Gives memory back, if it will be a while until the next rows come.
    pub(crate) fn rest(&mut self) {
        if let Some(merging) = self.merging.as_mut().filter(|_| self.rows.len() == 0) {
            merging.places = HashTable::new();
        }
    }

    /// Stores a name with the rows, unless the database has it.
    pub(crate) fn name(&mut self, named: &Arc<Named>) {
        if !named.is_confirmed(self.belief) {
            self.unconfirmed.entry(named.id).or_insert_with(|| Arc::clone(named));
        }
    }

    pub(crate) fn belief(&self) -> u64 {
        self.belief
    }

    /// Finishes the rows so far, and goes on with none, under this belief.
    pub(crate) fn take(&mut self, belief: u64) -> Rows {
        self.begin_batch();
        let (rows, days) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.days));
        let unconfirmed = self.unconfirmed.drain().map(|(_, named)| named).collect();
        let belief = std::mem::replace(&mut self.belief, belief);
        let (rows, days, resolution) = (Arc::new(rows), days.finish(), self.resolution);
        Rows { rows, skipped: 0, days, unconfirmed, belief, resolution }
    }

    /// Keeps only the first rows, to which no batch has added anything that is taken back.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.begin_batch();
        self.rows.truncate(rows);
        self.days = Days::of(self.rows.from(0));
    }
}

impl Builder for RowsBuilder {
    type Content = Rows;

    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn days(&self) -> usize {
        self.days.counted.len()
    }

    fn finish(mut self) -> Rows {
        self.take(0)
    }
}

// === impl Merging ===

impl Merging {
    fn by(resolution: Resolution) -> Option<Self> {
        let steps = Steps::of(resolution)?;
        Some(Self { steps, places: HashTable::new(), hasher: DefaultHashBuilder::default() })
    }

    #[inline]
    fn add(&mut self, rows: &mut Blocks, row: Row) {
        let micros = self.steps.start_of(row.micros);
        let hash = |row: &Row| self.hasher.hash_one((row.series, row.micros));
        let row = Row { micros, ..row };
        let is_same = |at: &usize| {
            let other = rows.at(*at);
            other.series == row.series && other.micros == micros
        };
        match self.places.find(hash(&row), is_same) {
            Some(at) => {
                let lost = i64::from(faults::is_on("merge.lose"));
                rows.at_mut(*at).requests += row.requests - lost;
            }
            None => {
                self.places.insert_unique(hash(&row), rows.len(), |at| hash(rows.at(*at)));
                rows.push(row);
            }
        }
    }
}

// === impl Days ===

impl Days {
    fn of<'a>(rows: impl Iterator<Item = &'a Row>) -> Self {
        let mut days = Self::default();
        rows.for_each(|row| days.add(row.micros, row.requests));
        days
    }

    #[inline]
    fn add(&mut self, micros: i64, requests: i64) {
        if !self.last.contains(&micros) {
            self.turn();
            let day = Day::of_micros(micros);
            self.last = day.micros();
            self.counted.entry(day).or_default();
        }
        self.requests += requests;
    }

    /// Adds up the requests of the last day.
    fn turn(&mut self) {
        if self.requests > 0 {
            *self.counted.entry(Day::of_micros(self.last.start)).or_default() += self.requests;
            self.requests = 0;
        }
    }

    fn finish(mut self) -> Arc<[(Day, i64)]> {
        self.turn();
        self.counted.into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
