//! A server that keeps times by the step gets counts, which are as exact as single requests.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use tally_client::spool::Options;
use tally_client::{Connection, Method, Refusal, Row, TryRecordError};

use crate::hands::Hands;
use crate::mock::{Mock, until};

const SECOND_US: u64 = 1_000_000;

/// A server that keeps times this exactly.
fn by(resolution_us: u64) -> Mock {
    Mock::good().limits(|limits| limits.resolution_us = resolution_us)
}

#[tokio::test]
async fn a_busy_queue_sends_counts() {
    let mock = by(SECOND_US);
    let server = mock.start();
    let clock = Hands::at(0);
    let queue = server.queue().clock(clock.clone()).connect().await.expect("a queue");
    assert_eq!(queue.ready().await, Connection::Record);
    let series = ["/a", "/b", "/c"].map(|path| queue.endpoint(Method::GET, path));
    // This thread does not let the task run meanwhile.
    for n in 0..100_000 {
        clock.set(40 * n);
        queue.try_record(series[usize::try_from(n % 4).expect("small").min(2)]).expect("room");
    }
    queue.flush().await.expect("everything");
    let report = queue.close().await;
    assert_eq!((report.recorded, report.acknowledged, report.queued), (100_000, 100_000, 0));
    assert_eq!(["/a", "/b", "/c"].map(|path| mock.count(path)), [25_000, 25_000, 50_000]);
    let database = mock.database();
    assert_eq!(database.times, (0..4).map(|n| (n * 1_000_000, 25_000)).collect());
    // Each series in each second.
    assert_eq!(database.batches.iter().sum::<usize>(), 12);
}

/// The server may be started with another setting at any time.
#[tokio::test]
async fn a_resolution_holds_from_the_next_open_on() {
    let raw = by(0);
    let clock = Hands::at(0);
    let mut server = raw.start();
    let address = server.address();
    let queue = server.queue().clock(clock.clone()).connect().await.expect("a queue");
    let hello = queue.endpoint(Method::GET, "/");
    let mut expected = BTreeMap::new();
    // 7 s make no sense.
    for (resolution, step) in [(0, 1), (1, 1), (60, 60), (7, 0), (1, 1)] {
        drop(server);
        until("it is away", || queue.stats().connection == Connection::Away).await;
        let resolved = raw.clone().limits(|limits| limits.resolution_us = resolution * SECOND_US);
        server = resolved.start_at(address);
        assert_eq!(queue.ready().await, Connection::Record);
        raw.database().batches.clear();
        let merges = resolution > 0 && step > 0;
        for second in [118, 119, 120, 121, 118] {
            for micros in 1..=10 {
                let at = second * 1_000_000 + micros;
                clock.set(at);
                queue.try_record(hello).expect("room");
                let step = if merges { step * 1_000_000 } else { 1 };
                *expected.entry(at - at % step).or_default() += 1;
            }
        }
        queue.flush().await.expect("everything");
        assert_eq!(raw.total(), expected.values().sum::<u64>());
        let entries: usize = raw.database().batches.iter().sum();
        assert_eq!(entries, if merges { [4, 2][usize::from(step == 60)] } else { 50 });
    }
    assert_eq!(queue.close().await.acknowledged, 250);
    assert_eq!(raw.database().times, expected);
}

/// Room is for entries, and only requests that need another one are given back.
#[tokio::test]
async fn a_full_queue_gives_back_and_reports_exactly() {
    let mock = by(SECOND_US);
    let server = mock.start();
    let clock = Hands::at(5_000_001);
    let queue = server.queue().queue_rows_max(1_000).clock(clock).connect().await;
    let queue = queue.expect("a queue");
    assert_eq!(queue.ready().await, Connection::Record);
    let series = |n: u64| queue.endpoint(Method::GET, &format!("/{n}"));
    // This thread does not let the task run meanwhile.
    for n in 0..1_000 {
        (0..=n % 3).for_each(|_| queue.try_record(series(n)).expect("room"));
    }
    let error = queue.try_record(series(2_000)).expect_err("there is no room for another series");
    let at = UNIX_EPOCH + Duration::from_micros(5_000_001);
    assert_eq!(error, TryRecordError { series: series(2_000), at, reason: Refusal::Full });
    queue.note_dropped(&error);
    queue.record_or_drop(series(2_001));
    (0..7).for_each(|_| queue.record_or_drop(series(999)));
    let stats = queue.stats();
    assert_eq!((stats.recorded, stats.queued, stats.refused), (2_006, 2_006, 2));
    let report = queue.close().await;
    assert_eq!((report.recorded, report.acknowledged, report.lost()), (2_006, 2_006, 2));
    assert_eq!((report.refused, report.drops_reported), (2, 2));
    assert_eq!((mock.total(), mock.count("/999"), mock.dropped()), (2_006, 8, 2));
    assert_eq!(mock.database().batches.iter().sum::<usize>(), 1_000);
    let error = queue.try_record(series(999)).expect_err("nothing is added to a closed queue");
    assert_eq!((error.reason, queue.stats().recorded), (Refusal::Closed, 2_006));
}

/// A spool keeps how many requests a row stands for.
#[tokio::test]
async fn what_is_merged_outlives_the_process() {
    let dir = tempfile::tempdir().expect("a folder");
    let mock = by(SECOND_US);
    let server = mock.start();
    let builder = server.queue().clock(Hands::at(7)).spool(dir.path(), Options::default());
    let queue = builder.clone().connect().await.expect("a queue");
    assert_eq!(queue.ready().await, Connection::Record);
    let address = server.address();
    drop(server);
    until("it is away", || queue.stats().connection == Connection::Away).await;
    let hello = queue.endpoint(Method::GET, "/");
    (0..3_000).for_each(|_| queue.try_record(hello).expect("room"));
    let report = queue.close().await;
    assert_eq!((report.recorded, report.spooled), (3_000, 3_000));
    let _server = mock.start_at(address);
    let queue = builder.connect().await.expect("a queue");
    until("all of it is sent", || mock.total() == 3_000).await;
    assert_eq!((queue.close().await.lost(), &*mock.database().batches), (0, &[1][..]));
}

#[tokio::test]
async fn a_producer_counts_requests_and_cuts_batches_by_entries() {
    let mock = by(0);
    let server = mock.start();
    let mut producer = server.producer().batch_rows_max(2).connect().await.expect("a producer");
    let series = producer.endpoint(Method::GET, "/");
    let rows: Vec<_> =
        (0..5).map(|n| Row { requests: 10_u32.pow(n), ..Row::one(series, 7) }).collect();
    assert_eq!(producer.send(rows.clone()).await.expect("room"), 11_111);
    for wrong in [0, 1_000_001] {
        let wrong = vec![rows[0], Row { requests: wrong, ..rows[0] }];
        let error = producer.send(wrong).await.expect_err("no row has this many requests");
        assert_eq!((error.rows.len(), error.reason), (2, Refusal::Requests));
    }
    assert_eq!(producer.settled(11_111).await.acknowledged, 11_111);
    let most = Row { requests: 1_000_000, ..rows[0] };
    assert_eq!(producer.send(vec![most]).await.expect("room"), 1_011_111);
    assert_eq!(producer.close().await.acknowledged, 1_011_111);
    assert_eq!(mock.total(), 1_011_111);
    assert_eq!(mock.database().batches, [2, 2, 1, 1]);
}
