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
        assert!((waited_ms..=waited_ms + 20).contains(&waited), "{limit_ms}: {waited}");
    }
}
