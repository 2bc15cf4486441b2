//! A producer that the server forgot, or that another client uses.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tally_client::{Method, Row};
use tally_proto::tally::producers::v1 as producers;
use tonic::{Code, Status};

use crate::mock::{Act, Event, Mock, refusal};

/// Three batches of one row: the first is stored, and the server decides about the others.
async fn send(mock: &Mock, rows: i64) -> tally_client::Progress {
    let server = mock.start();
    let mut producer = server.producer().batch_rows_max(1).connect().await.expect("a producer");
    let series = producer.endpoint(Method::GET, "/");
    let rows = (0..rows).map(|time_us| Row::one(series, time_us)).collect();
    producer.send(rows).await.expect("room");
    producer.close().await
}

#[tokio::test]
async fn what_a_forgotten_producer_had_sent_is_in_doubt() {
    let batches = AtomicU64::new(0);
    let mock = Mock::new(move |event| match event {
        Event::Batch(_) if batches.fetch_add(1, Ordering::Relaxed) == 1 => {
            Act::End(Status::unavailable("the database lost the producer"))
        }
        Event::Open(open) if open.epoch > 0 => {
            Act::End(refusal(Code::FailedPrecondition, "PRODUCER_FORGOTTEN"))
        }
        _ => Act::Serve,
    })
    .limits(|limits| limits.batches_in_flight_max = 2);
    let progress = send(&mock, 10).await;
    assert_eq!(progress.settled(), 10);
    assert!((1..=2).contains(&progress.in_doubt), "{progress:?}");
    // The batch in doubt is not sent again; the rest continues under a new id.
    assert_eq!(progress.acknowledged, mock.total());
    assert_eq!(mock.database().producers.len(), 2);
}

/// The server has none of its batches, so it begins again under its id, and nothing is in doubt.
#[tokio::test]
async fn a_producer_that_stored_nothing_begins_again() {
    let batches = AtomicU64::new(0);
    let inner = Mock::good();
    let database = inner.clone();
    let mock = inner.with(move |event| match event {
        Event::Batch(_) if batches.fetch_add(1, Ordering::Relaxed) == 0 => {
            database.database().producers.clear();
            Act::End(refusal(Code::FailedPrecondition, "PRODUCER_FORGOTTEN"))
        }
        _ => Act::Serve,
    });
    let progress = send(&mock, 5).await;
    assert_eq!((progress.acknowledged, progress.in_doubt, mock.total()), (5, 0, 5));
    let database = mock.database();
    assert_eq!((database.producers.len(), database.opens), (1, 2));
}

/// The server notes a loss in the transaction that decides about Open. So a client that hears within a
/// stream that it is forgotten opens once more under its id, and says what was acknowledged.
#[tokio::test]
async fn a_producer_forgotten_within_a_stream_says_what_was_acknowledged() {
    let (losses, told) = (AtomicU64::new(0), Arc::new(Mutex::new(Vec::new())));
    let heard = Arc::clone(&told);
    let inner = Mock::good();
    let database = inner.clone();
    let mock = inner.with(move |event| match event {
        Event::Open(open) => {
            let says = (open.acknowledged_sequence, open.acknowledged_at.is_some());
            heard.lock().expect("whole").push((open.producer_id.clone(), says));
            Act::Serve
        }
        Event::Batch(batch)
            if batch.sequence == 3 && losses.fetch_add(1, Ordering::Relaxed) == 0 =>
        {
            database.database().producers.clear();
            Act::End(refusal(Code::FailedPrecondition, "PRODUCER_FORGOTTEN"))
        }
        _ => Act::Serve,
    });
    let mock = mock.limits(|limits| limits.batches_in_flight_max = 1);
    let progress = send(&mock, 5).await;
    assert_eq!((progress.acknowledged, progress.in_doubt, mock.total()), (4, 1, 4));
    let told = told.lock().expect("whole").clone();
    let says: Vec<_> = told.iter().map(|(_, says)| *says).collect();
    assert_eq!(says, [(Some(0), false), (Some(2), true), (Some(0), false)]);
    assert_eq!(told[0].0, told[1].0);
    assert_ne!(told[1].0, told[2].0);
}

/// The server can then forget it.
#[tokio::test]
async fn a_producer_that_is_closed_says_that_it_is_done() {
    let mock = Mock::good();
    for (rows, done) in [(5, 1), (0, 1), (1, 2)] {
        let progress = send(&mock, rows).await;
        assert_eq!((progress.acknowledged, mock.database().done), (rows.unsigned_abs(), done));
    }
}

#[tokio::test]
async fn a_producer_in_use_goes_on_as_another_one() {
    let opens = AtomicU64::new(0);
    let mock = Mock::new(move |event| match event {
        Event::Open(_) if opens.fetch_add(1, Ordering::Relaxed) == 0 => {
            Act::End(refusal(Code::AlreadyExists, "PRODUCER_IN_USE"))
        }
        _ => Act::Serve,
    });
    let progress = send(&mock, 5).await;
    assert_eq!((progress.acknowledged, progress.in_doubt, mock.total()), (5, 0, 5));
}

#[tokio::test]
async fn batches_that_were_never_sent_show_another_client() {
    let opens = AtomicU64::new(0);
    let mock = Mock::new(move |event| match event {
        Event::Open(_) if opens.fetch_add(1, Ordering::Relaxed) == 0 => {
            let opened = producers::Opened { epoch: 7, ..producers::Opened::default() };
            Act::Answer(producers::Acknowledgement { opened: Some(opened), committed_sequence: 9 })
        }
        _ => Act::Serve,
    });
    let progress = send(&mock, 5).await;
    assert_eq!((progress.acknowledged, progress.in_doubt, mock.total()), (5, 0, 5));
}

/// An acknowledgement, in the middle of a stream, of a batch that was never sent.
#[tokio::test]
async fn an_impossible_acknowledgement_is_not_believed() {
    let batches = AtomicU64::new(0);
    let mock = Mock::new(move |event| match event {
        Event::Batch(_) if batches.fetch_add(1, Ordering::Relaxed) == 0 => {
            Act::Answer(producers::Acknowledgement { opened: None, committed_sequence: 1000 })
        }
        _ => Act::Serve,
    })
    .limits(|limits| limits.batches_in_flight_max = 1);
    let progress = send(&mock, 5).await;
    assert_eq!((progress.acknowledged, progress.in_doubt, mock.total()), (4, 1, 4));
}

/// This lets the server notice that its database lost acknowledged batches.
#[tokio::test]
async fn what_was_acknowledged_is_said_with_open() {
    let breaks = AtomicU64::new(0);
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let mock = Mock::new(move |event| match event {
        Event::Open(open) => {
            heard.lock().expect("whole").push((open.acknowledged_sequence, open.acknowledged_at));
            Act::Serve
        }
        Event::Batch(batch)
            if batch.sequence == 3 && breaks.fetch_add(1, Ordering::Relaxed) == 0 =>
        {
            Act::End(Status::unavailable("restored"))
        }
        _ => Act::Serve,
    })
    .limits(|limits| limits.batches_in_flight_max = 1);
    assert_eq!(send(&mock, 5).await.acknowledged, 5);
    let told = told.lock().expect("whole").clone();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], (Some(0), None));
    assert_eq!(told[1].0, Some(2));
    assert!(told[1].1.is_some_and(|at| at.seconds > 1_700_000_000), "{told:?}");
}

/// A server whose backup is restored at the third batch: it has only the first one.
fn restored() -> Mock {
    let lost = AtomicU64::new(0);
    let inner = Mock::good();
    let database = inner.clone();
    let mock = inner.with(move |event| match event {
        Event::Batch(batch) if batch.sequence == 3 && lost.fetch_add(1, Ordering::Relaxed) == 0 => {
            let mut database = database.database();
            database.producers.values_mut().for_each(|stored| stored.sequence = 1);
            Act::End(Status::unavailable("restored"))
        }
        _ => Act::Serve,
    });
    mock.limits(|limits| limits.batches_in_flight_max = 1)
}

/// A queue's report shows it too.
#[tokio::test]
async fn a_queue_reports_batches_that_the_database_has_lost() {
    let mock = restored();
    let server = mock.start();
    let queue = server.queue().batch_rows_max(1).connect().await.expect("a queue");
    let series = queue.endpoint(Method::GET, "/");
    for _ in 0..5 {
        queue.try_record(series).expect("room");
    }
    let report = queue.close().await;
    assert_eq!((report.acknowledged, report.lost(), report.batches_lost), (5, 0, 1));
}

/// A restored backup: the server has less than it acknowledged.
#[tokio::test]
async fn a_database_that_went_back_gets_what_is_left() {
    let mock = restored();
    let progress = send(&mock, 5).await;
    assert_eq!((progress.acknowledged, progress.in_doubt, progress.batches_lost), (5, 0, 1));
    // Two were stored before, and this mock still has their rows.
    assert_eq!((mock.total(), mock.database().producers.len()), (5, 2));
}

/// A restored backup that is older than the producer.
#[tokio::test]
async fn a_database_that_went_back_further_has_lost_all_that_was_acknowledged() {
    let lost = AtomicU64::new(0);
    let inner = Mock::good();
    let database = inner.clone();
    let mock = inner.with(move |event| match event {
        Event::Batch(batch) if batch.sequence == 3 && lost.fetch_add(1, Ordering::Relaxed) == 0 => {
            database.database().producers.clear();
            Act::End(Status::unavailable("restored"))
        }
        Event::Open(open) if open.epoch > 0 => {
            Act::End(refusal(Code::FailedPrecondition, "PRODUCER_FORGOTTEN"))
        }
        _ => Act::Serve,
    });
    let mock = mock.limits(|limits| limits.batches_in_flight_max = 1);
    let progress = send(&mock, 5).await;
    assert_eq!((progress.acknowledged, progress.in_doubt, progress.batches_lost), (4, 1, 2));
}
