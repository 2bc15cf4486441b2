//! What a request costs a server before the database: decoding, finding its series, adding up, encoding.
//!
//! Times are CPU times of the calling thread, for each request: other work on the machine does not count.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prost::Message as _;
use tally_proto::count::v1::AddRequest;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_requests::bench::{self, Server};
use tally_requests::{Resolution, Row, Rows, Series};

/// In the middle of 2025, in microseconds since 1970-01-01 UTC.
const TIME: i64 = 1_750_000_000_000_000;
const GET: i32 = 3;

/// How many series the requests are of.
const SERIES: [usize; 3] = [1, 1_000, 100_000];
/// How many requests a step is measured with.
const REQUESTS: usize = 16_384;
/// How many chunks an insert worker merges, and how many rows each has.
const CHUNKS: usize = 64;
const CHUNK_ROWS: usize = 1_024;

/// The CPU time of this thread.
fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a thread's time is not negative")
}

/// The time of a step with so many requests, on what is prepared each time.
fn step<P, T>(
    c: &mut Criterion,
    name: &str,
    requests: usize,
    prepare: impl Fn() -> P,
    step: impl Fn(P) -> T,
) {
    let mut group = c.benchmark_group("ingest");
    group.throughput(Throughput::Elements(requests as u64));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|calls| {
            let mut elapsed = Duration::ZERO;
            for _ in 0..calls {
                let prepared = black_box(prepare());
                let start = now();
                black_box(step(prepared));
                elapsed += now() - start;
            }
            elapsed
        });
    });
}

fn path(n: usize) -> String {
    format!("/api/v1/things/{n}")
}

fn all_series(count: usize) -> Vec<Series> {
    (0..count).map(|n| Series::of_endpoint(GET, &path(n))).collect()
}

/// Which of the series each request has, evenly and without an order: a full-period sequence of numbers.
fn mixed(requests: usize, series: usize) -> impl Iterator<Item = usize> {
    let mut last = 0_u64;
    std::iter::repeat_with(move || {
        last = last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(last >> 33).expect("31 bits") % series
    })
    .take(requests)
}

/// The time of a request: ten in a millisecond.
fn time(at: usize) -> i64 {
    TIME + 100 * i64::try_from(at).expect("few")
}

fn frame(series: usize) -> Bytes {
    let message = |(at, n): (usize, usize)| {
        let (seconds, micros) = (time(at) / 1_000_000, time(at) % 1_000_000);
        let nanos = 1_000 * i32::try_from(micros).expect("below 10^6");
        let request_timestamp = Some(prost_types::Timestamp { seconds, nanos });
        let message = AddRequest { method: GET, path: path(n), request_timestamp }.encode_to_vec();
        let len = u32::try_from(message.len()).expect("short");
        [&[0], &len.to_be_bytes()[..], &message].concat()
    };
    mixed(REQUESTS, series).enumerate().flat_map(message).collect()
}

fn batch(series: usize, has_requests: bool) -> Bytes {
    let mut last = 0;
    let batch = proto::Batch {
        sequence: 1,
        number: mixed(REQUESTS, series).map(|n| u32::try_from(n).expect("few")).collect(),
        time_delta: (0..REQUESTS)
            .map(|at| time(at) - std::mem::replace(&mut last, time(at)))
            .collect(),
        count: u32::try_from(REQUESTS).expect("few"),
        requests: if has_requests { vec![3; REQUESTS] } else { Vec::new() },
        ..Default::default()
    };
    proto::RecordRequest { kind: Some(Kind::Batch(batch)) }.encode_to_vec().into()
}

fn rows(from: usize, count: usize, series: usize) -> Vec<Row> {
    let all = mixed(from + count, series).enumerate().skip(from);
    all.map(|(at, n)| Row { series: id(n), micros: time(at), requests: 1 }).collect()
}

/// As far apart as the ids of series are.
fn id(n: usize) -> i64 {
    Series::of_endpoint(GET, &path(n)).id(0)
}

fn decode(c: &mut Criterion) {
    let frame = frame(1_000);
    step(c, "decode a frame of Add", REQUESTS, || frame.clone(), bench::decode);
    for (name, has_requests) in [("single", false), ("merged", true)] {
        let batch = batch(1_000, has_requests);
        step(c, &format!("read a batch, {name}"), REQUESTS, || batch.clone(), bench::read);
    }
}

fn find(c: &mut Criterion) {
    for count in SERIES {
        let all = all_series(count);
        let server = Server::new(Resolution::Raw, &all);
        let asked: Vec<Series> = mixed(REQUESTS, count).map(|n| all[n].clone()).collect();
        step(
            c,
            &format!("find, {count} series"),
            REQUESTS,
            || (),
            |()| {
                assert_eq!(server.find(&asked), REQUESTS);
            },
        );
        let asked: Vec<_> = asked.into_iter().map(|series| (GET, series)).collect();
        step(
            c,
            &format!("find recent, {count} series"),
            REQUESTS,
            || (),
            |()| server.find_recent(&asked),
        );
    }
}

fn merge(c: &mut Criterion) {
    for count in SERIES {
        let requests = rows(0, REQUESTS, count);
        step(
            c,
            &format!("merge, {count} series"),
            REQUESTS,
            || (),
            |()| bench::add_up(&requests, Resolution::Second),
        );
        let chunk =
            |at| bench::add_up(&rows(at * CHUNK_ROWS, CHUNK_ROWS, count), Resolution::Second);
        let chunks: Vec<Rows> = (0..CHUNKS).map(chunk).collect();
        let name = format!("merge {CHUNKS} chunks, {count} series");
        // Of their rows, because a row is what it goes through.
        let merged = chunks.iter().map(|chunk| chunk.iter().count()).sum();
        step(c, &name, merged, || chunks.clone(), bench::merge);
    }
    let requests = rows(0, REQUESTS, 1_000);
    step(c, "keep raw", REQUESTS, || (), |()| bench::add_up(&requests, Resolution::Raw));
}

fn copy(c: &mut Criterion) {
    let requests = rows(0, REQUESTS, 1_000);
    let merged: Vec<Row> = requests.iter().map(|row| Row { requests: 3, ..*row }).collect();
    let (single, merged) =
        (bench::add_up(&requests, Resolution::Raw), bench::add_up(&merged, Resolution::Raw));
    step(c, "COPY, two columns", REQUESTS, || (), |()| bench::copy(&single, false));
    step(c, "COPY, three columns", REQUESTS, || (), |()| bench::copy(&merged, true));
    step(c, "COPY, third column NULL", REQUESTS, || (), |()| bench::copy(&single, true));
}

/// All that a server does with what a stream brings, before the queue.
fn take(c: &mut Criterion) {
    for (resolution, counts) in [(Resolution::Raw, &SERIES[1..2]), (Resolution::Second, &SERIES)] {
        for &count in counts {
            let all = all_series(count);
            let server = Server::new(resolution, &all);
            let frame = frame(count);
            let name = format!("Add, {resolution}, {count} series");
            step(c, &name, REQUESTS, || frame.clone(), |frame| server.add(frame));
            let ids: Vec<i64> = all.iter().map(|series| series.id(0)).collect();
            let batch = batch(count, false);
            let name = format!("Record, {resolution}, {count} series");
            step(
                c,
                &name,
                REQUESTS,
                || batch.clone(),
                |batch| server.encode(&bench::read(batch), &ids),
            );
        }
    }
}

fn quick() -> Criterion {
    let (warm_up, measured) = (Duration::from_millis(300), Duration::from_secs(1));
    Criterion::default().warm_up_time(warm_up).measurement_time(measured).sample_size(30)
}

criterion_group! {
    name = benches;
    config = quick();
    targets = decode, find, merge, copy, take
}
criterion_main!(benches);
