//! Requests on their way: rows, drops, and how they are cut into batches, encoded and decoded.

use std::collections::BTreeMap;

use prost::Message as _;
use tally_proto::methods;
use tally_proto::tally::producers::v1 as producers;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::wire::{self, DROP_DAYS_MAX};

use crate::clock;
use crate::endpoints::Endpoints;
use crate::{Endpoint, Method};

/// Bytes of a batch's message without rows, endpoints and drops.
const MESSAGE_BYTES: usize = 64;
/// Bytes of an endpoint without its path.
const ENDPOINT_BYTES: usize = 24;
/// Bytes of a day's drops.
const DROPS_BYTES: usize = 24;

/// Not named on this stream.
const UNNAMED: u32 = u32::MAX;

/// One request: what was called, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// An endpoint that the same producer has made.
    pub endpoint: Endpoint,
    /// Microseconds since 1970-01-01 UTC.
    pub time_us: i64,
}

/// How many requests were dropped, by UTC day (days since 1970-01-01).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Drops(pub(crate) BTreeMap<i32, u64>);

/// Requests with their drops: what a source gives, and what a batch holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requests {
    pub(crate) rows: Vec<Row>,
    pub(crate) drops: Drops,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchLimits {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    pub(crate) endpoints: usize,
}

/// The numbers of the endpoints that a stream has named.
#[derive(Debug)]
pub(crate) struct Names {
    numbers: Vec<u32>,
    named: u32,
    /// Longer paths become the endpoint of last resort.
    path_bytes_max: usize,
}

// === impl Requests ===

impl Requests {
    /// Reports a lost batch as drops of this day.
    pub(crate) fn dropped(day: i32, count: u64) -> Self {
        let mut drops = Drops::default();
        drops.add(day, count);
        Self { rows: Vec::new(), drops }
    }

    /// Reads what [`payload`] has made.
    pub(crate) fn decode(payload: &[u8], endpoints: &Endpoints) -> Option<Self> {
        let batch = proto::Batch::decode(payload).ok()?;
        let named = |name: &proto::Series| {
            endpoints.endpoint(Method(methods::number_of_text(&name.method)), &name.path)
        };
        let names: Vec<_> = batch.series.iter().map(named).collect();
        if batch.number.len() != batch.time_delta.len() {
            return None;
        }
        let mut time_us = 0_i64;
        let row = |(number, delta): (&u32, &i64)| {
            time_us = time_us.checked_add(*delta)?;
            Some(Row { endpoint: *names.get(*number as usize)?, time_us })
        };
        let rows = batch.number.iter().zip(&batch.time_delta).map(row).collect::<Option<_>>()?;
        let mut requests = Self { rows, drops: Drops::default() };
        batch.drops.iter().for_each(|told| requests.drops.add(told.day, told.count));
        (!requests.is_empty()).then_some(requests)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.drops.is_empty()
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
            self.add(clock::day(row.time_us), 1);
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
            .map(|row| row.endpoint.0)
            .filter(|number| self.number(*number).is_none())
            .collect();
        missing.sort_unstable();
        missing.dedup();
        missing.len()
    }

    fn number(&self, endpoint: u32) -> Option<u32> {
        self.numbers.get(endpoint as usize).copied().filter(|number| *number != UNNAMED)
    }

    /// The number of an endpoint on this stream, and whether it is new there.
    #[inline]
    fn name(&mut self, endpoint: u32, endpoints: &Endpoints) -> (u32, Option<proto::Series>) {
        if let Some(number) = self.number(endpoint) {
            return (number, None);
        }
        // Another client's endpoint goes to the one of last resort.
        let endpoint = if endpoints.knows(endpoint) { endpoint } else { Endpoints::LAST_RESORT };
        if let Some(number) = self.number(endpoint) {
            return (number, None);
        }
        let at = endpoint as usize;
        if self.numbers.len() <= at {
            self.numbers.resize(at + 1, UNNAMED);
        }
        let number = self.named;
        self.numbers[at] = number;
        self.named += 1;
        let (method, path) = endpoints.name(endpoint);
        let path = wire::path(path, self.path_bytes_max);
        let method = methods::text(method.0).into_owned();
        (number, Some(proto::Series { method, path: path.to_owned(), ..Default::default() }))
    }
}

/// How many rows, from the first, fit into a batch: at least one.
pub(crate) fn fitting(
    rows: &[Row],
    drops: &Drops,
    limits: BatchLimits,
    endpoints: &Endpoints,
) -> usize {
    let mut bytes = MESSAGE_BYTES + drops.0.len() * DROPS_BYTES;
    let mut names = Names::new(usize::MAX);
    let mut before = 0;
    for (at, row) in rows.iter().enumerate().take(limits.rows) {
        if let (_, Some(new)) = names.name(row.endpoint.0, endpoints) {
            bytes += ENDPOINT_BYTES + new.method.len() + new.path.len();
        }
        let delta = row.time_us.wrapping_sub(before);
        let zigzag = ((delta << 1) ^ (delta >> 63)).cast_unsigned();
        // Its endpoint's number takes at most 4 bytes, being below 2^28.
        bytes += 4 + prost::encoding::encoded_len_varint(zigzag);
        before = row.time_us;
        if (bytes > limits.bytes || names.len() > limits.endpoints) && at > 0 {
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
    endpoints: &Endpoints,
) -> proto::Batch {
    let mut new = Vec::new();
    let mut numbers = Vec::with_capacity(rows.len());
    let mut time_delta = Vec::with_capacity(rows.len());
    let mut before = 0;
    for row in rows {
        let (number, named) = names.name(row.endpoint.0, endpoints);
        new.extend(named);
        numbers.push(number);
        time_delta.push(row.time_us.wrapping_sub(before));
        before = row.time_us;
    }
    proto::Batch {
        sequence,
        series: new,
        count: u32::try_from(rows.len()).expect("batch_rows_max is below 2^24"),
        number: numbers,
        time_delta,
        drops: drops.0.iter().map(|(&day, &count)| producers::Drops { day, count }).collect(),
    }
}

/// A batch as a spool stores it: it names all of its endpoints.
pub(crate) fn payload(rows: &[Row], drops: &Drops, endpoints: &Endpoints) -> Vec<u8> {
    message(0, rows, drops, &mut Names::new(usize::MAX), endpoints).encode_to_vec()
}

#[cfg(test)]
mod tests;
