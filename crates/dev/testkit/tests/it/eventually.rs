//! Waiting for conditions.

use std::time::Duration;

use tally_testkit::{eventually, eventually_blocking};

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn the_value_comes_back_once_it_is_there() {
    let mut looks = 0;
    let value = eventually("three looks", SHORT * 100, async || {
        looks += 1;
        (looks == 3).then_some(looks)
    });
    assert_eq!(value.await, 3);
}

#[tokio::test]
#[should_panic(expected = "the queue is empty: not within 50ms; the last look saw: \"7 left\"")]
async fn a_failure_says_what_was_seen_last() {
    eventually("the queue is empty", SHORT, async || Err::<(), _>("7 left")).await;
}

#[tokio::test]
#[should_panic(expected = "no answer from the first look")]
async fn a_look_that_hangs_is_bounded_too() {
    eventually("an answer", SHORT, async || std::future::pending::<bool>().await).await;
}

#[test]
fn without_a_runtime_the_failure_is_a_value() {
    assert_eq!(eventually_blocking(SHORT, || Err::<(), _>(7)), Err("7".to_owned()));
    assert_eq!(eventually_blocking(SHORT, || Some(7)), Ok(7));
}
