//! Batches that the server refuses, and servers that refuse the client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tally_client::{Method, Row};
use tonic::{Code, Status};

use crate::hands::Hands;
use crate::mock::{Act, Event, Mock, refusal, until};

const DAY_US: i64 = 86_400_000_000;

/// The server refuses batches whose first row is of day 3, without always having stored those
/// before.
#[tokio::test]
async fn a_refused_batch_is_set_aside_and_told_as_dropped() {
    let mock = Mock::new(|event| match event {
        Event::Batch(batch) if batch.time_delta.first() == Some(&(3 * DAY_US)) => {
            Act::End(refusal(Code::InvalidArgument, "INVALID_BATCH"))
        }
        _ => Act::Serve,
    });
    let server = mock.start();
    let mut producer = server.producer().batch_rows_max(2).connect().await.expect("a producer");
    let series = producer.endpoint(Method::GET, "/");
    let rows = (0..6).flat_map(|day| [day * DAY_US; 2]);
    let rows = rows.map(|time_us| Row::one(series, time_us)).collect();
    producer.send(rows).await.expect("room");
    let progress = producer.close().await;
    assert_eq!((progress.acknowledged, progress.rejected, progress.in_doubt), (10, 2, 0));
    assert_eq!((mock.total(), mock.dropped()), (10, 2));
    let database = mock.database();
    assert_eq!(database.drops.get(&3), Some(&2));
    assert_eq!(database.producers.values().next().expect("one").sequence, 6);
}

/// The requests that a row stands for are rejected, and those of the others are counted.
#[tokio::test]
async fn requests_that_are_set_aside_with_their_row_are_all_told() {
    let mock = Mock::new(|event| match event {
        Event::Batch(batch) if batch.time_delta.iter().any(|delta| *delta > 50 * DAY_US) => {
            Act::End(refusal(Code::Unavailable, "TIME_AHEAD"))
        }
        _ => Act::Serve,
    });
    let server = mock.start();
    let clock = Hands::at(100 * DAY_US);
    let mut producer = server.producer().clock(clock.clone()).connect().await.expect("a producer");
    let series = producer.endpoint(Method::GET, "/");
    let row = |(day, requests)| Row { requests, ..Row::one(series, day * DAY_US) };
    let rows = [(1, 3), (100, 40), (2, 5), (100, 1)].map(row);
    producer.send(rows.to_vec()).await.expect("room");
    until("the producer is in trouble", || producer.trouble().is_some()).await;
    clock.set(DAY_US);
    let progress = producer.close().await;
    assert_eq!((progress.acknowledged, progress.rejected), (8, 41));
    assert_eq!((mock.total(), mock.database().drops.get(&100)), (8, Some(&41)));
}

/// A refusal while batches before the bad one are not stored.
#[tokio::test]
async fn the_wrong_batch_is_not_blamed() {
    let first = AtomicU64::new(0);
    let mock = Mock::new(move |event| {
        let Event::Batch(batch) = event else { return Act::Serve };
        let bad = batch.time_delta.first() == Some(&(2 * DAY_US));
        if bad {
            return Act::End(refusal(Code::InvalidArgument, "INVALID_BATCH"));
        }
        // Nothing is stored before the first refusal.
        if first.fetch_add(1, Ordering::Relaxed) < 2 { Act::Hold } else { Act::Serve }
    });
    let server = mock.start();
    let mut producer = server.producer().batch_rows_max(1).connect().await.expect("a producer");
    let series = producer.endpoint(Method::GET, "/");
    let rows = (0..4).map(|day| Row::one(series, day * DAY_US)).collect();
    producer.send(rows).await.expect("room");
    let progress = producer.close().await;
    assert_eq!((progress.acknowledged, progress.rejected), (3, 1));
    assert_eq!((mock.total(), mock.database().drops.get(&2)), (3, Some(&1)));
}

/// The server's clock is behind: refused requests are kept, and counted once the clock is right.
#[tokio::test]
async fn a_time_ahead_of_the_servers_clock_is_kept() {
    let refused = Arc::new(AtomicU64::new(0));
    let said = Arc::clone(&refused);
    let mock = Mock::new(move |event| match event {
        Event::Batch(_) if said.fetch_add(1, Ordering::Relaxed) < 5 => {
            Act::End(refusal(Code::Unavailable, "TIME_AHEAD"))
        }
        _ => Act::Serve,
    });
    let server = mock.start();
    let clock = Hands::at(3 * DAY_US);
    let builder = server.producer().batch_rows_max(2).clock(clock);
    let mut producer = builder.connect().await.expect("a producer");
    let series = producer.endpoint(Method::GET, "/");
    producer.send(vec![Row::one(series, 3 * DAY_US); 10]).await.expect("room");
    let progress = producer.close().await;
    assert_eq!((progress.acknowledged, progress.lost(), mock.total()), (10, 0, 10));
    assert!(refused.load(Ordering::Relaxed) > 5);
}

/// This machine's clock was ahead, and has been set: requests from before do not delay others.
#[tokio::test]
async fn times_that_no_clock_has_any_more_hold_nothing_up() {
    let mock = Mock::new(|event| match event {
        Event::Batch(batch) if batch.time_delta.iter().any(|delta| *delta > 50 * DAY_US) => {
            Act::End(refusal(Code::Unavailable, "TIME_AHEAD"))
        }
        _ => Act::Serve,
    });
    let server = mock.start();
    let clock = Hands::at(100 * DAY_US);
    let builder = server.producer().batch_rows_max(4).clock(clock.clone());
    let mut producer = builder.connect().await.expect("a producer");
    let series = producer.endpoint(Method::GET, "/");
    let days = [1, 1, 1, 100, 100, 1, 1, 1];
    let rows = days.map(|day| Row::one(series, day * DAY_US));
    producer.send(rows.to_vec()).await.expect("room");
    until("the producer is in trouble", || producer.trouble().is_some()).await;
    assert_eq!(producer.progress().rejected, 0, "not before the clock is set");
    clock.set(DAY_US);
    let progress = producer.close().await;
    assert_eq!((progress.acknowledged, progress.rejected), (6, 2));
    assert_eq!((mock.total(), mock.database().drops.get(&100)), (6, Some(&2)));
}

#[tokio::test]
async fn a_batch_too_large_for_another_server_is_set_aside() {
    let mock = Mock::new(|event| match event {
        Event::Batch(_) => Act::End(Status::unavailable("moved")),
        _ => Act::Serve,
    });
    let server = mock.start();
    let address = server.address();
    let mut producer = server.producer().connect().await.expect("a producer");
    let series = producer.endpoint(Method::GET, "/");
    producer.send(vec![Row::one(series, 0); 100]).await.expect("room");
    until("the producer is opened again", || mock.database().opens >= 2).await;
    drop(server);
    let small = mock
        .with(|event| match event {
            Event::Batch(batch) if batch.count > 10 => {
                Act::End(refusal(Code::ResourceExhausted, "LIMIT"))
            }
            _ => Act::Serve,
        })
        .limits(|limits| limits.batch_rows_max = 10);
    let _server = small.start_at(address);
    assert_eq!(producer.settled(100).await.rejected, 100);
    producer.send(vec![Row::one(series, 0); 25]).await.expect("room");
    let progress = producer.close().await;
    assert_eq!((progress.acknowledged, progress.rejected), (25, 100));
    assert_eq!(mock.dropped(), 100);
}

#[tokio::test]
async fn a_server_that_refuses_the_client_is_asked_again() {
    let opens = AtomicU64::new(0);
    let mock = Mock::new(move |event| match (event, opens.load(Ordering::Relaxed)) {
        (Event::Open(_), opened @ 0..5) => {
            opens.store(opened + 1, Ordering::Relaxed);
            Act::End(match opened {
                0 => Status::unauthenticated("who are you"),
                1 => refusal(Code::ResourceExhausted, "LIMIT"),
                2 => Status::invalid_argument("no"),
                3 => refusal(Code::FailedPrecondition, "OUT_OF_SEQUENCE"),
                _ => Status::internal("what"),
            })
        }
        _ => Act::Serve,
    });
    let server = mock.start();
    let mut producer = server.producer().connect().await.expect("a producer");
    let series = producer.endpoint(Method::GET, "/");
    producer.send(vec![Row::one(series, 0); 3]).await.expect("room");
    assert_eq!(producer.close().await.acknowledged, 3);
    assert_eq!(mock.total(), 3);
}

/// Another kind of server, which is an easy mistake.
#[tokio::test]
async fn a_server_that_is_not_tally_is_told() {
    let app = axum::Router::new().fallback(|| async { "Nothing is here." });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let serving =
        tokio::runtime::Handle::current().spawn(async move { axum::serve(listener, app).await });
    let queue = crate::mock::fast_queue(&url).connect().await.expect("a queue");
    let series = queue.endpoint(tally_client::Method::GET, "/");
    queue.try_record(series).expect("room");
    until("the queue is in trouble", || queue.trouble().is_some()).await;
    let trouble = queue.trouble().expect("it stays");
    assert!(trouble.contains("does not speak gRPC"), "{trouble}");
    let report = queue.close_within(Duration::ZERO).await;
    assert_eq!((report.acknowledged, report.dropped + report.in_doubt), (0, 1), "{report:?}");
    serving.abort();
}
