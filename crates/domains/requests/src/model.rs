//! Endpoint, day, period, and the row as it is stored.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use jiff::Timestamp;
use jiff::civil::Date;

use crate::producer::Run;

/// A day in microseconds.
const DAY_MICROS: i64 = 86_400_000_000;
/// 2000-01-01 UTC in microseconds since 1970-01-01 UTC: where Postgres counts from.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// An endpoint's id in the database.
pub type EndpointId = i64;

/// What is counted: a method and a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A number of `count.v1.Method`, or one that is not listed there.
    pub method: i32,
    /// The path; 1 to 2,048 bytes unless set otherwise.
    pub path: Box<str>,
}

/// A UTC day, as the number of days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

/// Days from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayRange {
    /// The first day.
    pub first: Day,
    /// The last day.
    pub last: Day,
}

/// A whole year, month or day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// A year, 1 to 9999.
    Year(i16),
    /// A year and a month, 1 to 12.
    Month(i16, i8),
    /// A day.
    Day(Date),
}

/// Rows in Postgres's binary COPY format, ready to be sent. Each takes 26 bytes: the number
/// of fields, then the length and value of the endpoint's id and of the time.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    bytes: Bytes,
    /// How many days they have, at most.
    days: usize,
    /// Whose batches these are, if a client has numbered them.
    run: Option<Arc<Run>>,
}

/// Builds [`Rows`].
#[derive(Debug, Default)]
pub(crate) struct RowsBuilder {
    bytes: BytesMut,
    /// The day of the last row, in microseconds.
    day: std::ops::Range<i64>,
    days: HashSet<Day>,
}

// === impl Endpoint ===

impl Endpoint {
    /// From a method's number and a path.
    #[must_use]
    pub fn new(method: i32, path: impl Into<Box<str>>) -> Self {
        Self { method, path: path.into() }
    }
}

/// By path, byte by byte, then by method: the order of every list of totals.
impl Ord for Endpoint {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.path.cmp(&other.path).then(self.method.cmp(&other.method))
    }
}

impl PartialOrd for Endpoint {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

// === impl Day ===

impl Day {
    /// 0001-01-01, the first day that a request can have.
    pub const MIN: Self = Self(-719_162);
    /// 9999-12-31, the last day that a request can have.
    pub const MAX: Self = Self(2_932_896);

    /// The day of a time in microseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn of_micros(micros: i64) -> Self {
        Self(i32::try_from(micros.div_euclid(DAY_MICROS)).expect("10^19 µs are fewer days"))
    }

    /// The day of a time.
    #[must_use]
    pub fn of(time: Timestamp) -> Self {
        Self::of_micros(time.as_microsecond())
    }

    /// Its first microsecond, since 1970-01-01 UTC.
    #[must_use]
    pub fn start_micros(self) -> i64 {
        i64::from(self.0) * DAY_MICROS
    }

    /// `days` later, or earlier.
    #[must_use]
    pub fn plus(self, days: i32) -> Self {
        Self(self.0 + days)
    }

    /// As a calendar date.
    #[must_use]
    pub fn date(self) -> Date {
        let days = jiff::Span::new().days(self.0.clamp(Self::MIN.0, Self::MAX.0));
        Date::constant(1970, 1, 1).checked_add(days).expect("within the years 1 to 9999")
    }
}

impl From<Date> for Day {
    fn from(date: Date) -> Self {
        let days = (date - Date::constant(1970, 1, 1)).get_days();
        Self(days)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date().fmt(f)
    }
}

// === impl DayRange ===

impl DayRange {
    /// Every day that a request can have.
    pub const ALL: Self = Self { first: Day::MIN, last: Day::MAX };

    /// A range of one day.
    #[must_use]
    pub fn one(day: Day) -> Self {
        Self { first: day, last: day }
    }

    /// Whether the day is in it.
    #[must_use]
    pub fn contains(self, day: Day) -> bool {
        self.first <= day && day <= self.last
    }

    /// From its first microsecond to the first that is not in it.
    #[must_use]
    pub fn micros(self) -> std::ops::Range<i64> {
        self.first.start_micros()..self.last.plus(1).start_micros()
    }
}

impl fmt::Display for DayRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return self.first.fmt(f);
        }
        write!(f, "{}..{}", self.first, self.last)
    }
}

// === impl Period ===

impl Period {
    /// Its days.
    #[must_use]
    pub fn days(self) -> DayRange {
        let (first, last) = match self {
            Self::Year(year) => (Date::constant(year, 1, 1), Date::constant(year, 12, 31)),
            Self::Month(year, month) => {
                let first = Date::constant(year, month, 1);
                (first, first.last_of_month())
            }
            Self::Day(date) => (date, date),
        };
        DayRange { first: first.into(), last: last.into() }
    }
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
    pub fn of_run(self, run: Arc<Run>) -> Self {
        Self { run: Some(run), ..self }
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
        Self { bytes: self.bytes.slice(row * Self::ROW_BYTES..), days: self.days, run: None }
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
    pub fn iter(&self) -> impl Iterator<Item = (EndpointId, i64)> + '_ {
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
        let mut builder = RowsBuilder::default();
        rows.into_iter().for_each(|(endpoint, micros)| builder.push(endpoint, micros));
        builder.finish()
    }
}

// === impl RowsBuilder ===

impl RowsBuilder {
    /// Adds a request at `micros` since 1970-01-01 UTC.
    pub(crate) fn push(&mut self, endpoint: EndpointId, micros: i64) {
        if !self.day.contains(&micros) {
            let day = Day::of_micros(micros);
            self.day = day.start_micros()..day.plus(1).start_micros();
            self.days.insert(day);
        }
        self.bytes.put_i16(2);
        self.bytes.put_i32(8);
        self.bytes.put_i64(endpoint);
        self.bytes.put_i32(8);
        self.bytes.put_i64(micros - POSTGRES_EPOCH_MICROS);
    }

    /// The rows so far; the builder is empty after it.
    pub(crate) fn finish(&mut self) -> Rows {
        self.day = Default::default();
        let days = self.days.len();
        self.days.clear();
        Rows { bytes: self.bytes.split().freeze(), days, run: None }
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

    #[test]
    fn days_begin_and_end_in_utc() {
        let midnight: Timestamp = "2015-05-17T00:00:00Z".parse().unwrap();
        let before: Timestamp = "2015-05-16T23:59:59.999999Z".parse().unwrap();
        assert_eq!(Day::of(midnight).to_string(), "2015-05-17");
        assert_eq!(Day::of(before).to_string(), "2015-05-16");
        assert_eq!(Day::MIN.to_string(), "0001-01-01");
        assert_eq!(Day::MAX.to_string(), "9999-12-31");
    }

    #[test]
    fn periods_have_their_days() {
        for (period, days) in [
            (Period::Month(2024, 2), "2024-02-01..2024-02-29"),
            (Period::Month(2023, 12), "2023-12-01..2023-12-31"),
            (Period::Year(9999), "9999-01-01..9999-12-31"),
            (Period::Day(Date::constant(2015, 5, 17)), "2015-05-17"),
        ] {
            assert_eq!(period.days().to_string(), days);
        }
    }

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

        #[test]
        fn a_day_contains_its_own_microseconds(day in Day::MIN.0..=Day::MAX.0, offset in 0..DAY_MICROS) {
            let day = Day(day);
            prop_assert_eq!(Day::of_micros(day.start_micros() + offset), day);
            prop_assert_eq!(Day::from(day.date()), day);
        }
    }
}
