//! A database per test.

use tally_testkit::{TestDatabase, eventually};

use crate::LIMIT;

#[tokio::test]
async fn databases_are_empty_separate_and_dropped() {
    let one = TestDatabase::create("Databases: one!");
    let other = TestDatabase::create("Databases: one!");
    assert_ne!(one.name(), other.name());
    one.connect().await.batch_execute("CREATE TABLE mine (n int)").await.unwrap();
    other.connect().await.batch_execute("CREATE TABLE mine (n int)").await.unwrap();

    // Dropped even if a client is connected.
    let name = one.name().to_owned();
    let connected = one.connect().await;
    drop(one);
    eventually("the connection ends", LIMIT, async || connected.is_closed()).await;
    let query = "SELECT count(*) FROM pg_database WHERE datname = $1";
    let count: i64 = other.connect().await.query_one(query, &[&name]).await.unwrap().get(0);
    assert_eq!(count, 0);
}

#[test]
fn a_database_needs_no_runtime() {
    let database = TestDatabase::create_or_skip("no_runtime");
    let database = database.expect("the testkit's own tests run with Postgres");
    assert!(database.url().ends_with(database.name()));
}
