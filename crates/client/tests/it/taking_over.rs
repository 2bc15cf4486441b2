//! Checkpoints, and producers that are taken over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tally_client::{ConnectError, Method, Producer, Refusal, Row, Stop};
use tally_proto::tally::producers::v1 as producers;
use tally_testkit::eventually;
use tonic::{Code, Status};

use crate::mock::{Act, Event, Mock, Server, refusal};

const LIMIT: Duration = Duration::from_secs(60);

const ID: [u8; 16] = *b"a reader's id...";

async fn taken_over(server: &Server) -> Producer {
    server.producer().take_over(ID).connect().await.expect("a producer")
}

fn rows(producer: &Producer, count: usize) -> Vec<Row> {
    let series = producer.endpoint(Method::GET, "/");
    vec![Row::one(series, 0); count]
}

#[tokio::test]
async fn the_next_process_is_told_the_checkpoint() {
    let mock = Mock::good();
    let server = mock.start();
    for process in 0..3_u64 {
        let mut producer = taken_over(&server).await;
        let opened = producer.opened().await.expect("opened");
        let before = if process == 0 { String::new() } else { format!("{process}, end") };
        assert_eq!(opened.checkpoint(), before.as_bytes());
        assert_eq!(opened.batches(), 3 * process);
        let batch = rows(&producer, 5);
        let at = format!("{}", process + 1);
        producer.send_batch(batch, at.clone()).await.expect("room");
        let position = producer.send(rows(&producer, 2)).await.expect("room");
        assert_eq!(producer.settled(position).await.acknowledged, 7);
        // Without rows, too.
        producer.send_batch(Vec::new(), format!("{at}, end")).await.expect("room");
        let progress = producer.close().await;
        assert_eq!((progress.acknowledged, progress.lost()), (7, 0));
        assert_eq!(progress.stopped, None);
    }
    assert_eq!(mock.total(), 21);
    let database = mock.database();
    assert_eq!((database.done, database.producers.len()), (0, 1));
    assert_eq!(database.batches, [5, 2, 0].repeat(3));
}

#[tokio::test]
async fn a_producer_that_is_done_is_left_to_no_process() {
    let mock = Mock::good();
    let server = mock.start();
    let mut producer = taken_over(&server).await;
    let batch = rows(&producer, 1);
    producer.send_batch(batch, "end").await.expect("room");
    producer.done();
    assert_eq!(producer.close().await.acknowledged, 1);
    assert_eq!(mock.database().done, 1);
}

#[tokio::test]
async fn what_is_no_batch_is_given_back() {
    let mock = Mock::good().limits(|limits| limits.batch_rows_max = 3);
    let server = mock.start();
    let mut producer = taken_over(&server).await;
    for (count, checkpoint, reason) in [
        (1, vec![], Refusal::Checkpoint),
        (1, vec![1; 257], Refusal::Checkpoint),
        (4, vec![1], Refusal::TooLarge),
    ] {
        let given = rows(&producer, count);
        let error = producer.send_batch(given, checkpoint).await.expect_err("it is no batch");
        assert_eq!((error.rows.len(), error.reason), (count, reason));
    }
    let late = vec![Row { time_us: i64::MAX, ..rows(&producer, 1)[0] }];
    let error = producer.send_batch(late, [1]).await.expect_err("it is too late");
    assert_eq!((error.rows.len(), error.reason), (1, Refusal::Time));
    let batch = rows(&producer, 3);
    producer.send_batch(batch, vec![1; 256]).await.expect("it fits");
    assert_eq!(producer.close().await.acknowledged, 3);
    assert_eq!(mock.total(), 3);
}

/// The limit of bytes is that of the whole message.
#[tokio::test]
async fn a_batch_with_a_checkpoint_is_within_the_limit_of_bytes() {
    let mock = Mock::good().limits(|limits| limits.batch_bytes_max = 1_000);
    let server = mock.start();
    let mut producer = taken_over(&server).await;
    for count in (1..300).rev() {
        let batch = rows(&producer, count);
        match producer.send_batch(batch, [7; 256]).await {
            Ok(_) => break,
            Err(error) => assert_eq!(error.reason, Refusal::TooLarge),
        }
    }
    let progress = producer.close().await;
    assert!(progress.acknowledged > 50, "{progress:?}");
    assert_eq!(mock.total(), progress.acknowledged);
}

#[tokio::test]
async fn who_is_taken_over_stops() {
    let mock = Mock::good();
    let server = mock.start();
    let mut old = taken_over(&server).await;
    let batch = rows(&old, 1);
    let position = old.send_batch(batch, "1").await.expect("room");
    assert_eq!(old.settled(position).await.acknowledged, 1);
    let mut new = taken_over(&server).await;
    assert_eq!(new.opened().await.expect("opened").checkpoint(), b"1");
    let batch = rows(&old, 2);
    let position = old.send_batch(batch, "3").await.expect("room");
    let progress = old.settled(position).await;
    assert_eq!(progress.stopped, Some(Stop::TakenOver));
    let progress = old.settled(u64::MAX).await;
    assert!(progress.finished);
    // It never begins anew, and takes no more.
    let batch = rows(&old, 3);
    let error = old.send_batch(batch, "6").await.expect_err("it has stopped");
    assert_eq!((error.rows.len(), error.reason), (3, Refusal::Stopped(Stop::TakenOver)));
    let batch = rows(&old, 4);
    let error = old.send(batch).await.expect_err("it has stopped");
    assert_eq!((error.rows.len(), error.reason), (4, Refusal::Stopped(Stop::TakenOver)));
    let progress = old.close().await;
    assert_eq!((progress.acknowledged, progress.settled()), (1, 3));
    let batch = rows(&new, 2);
    new.send_batch(batch, "3").await.expect("room");
    assert_eq!(new.close().await.acknowledged, 2);
    assert_eq!((mock.total(), mock.database().producers.len()), (3, 1));
}

/// A restarted server asks who has the producer: the old process hears it then.
#[tokio::test]
async fn what_was_never_sent_is_left() {
    let batches = AtomicU64::new(0);
    let inner = Mock::good().limits(|limits| limits.batches_in_flight_max = 1);
    let mock = inner.with(move |event| match event {
        Event::Batch(_) if batches.fetch_add(1, Ordering::Relaxed) == 1 => {
            Act::End(Status::unavailable("the server stops"))
        }
        Event::Open(producers::Open { epoch: 1.., .. }) => {
            Act::End(refusal(Code::FailedPrecondition, "PRODUCER_TAKEN_OVER"))
        }
        _ => Act::Serve,
    });
    let server = mock.start();
    let mut producer = taken_over(&server).await;
    let mut given = 0;
    // The first is stored, the second is in doubt, and the driver takes some more.
    let mut refused = None;
    for number in 1..=1_000_u64 {
        let batch = rows(&producer, 1);
        if let Err(error) = producer.send_batch(batch, number.to_string()).await {
            refused = Some(error.reason);
            break;
        }
        given = number;
    }
    assert_eq!(refused, Some(Refusal::Stopped(Stop::TakenOver)));
    let progress = producer.settled(u64::MAX).await;
    assert_eq!((progress.acknowledged, progress.in_doubt), (1, 1), "{progress:?}");
    assert_eq!(progress.settled(), given);
    let unsent = producer.take_unsent();
    assert_eq!(unsent.len() as u64, progress.dropped);
    assert!(!unsent.is_empty());
    assert!(producer.take_unsent().is_empty());
}

/// With a new id it would count again what the checkpoint says is counted.
#[tokio::test]
async fn nothing_makes_it_begin_anew() {
    for (code, reason, stop) in [
        (Code::FailedPrecondition, "PRODUCER_FORGOTTEN", Stop::Forgotten),
        (Code::AlreadyExists, "PRODUCER_IN_USE", Stop::InUse),
    ] {
        let mock = Mock::new(move |event| match event {
            Event::Open(_) => Act::End(refusal(code, reason)),
            _ => Act::Serve,
        });
        let server = mock.start();
        let producer = taken_over(&server).await;
        assert_eq!(producer.opened().await.expect_err("it stops"), Refusal::Stopped(stop));
        assert_eq!(producer.close().await.stopped, Some(stop));
    }
    // The database goes back after two batches.
    let mock = Mock::good();
    let server = mock.start();
    let mut producer = taken_over(&server).await;
    for number in 1..=2 {
        let batch = rows(&producer, 1);
        let position = producer.send_batch(batch, number.to_string()).await.expect("room");
        assert_eq!(producer.settled(position).await.acknowledged, number);
    }
    let address = server.address();
    drop(server);
    mock.database().producers.values_mut().for_each(|stored| stored.sequence = 1);
    let _server = mock.start_at(address);
    let progress = producer.settled(u64::MAX).await;
    assert_eq!((progress.stopped, progress.batches_lost), (Some(Stop::WentBack), 1));
    assert_eq!(mock.database().producers.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_taken_over_is_said_at_once() {
    let builder = || Producer::builder("http://127.0.0.1:1");
    let error = builder().take_over([0; 16]).connect().await.expect_err("a nil id");
    assert!(matches!(error, ConnectError::NilId), "{error}");
    let folder = tempfile::tempdir().expect("a folder");
    let spooled =
        builder().take_over(ID).spool(folder.path(), tally_client::spool::Options::default());
    let error = spooled.connect().await.expect_err("a spool");
    assert!(matches!(error, ConnectError::TakeOverWithSpool), "{error}");
}

/// Without numbers, there is no checkpoint.
#[tokio::test]
async fn a_server_without_numbers_is_no_fallback() {
    let opens = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&opens);
    let mock = Mock::new(move |event| match event {
        Event::Open(_) => {
            seen.fetch_add(1, Ordering::Relaxed);
            Act::End(Status::unimplemented("Record"))
        }
        _ => Act::Serve,
    });
    let server = mock.start();
    let mut producer = taken_over(&server).await;
    let batch = rows(&producer, 1);
    producer.send(batch).await.expect("room");
    // It asks for numbers again instead.
    eventually("it asks twice", LIMIT, async || match opens.load(Ordering::Relaxed) {
        2.. => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    let progress = producer.close_within(Duration::ZERO).await;
    assert_eq!((progress.acknowledged, mock.total()), (0, 0));
    // Nor is there one without `take_over`.
    let mut producer = server.producer().connect().await.expect("a producer");
    let batch = rows(&producer, 1);
    let error = producer.send_batch(batch, "1").await.expect_err("no checkpoint");
    assert_eq!((error.rows.len(), error.reason), (1, Refusal::NotTakenOver));
}
