//! One batch of a `Record` stream: from a message to rows, or what is wrong with it.

use prost::Message as _;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::wire::{BATCH_BYTES_MAX, DROP_DAYS_MAX, MICROS, PATH_BYTES_MAX};

use crate::model::{Day, Endpoint, EndpointId};
use crate::rows::{Rows, RowsBuilder};
use crate::validate::Rules;

/// What a `Record` stream may bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLimits {
    /// How many requests a batch may have.
    pub batch_rows_max: u32,
    /// How large its message may be, in bytes.
    pub batch_bytes_max: u32,
    /// How many endpoints a stream may name.
    pub endpoints_max: u32,
    /// How many batches may be sent and not yet acknowledged.
    pub batches_in_flight_max: u32,
}

/// Why a batch cannot be counted. Positions are from 1, within the field that is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBatch {
    /// No number.
    #[error("sequence is 0, and batches are numbered from 1")]
    SequenceZero,
    /// A number that no producer reaches.
    #[error("sequence is beyond 2^63-1")]
    SequenceTooLarge,
    /// Neither requests nor drops.
    #[error("count is 0, and there are no drops: nothing to store")]
    Empty,
    /// A list that is longer or shorter than the batch says.
    #[error("{field} has {len} entries, and count is {count}")]
    Length {
        /// The field.
        field: &'static str,
        /// How many entries it has.
        len: usize,
        /// How many it should have.
        count: u32,
    },
    /// Too many requests.
    #[error("count is {count}, and a batch may have at most {max} requests")]
    TooManyRows {
        /// How many.
        count: usize,
        /// The limit.
        max: u32,
    },
    /// Too many endpoints.
    #[error("endpoints: the stream names {count}, and may name at most {max}: open another one")]
    TooManyEndpoints {
        /// How many, those of earlier batches included.
        count: usize,
        /// The limit.
        max: u32,
    },
    /// A number without an endpoint.
    #[error(
        "endpoint, position {position}: number {number}, and the stream has named {named} \
         endpoints, numbered from 0"
    )]
    EndpointNumber {
        /// Which.
        position: usize,
        /// The number.
        number: u32,
        /// How many there are.
        named: usize,
    },
    /// A time that no request can have.
    #[error(
        "time_delta, position {position}: the time is not between 0001-01-01T00:00:00Z and \
         9999-12-31T23:59:59.999999Z"
    )]
    TimeOutOfRange {
        /// Which.
        position: usize,
    },
    /// A time in the future. The batch is acceptable once the clocks agree.
    #[error(
        "time_delta, position {position}: the time is {ahead_seconds} s ahead of the server's \
         clock, more than 24 h: one of the two clocks is wrong"
    )]
    TimeAhead {
        /// Which.
        position: usize,
        /// How far.
        ahead_seconds: i64,
    },
    /// Too many days.
    #[error("drops has {len} entries, and at most {DROP_DAYS_MAX} are allowed")]
    TooManyDrops {
        /// How many.
        len: usize,
    },
    /// A day that no request can have.
    #[error("drops, position {position}: day {day} is not between 0001-01-01 and 9999-12-31")]
    DropDay {
        /// Which.
        position: usize,
        /// Days since 1970-01-01.
        day: i32,
    },
    /// Not a number of drops.
    #[error("drops, position {position}: count is {count}, and must be from 1 to 2^63-1")]
    DropCount {
        /// Which.
        position: usize,
        /// The number.
        count: u64,
    },
}

// === impl RecordLimits ===

impl Default for RecordLimits {
    fn default() -> Self {
        Self {
            batch_rows_max: 65_536,
            batch_bytes_max: BATCH_BYTES_MAX,
            endpoints_max: 100_000,
            batches_in_flight_max: 64,
        }
    }
}

// === impl InvalidBatch ===

impl InvalidBatch {
    /// Whether it is a limit of `Opened` that was passed.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::TooManyRows { .. } | Self::TooManyEndpoints { .. })
    }
}

/// The number of a batch, and the endpoints that it names for the first time, after `named`
/// others.
pub(crate) fn endpoints(
    batch: &mut proto::Batch,
    named: usize,
    limits: &RecordLimits,
    rules: Rules,
) -> Result<Vec<Endpoint>, InvalidBatch> {
    let count = named.saturating_add(batch.endpoints.len());
    let max = limits.endpoints_max;
    if count > max as usize {
        return Err(InvalidBatch::TooManyEndpoints { count, max });
    }
    let named = std::mem::take(&mut batch.endpoints);
    Ok(named.iter().map(|one| Endpoint::new(one.method, rules.path(&one.path))).collect())
}

/// The number of a batch.
pub(crate) fn sequence(batch: &proto::Batch) -> Result<i64, InvalidBatch> {
    match i64::try_from(batch.sequence) {
        Ok(0) => Err(InvalidBatch::SequenceZero),
        Ok(sequence) => Ok(sequence),
        Err(_) => Err(InvalidBatch::SequenceTooLarge),
    }
}

/// How many rows a batch has, which its lists agree on.
pub(crate) fn rows(batch: &proto::Batch, limits: &RecordLimits) -> Result<usize, InvalidBatch> {
    let lists = [("endpoint", batch.endpoint.len()), ("time_delta", batch.time_delta.len())];
    let longest = lists.iter().map(|(_, len)| *len).chain([batch.count as usize]).max();
    let max = limits.batch_rows_max;
    if let Some(count) = longest.filter(|count| *count > max as usize) {
        return Err(InvalidBatch::TooManyRows { count, max });
    }
    if let Some((field, len)) = lists.into_iter().find(|(_, len)| *len != batch.count as usize) {
        return Err(InvalidBatch::Length { field, len, count: batch.count });
    }
    if batch.count == 0 && batch.drops.is_empty() {
        return Err(InvalidBatch::Empty);
    }
    Ok(batch.count as usize)
}

/// What a batch says to have dropped.
pub(crate) fn drops(batch: &proto::Batch) -> Result<Vec<(Day, i64)>, InvalidBatch> {
    let len = batch.drops.len();
    if len > DROP_DAYS_MAX {
        return Err(InvalidBatch::TooManyDrops { len });
    }
    // A clock that is wrong is no reason to forget drops: they can be told only once.
    let days = Day::MIN..=Day::MAX;
    (1..)
        .zip(&batch.drops)
        .map(|(position, drops)| {
            let (day, count) = (Day(drops.day), drops.count);
            if !days.contains(&day) {
                return Err(InvalidBatch::DropDay { position, day: day.0 });
            }
            let valid = i64::try_from(count).ok().filter(|count| *count > 0);
            let count = valid.ok_or(InvalidBatch::DropCount { position, count })?;
            Ok((day, count))
        })
        .collect()
}

/// Adds the rows of a batch, or none of them. The lists have the same length; `ids` are those
/// of the stream's endpoints, by their numbers.
pub(crate) fn encode(
    batch: &proto::Batch,
    ids: &[EndpointId],
    rules: Rules,
    into: &mut RowsBuilder,
) -> Result<(), InvalidBatch> {
    let before = into.rows();
    let mut micros = 0_i64;
    let mut add = |position, number: u32, delta: i64| {
        let unknown = InvalidBatch::EndpointNumber { position, number, named: ids.len() };
        let id = *ids.get(number as usize).ok_or(unknown)?;
        micros = micros
            .checked_add(delta)
            .filter(|micros| MICROS.contains(micros))
            .ok_or(InvalidBatch::TimeOutOfRange { position })?;
        if let Some(ahead_seconds) = rules.ahead_seconds(micros) {
            return Err(InvalidBatch::TimeAhead { position, ahead_seconds });
        }
        into.push(id, micros);
        Ok(())
    };
    let requests = (1..).zip(batch.endpoint.iter().zip(&batch.time_delta));
    let mut requests = requests.map(|(position, (number, delta))| add(position, *number, *delta));
    let added = requests.try_for_each(|added| added);
    drop(requests);
    if added.is_err() {
        into.truncate(before);
    }
    added
}

/// Reads the bytes of one message as a `Record` stream does, with the numbers of the endpoints
/// as their ids, at a given time in microseconds since 1970-01-01 UTC. It takes any bytes, and
/// never panics: for tests and fuzzing.
///
/// # Errors
/// What is wrong with the message, in words.
pub fn decode_batch(bytes: &[u8], now_micros: i64) -> Result<Rows, String> {
    let message = proto::RecordRequest::decode(bytes).map_err(|error| error.to_string())?;
    let Some(Kind::Batch(mut batch)) = message.kind else {
        return Err("not a batch".to_owned());
    };
    let (limits, rules) =
        (RecordLimits::default(), Rules { path_bytes_max: PATH_BYTES_MAX, now_micros });
    let mut builder = RowsBuilder::new(0);
    let mut read = || {
        sequence(&batch)?;
        let named = endpoints(&mut batch, 0, &limits, rules)?;
        rows(&batch, &limits)?;
        drops(&batch)?;
        let ids: Vec<EndpointId> = (0..).take(named.len()).collect();
        encode(&batch, &ids, rules, &mut builder)
    };
    read().map_err(|error: InvalidBatch| error.to_string())?;
    Ok(builder.finish())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tally_proto::count::v1::AddRequest;
    use tally_proto::tally::producers::v1 as producers;

    use super::*;

    const NOW: i64 = 1_900_000_000_000_000;

    fn message(
        paths: usize,
        requests: &[(u32, i64)],
        drops: Vec<producers::Drops>,
    ) -> proto::Batch {
        let mut last = 0;
        let delta = |(_, micros): &(u32, i64)| micros - std::mem::replace(&mut last, *micros);
        proto::Batch {
            sequence: 1,
            endpoints: (0..paths)
                .map(|n| proto::Endpoint { method: 3, path: format!("/{n}") })
                .collect(),
            endpoint: requests.iter().map(|(number, _)| *number).collect(),
            count: u32::try_from(requests.len()).unwrap(),
            time_delta: requests.iter().map(delta).collect(),
            drops,
        }
    }

    fn bytes(batch: proto::Batch) -> Vec<u8> {
        proto::RecordRequest { kind: Some(Kind::Batch(batch)) }.encode_to_vec()
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_is_read(
            requests in prop::collection::vec((0..20_u32, *MICROS.start()..=NOW), 1..200)
        ) {
            let rows = decode_batch(&bytes(message(20, &requests, Vec::new())), NOW).unwrap();
            let expected: Vec<_> =
                requests.iter().map(|(number, micros)| (i64::from(*number), *micros)).collect();
            prop_assert_eq!(rows.iter().collect::<Vec<_>>(), expected);
        }

        /// Of an `Add` stream nothing is refused, and the next message begins where this one ends.
        #[test]
        fn any_bytes_are_a_request(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut rest = &*bytes;
            prop_assert!(AddRequest::decode(&mut rest).is_ok());
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_batch(&bytes, NOW);
        }

        /// Nearly right: most of it passes the first checks.
        #[test]
        fn any_numbers_are_read_or_refused(
            sequence: u64, count in 0..4_u32, paths in 0..3_usize,
            endpoint in prop::collection::vec(0..4_u32, 0..4),
            time_delta in prop::collection::vec(any::<i64>(), 0..4),
            drops in prop::collection::vec((any::<i32>(), any::<u64>()), 0..4),
            now: i64,
        ) {
            let drops = drops.into_iter().map(|(day, count)| producers::Drops { day, count });
            let base = message(paths, &[], drops.collect());
            let batch = proto::Batch { sequence, endpoint, time_delta, count, ..base };
            let _ = decode_batch(&bytes(batch), now);
        }

        #[test]
        fn a_changed_byte_is_read_or_refused(
            requests in prop::collection::vec((0..5_u32, 0..=NOW), 1..50), at: prop::sample::Index,
            value: u8,
        ) {
            let mut bytes = bytes(message(5, &requests, Vec::new()));
            let at = at.index(bytes.len());
            bytes[at] = value;
            let _ = decode_batch(&bytes, NOW);
        }
    }

    #[test]
    fn an_invalid_batch_adds_no_row() {
        let rules = Rules { path_bytes_max: 10, now_micros: NOW };
        let mut into = RowsBuilder::new(0);
        into.push(7, 1);
        for requests in [[(0, 5), (1, 5)], [(0, 5), (0, i64::MAX)], [(0, 5), (0, NOW * 2)]] {
            let batch = message(0, &requests, Vec::new());
            assert!(encode(&batch, &[1], rules, &mut into).is_err());
            assert_eq!(into.rows(), 1);
        }
        assert_eq!(into.finish().iter().collect::<Vec<_>>(), [(7, 1)]);
    }
}
