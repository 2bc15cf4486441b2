//! Postgres: forces the two races that only a lock makes safe.

use tally_requests::periods::Granularity;
use tally_testkit::eventually;

use crate::LIMIT;
use crate::backend::{Backend, TODAY, append, ask, listed, noon, one_day, query, total};

/// The tray that takes rows at [`NOW`](crate::backend::NOW).
const TRAY: &str = "tally_requests_0";

/// A backend with one row of today.
async fn one_row(hint: &str) -> Option<Backend> {
    let backend = Backend::postgres(hint).await?;
    backend.maintain().await;
    let id = backend.id(3, "/").await;
    append(&backend, [(id, noon(TODAY))]).await;
    Some(backend)
}

/// Waits until a session waits for a lock on one of Tally's tables in this database.
async fn wait_for_a_waiter(backend: &Backend) {
    let sql = "SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database \
               WHERE d.datname = current_database() AND NOT l.granted";
    let client = backend.connect().await;
    let waits = async || client.query_one(sql, &[]).await.expect("the locks").get::<_, i64>(0) > 0;
    eventually("a session waits for the lock", LIMIT, waits).await;
}

/// A fold empties its tray by TRUNCATE, which snapshots do not respect, so a live answer
/// must be entirely before or after it.
#[tokio::test]
async fn a_live_answer_is_taken_before_or_after_a_fold() {
    let Some(backend) = one_row("live_beside_roll_up").await else { return };
    let folding = backend.connect().await;
    let begin = format!("BEGIN; LOCK TABLE {TRAY} IN ACCESS EXCLUSIVE MODE");
    folding.batch_execute(&begin).await.unwrap();
    let going_on = async {
        wait_for_a_waiter(&backend).await;
        let end = format!(
            "INSERT INTO tally_request_days (day, series_id, total, quarters) \
                 SELECT DATE '{TODAY}', series_id, count(*), '[48,1]' FROM {TRAY} GROUP BY 2; \
             INSERT INTO tally_request_calendar (day) VALUES ('{TODAY}'); \
             TRUNCATE TABLE {TRAY}; COMMIT"
        );
        folding.batch_execute(&end).await.unwrap();
    };
    let asked = query(Granularity::Day, true);
    let (answer, ()) = tokio::join!(ask(&backend.store, &asked), going_on);
    assert_eq!(listed(&answer.unwrap()), [total(TODAY, 3, "/", 1)]);
}

/// A roll-up waits for a batch that is being stored.
#[tokio::test]
async fn a_roll_up_waits_for_the_batch_that_is_being_stored() {
    let Some(backend) = one_row("roll_up_beside_batch").await else { return };
    let storing = backend.connect().await;
    let begin = format!("BEGIN; INSERT INTO {TRAY} SELECT series_id, requested_at FROM {TRAY}");
    storing.batch_execute(&begin).await.unwrap();
    let committing = async {
        wait_for_a_waiter(&backend).await;
        storing.batch_execute("COMMIT").await.unwrap();
    };
    let (moved, ()) = tokio::join!(backend.roll_up(one_day(TODAY)), committing);
    assert_eq!(moved, 2);
    assert_eq!(backend.live().await, [total(TODAY, 3, "/", 2)]);
    assert_eq!(backend.rolled_up().await, [total(TODAY, 3, "/", 2)]);
}

/// A roll-up that cannot get its lock does not block later inserts.
#[tokio::test]
async fn a_roll_up_that_waits_lets_batches_pass() {
    let Some(backend) = one_row("batch_beside_waiting").await else { return };
    let reading = backend.connect().await;
    let begin = format!("BEGIN; LOCK TABLE {TRAY} IN ACCESS SHARE MODE");
    reading.batch_execute(&begin).await.unwrap();
    let passing = async {
        wait_for_a_waiter(&backend).await;
        let id = backend.id(3, "/").await;
        append(&backend, [(id, noon(TODAY))]).await;
        reading.batch_execute("COMMIT").await.unwrap();
    };
    let (moved, ()) = tokio::join!(backend.roll_up(one_day(TODAY)), passing);
    // The batch went to the next tray.
    assert_eq!(moved, 1);
    assert_eq!(backend.live().await, [total(TODAY, 3, "/", 2)]);
}
