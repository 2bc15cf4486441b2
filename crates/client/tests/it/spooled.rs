//! Batches in files: a process that ends leaves them to the next one.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tally_client::spool::{Fsync, Options};
use tally_client::{ConnectError, Method, Producer, ProducerBuilder, Row};
use tonic::{Code, Status};

use crate::mock::{Act, Event, Mock, Server, refusal, until};

fn options() -> Options {
    Options { fsync: Fsync::OsOnly, ..Options::default() }
}

fn spooled(server: &Server, dir: &Path) -> ProducerBuilder {
    server.producer().batch_rows_max(10).spool(dir, options())
}

async fn send(producer: &mut Producer, path: &str, count: i64) {
    let series = producer.endpoint(Method::GET, path);
    let rows = (0..count).map(|time_us| Row::one(series, time_us)).collect();
    producer.send(rows).await.expect("room");
}

#[tokio::test]
async fn what_a_process_leaves_the_next_one_sends() {
    let dir = tempfile::tempdir().expect("a folder");
    // Some are stored without an answer, and later ones are not answered.
    let seen = AtomicU64::new(0);
    let mock = Mock::new(move |event| match event {
        Event::Batch(_) if seen.fetch_add(1, Ordering::Relaxed) == 3 => {
            Act::StoreAndEnd(0, Status::unavailable("lost answer"))
        }
        Event::Batch(_) if seen.load(Ordering::Relaxed) > 4 => Act::Hold,
        Event::Open(_) if seen.load(Ordering::Relaxed) > 4 => Act::Hold,
        _ => Act::Serve,
    });
    let server = mock.start();
    let mut producer = spooled(&server, dir.path()).connect().await.expect("a producer");
    send(&mut producer, "/a", 500).await;
    until("enough is stored", || mock.total() >= 40).await;
    send(&mut producer, "/b", 500).await;
    // Without a server, the close ends once everything is in the spool.
    drop(server);
    let progress = producer.close_within(Duration::from_secs(3600)).await;
    assert_eq!((progress.in_doubt, progress.dropped), (0, 0));
    assert_eq!(progress.acknowledged + progress.spooled, 1000);

    let good = mock.with(|_| Act::Serve);
    let server = good.start();
    let mut producer = spooled(&server, dir.path()).connect().await.expect("a producer");
    send(&mut producer, "/c", 100).await;
    let progress = producer.close().await;
    assert_eq!((progress.acknowledged, progress.spooled), (100, 0));
    assert_eq!((mock.count("/a"), mock.count("/b"), mock.count("/c")), (500, 500, 100));
    assert_eq!(mock.database().producers.len(), 1);
    assert_eq!(mock.database().producers.values().next().map(|stored| stored.epoch), Some(2));

    // Nothing is left for the third.
    let producer = spooled(&server, dir.path()).connect().await.expect("a producer");
    assert!(producer.close().await.finished);
    assert_eq!(mock.total(), 1100);
    assert_eq!(mock.database().done, 0, "the next process continues as the same producer");
}

/// Without a server, everything goes to the files, and little stays in memory.
#[tokio::test]
async fn a_server_that_is_away_is_outlived() {
    let dir = tempfile::tempdir().expect("a folder");
    let mock = Mock::good();
    let address = mock.start().address();
    let url = format!("http://{address}");
    for process in 0..3 {
        let builder = crate::mock::fast_queue(&url).spool(dir.path(), options());
        let queue = builder.connect().await.expect("a queue");
        let hello = queue.endpoint(Method::GET, "/hello");
        for _ in 0..1000 {
            queue.try_record(hello).expect("room");
        }
        // Everything is in the spool: a close does not wait for the server.
        let close = queue.close_within(Duration::from_secs(3600));
        let report = tokio::time::timeout(Duration::from_secs(60), close).await;
        let report = report.expect("nothing is waited for");
        assert_eq!((report.spooled, report.lost()), (1000, 0), "{process}: {report:?}");
    }
    let (lines, _guard) = crate::lines::Lines::take();
    let server = mock.start_at(address);
    let queue = server.queue().spool(dir.path(), options()).connect().await.expect("a queue");
    queue.close().await;
    assert_eq!(mock.total(), 3000);
    let batches = format!(" batches={}", mock.database().batches.len());
    for said in
        ["an earlier process left in the spool", "all batches left in the spool are settled"]
    {
        let said = lines.with(said);
        assert!(said.len() == 1 && said[0].ends_with(&batches), "{batches}: {:?}", lines.with(""));
    }
}

/// The server's clock is behind. Nothing leaves the spool, and the next process sends it when the
/// clock is right.
#[tokio::test]
async fn times_ahead_of_the_servers_clock_stay_in_the_spool() {
    let dir = tempfile::tempdir().expect("a folder");
    let mock = Mock::new(|event| match event {
        Event::Batch(_) => Act::End(refusal(Code::Unavailable, "TIME_AHEAD")),
        _ => Act::Serve,
    });
    let (lines, _guard) = crate::lines::Lines::take();
    let server = mock.start();
    let mut producer = spooled(&server, dir.path()).connect().await.expect("a producer");
    send(&mut producer, "/a", 100).await;
    until("the producer is in trouble", || producer.trouble().is_some()).await;
    let progress = producer.close_within(Duration::from_secs(3600)).await;
    assert_eq!((progress.spooled, progress.settled(), mock.dropped()), (100, 100, 0));
    assert_eq!(lines.with("the server's clock is behind this machine's").len(), 1);
    drop(server);
    let server = mock.with(|_| Act::Serve).start();
    let producer = spooled(&server, dir.path()).connect().await.expect("a producer");
    producer.close().await;
    assert_eq!(mock.total(), 100);
}

/// Each process is stopped after the server accepted its Open and before the answer.
#[tokio::test]
async fn lost_answers_to_open_keep_the_producer() {
    let dir = tempfile::tempdir().expect("a folder");
    let mock = Mock::new(|event| match event {
        Event::Open(_) => Act::StoreAndEnd(0, Status::unavailable("lost answer")),
        _ => Act::Serve,
    });
    let server = mock.start();
    for opens in [1, 2, 3] {
        let mut producer = spooled(&server, dir.path()).connect().await.expect("a producer");
        send(&mut producer, "/a", 25).await;
        until("the producer is opened again", || mock.database().opens >= opens * 10).await;
        assert_eq!(producer.close_within(Duration::ZERO).await.settled(), 25);
    }
    drop(server);
    let good = mock.with(|_| Act::Serve);
    let server = good.start();
    let producer = spooled(&server, dir.path()).connect().await.expect("a producer");
    producer.close().await;
    let left = 75 - mock.total();
    assert_eq!((left, mock.database().producers.len()), (0, 1));
}

#[tokio::test]
async fn a_copied_spool_is_told_and_counts_nothing_twice() {
    let dir = tempfile::tempdir().expect("a folder");
    let mock = Mock::new(|event| match event {
        Event::Batch(_) => Act::Hold,
        _ => Act::Serve,
    });
    let server = mock.start();
    let mut producer = spooled(&server, dir.path()).connect().await.expect("a producer");
    send(&mut producer, "/a", 50).await;
    until("batches are on their way", || mock.database().in_flight >= 4).await;
    assert_eq!(producer.close_within(Duration::ZERO).await.spooled, 50);
    let copy = tempfile::tempdir().expect("a folder");
    for file in std::fs::read_dir(dir.path()).expect("files") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), copy.path().join(file.file_name())).expect("a copy");
    }
    drop(server);
    let good = mock.with(|_| Act::Serve);
    let server = good.start();
    // Each folder twice, to check the files left behind too.
    let folders = [(&dir, "/first"), (&copy, "/second"), (&dir, "/first"), (&copy, "/second")];
    for (folder, path) in folders {
        let mut producer = spooled(&server, folder.path()).connect().await.expect("a producer");
        send(&mut producer, path, 7).await;
        assert_eq!(producer.close().await.settled(), 7);
    }
    assert_eq!((mock.count("/a"), mock.count("/first"), mock.count("/second")), (50, 14, 14));
    assert_eq!(mock.database().producers.len(), 2);
}

#[tokio::test]
async fn a_full_spool_holds_the_rows_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let mock = Mock::good();
    let address = mock.start().address();
    let small = Options { bytes_max: 8192, segment_bytes_max: 2048, fsync: Fsync::OsOnly };
    let builder = crate::mock::fast_queue(&format!("http://{address}"))
        .queue_rows_max(1000)
        .batch_rows_max(100)
        .spool(dir.path(), small);
    let queue = builder.connect().await.expect("a queue");
    let hello = queue.endpoint(Method::GET, "/hello");
    for n in 0..20_000 {
        queue.record_or_drop(hello);
        if n % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let _server = mock.start_at(address);
    let report = queue.close().await;
    assert_eq!(report.acknowledged + report.refused, 20_000);
    assert!(report.refused > 0, "the spool was never full");
    assert_eq!((mock.total(), mock.dropped()), (report.acknowledged, report.refused));
}

#[tokio::test]
async fn a_folder_has_one_owner() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Mock::good().start();
    let _first = spooled(&server, dir.path()).connect().await.expect("a producer");
    let error = spooled(&server, dir.path()).connect().await.expect_err("it is in use");
    assert!(matches!(error, ConnectError::Spool { .. }), "{error:?}");
}

/// Refused batches of a spool are reported as dropped, even after a restart.
#[tokio::test]
async fn a_refused_batch_in_a_spool_is_set_aside() {
    let dir = tempfile::tempdir().expect("a folder");
    let mock = Mock::new(|event| match event {
        Event::Batch(batch) if batch.time_delta.first() == Some(&20) => {
            Act::End(crate::mock::refusal(tonic::Code::InvalidArgument, "INVALID_BATCH"))
        }
        _ => Act::Serve,
    });
    let server = mock.start();
    let mut producer = spooled(&server, dir.path()).connect().await.expect("a producer");
    send(&mut producer, "/a", 500).await;
    let progress = producer.close().await;
    assert_eq!((progress.acknowledged, progress.rejected), (490, 10));
    assert_eq!((mock.total(), mock.dropped()), (490, 10));
}

/// Even of a batch that was being written when the time was over.
#[tokio::test]
async fn the_report_says_what_is_in_the_files() {
    let mock = Mock::good();
    let address = mock.start().address();
    let url = format!("http://{address}");
    let options = || Options { bytes_max: 8192, segment_bytes_max: 2048, fsync: Fsync::OsOnly };
    // The files are full after some of these.
    for round in 0..80 {
        let dir = tempfile::tempdir().expect("a folder");
        let queue = crate::mock::fast_queue(&url).batch_rows_max(100).linger(Duration::ZERO);
        let queue = queue.spool(dir.path(), options()).connect().await.expect("a queue");
        let hello = queue.endpoint(Method::GET, "/hello");
        for _ in 0..20_000 {
            queue.try_record(hello).expect("room");
        }
        for _ in 0..4 * round {
            tokio::task::yield_now().await;
        }
        let report = queue.close_within(Duration::ZERO).await;
        let before = mock.total();
        let server = mock.start_at(address);
        let next = server.queue().spool(dir.path(), options()).connect().await.expect("a queue");
        let next = next.close().await;
        assert_eq!(mock.total() - before, report.spooled, "{round}: {report:?}, {next:?}");
    }
}
