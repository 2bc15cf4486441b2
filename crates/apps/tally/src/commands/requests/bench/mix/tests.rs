//! What is sent decodes to what was meant.

use tally_proto::count::v1::AddRequest;
use tally_proto::wire::timestamp;

use super::*;

const MICROS: i64 = 1_431_857_103_123_456;

fn work(via: Via, series: usize, mix: Mix, rows: u64, gap: f64) -> Work {
    Work::new(via, names(via, series, "/b/"), mix, 1, Shape { rows, call: rows, gap })
}

fn read(message: &[u8]) -> Batch {
    match RecordRequest::decode(message).expect("a message").kind {
        Some(Kind::Batch(batch)) => batch,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_batch_is_encoded_as_prost_does_it() {
    for (rows, gap) in [(1, 0.5), (2, 1_000.0), (10_000, 0.5), (7, 1e6 / 3.0)] {
        let work = work(Via::Record, 300, Mix::Zipf, rows, gap);
        for (sequence, turn, sent) in [(1, 0, rows), (300, 12_345, rows), (2, 1, rows.div_ceil(2))]
        {
            let message = work.batch(sequence, turn, sent, MICROS);
            let batch = read(&message);
            assert_eq!((batch.sequence, u64::from(batch.count)), (sequence, sent));
            assert_eq!(batch.number.len() as u64, sent);
            assert_eq!(batch.time_delta.iter().sum::<i64>(), MICROS);
            let gaps = &batch.time_delta[1..];
            assert!(gaps.iter().all(|one| (0..=gap.ceil() as i64).contains(one)), "{gaps:?}");
            let again = RecordRequest { kind: Some(Kind::Batch(batch)) }.encode_to_vec();
            assert_eq!(again, message);
        }
    }
}

#[test]
fn a_number_stands_for_the_same_batch() {
    let work = work(Via::Record, 1_000, Mix::Uniform, 100, 0.5);
    let numbers = |turn| read(&work.batch(1, turn, 100, MICROS)).number;
    assert_eq!(numbers(3), numbers(3));
    assert_ne!(numbers(3), numbers(4));
    let cut = read(&work.batch(1, 3, 40, MICROS)).number;
    assert_eq!(cut, numbers(3)[..40]);
}

#[test]
fn each_request_of_a_call_is_a_message() {
    let work = work(Via::Add, 300, Mix::Uniform, 1_000, 2.0);
    let frame = work.messages(131_000, 1_000, MICROS);
    let (mut rest, mut times) = (&frame[..], Vec::new());
    let mut place = 131_000 % work.drawn.len();
    while let Some((prefix, after)) = rest.split_first_chunk::<5>() {
        assert_eq!(prefix[0], 0);
        let length = u32::from_be_bytes(prefix[1..].try_into().expect("four bytes")) as usize;
        let request = AddRequest::decode(&after[..length]).expect("a message");
        assert_eq!(request.encode_to_vec(), after[..length]);
        assert_eq!((request.method, request.path), (3, format!("/b/{}", work.drawn[place])));
        place = (place + 1) % work.drawn.len();
        times.push(request.request_timestamp.expect("a time"));
        rest = &after[length..];
    }
    assert_eq!(rest.len(), 0);
    let due = |n: i64| timestamp(MICROS - 2 * (999 - n));
    assert_eq!(times, (0..1_000).map(due).collect::<Vec<_>>());
}

#[test]
fn times_are_encoded_as_prost_does_it() {
    let mut time = Time::default();
    for micros in [1_000_000, 1_999_999, MICROS, MICROS + 1, 1 << 50, MICROS, -1] {
        let request =
            AddRequest { request_timestamp: Some(timestamp(micros)), ..Default::default() };
        assert_eq!(time.encode(micros), request.encode_to_vec(), "{micros}");
    }
}

#[test]
fn every_series_is_named_once_in_messages_that_a_server_takes() {
    for (series, prefix) in
        [(1, "/"), (1_000, "/b/"), (100_000, "/tally-bench/"), (40_000, &*"x".repeat(200))]
    {
        let all = names(Via::Record, series, prefix);
        let mut next = 0;
        for (sequence, names) in (1..).zip(&all) {
            let message = names.batch(sequence, true, MICROS);
            assert!(
                message.len() <= tally_proto::wire::BATCH_BYTES_MAX as usize,
                "{}",
                message.len()
            );
            let batch = read(&message);
            let named = next..next + batch.series.len() as u32;
            assert_eq!(batch.number, named.clone().collect::<Vec<_>>());
            assert_eq!(batch.series[0].path, format!("{prefix}{next}"));
            assert_eq!(batch.count as usize, batch.series.len());
            assert_eq!(read(&names.batch(sequence, false, MICROS)).number, [next]);
            next = named.end;
        }
        assert_eq!(next as usize, series);
    }
}

#[test]
fn series_come_as_often_as_their_mix_says() {
    let count = |mix, series| {
        let drawn = draw(1_000, mix, 1, 10);
        drawn.iter().filter(|one| **one == series).count() as f64 / drawn.len() as f64
    };
    // 1 / (1 + 1/2 + … + 1/1000) = 0.1336.
    assert!((count(Mix::Zipf, 0) - 0.1336).abs() < 0.005);
    assert!((count(Mix::Zipf, 1) - 0.0668).abs() < 0.005);
    assert!((count(Mix::Uniform, 0) - 0.001).abs() < 0.000_5);
    assert!(count(Mix::Zipf, 999) > 0.0 && count(Mix::Uniform, 999) > 0.0);
    assert_eq!(draw(1_000, Mix::Zipf, 1, 10), draw(1_000, Mix::Zipf, 1, 10));
    assert_ne!(draw(1_000, Mix::Zipf, 1, 10), draw(1_000, Mix::Zipf, 2, 10));
    assert_eq!(draw(1, Mix::Zipf, 1, 7), vec![0; 131_075]);
}
