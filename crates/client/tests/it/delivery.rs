//! Everything arrives once, whatever breaks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tally_client::{Connection, Method, Producer, Queue, Row, SeriesKey};
use tally_proto::tally::requests::v1::Series;
use tonic::Status;

use crate::mock::{Act, Event, Mock, fast_queue, no_task_is_left, until};

fn rows(producer: &Producer, count: u32) -> Vec<Row> {
    let row = |n| {
        let series = producer.endpoint(Method::GET, &format!("/{}", n % 10));
        Row::one(series, 1_700_000_000_000_000 + i64::from(n % 7) * 1000)
    };
    (0..count).map(row).collect()
}

#[tokio::test]
async fn a_queue_counts_what_it_is_given() {
    let mock = Mock::good();
    let server = mock.start();
    let queue = server.queue().key("sesame").connect().await.expect("a queue");
    assert_eq!(queue.ready().await, Connection::Record);
    for n in 0..1000 {
        queue.try_record(queue.endpoint(Method::GET, ["/a", "/b"][n % 2])).expect("room");
    }
    queue.flush().await.expect("everything");
    assert_eq!((mock.count("/a"), mock.count("/b")), (500, 500));
    let at = std::time::UNIX_EPOCH + Duration::from_secs(1);
    queue.record_at(queue.endpoint(Method::PUT, "/c"), at).await.expect("room");
    let report = queue.close().await;
    assert_eq!((report.recorded, report.acknowledged, report.queued), (1001, 1001, 0));
    assert_eq!(mock.count("/c"), 1);
    let database = mock.database();
    assert_eq!(database.authorization.as_deref(), Some("Bearer sesame"));
    let producer = database.producers.values().next().expect("one");
    assert_eq!((database.producers.len(), &*producer.name, database.opens), (1, "test", 1));
}

#[tokio::test]
async fn each_series_arrives_whole() {
    let mock = Mock::good();
    let server = mock.start();
    let queue = server.queue().connect().await.expect("a queue");
    assert_eq!(queue.ready().await, Connection::Record);
    let shop = SeriesKey {
        service: "shop",
        method: Method::GET,
        path: "/a",
        status: 200,
        customer: "acme",
    };
    let missing = SeriesKey { status: 404, customer: "", ..shop };
    let numbered = SeriesKey { method: Method(42), path: "/a", ..SeriesKey::default() };
    for (key, count) in [(shop, 3), (missing, 2), (numbered, 1)] {
        for _ in 0..count {
            queue.try_record(queue.series(key)).expect("room");
        }
    }
    assert_eq!(queue.close().await.acknowledged, 6);
    let series = |texts: [&str; 4], status| {
        let [service, method, path, customer] = texts.map(str::to_owned);
        Series { service, method, path, status, customer }
    };
    let expected = [
        (series(["shop", "GET", "/a", "acme"], 200), 3),
        (series(["shop", "GET", "/a", ""], 404), 2),
        (series(["", "42", "/a", ""], 0), 1),
    ];
    assert_eq!(mock.database().series, expected.into());
}

#[tokio::test]
async fn a_producer_acknowledges_in_order() {
    let mock = Mock::good().limits(|limits| limits.batch_rows_max = 100);
    let server = mock.start();
    let mut producer = server.producer().connect().await.expect("a producer");
    let mut given = 0;
    for count in [1, 999, 5000] {
        given += u64::from(count);
        assert_eq!(producer.send(rows(&producer, count)).await.expect("room"), given);
        assert!(producer.settled(given).await.acknowledged >= given);
    }
    let progress = producer.close().await;
    assert_eq!((progress.acknowledged, progress.settled(), progress.finished), (6000, 6000, true));
    assert_eq!((mock.total(), mock.count("/3")), (6000, 600));
    assert!(mock.database().batches.iter().all(|rows| *rows <= 100));
}

/// Each third batch is lost: not stored, stored without an answer, or stored before the end.
#[tokio::test]
async fn lost_answers_and_resets_count_once() {
    let seen = AtomicU64::new(0);
    let mock = Mock::new(move |event| {
        let Event::Batch(_) = event else { return Act::Serve };
        match seen.fetch_add(1, Ordering::Relaxed) % 6 {
            2 => Act::End(Status::unavailable("reset")),
            5 => Act::StoreAndEnd(0, Status::unavailable("lost answer")),
            _ => Act::Serve,
        }
    })
    .limits(|limits| limits.batch_rows_max = 10);
    let server = mock.start();
    let mut producer = server.producer().connect().await.expect("a producer");
    producer.send(rows(&producer, 1000)).await.expect("room");
    let progress = producer.close().await;
    assert_eq!((progress.acknowledged, progress.lost()), (1000, 0));
    assert_eq!(mock.total(), 1000);
    assert!(mock.database().opens > 10);
    assert_eq!(mock.database().producers.len(), 1);
}

/// The answer to Open is lost: the producer exists, and the client does not know.
#[tokio::test]
async fn a_lost_answer_to_open_keeps_the_producer() {
    let opens = AtomicU64::new(0);
    let mock = Mock::new(move |event| match event {
        Event::Open(_) if opens.fetch_add(1, Ordering::Relaxed) < 3 => {
            Act::StoreAndEnd(0, Status::unavailable("lost answer"))
        }
        _ => Act::Serve,
    });
    let server = mock.start();
    let mut producer = server.producer().connect().await.expect("a producer");
    producer.send(rows(&producer, 10)).await.expect("room");
    assert_eq!(producer.close().await.acknowledged, 10);
    assert_eq!((mock.total(), mock.database().producers.len()), (10, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_killed_count_once() {
    let mock = Mock::good().limits(|limits| limits.batch_rows_max = 50);
    let mut server = mock.start();
    let address = server.address();
    let queue = server.queue().queue_rows_max(1_000_000).connect().await.expect("a queue");
    let hello = queue.endpoint(Method::GET, "/hello");
    for _ in 0..8 {
        for _ in 0..2_000 {
            queue.try_record(hello).expect("room");
        }
        drop(server);
        for _ in 0..500 {
            queue.try_record(hello).expect("room");
        }
        server = mock.start_at(address);
        // This stream acknowledged something.
        let before = queue.stats().acknowledged;
        until("something is acknowledged", || queue.stats().acknowledged != before).await;
    }
    let report = queue.close().await;
    assert_eq!((report.recorded, report.acknowledged, report.lost()), (20_000, 20_000, 0));
    assert_eq!(mock.total(), 20_000);
}

#[tokio::test]
async fn a_server_that_comes_later_gets_everything() {
    let mock = Mock::good();
    let address = {
        let server = mock.start();
        server.address()
    };
    let queue = fast_queue(&format!("http://{address}")).connect().await.expect("a queue");
    let hello = queue.endpoint(Method::GET, "/hello");
    for _ in 0..100 {
        queue.try_record(hello).expect("room");
    }
    let error =
        queue.flush_within(Duration::from_millis(20)).await.expect_err("no server is there");
    assert_eq!(
        error,
        tally_client::FlushError::TimedOut { waiting: 100, limit: Duration::from_millis(20) }
    );
    let _server = mock.start_at(address);
    queue.flush().await.expect("everything");
    assert_eq!(mock.total(), 100);
}

/// A silent server is left after a while, and its batches are sent again.
#[tokio::test]
async fn a_silent_server_is_left() {
    let held = AtomicU64::new(0);
    let mock = Mock::new(move |event| match event {
        Event::Batch(_) if held.fetch_add(1, Ordering::Relaxed) < 2 => Act::Hold,
        _ => Act::Serve,
    });
    let server = mock.start();
    let limit = Duration::from_millis(50);
    let builder = server.producer().acknowledge_timeout(limit);
    let mut producer = builder.connect().await.expect("a producer");
    producer.send(rows(&producer, 10)).await.expect("room");
    assert_eq!(producer.close().await.acknowledged, 10);
    // A slow one is left, too.
    assert_eq!(mock.total(), 10);
    assert!(mock.database().opens >= 3);
}

#[tokio::test]
async fn no_more_batches_than_the_window_are_in_flight() {
    let mock = Mock::new(|event| match event {
        Event::Batch(_) => Act::Hold,
        _ => Act::Serve,
    })
    .limits(|limits| {
        limits.batch_rows_max = 1;
        limits.batches_in_flight_max = 3;
    });
    let server = mock.start();
    let builder = server.producer().acknowledge_timeout(Duration::from_millis(200));
    let mut producer = builder.connect().await.expect("a producer");
    producer.send(rows(&producer, 10)).await.expect("room");
    // The second stream begins after the first was silent for long.
    until("the producer is opened again", || mock.database().opens >= 2).await;
    assert_eq!(mock.database().in_flight, 3);
    let progress = producer.close_within(Duration::ZERO).await;
    // What the server lacks by then, it will never have.
    assert_eq!((progress.in_doubt, progress.dropped), (0, 10));
}

#[tokio::test]
async fn a_stream_that_can_name_no_more_is_replaced() {
    let mock = Mock::good().limits(|limits| {
        limits.series_max = 4;
        limits.batch_rows_max = 3;
    });
    let server = mock.start();
    let mut producer = server.producer().connect().await.expect("a producer");
    producer.send(rows(&producer, 100)).await.expect("room");
    assert_eq!(producer.close().await.acknowledged, 100);
    assert_eq!((mock.total(), mock.count("/9")), (100, 10));
    assert!(mock.database().opens > 10);
}

#[tokio::test]
async fn small_messages_are_what_the_server_gets_when_it_wants_them() {
    let mock = Mock::good().limits(|limits| limits.batch_bytes_max = 300);
    let server = mock.start();
    let mut producer = server.producer().connect().await.expect("a producer");
    producer.send(rows(&producer, 1000)).await.expect("room");
    assert_eq!(producer.close().await.acknowledged, 1000);
    assert_eq!(mock.total(), 1000);
}

#[test]
fn both_runtimes_and_many_of_them_work() {
    let mock = Mock::good();
    let server = mock.start();
    for n in 0..20 {
        let mut builder = match n % 2 {
            0 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let queue = server.queue().connect().await.expect("a queue");
            queue.try_record(queue.endpoint(Method::GET, "/")).expect("room");
            assert_eq!(queue.close().await.acknowledged, 1);
            // Nothing of it is left.
            no_task_is_left().await;
        });
    }
    assert_eq!(mock.total(), 20);
}

#[tokio::test]
async fn a_clock_that_steps_back_loses_nothing() {
    struct Back(AtomicU64);
    impl tally_client::Clock for Back {
        fn now(&self) -> std::time::SystemTime {
            let micros = self.0.fetch_sub(3_600_000_000, Ordering::Relaxed);
            std::time::UNIX_EPOCH + Duration::from_micros(micros)
        }
    }
    let mock = Mock::good();
    let server = mock.start();
    let clock = std::sync::Arc::new(Back(AtomicU64::new(1_700_000_000_000_000)));
    let queue: Queue = server.queue().clock(clock).connect().await.expect("a queue");
    for _ in 0..100 {
        queue.try_record(queue.endpoint(Method::GET, "/")).expect("room");
    }
    assert_eq!(queue.close().await.acknowledged, 100);
    assert_eq!(mock.total(), 100);
}

/// Batches of an earlier stream may be committed after the next one, with a smaller window, opens.
#[tokio::test]
async fn an_answer_may_be_ahead_of_its_stream() {
    use tally_proto::tally::producers::v1::Acknowledgement;
    let mock = Mock::new(|event| match event {
        Event::Batch(batch) if batch.sequence < 4 => Act::Hold,
        Event::Batch(_) => Act::End(Status::unavailable("gone")),
        _ => Act::Serve,
    });
    let server = mock.start();
    let address = server.address();
    let queue = server.queue().batch_rows_max(10).batches_in_flight_max(4);
    let queue = queue.connect().await.expect("a queue");
    let endpoint = queue.endpoint(Method::GET, "/");
    for _ in 0..100 {
        queue.try_record(endpoint).expect("room");
    }
    until("batches are on their way", || mock.database().in_flight >= 4).await;
    drop(server);
    let next = mock.with(|event| match event {
        Event::Batch(batch) => {
            Act::Answer(Acknowledgement { opened: None, committed_sequence: batch.sequence.max(4) })
        }
        _ => Act::Serve,
    });
    let _server = next.limits(|limits| limits.batches_in_flight_max = 1).start_at(address);
    let report = queue.close().await;
    assert_eq!((report.acknowledged, report.lost()), (100, 0), "{report:?}");
}
