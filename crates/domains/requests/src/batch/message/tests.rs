//! What is read in place is what protobuf's own decoder reads.

use proptest::prelude::*;

use super::*;
use crate::protobuf::zigzag;

/// As the decoder has it; `None` if it refuses the message.
fn decoded(bytes: &[u8]) -> Option<Option<Kind>> {
    proto::RecordRequest::decode(bytes).ok().map(|request| request.kind)
}

/// What was read, as the decoder would have it. `None` if a list holds what is no varint.
fn known(request: Request) -> Option<Option<Kind>> {
    Some(match request {
        Request::Open(open) => Some(Kind::Open(open)),
        Request::Done => Some(Kind::Done(proto::Done {})),
        Request::Empty => None,
        Request::Batch(batch) => {
            let Batch { sequence, count, drops, .. } = batch;
            let lists = [&batch.number, &batch.requests, &batch.time_delta];
            if lists.iter().any(|list| list.varints().count() != list.len()) {
                return None;
            }
            Some(Kind::Batch(proto::Batch {
                sequence,
                series: batch.series.iter().collect(),
                number: batch.number.varints().map(low_half).collect(),
                time_delta: batch.time_delta.varints().map(zigzag).collect(),
                count,
                drops,
                checkpoint: batch.checkpoint.to_vec(),
                requests: batch.requests.varints().map(low_half).collect(),
            }))
        }
    })
}

fn check(bytes: &[u8]) {
    let read = Request::read(Bytes::copy_from_slice(bytes));
    assert_eq!(read.ok().and_then(known), decoded(bytes), "{bytes:?}");
}

fn message(batch: proto::Batch) -> Vec<u8> {
    proto::RecordRequest { kind: Some(Kind::Batch(batch)) }.encode_to_vec()
}

fn batches() -> impl Strategy<Value = proto::Batch> {
    let series = ("[a-z]{0,3}", "/[a-z]{0,3}", 0..2_000_u32).prop_map(|(method, path, status)| {
        proto::Series { method, path, status, ..Default::default() }
    });
    let drops =
        (any::<i32>(), any::<u64>()).prop_map(|(day, count)| producers::Drops { day, count });
    (
        any::<u64>(),
        prop::collection::vec(series, 0..3),
        prop::collection::vec(any::<u32>(), 0..5),
        prop::collection::vec(any::<i64>(), 0..5),
        any::<u32>(),
        prop::collection::vec(drops, 0..3),
        prop::collection::vec(any::<u8>(), 0..5),
        prop::collection::vec(any::<u32>(), 0..5),
    )
        .prop_map(
            |(sequence, series, number, time_delta, count, drops, checkpoint, requests)| {
                proto::Batch {
                    sequence,
                    series,
                    number,
                    time_delta,
                    count,
                    drops,
                    checkpoint,
                    requests,
                }
            },
        )
}

proptest! {
    #[test]
    fn a_batch_is_read_in_place(batch in batches()) {
        let bytes = message(batch.clone());
        prop_assert!(Batch::read_plain(&Bytes::copy_from_slice(&bytes)).is_some());
        check(&bytes);
        let converted = known(Request::Batch(batch.clone().into()));
        prop_assert_eq!(converted, Some(Some(Kind::Batch(batch))));
    }

    #[test]
    fn a_changed_byte_is_read_as_it_is(
        batch in batches(), at: prop::sample::Index, value: u8, cut: prop::sample::Index,
    ) {
        let mut bytes = message(batch);
        let at = at.index(bytes.len());
        bytes[at] = value;
        check(&bytes);
        bytes.truncate(cut.index(bytes.len() + 1));
        check(&bytes);
    }

    #[test]
    fn any_bytes_are_read_as_they_are(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        check(&bytes);
    }

    #[test]
    fn lists_in_pieces_are_one(batch in batches(), other in batches()) {
        // Protobuf merges what comes twice.
        check(&[message(batch.clone()), message(other.clone())].concat());
        let (mut inner, other) = (batch.encode_to_vec(), other.encode_to_vec());
        inner.extend(other);
        let mut bytes = vec![0o22];
        prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
        check(&[bytes, inner].concat());
    }
}

#[test]
fn a_varint_has_64_bits() {
    let read = |bytes: &[u8]| Varints(bytes).next();
    assert_eq!(read(&[0xff; 9]), None);
    let mut longest = [0xff; 10];
    longest[9] = 1;
    assert_eq!(read(&longest), Some(u64::MAX));
    longest[9] = 2;
    assert_eq!(read(&longest), None);
    assert_eq!(read(&[0x80, 0]), Some(0));
    assert_eq!([0, 1, 2, 3].map(zigzag), [0, -1, 1, -2]);
    assert_eq!(zigzag(u64::MAX), i64::MIN);
}
