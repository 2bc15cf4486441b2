//! Every row is taken or given back.

use futures_util::FutureExt as _;

use super::*;

fn rows(count: usize) -> Vec<Row> {
    vec![Row::one(Series(0), 0); count]
}

/// A producer and the driver's side of it.
async fn producer() -> (Producer, watch::Sender<Slot>) {
    // No server listens; the driver takes from a slot of its own.
    let builder = Producer::builder("http://127.0.0.1:1");
    let mut producer = builder.connect().await.expect("a producer");
    producer.slot = watch::Sender::default();
    let source = producer.slot.clone();
    (producer, source)
}

#[tokio::test]
async fn what_is_given_is_taken_or_given_back() {
    let (mut producer, mut source) = producer().await;
    assert_eq!(producer.send(rows(2)).await.expect("it is free"), 2);
    assert!(producer.send(rows(3)).now_or_never().is_none(), "it is not");
    assert_eq!(source.take().await.map(|it| it.rows.len()), Some(2));
    assert_eq!(producer.send(rows(4)).await.expect("it is free again"), 6);
    assert_eq!(source.close(), 4);
    let error = producer.send(rows(5)).await.expect_err("it is closed");
    assert_eq!((error.rows.len(), error.reason), (5, Refusal::Closed));
}

#[tokio::test]
async fn the_end_comes_after_what_was_given() {
    let (mut producer, mut source) = producer().await;
    assert!(source.take().now_or_never().is_none());
    producer.send(rows(1)).await.expect("it is free");
    drop(producer);
    assert_eq!(source.take().await.map(|it| it.rows.len()), Some(1));
    assert!(source.take().await.is_none());
}
