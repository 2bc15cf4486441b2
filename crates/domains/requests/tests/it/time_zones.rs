//! Days are UTC, whatever the database's time zone.

use tally_testkit::TestDatabase;

use crate::backend::{Backend, append, at, migrated, one_day, open, total};

/// Five and a half hours ahead of UTC, so its midnight is not on a UTC hour.
const ZONE: &str = "Asia/Kolkata";

/// The last microsecond of a day, the first of the next, and Kolkata's midnight between them.
const TIMES: [&str; 3] = ["T23:59:59.999999Z", "T00:00:00Z", "T18:30:00Z"];

#[tokio::test]
async fn a_session_elsewhere_changes_no_day() {
    let Some(database) = TestDatabase::create_or_skip("time_zone") else { return };
    let sql = format!("ALTER DATABASE {} SET timezone TO '{ZONE}'", database.name());
    database.connect().await.batch_execute(&sql).await.unwrap();
    let client = database.connect().await;
    let zone: String = client.query_one("SHOW timezone", &[]).await.unwrap().get(0);
    assert_eq!(zone, ZONE);
    let (tally, second) = (migrated(&database.url()).await, open(&database.url()).await);
    check(&Backend::of_postgres(database, tally, &second)).await;
}

#[tokio::test]
async fn cockroachs_sql_in_a_session_elsewhere_changes_no_day() {
    let Some(backend) = Backend::cockroach_on_postgres("time_zone").await else { return };
    backend
        .execute(&format!("ALTER DATABASE {} SET timezone TO '{ZONE}'", backend.database_name()))
        .await;
    check(&backend.reopened().await).await;
}

async fn check(backend: &Backend) {
    backend.maintain().await;
    let id = backend.id(3, "/").await;
    let days = ["2015-05-16", "2015-05-17", "2030-06-15", "2030-06-16"];
    for size in [1, 800] {
        let times = days.iter().flat_map(|day| TIMES.map(|time| at(&format!("{day}{time}"))));
        append(backend, times.flat_map(|time| vec![(id, time); size])).await;
    }
    let expected = days.map(|day| total(day, 3, "/", 3 * 801));
    assert_eq!(backend.live().await, expected);
    for (n, day) in days.iter().enumerate() {
        assert_eq!(backend.roll_up(one_day(day)).await, 3 * 801, "{day}");
        assert_eq!(backend.rolled_up().await, expected[..=n]);
        assert_eq!(backend.live().await, expected);
    }
    assert_eq!(backend.count("tally_requests").await, 0);
}
