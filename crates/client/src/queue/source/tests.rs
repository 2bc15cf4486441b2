//! When the driver gets recorded requests.

use futures_util::FutureExt as _;

use super::*;
use crate::Series;
use crate::rows::Row;

const LINGER: Duration = Duration::from_secs(1);

fn queue() -> (Arc<Shared>, QueueSource) {
    let shared = Arc::new(super::super::memory::shared());
    let source = QueueSource::new(Arc::clone(&shared), &Settings::new(""), LINGER, LINGER);
    (shared, source)
}

fn row(time_us: i64) -> Row {
    Row::one(Series(0), time_us)
}

/// The driver asks again after every event.
#[tokio::test(start_paused = true)]
async fn what_is_gathered_waits_no_longer_because_it_is_asked_for_again() {
    let (shared, mut source) = queue();
    shared.shards.record(row(1)).expect("room");
    for _ in 0..9 {
        assert!(source.take().now_or_never().is_none(), "it is still gathered");
        tokio::time::advance(LINGER / 10).await;
    }
    shared.shards.record(row(2)).expect("room");
    tokio::time::advance(LINGER / 10).await;
    let taken = source.take().now_or_never().flatten().expect("it was gathered for long enough");
    assert_eq!(taken.rows.len(), 2);
}

/// Otherwise a busy service of many series would send rows of one request each, without a pause.
#[tokio::test(start_paused = true)]
async fn rows_that_are_added_to_are_gathered_even_if_they_are_many() {
    let (shared, mut source) = queue();
    source.batch_rows_max = 4;
    let record = |many: u32| {
        let rows = (0..many).map(|n| Row { series: Series(n), ..row(1) });
        rows.for_each(|row| shared.shards.record(row).expect("room"));
    };
    let count = |taken: Option<Option<Requests>>| taken.flatten().map(|it| it.rows.len());
    for (resolution_us, waits) in [(1_000_000, true), (0, false)] {
        source.set_resolution(resolution_us);
        record(4);
        assert!(source.take().now_or_never().is_none());
        tokio::time::advance(LINGER).await;
        assert_eq!(count(source.take().now_or_never()), Some(4));
        record(3);
        assert_eq!(count(source.take().now_or_never()), (!waits).then_some(3));
        tokio::time::advance(LINGER).await;
        assert_eq!(count(source.take().now_or_never()), waits.then_some(3));
    }
}

/// Drops of many days come in one piece, and then the end.
#[tokio::test]
async fn a_closed_queue_gives_its_drops_and_ends() {
    let (shared, mut source) = queue();
    for day in 0..2_500 {
        shared.shards.refuse(row(day * 86_400_000_000));
    }
    shared.shards.close();
    assert_eq!(source.take().await.map(|it| it.drops.total()), Some(2_500));
    assert!(source.take().await.is_none());
}

/// Nothing waits for an ended driver.
#[tokio::test]
async fn what_is_left_is_dropped_in_the_queues_own_account() {
    let (shared, mut source) = queue();
    shared.shards.record(row(1)).expect("room");
    assert_eq!(source.close(), 0);
    let counts = shared.shards.counts();
    assert_eq!((counts.recorded, counts.taken, counts.dropped), (1, 0, 1));
}
