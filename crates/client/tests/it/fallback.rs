//! A server that speaks only `count.v1`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tally_client::{Connection, Method, Progress, Row, SeriesKey};
use tonic::{Code, Status};

use crate::mock::{Act, Event, Mock};

fn old(add: impl Fn(usize) -> Act + Send + Sync + 'static) -> Mock {
    Mock::new(move |event| match event {
        Event::Open(_) => Act::End(Status::unimplemented("Record")),
        Event::Batch(_) => Act::Serve,
        Event::Add(requests) => add(*requests),
    })
}

async fn send(mock: &Mock) -> Progress {
    let server = mock.start();
    let mut producer = server.producer().batch_rows_max(10).connect().await.expect("a producer");
    assert_eq!(producer.ready().await.connection, Connection::Add);
    // `Add` has no words for what tells these apart.
    let key = |n: u16| SeriesKey {
        service: "shop",
        method: Method::GET,
        path: "/",
        status: 200 + n % 2,
        ..SeriesKey::default()
    };
    let row = |n| Row::one(producer.series(key(n)), n.into());
    let rows = (0..100).map(row).collect();
    producer.send(rows).await.expect("room");
    producer.close().await
}

#[tokio::test]
async fn an_old_server_is_sent_add_streams() {
    let mock = old(|_| Act::Serve);
    let progress = send(&mock).await;
    assert_eq!((progress.acknowledged, mock.total(), mock.count("/")), (100, 100, 100));
}

#[tokio::test]
async fn what_is_certain_of_a_broken_stream_is_used() {
    let calls = AtomicU64::new(0);
    let mock = old(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        2 => {
            let mut status = Status::unavailable("the queue is full");
            status.metadata_mut().insert("tally-counted", 7.into());
            Act::StoreAndEnd(7, status)
        }
        _ => Act::Serve,
    });
    let progress = send(&mock).await;
    assert_eq!((progress.acknowledged, progress.lost(), mock.total()), (100, 0, 100));
}

/// A stream has no more requests than a batch has rows, and can end between those of one row.
#[tokio::test]
async fn a_row_of_several_requests_can_be_counted_in_part() {
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&sizes);
    let mock = old(move |requests| {
        let mut sizes = told.lock().expect("no panic");
        sizes.push(requests);
        match sizes.len() {
            2 => {
                let mut status = Status::unavailable("the queue is full");
                status.metadata_mut().insert("tally-counted", 3.into());
                Act::StoreAndEnd(3, status)
            }
            4 => Act::StoreAndEnd(requests, Status::unavailable("lost answer")),
            _ => Act::Serve,
        }
    });
    let server = mock.start();
    let mut producer = server.producer().batch_rows_max(10).connect().await.expect("a producer");
    let row =
        |(path, requests)| Row { requests, ..Row::one(producer.endpoint(Method::GET, path), 0) };
    let rows = [("/a", 1), ("/b", 35), ("/c", 9), ("/d", 2)].map(row);
    assert_eq!(producer.send(rows.to_vec()).await.expect("room"), 47);
    let progress = producer.close().await;
    assert_eq!((progress.acknowledged, progress.in_doubt, mock.total()), (37, 10, 47));
    assert_eq!(["/a", "/b", "/c", "/d"].map(|path| mock.count(path)), [1, 35, 9, 2]);
    assert_eq!(*sizes.lock().expect("no panic"), [10, 10, 10, 10, 10, 4]);
}

#[tokio::test]
async fn a_request_that_is_refused_goes_alone() {
    let calls = AtomicU64::new(0);
    let mock = old(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => {
            let mut status = Status::new(Code::InvalidArgument, "path");
            status.metadata_mut().insert("tally-counted", 4.into());
            Act::StoreAndEnd(4, status)
        }
        _ => Act::Serve,
    });
    let progress = send(&mock).await;
    assert_eq!((progress.acknowledged, progress.rejected, mock.total()), (99, 1, 99));
}

/// The server refuses some times without saying whose: the others are counted, and none are resent.
#[tokio::test]
async fn requests_that_are_refused_for_their_times_are_told() {
    let calls = AtomicU64::new(0);
    let mock = old(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => {
            let mut status = Status::new(Code::InvalidArgument, "time");
            status.metadata_mut().insert("tally-counted", 10.into());
            status.metadata_mut().insert("tally-refused", 3.into());
            Act::StoreAndEnd(7, status)
        }
        1 => {
            let mut status = Status::unavailable("the queue is full");
            status.metadata_mut().insert("tally-counted", 4.into());
            status.metadata_mut().insert("tally-refused", 1.into());
            Act::StoreAndEnd(3, status)
        }
        _ => Act::Serve,
    });
    let progress = send(&mock).await;
    assert_eq!((progress.acknowledged, progress.rejected, mock.total()), (96, 4, 96));
}

#[tokio::test]
async fn what_is_in_doubt_is_not_sent_again() {
    let calls = AtomicU64::new(0);
    let mock = old(move |requests| match calls.fetch_add(1, Ordering::Relaxed) {
        1 => Act::StoreAndEnd(requests, Status::unavailable("lost answer")),
        3 => Act::End(Status::unavailable("reset")),
        _ => Act::Serve,
    });
    let progress = send(&mock).await;
    assert_eq!((progress.acknowledged, progress.in_doubt), (80, 20));
    assert_eq!(mock.total(), 90);
}

#[tokio::test]
async fn without_leave_an_old_server_counts_as_away() {
    let mock = old(|_| Act::Serve);
    let server = mock.start();
    let queue = server.queue().fallback(false).connect().await.expect("a queue");
    queue.try_record(queue.endpoint(Method::GET, "/")).expect("room");
    while mock.database().opens == 0 && queue.stats().connection == Connection::Away {
        if queue.flush_within(std::time::Duration::from_millis(30)).await.is_err() {
            break;
        }
    }
    let report = queue.close_within(std::time::Duration::ZERO).await;
    assert_eq!((report.acknowledged, report.dropped, mock.total()), (0, 1, 0));
}

/// An upgrade while the client runs: exact from then on.
#[tokio::test]
async fn a_server_that_learns_record_is_used_so() {
    let mock = old(|_| Act::Serve);
    let server = mock.start();
    let address = server.address();
    let queue = server.queue().connect().await.expect("a queue");
    assert_eq!(queue.ready().await, Connection::Add);
    drop(server);
    let _server = mock.with(|_| Act::Serve).start_at(address);
    let hello = queue.endpoint(Method::GET, "/");
    queue.try_record(hello).expect("room");
    // The first may be in doubt: it is sent into the broken connection.
    let _ = queue.flush().await;
    queue.try_record(hello).expect("room");
    queue.flush().await.expect("acknowledged");
    assert_eq!(queue.stats().connection, Connection::Record);
    let report = queue.close().await;
    assert_eq!(report.acknowledged, mock.total());
    assert_eq!(report.acknowledged + report.in_doubt, 2);
}
