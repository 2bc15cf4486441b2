//! A message of a `Record` stream as it comes. The lists of a batch stay as they are on the wire, which is a few
//! bytes for each entry, and are gone through once.

use std::iter;

use bytes::Bytes;
use prost::{DecodeError, Message as _};
use tally_proto::tally::producers::v1 as producers;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::wire::DROP_DAYS_MAX;

use crate::protobuf::{low_half, take_field, take_key, take_varint};

/// The key of the field of series.
const SERIES: u8 = 0o22;

/// What a stream brings.
#[derive(Debug)]
pub(crate) enum Request {
    Open(producers::Open),
    Batch(Batch),
    Done,
    /// Nothing that this server knows.
    Empty,
}

/// A [`proto::Batch`].
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) sequence: u64,
    pub(crate) series: Names,
    pub(crate) number: List,
    pub(crate) time_delta: List,
    pub(crate) count: u32,
    pub(crate) drops: Vec<producers::Drops>,
    pub(crate) checkpoint: Bytes,
    pub(crate) requests: List,
}

/// The series that a batch names, as they come: a message of 1 MiB can name half a million, which would take
/// 50 times as much memory.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// All fields of the batch.
    batch: Bytes,
    len: usize,
}

/// A packed list of varints.
#[derive(Debug, Default)]
pub(crate) struct List {
    bytes: Bytes,
    len: usize,
}

/// The numbers of a list, up to its end or to what is no varint.
#[derive(Debug, Clone)]
pub(crate) struct Varints<'a>(&'a [u8]);

// === impl Request ===

impl Request {
    pub(crate) fn read(bytes: Bytes) -> Result<Self, DecodeError> {
        if let Some(batch) = Batch::read_plain(&bytes) {
            return Ok(Self::Batch(batch));
        }
        proto::RecordRequest::decode(bytes).map(Self::from)
    }
}

impl From<proto::RecordRequest> for Request {
    fn from(request: proto::RecordRequest) -> Self {
        match request.kind {
            Some(Kind::Open(open)) => Self::Open(open),
            Some(Kind::Batch(batch)) => Self::Batch(batch.into()),
            Some(Kind::Done(_)) => Self::Done,
            None => Self::Empty,
        }
    }
}

// === impl Batch ===

impl Batch {
    /// `None` if it is no batch, or anything is unusual, valid or not.
    fn read_plain(message: &Bytes) -> Option<Self> {
        let mut rest = &**message;
        // The field of a batch, with its length, is the whole message.
        let batch = (take_key(&mut rest)? == 0o22).then(|| take_field(&mut rest)).flatten()?;
        if !rest.is_empty() {
            return None;
        }
        let (mut rest, mut read) = (batch, Self::default());
        read.series.batch = message.slice_ref(batch);
        let take_list = |rest: &mut &[u8], list: &mut List| {
            let field = take_field(rest)?;
            let is_whole = field.last().is_none_or(|last| *last < 0x80);
            (is_whole && list.len == 0).then(|| *list = List::of(message.slice_ref(field)))
        };
        while !rest.is_empty() {
            // A field's number and wire type: a varint (0), or bytes after their length (2).
            match take_key(&mut rest)? {
                0o10 => read.sequence = take_varint(&mut rest)?,
                SERIES => {
                    proto::Series::decode(take_field(&mut rest)?).ok()?;
                    read.series.len += 1;
                }
                0o32 => take_list(&mut rest, &mut read.number)?,
                0o42 => take_list(&mut rest, &mut read.time_delta)?,
                0o50 => read.count = low_half(take_varint(&mut rest)?),
                0o62 => {
                    let drops = producers::Drops::decode(take_field(&mut rest)?).ok()?;
                    // One more than it may have is enough to refuse it.
                    if read.drops.len() <= DROP_DAYS_MAX {
                        read.drops.push(drops);
                    }
                }
                0o72 => read.checkpoint = message.slice_ref(take_field(&mut rest)?),
                0o102 => take_list(&mut rest, &mut read.requests)?,
                _ => return None,
            }
        }
        Some(read)
    }

    /// The number of each entry's series, and how many requests it stands for.
    pub(crate) fn requests_by_number(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let requests = self.requests.varints().map(low_half).chain(iter::repeat(1));
        self.number.varints().map(low_half).zip(requests)
    }
}

impl From<proto::Batch> for Batch {
    fn from(batch: proto::Batch) -> Self {
        let proto::Batch { sequence, series, number, time_delta, count, drops, .. } = batch;
        let list = |numbers: &mut dyn Iterator<Item = u64>| {
            let mut bytes = Vec::new();
            numbers.for_each(|number| prost::encoding::encode_varint(number, &mut bytes));
            List::of(bytes.into())
        };
        let unsigned = |delta: i64| ((delta << 1) ^ (delta >> 63)).cast_unsigned();
        let names = proto::Batch { series, ..Default::default() };
        Self {
            sequence,
            series: Names { len: names.series.len(), batch: names.encode_to_vec().into() },
            number: list(&mut number.into_iter().map(u64::from)),
            time_delta: list(&mut time_delta.into_iter().map(unsigned)),
            count,
            drops,
            checkpoint: batch.checkpoint.into(),
            requests: list(&mut batch.requests.into_iter().map(u64::from)),
        }
    }
}

// === impl Names ===

impl Names {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = proto::Series> + '_ {
        let mut rest = &*self.batch;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let key = take_key(&mut rest)?;
                // Of another field: a number, or bytes after their length.
                if key & 7 == 0 {
                    take_varint(&mut rest)?;
                    continue;
                }
                let field = take_field(&mut rest)?;
                if key == SERIES {
                    return proto::Series::decode(field).ok();
                }
            }
            None
        })
    }
}

// === impl List ===
impl List {
    fn of(bytes: Bytes) -> Self {
        let len = bytes.iter().filter(|byte| **byte < 0x80).count();
        Self { bytes, len }
    }

    /// How many varints end in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn varints(&self) -> Varints<'_> {
        Varints(&self.bytes)
    }
}

// === impl Varints ===

impl Iterator for Varints<'_> {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        take_varint(&mut self.0)
    }
}

#[cfg(test)]
mod tests;
