//! One batch of a `Record` stream: its message becomes rows, or an error.
//!
//! | file | what it owns |
//! |---|---|
//! | `message.rs` | a message as it comes |

mod message;

use bytes::Bytes;
use tally_producers::stream::{Builder as _, read_checkpoint, read_drops};
use tally_proto::tally::requests::v1 as proto;
use tally_proto::wire::{BATCH_BYTES_MAX, ENTRY_REQUESTS_MAX, MICROS, PATH_BYTES_MAX};
use tally_runtime::faults;

pub(crate) use self::message::{Batch, Request};
use crate::error::InvalidBatch;
use crate::intake::Rules;
use crate::model::{Namespace, Series, SeriesId};
use crate::protobuf::{low_half, zigzag};
use crate::resolution::Resolution;
use crate::rows::{Rows, RowsBuilder};

/// How many ids are looked up before their rows are added. Those of many series are not in a core's cache, and
/// it waits for several at a time if little else is to be done between two of them.
const IDS_AT_ONCE: usize = 256;

/// The limits of a `Record` stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLimits {
    /// How many entries a batch may have.
    pub batch_rows_max: u32,
    /// How large its message may be, in bytes.
    pub batch_bytes_max: u32,
    /// How many series a stream may name.
    pub series_max: u32,
    /// How many batches may be sent and not yet acknowledged.
    pub batches_in_flight_max: u32,
}

// === impl RecordLimits ===

impl Default for RecordLimits {
    fn default() -> Self {
        Self {
            batch_rows_max: 65_536,
            batch_bytes_max: BATCH_BYTES_MAX,
            series_max: 100_000,
            batches_in_flight_max: 64,
        }
    }
}

/// The series that a batch names, after `named` earlier ones.
pub(crate) fn series(
    batch: &Batch,
    named: usize,
    limits: &RecordLimits,
    rules: Rules,
) -> Result<Vec<Series>, InvalidBatch> {
    let count = named.saturating_add(batch.series.len());
    let max = limits.series_max;
    if count > max as usize {
        return Err(InvalidBatch::TooManySeries { count, max });
    }
    let read = |(position, series): (usize, proto::Series)| {
        let status = series.status;
        rules.series(&series).ok_or(InvalidBatch::Status { position, status })
    };
    (1..).zip(batch.series.iter()).map(read).collect()
}

/// The number of entries, checked against the lists.
pub(crate) fn entries(batch: &Batch, limits: &RecordLimits) -> Result<usize, InvalidBatch> {
    let lists = [("number", batch.number.len()), ("time_delta", batch.time_delta.len())];
    let longest = lists.iter().map(|(_, len)| *len).chain([batch.count as usize]).max();
    let max = limits.batch_rows_max;
    if let Some(count) = longest.filter(|count| *count > max as usize) {
        return Err(InvalidBatch::TooManyRows { count, max });
    }
    let requests = Some(("requests", batch.requests.len())).filter(|(_, len)| *len > 0);
    let mut lists = lists.into_iter().chain(requests);
    if let Some((field, len)) = lists.find(|(_, len)| *len != batch.count as usize) {
        return Err(InvalidBatch::Length { field, len, count: batch.count });
    }
    if batch.count == 0 && batch.drops.is_empty() && batch.checkpoint.is_empty() {
        return Err(InvalidBatch::Empty);
    }
    Ok(batch.count as usize)
}

/// Adds all rows of a batch, or none. Its lists have the same length; `ids` are those of the
/// stream's series, by their numbers.
pub(crate) fn add_rows(
    batch: &Batch,
    ids: &[SeriesId],
    rules: Rules,
    into: &mut RowsBuilder,
) -> Result<(), InvalidBatch> {
    let before = into.rows();
    into.begin_batch();
    let mut micros = 0_i64;
    let (mut numbers, mut deltas) = (batch.number.varints(), batch.time_delta.varints());
    let mut requests = batch.requests.varints();
    let has_requests = batch.requests.len() > 0;
    let mut id = |position| {
        let broken = || InvalidBatch::Varint { field: "number", position };
        let number = numbers.next().map(low_half).ok_or_else(broken)?;
        let unknown = InvalidBatch::SeriesNumber { position, number, named: ids.len() };
        ids.get(number as usize).copied().ok_or(unknown)
    };
    let mut add = |position, id| {
        let broken = |field| InvalidBatch::Varint { field, position };
        let delta = deltas.next().map(zigzag).ok_or_else(|| broken("time_delta"))?;
        let requests = match has_requests {
            true => requests.next().map(low_half).ok_or_else(|| broken("requests"))?,
            false => 1,
        };
        micros = micros
            .checked_add(delta)
            .filter(|micros| MICROS.contains(micros))
            .ok_or(InvalidBatch::TimeOutOfRange { position })?;
        if let Some(ahead_seconds) = rules.ahead_seconds(micros) {
            return Err(InvalidBatch::TimeAhead { position, ahead_seconds });
        }
        if !(1..=ENTRY_REQUESTS_MAX).contains(&requests) {
            return Err(InvalidBatch::Requests { position, requests });
        }
        let requests = if faults::is_on("entry.one") { 1 } else { requests };
        into.push(id, micros, requests.into());
        Ok(())
    };
    let count = batch.count as usize;
    let mut found = Vec::with_capacity(IDS_AT_ONCE.min(count));
    let added = (1..=count).step_by(IDS_AT_ONCE).try_for_each(|first| {
        let mut positions = first..=count.min(first + IDS_AT_ONCE - 1);
        found.clear();
        let all = positions.clone().try_for_each(|position| id(position).map(|id| found.push(id)));
        // What is wrong with an earlier row comes first.
        found.iter().zip(&mut positions).try_for_each(|(id, position)| add(position, *id))?;
        all
    });
    if added.is_err() {
        into.truncate(before);
    }
    added
}

/// For fuzzing: reads a message as a `Record` stream does at this time, with the series' numbers
/// as their ids.
///
/// # Errors
/// What is wrong with the message.
pub fn decode_batch(bytes: &[u8], now_micros: i64) -> Result<Rows, String> {
    let message =
        Request::read(Bytes::copy_from_slice(bytes)).map_err(|error| error.to_string())?;
    let Request::Batch(batch) = message else { return Err("not a batch".to_owned()) };
    let (limits, rules) = (
        RecordLimits::default(),
        Rules { namespace: Namespace::DEFAULT, path_bytes_max: PATH_BYTES_MAX, now_micros },
    );
    let mut builder = RowsBuilder::new(0, Resolution::Raw);
    let mut read = || {
        let named = series(&batch, 0, &limits, rules)?;
        entries(&batch, &limits)?;
        read_drops(&batch.drops)?;
        read_checkpoint(&batch.checkpoint)?;
        let ids: Vec<SeriesId> = (0..).take(named.len()).collect();
        add_rows(&batch, &ids, rules, &mut builder)
    };
    read().map_err(|error: InvalidBatch| error.to_string())?;
    Ok(builder.finish())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;
    use tally_proto::count::v1::AddRequest;
    use tally_proto::tally::producers::v1 as producers;
    use tally_proto::tally::requests::v1::record_request::Kind;

    use super::*;
    use crate::model::Day;
    use crate::rows::Row;
    use tally_producers::Content as _;

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
            series: (0..paths)
                .map(|n| proto::Series { path: format!("/{n}"), ..Default::default() })
                .collect(),
            number: requests.iter().map(|(number, _)| *number).collect(),
            count: u32::try_from(requests.len()).unwrap(),
            time_delta: requests.iter().map(delta).collect(),
            drops,
            checkpoint: Vec::new(),
            requests: Vec::new(),
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
            let row = |(number, micros): &(u32, i64)| (i64::from(*number), *micros, 1);
            let expected: Vec<_> = requests.iter().map(row).collect();
            let read = |row: Row| (row.series, row.micros, row.requests);
            prop_assert_eq!(rows.iter().map(read).collect::<Vec<_>>(), expected);
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
            number in prop::collection::vec(0..4_u32, 0..4),
            time_delta in prop::collection::vec(any::<i64>(), 0..4),
            drops in prop::collection::vec((any::<i32>(), any::<u64>()), 0..4),
            now: i64,
        ) {
            let drops = drops.into_iter().map(|(day, count)| producers::Drops { day, count });
            let base = message(paths, &[], drops.collect());
            let batch = proto::Batch { sequence, number, time_delta, count, ..base };
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
        let rules = Rules { namespace: Namespace::DEFAULT, path_bytes_max: 10, now_micros: NOW };
        let mut into = RowsBuilder::new(0, Resolution::Raw);
        into.push(7, 1, 1);
        for requests in [[(0, 5), (1, 5)], [(0, 5), (0, i64::MAX)], [(0, 5), (0, NOW * 2)]] {
            let batch = message(0, &requests, Vec::new()).into();
            assert!(add_rows(&batch, &[1], rules, &mut into).is_err());
            assert_eq!(into.rows(), 1);
        }
        let batch = proto::Batch { requests: vec![1, 0], ..message(1, &[(0, 5); 2], Vec::new()) };
        assert!(add_rows(&batch.clone().into(), &[1], rules, &mut into).is_err());
        let batch = proto::Batch { requests: vec![1, 1_000_001], ..batch };
        assert!(add_rows(&batch.into(), &[1], rules, &mut into).is_err());
        let rows: Vec<Row> = into.finish().iter().collect();
        assert_eq!(rows, [Row { series: 7, micros: 1, requests: 1 }]);
    }

    #[test]
    fn an_entry_is_as_many_requests_as_it_says() {
        let requests = vec![1, 1_000_000, 3];
        let batch = proto::Batch { requests, ..message(1, &[(0, 5), (0, 6), (0, 7)], Vec::new()) };
        let rows = decode_batch(&bytes(batch.clone()), NOW).expect("valid");
        assert_eq!(rows.iter().map(|row| row.requests).collect::<Vec<_>>(), [1, 1_000_000, 3]);
        assert_eq!(rows.days(), [(Day(0), 1_000_004)]);
        let batch = proto::Batch { requests: vec![1, 2], ..batch };
        let error = decode_batch(&bytes(batch), NOW).expect_err("too short");
        assert_eq!(error, "requests has 2 entries, and count is 3");
    }
}
