//! Requests on their way: rows, drops, and how they are cut into batches, encoded and decoded.

use std::collections::BTreeMap;

use prost::Message as _;
use tally_proto::methods;
use tally_proto::tally::producers::v1 as producers;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::wire::{self, DROP_DAYS_MAX};

use crate::clock;
use crate::series::Table;
use crate::{Method, Series, SeriesKey};

/// Bytes of a batch's message without rows, series, drops and a checkpoint.
const MESSAGE_BYTES: usize = 64;
/// Bytes of a series in a batch besides its own message: a tag, and a length below 2^21.
const SERIES_BYTES: usize = 4;
/// Bytes of a day's drops.
const DROPS_BYTES: usize = 24;

/// Not named on this stream.
const UNNAMED: u32 = u32::MAX;

/// A request, or several of one series at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// A series that the same producer has made.
    pub series: Series,
    /// How many requests it stands for, 1 to 1,000,000.
    pub requests: u32,
    /// Microseconds since 1970-01-01 UTC.
    pub time_us: i64,
}

// The documentation says so.
const _: () = assert!(size_of::<Row>() == 16);

/// How many requests were dropped, by UTC day (days since 1970-01-01).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Drops(pub(crate) BTreeMap<i32, u64>);

/// Requests with their drops: what a source gives, and what a batch holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requests {
    pub(crate) rows: Vec<Row>,
    pub(crate) drops: Drops,
    /// How far the source has come with them. They are one batch then.
    pub(crate) checkpoint: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchLimits {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    pub(crate) series: usize,
}

/// The numbers of the series that a stream has named.
#[derive(Debug)]
pub(crate) struct Names {
    numbers: Vec<u32>,
    named: u32,
    /// Longer paths are sent as [`OTHER_PATH`](wire::OTHER_PATH).
    path_bytes_max: usize,
}

// === impl Row ===

impl Row {
    /// One request.
    #[must_use]
    #[inline]
    pub fn one(series: Series, time_us: i64) -> Self {
        Self { series, requests: 1, time_us }
    }
}

/// How many requests these rows stand for.
pub(crate) fn total(rows: &[Row]) -> u64 {
    rows.iter().map(|row| u64::from(row.requests)).sum()
}

// === impl Requests ===

impl Requests {
    /// Reports a lost batch as drops of this day.
    pub(crate) fn dropped(day: i32, count: u64) -> Self {
        let mut drops = Drops::default();
        drops.add(day, count);
        Self { drops, ..Self::default() }
    }

    /// Reads what [`payload`] has made.
    pub(crate) fn decode(payload: &[u8], table: &Table) -> Option<Self> {
        let batch = proto::Batch::decode(payload).ok()?;
        let named = |series: &proto::Series| {
            table.series(SeriesKey {
                service: &series.service,
                method: Method(methods::number_of_text(&series.method)),
                path: &series.path,
                status: u16::try_from(series.status).unwrap_or(0),
                customer: &series.customer,
            })
        };
        let names: Vec<_> = batch.series.iter().map(named).collect();
        let entries = batch.number.len();
        if entries != batch.time_delta.len()
            || !batch.requests.is_empty() && entries != batch.requests.len()
        {
            return None;
        }
        let mut time_us = 0_i64;
        let row = |at: usize| {
            time_us = time_us.checked_add(batch.time_delta[at])?;
            let requests = batch.requests.get(at).copied().unwrap_or(1);
            let is_sound = (1..=wire::ENTRY_REQUESTS_MAX).contains(&requests);
            let series = *names.get(batch.number[at] as usize)?;
            is_sound.then_some(Row { series, requests, time_us })
        };
        let rows = (0..entries).map(row).collect::<Option<_>>()?;
        let mut requests = Self { rows, ..Self::default() };
        batch.drops.iter().for_each(|told| requests.drops.add(told.day, told.count));
        (!requests.is_empty()).then_some(requests)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.drops.is_empty() && self.checkpoint.is_empty()
    }
}

// === impl Drops ===

impl Drops {
    pub(crate) fn add(&mut self, day: i32, count: u64) {
        if count > 0 {
            *self.0.entry(day).or_default() += count;
        }
    }

    pub(crate) fn add_all(&mut self, drops: &Self) {
        drops.0.iter().for_each(|(&day, &count)| self.add(day, count));
    }

    pub(crate) fn add_rows(&mut self, rows: &[Row]) {
        for row in rows {
            self.add(clock::day(row.time_us), row.requests.into());
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the drops of days beyond a batch's limit to its last day, so the sum stays exact.
    pub(crate) fn bound(&mut self) {
        let kept = self.take_some();
        let rest = std::mem::replace(self, kept).total();
        if let Some(mut last) = self.0.last_entry() {
            *last.get_mut() += rest;
        }
    }

    /// Takes at most as many days as a batch may have.
    pub(crate) fn take_some(&mut self) -> Self {
        match self.0.keys().nth(DROP_DAYS_MAX).copied() {
            None => std::mem::take(self),
            Some(day) => {
                let rest = self.0.split_off(&day);
                Self(std::mem::replace(&mut self.0, rest))
            }
        }
    }
}

// === impl Names ===

impl Names {
    pub(crate) fn new(path_bytes_max: usize) -> Self {
        Self { numbers: Vec::new(), named: 0, path_bytes_max }
    }

    pub(crate) fn len(&self) -> usize {
        self.named as usize
    }

    pub(crate) fn missing(&self, rows: &[Row]) -> usize {
        let mut missing: Vec<u32> = rows
            .iter()
            .map(|row| row.series.0)
            .filter(|number| self.number(*number).is_none())
            .collect();
        missing.sort_unstable();
        missing.dedup();
        missing.len()
    }

    fn number(&self, series: u32) -> Option<u32> {
        self.numbers.get(series as usize).copied().filter(|number| *number != UNNAMED)
    }

    /// The number of a series on this stream, and its message if it is new there.
    #[inline]
    fn name(&mut self, series: u32, table: &Table) -> (u32, Option<proto::Series>) {
        if let Some(number) = self.number(series) {
            return (number, None);
        }
        // Another client's series goes to the one of last resort.
        let series = if table.knows(series) { series } else { Table::LAST_RESORT };
        if let Some(number) = self.number(series) {
            return (number, None);
        }
        let at = series as usize;
        if self.numbers.len() <= at {
            self.numbers.resize(at + 1, UNNAMED);
        }
        let number = self.named;
        self.numbers[at] = number;
        self.named += 1;
        (number, Some(named(table.key(series), self.path_bytes_max)))
    }
}

/// A series as a stream names it.
fn named(key: SeriesKey<'_>, path_bytes_max: usize) -> proto::Series {
    proto::Series {
        service: key.service.to_owned(),
        method: methods::text(key.method.0).into_owned(),
        path: wire::path(key.path, path_bytes_max).to_owned(),
        status: key.status.into(),
        customer: key.customer.to_owned(),
    }
}

/// How many rows, from the first, fit into a batch: at least one.
pub(crate) fn fitting(rows: &[Row], drops: &Drops, limits: BatchLimits, table: &Table) -> usize {
    let mut bytes = MESSAGE_BYTES + drops.0.len() * DROPS_BYTES;
    let mut names = Names::new(usize::MAX);
    let (mut requests_bytes, mut are_merged) = (0, false);
    let mut before = 0;
    for (at, row) in rows.iter().enumerate().take(limits.rows) {
        if let (_, Some(new)) = names.name(row.series.0, table) {
            bytes += SERIES_BYTES + new.encoded_len();
        }
        let delta = row.time_us.wrapping_sub(before);
        let zigzag = ((delta << 1) ^ (delta >> 63)).cast_unsigned();
        // Its series' number takes at most 4 bytes, being below 2^28.
        bytes += 4 + prost::encoding::encoded_len_varint(zigzag);
        before = row.time_us;
        requests_bytes += prost::encoding::encoded_len_varint(row.requests.into());
        are_merged |= row.requests != 1;
        let all = bytes + if are_merged { requests_bytes } else { 0 };
        if (all > limits.bytes || names.len() > limits.series) && at > 0 {
            return at;
        }
    }
    rows.len().min(limits.rows.max(1))
}

/// A batch for a stream that has named `names`.
pub(crate) fn message(
    sequence: u64,
    rows: &[Row],
    drops: &Drops,
    names: &mut Names,
    table: &Table,
) -> proto::Batch {
    let are_merged = rows.iter().any(|row| row.requests != 1);
    let mut series = Vec::new();
    let mut number = Vec::with_capacity(rows.len());
    let mut time_delta = Vec::with_capacity(rows.len());
    let mut before = 0;
    for row in rows {
        let (at, named) = names.name(row.series.0, table);
        series.extend(named);
        number.push(at);
        time_delta.push(row.time_us.wrapping_sub(before));
        before = row.time_us;
    }
    proto::Batch {
        sequence,
        series,
        number,
        time_delta,
        count: u32::try_from(rows.len()).expect("batch_rows_max is below 2^24"),
        drops: drops.0.iter().map(|(&day, &count)| producers::Drops { day, count }).collect(),
        checkpoint: Vec::new(),
        requests: rows.iter().filter(|_| are_merged).map(|row| row.requests).collect(),
    }
}

/// A batch as a spool stores it: it names all of its series.
pub(crate) fn payload(rows: &[Row], drops: &Drops, table: &Table) -> Vec<u8> {
    message(0, rows, drops, &mut Names::new(usize::MAX), table).encode_to_vec()
}

#[cfg(test)]
mod tests;
