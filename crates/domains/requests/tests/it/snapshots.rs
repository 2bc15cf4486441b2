//! Postgres: forces the races that only a lock makes safe.

use futures_util::future::join_all;
use tally_proto::count::v1::{CountDailyTotalsRequest, ListDailyTotalsRequest};
use tally_proto::google::r#type::Date;
use tally_testkit::eventually;
use tonic::Code;

use crate::LIMIT;
use crate::backend::{Backend, TODAY, append, noon, one_day, total};
use crate::server::{Counting, settings};

/// The tray that takes rows at [`NOW`](crate::backend::NOW).
const TRAY: &str = "tally_requests_0";

/// A backend with one row of today.
pub(crate) async fn one_row(hint: &str) -> Option<Backend> {
    let backend = Backend::postgres(hint).await?;
    backend.maintain().await;
    let id = backend.id(3, "/").await;
    append(&backend, [(id, noon(TODAY))]).await;
    Some(backend)
}

/// Waits until a session waits for a lock on one of Tally's tables in this database.
pub(crate) async fn wait_for_a_waiter(backend: &Backend) {
    let sql = "SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database \
               WHERE d.datname = current_database() AND NOT l.granted";
    let client = backend.connect().await;
    let waits = async || client.query_one(sql, &[]).await.expect("the locks").get::<_, i64>(0) > 0;
    eventually("a session waits for the lock", LIMIT, waits).await;
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

/// Who gives up and asks again for the same day joins those that wait already. They are more than may wait,
/// one for each.
#[tokio::test]
async fn roll_ups_of_the_same_day_join() {
    let Some(backend) = one_row("joined_roll_ups").await else { return };
    let counting = Counting::on(backend.database.clone(), settings()).await;
    let client = counting.client().await;
    let date = Some(Date { year: 2030, month: 6, day: 15 });
    let roll_up = || {
        let mut client = client.clone();
        async move { client.count_daily_totals(CountDailyTotalsRequest { date }).await }
    };
    // Of one connection, what was sent before this has come before it; it needs no database.
    let have_come = async || {
        let nothing = ListDailyTotalsRequest::default();
        let refused = client.clone().list_daily_totals(nothing).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    };
    let storing = backend.connect().await;
    let begin = format!("BEGIN; INSERT INTO {TRAY} SELECT series_id, requested_at FROM {TRAY}");
    storing.batch_execute(&begin).await.unwrap();
    let others = async {
        // The first one has begun: these are for the next.
        wait_for_a_waiter(&backend).await;
        let some = || join_all((0..20).map(|_| roll_up()));
        let later = async {
            have_come().await;
            let committing = async {
                have_come().await;
                storing.batch_execute("COMMIT").await.unwrap();
            };
            tokio::join!(some(), committing).0
        };
        let (some, later) = tokio::join!(some(), later);
        some.into_iter().chain(later)
    };
    let (first, others) = tokio::join!(roll_up(), others);
    for answer in [first].into_iter().chain(others) {
        let counts = answer.expect("nobody is refused").into_inner().method_counts;
        assert_eq!(counts.iter().map(|one| one.count).collect::<Vec<_>>(), [2]);
    }
}

/// A roll-up does not wait for somebody who reads, and later inserts do not wait either.
#[tokio::test]
async fn a_roll_up_does_not_wait_for_a_reader() {
    let Some(backend) = one_row("batch_beside_reader").await else { return };
    let reading = backend.connect().await;
    let begin = format!("BEGIN; LOCK TABLE {TRAY} IN ACCESS SHARE MODE");
    reading.batch_execute(&begin).await.unwrap();
    assert_eq!(backend.roll_up(one_day(TODAY)).await, 1);
    let id = backend.id(3, "/").await;
    append(&backend, [(id, noon(TODAY))]).await;
    assert_eq!(backend.count("tally_requests_1").await, 1, "it went to the next tray");
    assert_eq!(backend.live().await, [total(TODAY, 3, "/", 2)]);
    assert_eq!(backend.count(TRAY).await, 1);
    reading.batch_execute("COMMIT").await.unwrap();
    assert_eq!(backend.roll_up(one_day(TODAY)).await, 1);
    assert_eq!(backend.count(TRAY).await, 0);
}

/// An import puts its rows into a tray of its own, in one long transaction, and then wants the books,
/// which a fold holds. So no fold waits for it.
#[tokio::test]
async fn a_roll_up_goes_on_beside_an_import() {
    let Some(backend) = one_row("roll_up_beside_import").await else { return };
    let id = backend.id(3, "/").await;
    let importing = backend.connect().await;
    let begin =
        format!("BEGIN; INSERT INTO tally_requests_imported VALUES ({id}, '{TODAY} 12:00+00')");
    importing.batch_execute(&begin).await.unwrap();
    assert_eq!(backend.roll_up(one_day(TODAY)).await, 1);
    let end = "LOCK TABLE tally_request_calendar IN SHARE ROW EXCLUSIVE MODE; COMMIT";
    importing.batch_execute(end).await.unwrap();
    assert_eq!(backend.live().await, [total(TODAY, 3, "/", 2)]);
    assert_eq!(backend.roll_up(one_day(TODAY)).await, 1);
    assert_eq!(backend.rolled_up().await, [total(TODAY, 3, "/", 2)]);
}

/// A server that stands still in a fold holds others up. When the database ends its session, they fold
/// the same rows, and it cannot go on.
#[tokio::test]
async fn a_fold_that_stands_still_is_taken_over() {
    let Some(backend) = one_row("taken_over").await else { return };
    let standing = backend.connect().await;
    let begin = format!(
        "UPDATE tally_request_trays SET state = 'closed' WHERE tray = '{TRAY}'; \
         BEGIN; LOCK TABLE tally_request_calendar IN SHARE ROW EXCLUSIVE MODE; \
         INSERT INTO tally_request_days (day, series_id, total, quarters) \
             SELECT DATE '{TODAY}', series_id, count(*), '[48,1]' FROM {TRAY} GROUP BY 2; \
         INSERT INTO tally_request_calendar (day) VALUES ('{TODAY}'); \
         UPDATE tally_request_trays SET state = 'folded' WHERE tray = '{TRAY}'"
    );
    standing.batch_execute(&begin).await.unwrap();
    let pid: i32 = standing.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let ending = async {
        wait_for_a_waiter(&backend).await;
        assert_eq!(backend.live().await, [total(TODAY, 3, "/", 1)], "readers go on");
        backend.execute(&format!("SELECT pg_terminate_backend({pid})")).await;
    };
    let (folded, ()) = tokio::join!(backend.second.fold(), ending);
    assert_eq!(folded.unwrap().requests, 1);
    standing.batch_execute("COMMIT").await.expect_err("its session has ended");
    assert_eq!(backend.audit().await, 1);
}

/// More quarters and series than a fold holds in memory, in more blocks than one part has.
#[tokio::test]
async fn a_large_tray_is_folded_in_parts() {
    let Some(backend) = Backend::postgres("parts").await else { return };
    let fill = format!(
        "ALTER TABLE {TRAY} SET (fillfactor = 50); \
         INSERT INTO {TRAY} SELECT s, TIMESTAMPTZ '{TODAY} 00:00+00' + q * INTERVAL '15 minutes', 2 \
             FROM generate_series(0, 95) AS q, generate_series(1, 11000) AS s"
    );
    backend.execute(&fill).await;
    assert_eq!(backend.store.fold().await.unwrap().requests, 2 * 96 * 11_000);
    let whole =
        "tally_request_days WHERE total = 192 AND quarters = '[0' || repeat(',2', 96) || ']'";
    assert_eq!(backend.count(whole).await, 11_000);
    assert_eq!(backend.count("tally_requests").await, 0);
}

/// A part of a tray may have rows of one quarter-hour or of several, each of one request or of more.
#[tokio::test]
async fn all_kinds_of_rows_are_folded() {
    let Some(backend) = Backend::postgres("kinds").await else { return };
    // 20,000 rows fill more blocks than a part has.
    let fill = |quarters: &str, requests: &str| {
        format!(
            "INSERT INTO {TRAY} SELECT n % 10, \
             TIMESTAMPTZ '{TODAY} 00:00+00' + ({quarters}) * INTERVAL '15 minutes', {requests} \
             FROM generate_series(0, 19999) AS n; "
        )
    };
    let kinds = [
        fill("5", "NULL"),
        fill("5", "CASE WHEN n < 10 THEN 3 END"),
        fill("5 + n / 10 % 2", "NULL"),
        fill("5 + n / 10 % 2", "CASE WHEN n < 10 THEN 1000 END"),
        fill("7", "2"),
    ];
    backend.execute(&format!("ALTER TABLE {TRAY} SET (fillfactor = 10); {}", kinds.concat())).await;
    let requests = 4 * 20_000 + 10 * (2 + 999) + 2 * 20_000;
    assert_eq!(backend.store.fold().await.unwrap().requests, requests);
    let each = "tally_request_days WHERE quarters = '[5,7001,2000,4000]' AND total = 13001";
    assert_eq!(backend.count(each).await, 10);
    assert_eq!(backend.count("tally_requests").await, 0);
}

/// Numbers that only a person can have written: sums end at 64 bits, and stop no fold.
#[tokio::test]
async fn sums_end_at_64_bits() {
    let Some(backend) = one_row("64_bits").await else { return };
    let id = backend.id(3, "/").await;
    let huge = format!(
        "INSERT INTO tally_requests_1 \
             SELECT {id} + n, '{TODAY} 12:00+00', 9223372036854775807 \
             FROM unnest(ARRAY[0, 0, 1, 2]) AS n"
    );
    backend.execute(&huge).await;
    assert_eq!(backend.live().await[0], total(TODAY, 3, "/", i64::MAX));
    assert_eq!(backend.store.fold().await.unwrap().requests, u64::MAX);
    assert_eq!(backend.live().await[1], total(TODAY, 0, "_unknown", i64::MAX));
    backend.roll_up(one_day(TODAY)).await;
    assert_eq!(backend.rolled_up().await, backend.live().await);
}

/// A fold that has the books while an import waits for them fails at once if it would have to wait for
/// the import: otherwise the database would end one of the two, and the import may have taken hours.
#[tokio::test]
async fn no_import_ends_in_a_deadlock_with_a_fold() {
    let Some(backend) = Backend::postgres("import_beside_fold").await else { return };
    let (holding, importing) = (backend.connect().await, backend.connect().await);
    let lock = "LOCK TABLE tally_request_calendar IN SHARE ROW EXCLUSIVE MODE";
    holding.batch_execute(&format!("BEGIN; {lock}")).await.unwrap();
    let begin = format!(
        "SET deadlock_timeout = '500ms'; BEGIN; \
         INSERT INTO tally_requests_imported VALUES (1, '{TODAY} 12:00+00')"
    );
    importing.batch_execute(&begin).await.unwrap();
    let ending = async {
        wait_for_a_waiter(&backend).await;
        let (locked, released) =
            tokio::join!(importing.batch_execute(lock), holding.batch_execute("COMMIT"));
        released.unwrap();
        locked.expect("no deadlock");
        importing.batch_execute("COMMIT").await.unwrap();
    };
    let (folded, ()) = tokio::join!(backend.store.fold(), ending);
    assert!(folded.unwrap().requests <= 1);
    backend.store.fold().await.unwrap();
    assert_eq!(backend.live().await, [total(TODAY, 0, "_unknown", 1)]);
}

/// Two servers have found the same day to roll up: the second one looks again once it has the books.
#[tokio::test]
async fn a_day_that_was_rolled_up_meanwhile_is_left_alone() {
    let Some(backend) = one_row("rolled_up_meanwhile").await else { return };
    backend.store.fold().await.unwrap();
    let other = backend.connect().await;
    let lock = include_str!("../../src/store/postgres/lock_books.sql");
    other.batch_execute(&format!("BEGIN; {lock}")).await.unwrap();
    let first = async {
        wait_for_a_waiter(&backend).await;
        let mark = "UPDATE tally_request_calendar SET rolled_up_at = now(); COMMIT";
        other.batch_execute(mark).await.unwrap();
    };
    let (moved, ()) = tokio::join!(backend.roll_up(one_day(TODAY)), first);
    assert_eq!((moved, backend.count("tally_request_months").await), (0, 0));
}
