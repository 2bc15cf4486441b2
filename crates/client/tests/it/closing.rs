//! The end of a queue: closed, dropped, or with its runtime.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tally_client::{ConnectError, Connection, FlushError, Method, Queue, Refusal, Report, Row};
use tonic::Status;

use crate::mock::{Act, Event, Mock, fast_queue, no_task_is_left, until};

fn adds_up(report: &Report) -> bool {
    let Report { acknowledged, dropped, rejected, in_doubt, spooled, queued, .. } = *report;
    report.recorded == acknowledged + dropped + rejected + in_doubt + spooled + queued
}

#[test]
fn outside_a_runtime_there_is_a_clear_error() {
    let builder = Queue::builder("http://127.0.0.1:1");
    let error = futures_util::FutureExt::now_or_never(builder.connect()).expect("at once");
    let error = error.expect_err("no runtime");
    assert!(matches!(error, ConnectError::NoRuntime));
    assert!(error.to_string().contains("not within a tokio runtime"), "{error}");
}

#[tokio::test]
async fn an_address_is_checked_at_once() {
    for (url, said) in [
        ("", "characters"),
        ("127.0.0.1:7777", "does not begin with http"),
        ("ftp://a", "does not begin with http"),
        ("http://", "characters"),
        ("not an address", "characters"),
        ("http://a b", "characters"),
        ("http://127.0.0.1:port", "port"),
        ("http://127.0.0.1:99999", "port"),
        ("http://[::1]:0", "port"),
        ("http://127.0.0.1:", "port"),
        ("http://127.0.0.1:7777/tally", "path"),
        ("http://127.0.0.1:7777?tally", "path"),
        ("http://me:sesame@127.0.0.1:7777", "user name"),
        ("me:sesame@127.0.0.1:7777", "does not begin with http"),
        ("http://me:sesame@a b", "characters"),
        ("http://me:ses/sesame@h:1", "port"),
        ("http:/me:sesame@h", "http"),
        ("//me:sesame@h", "http"),
        ("http://h/?token=sesame", "path"),
        ("http://h?sesame#sesame", "path"),
    ] {
        let error = Queue::connect(url).await.expect_err(url);
        assert!(matches!(error, ConnectError::Url { .. }), "{error:?}");
        assert!(error.to_string().contains(said), "{url}: {error}");
        assert!(!format!("{error:?}").contains("sesame"), "{error}");
        // As `main` prints it.
        assert_eq!(error.to_string(), format!("{error:?}"));
    }
    let builder = Queue::builder("http://me:sesame@h");
    assert!(!format!("{builder:?}").contains("sesame"), "{builder:?}");
    for url in ["http://a", "http://a/", " http://[::1]:7777 ", "http://127.0.0.1:65535"] {
        Queue::connect(url).await.expect(url);
    }
    let error = Queue::builder("http://a").key("a\nb").connect().await.expect_err("a line");
    assert!(matches!(error, ConnectError::Key));
    let builder = Queue::builder("http://a").key("sesame");
    assert!(!format!("{builder:?}").contains("sesame"));
}

#[tokio::test]
async fn a_close_that_takes_too_long_says_what_is_lost() {
    let opens = AtomicU64::new(0);
    let mock = Mock::new(move |event| match event {
        Event::Open(_) if opens.fetch_add(1, Ordering::Relaxed) == 0 => Act::Serve,
        _ => Act::Hold,
    });
    let server = mock.start();
    let queue = server.queue().batch_rows_max(10).batches_in_flight_max(2);
    let queue = queue.connect().await.expect("a queue");
    let _ = queue.ready().await;
    let series = queue.endpoint(Method::GET, "/");
    for _ in 0..100 {
        queue.try_record(series).expect("room");
    }
    until("batches are on their way", || mock.database().in_flight >= 2).await;
    let report = queue.close_within(Duration::from_millis(20)).await;
    assert!(adds_up(&report), "{report:?}");
    assert_eq!((report.recorded, report.queued, report.acknowledged), (100, 0, 0));
    assert_eq!((report.in_doubt, report.dropped), (20, 80));
    let error = queue.try_record(series).expect_err("closed");
    assert_eq!(error.reason, Refusal::Closed);
    assert_eq!(queue.record(series).await.expect_err("closed").reason, Refusal::Closed);
    assert_eq!(queue.close().await.in_doubt, 20);
}

/// A server that still answers Open leaves nothing in doubt, even if its last answer was lost.
#[tokio::test]
async fn a_close_asks_what_became_of_the_rest() {
    let batches = AtomicU64::new(0);
    let mock = Mock::new(move |event| match event {
        Event::Batch(_) => match batches.fetch_add(1, Ordering::Relaxed) {
            0 => Act::Serve,
            1 => Act::StoreAndEnd(0, Status::unavailable("lost answer")),
            _ => Act::Hold,
        },
        Event::Open(_) => Act::Serve,
        Event::Add(_) => unreachable!("it speaks Record"),
    });
    let server = mock.start();
    let builder = server.producer().batch_rows_max(10).batches_in_flight_max(2);
    let mut producer = builder.connect().await.expect("a producer");
    let series = producer.endpoint(Method::GET, "/");
    producer.send(vec![Row::one(series, 0); 100]).await.expect("room");
    let epoch = || mock.database().producers.values().next().map(|stored| stored.epoch);
    producer.settled(20).await;
    assert_eq!(epoch(), Some(1));
    let progress = producer.close_within(Duration::ZERO).await;
    assert_eq!((progress.acknowledged, progress.dropped, progress.in_doubt), (20, 80, 0));
    assert_eq!((mock.total(), epoch()), (20, Some(2)), "an earlier stream stores nothing more");
}

/// The server reports that it stored no more of the stream, and then disappears.
#[tokio::test]
async fn what_the_server_certainly_did_not_store_is_not_in_doubt() {
    let opens = AtomicU64::new(0);
    let mock = Mock::new(move |event| match event {
        Event::Open(_) if opens.fetch_add(1, Ordering::Relaxed) == 0 => Act::Serve,
        Event::Batch(batch) if batch.sequence == 1 => Act::Serve,
        Event::Batch(batch) if batch.sequence == 2 => Act::Hold,
        Event::Batch(_) => {
            let mut status = Status::unavailable("the disk is full");
            status.metadata_mut().insert("tally-committed", 1.into());
            Act::End(status)
        }
        _ => Act::End(Status::unavailable("gone")),
    });
    let server = mock.start();
    let builder = server.producer().batch_rows_max(10).batches_in_flight_max(3);
    let mut producer = builder.connect().await.expect("a producer");
    let series = producer.endpoint(Method::GET, "/");
    producer.send(vec![Row::one(series, 0); 100]).await.expect("room");
    until("the producer is in trouble", || producer.trouble().as_deref() == Some("gone")).await;
    let progress = producer.close_within(Duration::ZERO).await;
    assert_eq!((progress.acknowledged, progress.dropped, progress.in_doubt), (10, 90, 0));
}

#[tokio::test]
async fn the_last_handle_flushes_in_the_background() {
    let mock = Mock::good();
    let server = mock.start();
    let queue = server.queue().connect().await.expect("a queue");
    let other = queue.clone();
    for _ in 0..100 {
        other.try_record(queue.endpoint(Method::GET, "/")).expect("room");
    }
    drop(queue);
    drop(other);
    until("enough is stored", || mock.total() >= 100).await;
    no_task_is_left().await;
    assert_eq!(mock.total(), 100);
}

#[tokio::test]
async fn the_last_handle_waits_for_a_limited_time() {
    let server = Mock::new(|_| Act::Hold).start();
    let queue = server.queue().close_timeout(Duration::from_millis(20));
    let queue = queue.connect().await.expect("a queue");
    queue.try_record(queue.endpoint(Method::GET, "/")).expect("room");
    drop(queue);
    no_task_is_left().await;
}

#[test]
fn a_runtime_that_ends_closes_its_queue() {
    let mock = Mock::new(|event| match event {
        Event::Batch(_) => Act::Hold,
        _ => Act::Serve,
    });
    let server = mock.start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let queue = runtime.block_on(async {
        let queue = fast_queue(&server.url()).batches_in_flight_max(1);
        let queue = queue.connect().await.expect("a queue");
        queue.try_record(queue.endpoint(Method::GET, "/")).expect("room");
        until("batches are on their way", || mock.database().in_flight != 0).await;
        queue
    });
    let series = queue.endpoint(Method::GET, "/");
    queue.try_record(series).expect("room");
    runtime.shutdown_background();
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build();
    other.expect("a runtime").block_on(async {
        // It ends although nothing is sent.
        let limit = Duration::from_secs(3600);
        if let Err(error) = queue.flush_within(limit).await {
            assert!(!matches!(error, FlushError::TimedOut { .. }), "{error}");
        }
        let report = queue.close().await;
        assert!(adds_up(&report), "{report:?}");
        assert_eq!((report.in_doubt, report.dropped, report.queued), (1, 1, 0));
    });
    assert_eq!(queue.try_record(series).expect_err("closed").reason, Refusal::Closed);
}

/// The queue's runtime exists, but does not run.
#[test]
fn a_close_ends_even_if_the_runtime_does_not_run() {
    let runtime = |paused| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(paused).build().expect("a runtime")
    };
    let queues = runtime(false);
    let queue = queues.block_on(async { Queue::connect("http://127.0.0.1:1").await });
    let queue = queue.expect("a queue");
    queue.try_record(queue.endpoint(Method::GET, "/")).expect("room");
    let report = runtime(true).block_on(queue.close_within(Duration::from_millis(100)));
    assert_eq!((report.recorded, report.queued), (1, 1));
    assert!(adds_up(&report), "{report:?}");
}

/// However long the pause before the next attempt.
#[tokio::test]
async fn a_close_tries_to_connect_at_once() {
    let mock = Mock::good();
    let address = mock.start().address();
    let hour = Duration::from_secs(3600);
    let queue = fast_queue(&format!("http://{address}")).backoff(hour, hour);
    let queue = queue.connect().await.expect("a queue");
    queue.try_record(queue.endpoint(Method::GET, "/")).expect("room");
    until("the queue is in trouble", || queue.trouble().is_some()).await;
    let _server = mock.start_at(address);
    let report = queue.close().await;
    assert_eq!((report.acknowledged, report.connection), (1, Connection::Closed), "{report:?}");
    assert_eq!(queue.trouble(), None);
}

#[tokio::test]
async fn no_time_is_too_long() {
    let ever = Duration::MAX;
    let mock = Mock::good();
    let server = mock.start();
    let builder = || {
        let queue = Queue::builder(server.url()).linger(Duration::ZERO).backoff(ever, ever);
        let queue = queue.connect_timeout(ever).open_timeout(ever).acknowledge_timeout(ever);
        queue.close_timeout(ever)
    };
    let queue = builder().connect().await.expect("a queue");
    let series = queue.endpoint(Method::GET, "/");
    queue.try_record(series).expect("room");
    queue.flush_within(ever).await.expect("everything");
    queue.try_record(series).expect("room");
    assert_eq!(queue.close_within(ever).await.acknowledged, 2);
    let dropped = builder().connect().await.expect("a queue");
    dropped.record(dropped.endpoint(Method::GET, "/")).await.expect("room");
    drop(dropped);
    until("enough is stored", || mock.total() >= 3).await;
    let producer = tally_client::Producer::builder(server.url()).connect().await;
    assert!(producer.expect("a producer").close_within(ever).await.finished);
}
