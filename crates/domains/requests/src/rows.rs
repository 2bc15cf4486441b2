//! Rows as they travel from a stream to the store, with the names that they need.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use tally_producers::stream::Builder;
use tally_producers::{Content, Parcel, Run};

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
    rows: Arc<Vec<Row>>,
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
    rows: Vec<Row>,
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
/// that are kept as they are.
pub(crate) fn merge(all: Vec<Rows>) -> Vec<Rows> {
    let steps = |rows: &Rows| Merging::by(rows.resolution);
    let Some(mut merging) = all.first().and_then(steps) else { return all };
    let mut merged = Vec::new();
    let rows = all.iter().flat_map(Rows::iter);
    rows.for_each(|row| merging.add(&mut merged, row));
    vec![Rows { rows: Arc::new(merged), ..Rows::default() }]
}

// === impl Rows ===

impl Rows {
    /// These rows as the batches of a run, which must add up to them.
    #[must_use]
    pub fn of_run(self, run: Run) -> Parcel<Self> {
        Parcel { content: self, run: Some(Arc::new(run)) }
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
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Row> + Clone + '_ {
        self.rows[self.skipped..].iter().copied()
    }
}

impl Content for Rows {
    fn rows(&self) -> usize {
        self.rows.len() - self.skipped
    }

    fn places(&self) -> u64 {
        self.days.iter().map(|(_, requests)| requests.unsigned_abs()).sum()
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
        let days = Days::of(&self.rows[skipped..]).finish();
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
        let (rows, unconfirmed, merging) = (Vec::new(), HashMap::new(), Merging::by(resolution));
        Self { rows, merging, days: Days::default(), unconfirmed, belief, resolution }
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

    /// Stores a name with the rows, unless the database has it.
    pub(crate) fn name(&mut self, named: &Arc<Named>) {
        if !named.is_confirmed(self.belief) {
            self.unconfirmed.entry(named.id).or_insert_with(|| Arc::clone(named));
        }
    }

    pub(crate) fn belief(&self) -> u64 {
        self.belief
    }

    /// Keeps only the first rows, to which no batch has added anything that is taken back.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.begin_batch();
        self.rows.truncate(rows);
        self.days = Days::of(&self.rows);
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

    fn finish(self) -> Rows {
        let Self { rows, days, unconfirmed, belief, resolution, .. } = self;
        let unconfirmed = unconfirmed.into_values().collect();
        let (rows, days) = (Arc::new(rows), days.finish());
        Rows { rows, skipped: 0, days, unconfirmed, belief, resolution }
    }
}

// === impl Merging ===

impl Merging {
    fn by(resolution: Resolution) -> Option<Self> {
        let steps = Steps::of(resolution)?;
        Some(Self { steps, places: HashTable::new(), hasher: DefaultHashBuilder::default() })
    }

    #[inline]
    fn add(&mut self, rows: &mut Vec<Row>, row: Row) {
        let micros = self.steps.start_of(row.micros);
        let hash = |row: &Row| self.hasher.hash_one((row.series, row.micros));
        let row = Row { micros, ..row };
        let is_same = |at: &usize| rows[*at].series == row.series && rows[*at].micros == micros;
        match self.places.find(hash(&row), is_same) {
            Some(at) => rows[*at].requests += row.requests,
            None => {
                self.places.insert_unique(hash(&row), rows.len(), |at| hash(&rows[*at]));
                rows.push(row);
            }
        }
    }
}

// === impl Days ===

impl Days {
    fn of(rows: &[Row]) -> Self {
        let mut days = Self::default();
        rows.iter().for_each(|row| days.add(row.micros, row.requests));
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
