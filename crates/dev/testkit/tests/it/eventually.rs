//! Polling for conditions.

use std::time::Duration;

use tally_testkit::{eventually, eventually_blocking};

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn the_value_is_returned_once_the_condition_holds() {
    let mut attempts = 0;
    let value = eventually("three attempts", SHORT * 100, async || {
        attempts += 1;
        (attempts == 3).then_some(attempts)
    });
    assert_eq!(value.await, 3);
}

#[tokio::test]
#[should_panic(expected = "the queue is empty: not within 50ms; last attempt: \"7 left\"")]
async fn a_failure_describes_the_last_attempt() {
    eventually("the queue is empty", SHORT, async || Err::<(), _>("7 left")).await;
}

#[tokio::test]
#[should_panic(expected = "the first attempt did not return")]
async fn a_hanging_attempt_is_bounded() {
    eventually("an answer", SHORT, async || std::future::pending::<bool>().await).await;
}

#[test]
fn without_a_runtime_a_failure_is_returned() {
    assert_eq!(eventually_blocking(SHORT, || Err::<(), _>(7)), Err("7".to_owned()));
    assert_eq!(eventually_blocking(SHORT, || Some(7)), Ok(7));
}
