//! Rows as they travel from a stream to the store, with the names that they need.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use hashbrown::{HashMap, HashSet};

use crate::model::{Day, EndpointId, Named};
use crate::producer::Run;

/// 2000-01-01 UTC in microseconds since 1970-01-01 UTC: where Postgres counts from.
pub(crate) const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A row of two fields of 8 bytes, which are still 0.
const ROW: [u8; Rows::ROW_BYTES] = {
    let mut row = [0; Rows::ROW_BYTES];
    (row[1], row[5], row[17]) = (2, 8, 8);
    row
};

/// Rows in Postgres's binary COPY format, ready to be sent. Each takes 26 bytes: the number
/// of fields, then the length and value of the endpoint's id and of the time.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    bytes: Bytes,
    /// How many days they have, at most.
    days: usize,
    /// Whose batches these are, if a client has numbered them.
    run: Option<Arc<Run>>,
    /// The names among them that the database was not known to have, under this belief.
    unconfirmed: Arc<[Arc<Named>]>,
    belief: u64,
}

/// Builds [`Rows`].
#[derive(Debug)]
pub(crate) struct RowsBuilder {
    bytes: BytesMut,
    /// The day of the last row, in microseconds.
    day: std::ops::Range<i64>,
    days: HashSet<Day>,
    unconfirmed: HashMap<EndpointId, Arc<Named>>,
    belief: u64,
}

// === impl Rows ===

impl Rows {
    /// Bytes that one row takes.
    pub const ROW_BYTES: usize = 26;
    /// Bytes that a day with its drops takes.
    pub(crate) const DROP_BYTES: usize = size_of::<(Day, i64)>();
    /// What a chunk takes beside its rows: its place in the queue and in the allocator.
    pub(crate) const OVERHEAD_BYTES: usize = 256;

    /// The same rows as the batches of a run, whose ends they must reach.
    #[must_use]
    pub fn of_run(self, run: impl Into<Arc<Run>>) -> Self {
        Self { run: Some(run.into()), ..self }
    }

    /// Whose batches these are, if a client has numbered them.
    #[must_use]
    pub fn run(&self) -> Option<&Arc<Run>> {
        self.run.as_ref()
    }

    /// The COPY format, without header and trailer.
    #[must_use]
    pub fn copy_bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Those from this row on, and of nobody's run; nothing is copied.
    #[must_use]
    pub(crate) fn from(&self, row: usize) -> Self {
        let bytes = self.bytes.slice(row * Self::ROW_BYTES..);
        Self { bytes, run: None, ..self.clone() }
    }

    /// The names among them that the database was not known to have, and under which belief.
    pub(crate) fn unconfirmed(&self) -> (&[Arc<Named>], u64) {
        (&self.unconfirmed, self.belief)
    }

    /// The same rows under the ids that the database has for them.
    #[must_use]
    pub(crate) fn moved(&self, moved: &HashMap<EndpointId, EndpointId>) -> Self {
        let id = |id| moved.get(&id).copied().unwrap_or(id);
        Self {
            bytes: self
                .iter()
                .map(|(endpoint, micros)| (id(endpoint), micros))
                .collect::<Self>()
                .bytes,
            ..self.clone()
        }
    }

    /// How many rows each day has, days in the order in which they come. A day is named again
    /// after another one.
    pub(crate) fn days(&self) -> impl Iterator<Item = (Day, i64)> + '_ {
        let mut times = self.iter().map(|(_, micros)| micros).peekable();
        std::iter::from_fn(move || {
            let day = Day::of_micros(times.next()?);
            let micros = day.start_micros()..day.plus(1).start_micros();
            let mut rows = 1;
            while times.next_if(|time| micros.contains(time)).is_some() {
                rows += 1;
            }
            Some((day, rows))
        })
    }

    /// Endpoint ids and times, in microseconds since 1970-01-01 UTC.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (EndpointId, i64)> + '_ {
        let int = |bytes: &[u8]| {
            i64::from_be_bytes(bytes.try_into().expect("a row's fields have eight bytes"))
        };
        self.bytes
            .chunks_exact(Self::ROW_BYTES)
            .map(move |row| (int(&row[6..14]), int(&row[18..26]) + POSTGRES_EPOCH_MICROS))
    }
}

impl tally_ingest::Rows for Rows {
    /// What a client has dropped of a day counts as a row: it is stored too.
    fn rows(&self) -> usize {
        self.bytes.len() / Self::ROW_BYTES + self.run.as_ref().map_or(0, |run| run.drops())
    }

    /// Each day of a producer is a row of its own.
    fn updates(&self) -> usize {
        self.days + self.run.as_ref().map_or(0, |run| run.drops())
    }

    fn bytes(&self) -> usize {
        let drops = self.run.as_ref().map_or(0, |run| run.drops());
        self.bytes.len() + drops * Self::DROP_BYTES + Self::OVERHEAD_BYTES
    }
}

impl FromIterator<(EndpointId, i64)> for Rows {
    fn from_iter<I: IntoIterator<Item = (EndpointId, i64)>>(rows: I) -> Self {
        let mut builder = RowsBuilder::new(0);
        rows.into_iter().for_each(|(endpoint, micros)| builder.push(endpoint, micros));
        builder.finish()
    }
}

// === impl RowsBuilder ===

impl RowsBuilder {
    /// No rows yet; names are held against this belief.
    pub(crate) fn new(belief: u64) -> Self {
        Self {
            bytes: BytesMut::new(),
            day: 0..0,
            days: HashSet::new(),
            unconfirmed: HashMap::new(),
            belief,
        }
    }

    /// Adds a request at `micros` since 1970-01-01 UTC.
    pub(crate) fn push(&mut self, endpoint: EndpointId, micros: i64) {
        if !self.day.contains(&micros) {
            let day = Day::of_micros(micros);
            self.day = day.start_micros()..day.plus(1).start_micros();
            self.days.insert(day);
        }
        // In one piece: each one that is added by itself looks for room again.
        let mut row = ROW;
        row[6..14].copy_from_slice(&endpoint.to_be_bytes());
        row[18..].copy_from_slice(&(micros - POSTGRES_EPOCH_MICROS).to_be_bytes());
        self.bytes.extend_from_slice(&row);
    }

    /// The name of rows. It is stored with them, unless the database is known to have it.
    pub(crate) fn name(&mut self, named: &Arc<Named>) {
        if !named.is_confirmed(self.belief) {
            self.unconfirmed.entry(named.id).or_insert_with(|| Arc::clone(named));
        }
    }

    /// What names are held against.
    pub(crate) fn belief(&self) -> u64 {
        self.belief
    }

    /// The rows so far; the builder is empty after it.
    pub(crate) fn finish(&mut self) -> Rows {
        self.day = Default::default();
        let days = self.days.len();
        self.days.clear();
        let unconfirmed = self.unconfirmed.drain().map(|(_, named)| named).collect();
        let (bytes, belief) = (self.bytes.split().freeze(), self.belief);
        Rows { bytes, days, run: None, unconfirmed, belief }
    }

    /// How many rows there are so far.
    pub(crate) fn rows(&self) -> usize {
        self.bytes.len() / Rows::ROW_BYTES
    }

    /// How many days they have.
    pub(crate) fn days(&self) -> usize {
        self.days.len()
    }

    /// Leaves only the first rows.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.bytes.truncate(rows * Rows::ROW_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tally_ingest::Rows as _;

    use super::*;

    const DAY_MICROS: i64 = 86_400_000_000;

    proptest! {
        #[test]
        fn rows_come_back_as_they_went_in(
            rows in prop::collection::vec((any::<i64>(), -62_135_596_800_000_000..253_402_300_800_000_000_i64), 0..50)
        ) {
            let packed: Rows = rows.iter().copied().collect();
            prop_assert_eq!(packed.rows(), rows.len());
            prop_assert_eq!(packed.iter().collect::<Vec<_>>(), rows);
        }

        #[test]
        fn days_are_counted_once(times in prop::collection::vec(-3 * DAY_MICROS..3 * DAY_MICROS, 0..50)) {
            let packed: Rows = times.iter().map(|time| (1, *time)).collect();
            for day in -4..4 {
                let counted: i64 =
                    packed.days().filter(|(of, _)| of.0 == day).map(|(_, rows)| rows).sum();
                let there = times.iter().filter(|time| Day::of_micros(**time).0 == day).count();
                prop_assert_eq!(counted, there as i64);
            }
        }
    }
}
