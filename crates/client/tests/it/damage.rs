//! Damaged and missing files, and producers that a spool must give up: losses are reported, and
//! nothing else is touched.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tally_client::spool::{Fsync, Options};
use tally_client::{Method, Producer, ProducerBuilder, Row};
use tonic::{Code, Status};

use crate::lines::Lines;
use crate::mock::{Act, Event, Mock, Server, fast_producer, refusal, until};

fn options() -> Options {
    Options { fsync: Fsync::OsOnly, ..Options::default() }
}

fn spooled(server: &Server, dir: &Path) -> ProducerBuilder {
    server.producer().batch_rows_max(10).spool(dir, options())
}

/// Sends ten requests, in four rows.
async fn send(producer: &mut Producer, path: &str) {
    let series = producer.endpoint(Method::GET, path);
    let row = |n| Row { requests: n, ..Row::one(series, n.into()) };
    let rows = (1..=4).map(row).collect();
    producer.send(rows).await.expect("room");
}

/// Changes a byte of this text in the files. False: the text is not there.
fn damage(dir: &Path, text: &str) -> bool {
    let text = text.as_bytes();
    let files = std::fs::read_dir(dir).expect("files").map(|file| file.expect("a file").path());
    let mut found = false;
    for path in files.filter(|path| path.is_file()) {
        let mut bytes = std::fs::read(&path).expect("readable");
        if let Some(at) = bytes.windows(text.len()).position(|window| window == text) {
            bytes[at] ^= 0xff;
            std::fs::write(&path, bytes).expect("writable");
            found = true;
        }
    }
    found
}

/// Damaged while the process runs: lost requests are not called acknowledged.
#[tokio::test]
async fn a_batch_that_cannot_be_read_is_not_acknowledged() {
    let dir = tempfile::tempdir().expect("a folder");
    let mock = Mock::good();
    let address = mock.start().address();
    let builder = fast_producer(&format!("http://{address}")).batches_in_flight_max(1);
    let builder = builder.batch_rows_max(10).spool(dir.path(), options());
    let mut producer = builder.connect().await.expect("a producer");
    for path in ["/0", "/1", "/2", "/third", "/4"] {
        send(&mut producer, path).await;
    }
    until("the batch is in the files", || damage(dir.path(), "/third")).await;
    let _server = mock.start_at(address);
    let progress = producer.close().await;
    assert_eq!((progress.acknowledged, progress.dropped, progress.settled()), (40, 10, 50));
    assert_eq!((mock.total(), mock.dropped(), progress.drops_reported), (40, 10, 10));
}

/// The numbers of the new producer are the same in the files and in memory.
#[tokio::test]
async fn a_hole_goes_to_the_next_producer() {
    let dir = tempfile::tempdir().expect("a folder");
    let seen = AtomicU64::new(0);
    let mock = Mock::new(move |event| match event {
        Event::Batch(_) if seen.fetch_add(1, Ordering::Relaxed) >= 3 => Act::Hold,
        _ => Act::Serve,
    });
    let server = mock.start();
    let mut producer = spooled(&server, dir.path()).connect().await.expect("a producer");
    for n in 0..10 {
        send(&mut producer, &format!("/path{n}")).await;
    }
    producer.settled(30).await;
    // Without a server, the close ends once everything is in the spool.
    drop(server);
    let progress = producer.close_within(Duration::from_secs(3600)).await;
    assert_eq!((progress.acknowledged, progress.spooled), (30, 70));
    assert!(damage(dir.path(), "/path5") && damage(dir.path(), "/path6"));
    // The database goes back in time.
    mock.database().producers.values_mut().for_each(|stored| stored.sequence = 1);
    let good = mock.with(|_| Act::Serve);
    let server = good.start();
    let mut producer = spooled(&server, dir.path()).connect().await.expect("a producer");
    send(&mut producer, "/new").await;
    let progress = producer.close().await;
    assert_eq!((progress.acknowledged, progress.spooled), (10, 0));
    for n in [0, 1, 2, 3, 4, 7, 8, 9] {
        assert_eq!(good.count(&format!("/path{n}")), 10, "{n}");
    }
    assert_eq!((good.count("/new"), good.dropped()), (10, 20));
}

#[tokio::test]
async fn how_many_are_let_go_is_said() {
    let dir = tempfile::tempdir().expect("a folder");
    let mock = Mock::new(|event| match event {
        Event::Batch(batch) if batch.sequence > 1 => Act::Hold,
        _ => Act::Serve,
    });
    let server = mock.start();
    let mut producer = spooled(&server, dir.path()).connect().await.expect("a producer");
    for _ in 0..8 {
        send(&mut producer, "/a").await;
    }
    producer.settled(10).await;
    until("batches are on their way", || mock.database().in_flight >= 4).await;
    drop(server);
    assert_eq!(producer.close_within(Duration::from_secs(3600)).await.spooled, 70);
    mock.database().producers.clear();
    let good = mock.with(|_| Act::Serve);
    let server = good.start();
    let (lines, _guard) = Lines::take();
    let mut producer = spooled(&server, dir.path()).connect().await.expect("a producer");
    send(&mut producer, "/b").await;
    assert_eq!(producer.close().await.acknowledged, 10);
    assert_eq!((good.count("/a"), good.count("/b")), (10, 10));
    assert_eq!(lines.count("does not know this producer any more", "in_doubt=70"), 1);
}

/// The folder is removed under a running service, before the disk has all of it.
#[tokio::test]
async fn a_folder_that_is_gone_is_no_reason_to_spin() {
    let mock = Mock::good();
    let address = mock.start().address();
    let later = Options { fsync: Fsync::Interval(Duration::from_millis(100)), ..options() };
    // The spool's thread logs, so capture the whole process.
    let lines = Lines::everywhere();
    let dir = tempfile::tempdir().expect("a folder");
    let builder = fast_producer(&format!("http://{address}")).spool(dir.path(), later);
    let mut producer = builder.connect().await.expect("a producer");
    send(&mut producer, "/text").await;
    until("the batch is in the files", || damage(dir.path(), "/text")).await;
    std::fs::remove_dir_all(dir.path()).expect("removed");
    // The file is still open; the disk gets it, and the folder, after the interval.
    send(&mut producer, "/text").await;
    let path = dir.path().display().to_string();
    let said = || lines.count("cannot be written to the disk", &path);
    until("the log says so", || said() != 0).await;
    producer.close_within(Duration::ZERO).await;
    assert_eq!(said(), 1, "a thread that spins says it again and again");
}

/// A server that refuses everything is asked with pauses, and logged at a limited rate.
#[tokio::test]
async fn refusals_flood_neither_the_server_nor_the_log() {
    let refusals = Arc::new(AtomicUsize::new(0));
    let refused = Arc::clone(&refusals);
    let mock = Mock::new(move |event| match event {
        Event::Batch(batch) if batch.count > 0 => {
            refused.fetch_add(1, Ordering::Relaxed);
            Act::End(refusal(Code::InvalidArgument, "INVALID_BATCH"))
        }
        Event::Batch(batch) if batch.drops.is_empty() => Act::End(Status::internal("empty")),
        _ => Act::Serve,
    });
    let server = mock.start();
    let (lines, _guard) = Lines::take();
    let builder = fast_producer(&server.url()).batches_in_flight_max(1).batch_rows_max(1);
    let mut producer = builder
        .backoff(Duration::from_millis(20), Duration::from_millis(20))
        .connect()
        .await
        .expect("a producer");
    for _ in 0..3 {
        send(&mut producer, "/").await;
    }
    assert_eq!(producer.settled(30).await.rejected, 30);
    assert_eq!(producer.close().await.drops_reported, 30);
    // Each row is a batch, and from the second refusal on there is a pause after each.
    let pauses = lines.with("another batch was refused: the next waits");
    assert_eq!((refusals.load(Ordering::Relaxed), pauses.len()), (12, 11), "{pauses:?}");
    assert_eq!(lines.count("the server refuses requests", "requests=1"), 1);
    assert_eq!(lines.count("the server refused further requests", "requests=29"), 1);
}
