//! From requests to rows: the rules that requests are checked against, and rows as they travel from a
//! stream to the store, with the names that they need.
//!
//! A row is encoded once, as it comes, for Postgres's binary COPY: the number of fields, then the
//! length and value of the series' id and of the time, 26 bytes in all.

use std::error::Error as StdError;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use hashbrown::HashMap;
use prost_types::Timestamp;
use tally_producers::stream::Builder;
use tally_producers::{Content, Parcel, Run};
use tally_proto::tally::requests::v1 as proto;
use tally_proto::wire::{
    self, CUSTOMER_BYTES_MAX, METHOD_BYTES_MAX, SERVICE_BYTES_MAX, STATUS_MAX,
};
use tally_runtime::Clock;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::ahead::Ahead;
use crate::batch::RecordLimits;
use crate::error::InvalidTime;
use crate::model::{Day, Named, Namespace, Series, SeriesId};
use crate::series::KnownSeries;

/// 2000-01-01 UTC in microseconds since 1970-01-01 UTC.
pub(crate) const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// The signature, flags and extension length of Postgres's binary COPY format.
pub(crate) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The end of the format: a field count of -1.
pub(crate) const TRAILER: &[u8] = b"\xff\xff";

/// Bytes that one row takes.
pub(crate) const ROW_BYTES: usize = 26;

/// A row with two fields of 8 bytes, all 0.
const ROW: [u8; ROW_BYTES] = {
    let mut row = [0; ROW_BYTES];
    (row[1], row[5], row[17]) = (2, 8, 8);
    row
};

/// The series, and what requests are checked against.
pub(crate) struct Intake {
    pub(crate) series: Arc<KnownSeries>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) path_bytes_max: usize,
    pub(crate) ahead: Ahead,
    pub(crate) record: RecordLimits,
}

/// What requests are checked against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) path_bytes_max: usize,
    /// Now, in microseconds since 1970-01-01 UTC.
    pub(crate) now_micros: i64,
}

/// Rows in Postgres's binary COPY format, ready to be sent.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    bytes: Bytes,
    /// How many rows each day has.
    days: Arc<[(Day, i64)]>,
    /// The names that the database may lack, under this belief.
    unconfirmed: Arc<[Arc<Named>]>,
    belief: u64,
}

/// Builds [`Rows`].
#[derive(Debug)]
pub(crate) struct RowsBuilder {
    bytes: BytesMut,
    days: Days,
    unconfirmed: HashMap<SeriesId, Arc<Named>>,
    belief: u64,
}

/// How many rows each day has. Most rows have the day of the one before.
#[derive(Debug, Default)]
struct Days {
    /// The day of the last row, in microseconds, and the rows since it came up.
    last: std::ops::Range<i64>,
    rows: i64,
    counted: HashMap<Day, i64>,
}

/// A time as Postgres keeps it, from microseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Micros(pub(crate) i64);

// === impl Intake ===

impl Intake {
    /// The rules at this moment.
    pub(crate) fn rules(&self) -> Rules {
        let now_micros = self.clock.now().as_microsecond();
        Rules { path_bytes_max: self.path_bytes_max, now_micros }
    }

    /// For rows under the present belief.
    pub(crate) fn builder(&self) -> RowsBuilder {
        RowsBuilder::new(self.series.belief())
    }
}

// === impl Rules ===

impl Rules {
    /// The path that a request is counted under.
    pub(crate) fn path(self, path: &str) -> &str {
        wire::path(path, self.path_bytes_max)
    }

    /// The series that a request is counted under; `None` if its status cannot be.
    pub(crate) fn series(self, series: &proto::Series) -> Option<Series> {
        let text = |text, bytes_max| Box::from(wire::text(text, bytes_max));
        let status = u16::try_from(series.status).ok().filter(|status| *status <= STATUS_MAX)?;
        Some(Series {
            namespace: Namespace::DEFAULT,
            service: text(&series.service, SERVICE_BYTES_MAX),
            method: text(&series.method, METHOD_BYTES_MAX),
            path: self.path(&series.path).into(),
            status,
            customer: text(&series.customer, CUSTOMER_BYTES_MAX),
        })
    }

    /// The time of a request, by default now, in microseconds since 1970-01-01 UTC.
    pub(crate) fn time(self, time: Option<Timestamp>) -> Result<i64, InvalidTime> {
        let Some(time) = time else { return Ok(self.now_micros) };
        let Timestamp { seconds, nanos } = time;
        let micros = wire::micros(time).ok_or(InvalidTime::OutOfRange { seconds, nanos })?;
        match self.ahead_seconds(micros) {
            Some(ahead_seconds) => Err(InvalidTime::Ahead { ahead_seconds }),
            None => Ok(micros),
        }
    }

    /// How far a time is ahead, if too far.
    pub(crate) fn ahead_seconds(self, micros: i64) -> Option<i64> {
        let ahead = micros.saturating_sub(self.now_micros);
        (ahead > wire::AHEAD_MICROS_MAX).then_some(ahead / 1_000_000)
    }
}

// === impl Rows ===

impl Rows {
    /// These rows as the batches of a run, which must add up to them.
    #[must_use]
    pub fn of_run(self, run: Run) -> Parcel<Self> {
        Parcel { content: self, run: Some(Arc::new(run)) }
    }

    /// The COPY format, without header and trailer.
    #[must_use]
    pub fn copy_bytes(&self) -> Bytes {
        self.bytes.clone()
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
        let rows = self.iter().flat_map(|(series, micros)| encode(id(series), micros));
        Self { bytes: rows.collect(), ..self }
    }

    /// Series' ids and times, in microseconds since 1970-01-01 UTC.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (SeriesId, i64)> + '_ {
        decode(&self.bytes)
    }
}

impl Content for Rows {
    fn rows(&self) -> usize {
        self.bytes.len() / ROW_BYTES
    }

    fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn days(&self) -> &[(Day, i64)] {
        &self.days
    }

    fn skip(&self, rows: usize) -> Self {
        if rows == 0 {
            return self.clone();
        }
        let bytes = self.bytes.slice(rows * ROW_BYTES..);
        Self { days: Days::of(&bytes).finish(), bytes, ..self.clone() }
    }
}

impl FromIterator<(SeriesId, i64)> for Rows {
    fn from_iter<I: IntoIterator<Item = (SeriesId, i64)>>(rows: I) -> Self {
        let mut builder = RowsBuilder::new(0);
        rows.into_iter().for_each(|(series, micros)| builder.push(series, micros));
        builder.finish()
    }
}

// === impl RowsBuilder ===

impl RowsBuilder {
    /// No rows, under this belief.
    pub(crate) fn new(belief: u64) -> Self {
        let (bytes, unconfirmed) = (BytesMut::new(), HashMap::new());
        Self { bytes, days: Days::default(), unconfirmed, belief }
    }

    /// Adds a request at `micros` since 1970-01-01 UTC.
    pub(crate) fn push(&mut self, series: SeriesId, micros: i64) {
        self.days.add(micros);
        // In one piece, because every addition checks for room.
        self.bytes.extend_from_slice(&encode(series, micros));
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

    /// Keeps only the first rows.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.bytes.truncate(rows * ROW_BYTES);
        self.days = Days::of(&self.bytes);
    }
}

impl Builder for RowsBuilder {
    type Content = Rows;

    fn rows(&self) -> usize {
        self.bytes.len() / ROW_BYTES
    }

    fn days(&self) -> usize {
        self.days.counted.len()
    }

    fn finish(self) -> Rows {
        let Self { bytes, days, unconfirmed, belief } = self;
        let unconfirmed = unconfirmed.into_values().collect();
        Rows { bytes: bytes.freeze(), days: days.finish(), unconfirmed, belief }
    }
}

// === impl Days ===

impl Days {
    /// Those of encoded rows.
    fn of(bytes: &[u8]) -> Self {
        let mut days = Self::default();
        decode(bytes).for_each(|(_, micros)| days.add(micros));
        days
    }

    #[inline]
    fn add(&mut self, micros: i64) {
        if !self.last.contains(&micros) {
            self.turn();
            let day = Day::of_micros(micros);
            self.last = day.micros();
            self.counted.entry(day).or_default();
        }
        self.rows += 1;
    }

    /// Adds up the rows of the last day.
    fn turn(&mut self) {
        if self.rows > 0 {
            *self.counted.entry(Day::of_micros(self.last.start)).or_default() += self.rows;
            self.rows = 0;
        }
    }

    fn finish(mut self) -> Arc<[(Day, i64)]> {
        self.turn();
        self.counted.into_iter().collect()
    }
}

// === impl Micros ===

impl ToSql for Micros {
    fn to_sql(
        &self,
        _ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.put_i64(self.0 - EPOCH_MICROS);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Micros {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(i64::from_sql(ty, raw)? + EPOCH_MICROS))
    }

    fn accepts(ty: &Type) -> bool {
        <Self as ToSql>::accepts(ty)
    }
}

/// A request of a series at `micros` since 1970-01-01 UTC.
fn encode(series: SeriesId, micros: i64) -> [u8; ROW_BYTES] {
    let mut row = ROW;
    row[6..14].copy_from_slice(&series.to_be_bytes());
    row[18..].copy_from_slice(&(micros - EPOCH_MICROS).to_be_bytes());
    row
}

/// The series and times of rows.
fn decode(bytes: &[u8]) -> impl ExactSizeIterator<Item = (SeriesId, i64)> + '_ {
    let int = |bytes: &[u8]| {
        i64::from_be_bytes(bytes.try_into().expect("a row's fields have eight bytes"))
    };
    bytes
        .chunks_exact(ROW_BYTES)
        .map(move |row| (int(&row[6..14]), int(&row[18..26]) + EPOCH_MICROS))
}

#[cfg(test)]
mod tests;
