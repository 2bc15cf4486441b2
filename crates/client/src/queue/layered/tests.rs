//! How long a close waits for open requests.

use super::*;
use crate::Method;

#[tokio::test(start_paused = true)]
async fn half_of_a_short_close_is_left_for_sending() {
    // Nothing listens on port 1.
    let queue = Queue::connect("http://127.0.0.1:1").await.expect("a good address");
    let _open = queue.begin(queue.endpoint(Method::GET, "/a")).expect("it is not closed");
    for (limit_ms, waited_ms) in [(0, 0), (300, 150), (1_000, 500), (10_000, 1_000)] {
        let began = Instant::now();
        queue.shared().open_ended(Duration::from_millis(limit_ms)).await;
        let waited = began.elapsed().as_millis();
        assert!((waited_ms..=waited_ms + 1).contains(&waited), "{limit_ms}: {waited}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_waits_no_longer_than_for_the_last_open_request() {
    // Nothing listens on port 1.
    let queue = Queue::connect("http://127.0.0.1:1").await.expect("a good address");
    let series = queue.endpoint(Method::GET, "/a");
    let open = || queue.begin(series).expect("it is not closed");
    let (first, last) = (open(), open());
    let began = Instant::now();
    let wait = || queue.shared().open_ended(Duration::from_secs(10));
    let ends = async {
        tokio::task::yield_now().await;
        queue.end(first, series, 200);
        let between = open();
        tokio::task::yield_now().await;
        queue.end(last, series, 200);
        // This one ends as a stream of which nobody hears any more.
        queue.stream(&between, series);
        queue.shared().shards.record_streams(0);
        between
    };
    let ((), (), between) = tokio::join!(wait(), wait(), ends);
    assert_eq!(began.elapsed(), Duration::ZERO);
    queue.end(between, series, 200);
    assert_eq!(queue.stats().recorded, 3);
}
