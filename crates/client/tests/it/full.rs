//! A full queue.

use std::time::Duration;

use tally_client::{Method, Queue, Refusal};

use crate::mock::{Act, Event, Mock, fast_queue, until};

/// A queue whose server never answers, so that everything waits.
async fn stuck(mock: &Mock, max: usize) -> (Queue, crate::mock::Server) {
    let server = mock.start();
    let queue = fast_queue(&server.url()).queue_rows_max(max);
    (queue.connect().await.expect("a queue"), server)
}

fn silent() -> Mock {
    Mock::new(|event| match event {
        Event::Open(_) => Act::Hold,
        _ => Act::Serve,
    })
}

/// Records until the queue is surely full, and returns how many were taken and dropped.
fn fill(queue: &Queue, count: u64) -> (u64, u64) {
    let (endpoint, before) = (queue.endpoint(Method::GET, "/"), queue.stats());
    (0..count).for_each(|_| queue.record_or_drop(endpoint));
    let after = queue.stats();
    (after.recorded - before.recorded, after.refused - before.refused)
}

#[tokio::test]
async fn the_newest_are_dropped_and_told() {
    let mock = silent();
    let (queue, server) = stuck(&mock, 1000).await;
    let (taken, refused) = fill(&queue, 5000);
    // None was sent because this thread did not let the task run.
    assert_eq!((taken, refused), (1000, 4000));
    let error = queue.try_record(queue.endpoint(Method::GET, "/")).expect_err("full");
    assert_eq!((error.reason, queue.stats().refused), (Refusal::Full, 4000));
    queue.note_dropped(&error);
    assert_eq!(queue.stats().refused, 4001);
    let address = server.address();
    drop(server);
    let _server = mock.with(|_| Act::Serve).start_at(address);
    let report = queue.close().await;
    assert_eq!((report.recorded, report.acknowledged, report.refused), (1000, 1000, 4001));
    assert_eq!(report.drops_reported, 4001);
    assert_eq!((mock.total(), mock.dropped()), (1000, 4001));
}

#[tokio::test]
async fn what_is_given_back_is_not_noted() {
    let mock = silent();
    let (queue, server) = stuck(&mock, 10).await;
    assert_eq!(fill(&queue, 10), (10, 0));
    let error = queue.try_record(queue.endpoint(Method::GET, "/")).expect_err("full");
    assert_eq!(error.reason, Refusal::Full);
    let address = server.address();
    drop(server);
    let _server = mock.with(|_| Act::Serve).start_at(address);
    queue.record_at(error.series, error.at).await.expect("room at last");
    let report = queue.close().await;
    assert_eq!((report.acknowledged, report.refused, mock.dropped()), (11, 0, 0));
    assert_eq!(mock.total(), 11);
}

#[tokio::test]
async fn record_waits_for_room() {
    let mock = Mock::good();
    let (queue, _server) = stuck(&mock, 2).await;
    let endpoint = queue.endpoint(Method::GET, "/");
    for _ in 0..500 {
        queue.record(endpoint).await.expect("room");
    }
    let report = queue.close().await;
    assert_eq!((report.acknowledged, report.refused), (500, 0));
}

#[tokio::test]
async fn only_drops_are_told_too() {
    let mock = Mock::good();
    let (queue, _server) = stuck(&mock, 10).await;
    let _ = queue.ready().await;
    fill(&queue, 30);
    queue.flush().await.expect("the ten");
    until("the drops are reported", || queue.stats().drops_reported >= 20).await;
    assert_eq!((mock.total(), mock.dropped()), (10, 20));
}

#[tokio::test]
async fn a_time_that_a_server_refuses_is_given_back() {
    let queue = Queue::in_memory();
    let endpoint = queue.endpoint(Method::GET, "/");
    let now = std::time::UNIX_EPOCH + Duration::from_secs(300_000_000_000);
    let error = queue.try_record_at(endpoint, now).expect_err("too late");
    assert_eq!((error.reason, error.at), (Refusal::Time, now));
    assert_eq!(queue.stats().recorded, 0);
}

#[test]
fn a_queue_in_memory_is_never_full() {
    let queue = Queue::in_memory();
    let endpoint = queue.endpoint(Method::GET, "/a");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..100_000 {
                    queue.try_record(endpoint).expect("room");
                }
            });
        }
    });
    assert_eq!(queue.counts()[&(Method::GET, "/a".to_owned())], 300_000);
}

/// The most days whose drops fit into one message.
#[tokio::test]
async fn drops_of_many_days_are_all_told_at_the_close() {
    let mock = Mock::good();
    let server = mock.start();
    let queue = server.queue().queue_rows_max(1).connect().await.expect("a queue");
    let endpoint = queue.endpoint(Method::GET, "/");
    let day = |n: u64| std::time::UNIX_EPOCH + Duration::from_secs(n * 86_400);
    // This thread does not let the task run, so there is room for the first one only.
    let back: Vec<_> =
        (0..5500).filter_map(|n| queue.try_record_at(endpoint, day(n)).err()).collect();
    assert_eq!(back.len(), 5499);
    back.iter().for_each(|given_back| queue.note_dropped(given_back));
    let report = queue.close().await;
    assert_eq!((report.refused, report.drops_reported), (5499, 5499), "{report:?}");
    assert_eq!((mock.total(), mock.dropped()), (1, 5499));
    assert_eq!(mock.database().drops.len(), 5499);
}

#[test]
fn a_queue_in_memory_has_recorded_what_it_counts() {
    let queue = Queue::in_memory();
    assert_eq!(fill(&queue, 250_000), (250_000, 0));
    assert_eq!(queue.count(Method::GET, "/"), 250_000);
    assert_eq!((queue.stats().recorded, queue.stats().queued), (250_000, 250_000));
    assert_eq!(queue.count(Method::POST, "/"), 0);
}
