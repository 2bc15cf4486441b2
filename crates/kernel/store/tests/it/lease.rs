//! Leases: one holder at a time, by the database's clock.

use std::time::Duration;

use tally_store::{Lease, Outcome};
use tally_testkit::{Proxy, TestDatabase, eventually};
use tokio_postgres::Client;

use crate::open;

const LIMIT: Duration = Duration::from_secs(60);

/// The table, as each database's migration makes it.
const TABLES: [&str; 2] = [
    include_str!("../../../../../migrations/postgres/kernel/V1__kernel.sql"),
    include_str!("../../../../../migrations/cockroach/kernel/V6__leases.sql"),
];

/// Databases with the tables: Postgres as it is, Postgres with CockroachDB's tables and isolation, and
/// CockroachDB if there is one.
fn databases(hint: &str) -> Vec<(TestDatabase, &'static str)> {
    let [postgres, cockroach] = TABLES;
    let mut all = Vec::new();
    if let Some(database) = TestDatabase::create_or_skip(hint) {
        all.push((database, postgres));
    }
    if let Some(database) = TestDatabase::create_or_skip(&format!("{hint}_serializable")) {
        all.push((database, cockroach));
    }
    all.extend(TestDatabase::create_on_cockroach(hint).map(|database| (database, cockroach)));
    all
}

/// The database with its table, and a session that bypasses Tally.
async fn prepared(database: &TestDatabase, table: &str) -> (tally_store::Database, Client) {
    let client = database.connect().await;
    client.batch_execute(table).await.expect("the tables");
    if database.name().contains("serializable") {
        let serializable = "SET default_transaction_isolation TO 'serializable'";
        let sql = format!("ALTER DATABASE {} {serializable}", database.name());
        client.batch_execute(&sql).await.expect("the isolation");
        client.batch_execute(serializable).await.expect("the isolation");
    }
    (open(&database.url()).await.expect("it opens"), client)
}

/// Moves the end of all leases by this much from now.
async fn set_until(client: &Client, from_now: &str) {
    let sql = format!("UPDATE tally_leases SET until = now() + INTERVAL '{from_now}'");
    assert_eq!(client.execute(&sql, &[]).await.expect("moved"), 1);
}

/// Lets time pass for this process, not for the database.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn one_holder_has_it_until_it_ends() {
    for (database, table) in databases("lease") {
        let (opened, client) = prepared(&database, table).await;
        let [one, two] = [(); 2].map(|()| Lease::new(opened.clone(), "x"));
        let other = Lease::new(opened.clone(), "y");
        assert!(one.hold().await.unwrap() && !two.hold().await.unwrap());
        assert!(other.hold().await.unwrap(), "each name has a holder");
        other.release().await.unwrap();
        // The end of the term decides, whether the holder lives or not.
        set_until(&client, "-1 s").await;
        assert!(two.hold().await.unwrap());
        assert!(one.hold().await.unwrap(), "it asks when half of the term is over");
        pass(11).await;
        assert!(!one.hold().await.unwrap());
        assert!(two.hold().await.unwrap(), "renewed");
        // A renewal lasts as long as the first term.
        set_until(&client, "1 s").await;
        pass(11).await;
        assert!(two.hold().await.unwrap());
        let left = "SELECT until > now() + INTERVAL '15 s' FROM tally_leases";
        assert!(client.query_one(left, &[]).await.unwrap().get::<_, bool>(0));
        // Its own, even if it has ended and no other has taken it.
        set_until(&client, "-1 s").await;
        pass(11).await;
        assert!(two.hold().await.unwrap());
    }
}

#[tokio::test]
async fn a_fresh_lease_is_not_asked_for() {
    for (database, table) in databases("lease_fresh") {
        let (opened, client) = prepared(&database, table).await;
        let lease = Lease::new(opened, "x");
        assert!(lease.hold().await.unwrap());
        client.batch_execute("DROP TABLE tally_leases").await.unwrap();
        pass(9).await;
        assert!(lease.hold().await.unwrap());
        pass(2).await;
        lease.hold().await.expect_err("the table is gone");
    }
}

#[tokio::test]
async fn a_lease_that_is_released_is_taken_at_once() {
    for (database, table) in databases("lease_release") {
        let (opened, client) = prepared(&database, table).await;
        let [one, two] = [(); 2].map(|()| Lease::new(opened.clone(), "x"));
        assert!(one.hold().await.unwrap() && !two.hold().await.unwrap());
        two.release().await.unwrap();
        assert!(!two.hold().await.unwrap(), "only its holder releases it");
        one.release().await.unwrap();
        assert!(two.hold().await.unwrap() && !one.hold().await.unwrap());
        // One that has lost it, and does not know, releases nothing.
        set_until(&client, "-1 s").await;
        assert!(one.hold().await.unwrap());
        two.release().await.unwrap();
        assert!(!two.hold().await.unwrap());
    }
}

#[tokio::test]
async fn a_time_from_before_the_clock_went_back_does_not_count() {
    for (database, table) in databases("lease_clock") {
        let (opened, client) = prepared(&database, table).await;
        let [one, two] = [(); 2].map(|()| Lease::new(opened.clone(), "x"));
        assert!(one.hold().await.unwrap());
        set_until(&client, "30 s").await;
        assert!(!two.hold().await.unwrap(), "nodes' clocks may differ a little");
        set_until(&client, "1 hour").await;
        assert!(two.hold().await.unwrap());
    }
}

#[tokio::test]
async fn a_database_that_goes_away_and_comes_back_is_asked_again() {
    let Some(database) = TestDatabase::create_or_skip("lease_away") else { return };
    let (opened, _client) = prepared(&database, TABLES[0]).await;
    let (proxy, url) = Proxy::before(&database.url()).await;
    let [one, two] = [Lease::new(open(&url).await.unwrap(), "x"), Lease::new(opened, "x")];
    assert!(one.hold().await.unwrap());
    proxy.cut().await;
    assert!(one.hold().await.unwrap(), "it is not asked yet");
    pass(11).await;
    let error = one.hold().await.expect_err("it is away");
    assert!(error.is_transient());
    assert!(!two.hold().await.unwrap(), "its term goes on");
    proxy.restore().await;
    let again = async || one.hold().await;
    assert!(eventually("it is back", LIMIT, again).await);
    assert!(!two.hold().await.unwrap());
    // It does not release what it may not reach for long.
    proxy.cut().await;
    one.release().await.expect_err("it is away");
}

#[tokio::test]
async fn a_holder_that_waits_for_another_ones_statement_is_not_at_fault() {
    for (database, table) in databases("lease_conflict") {
        let (opened, client) = prepared(&database, table).await;
        let [one, two] = [(); 2].map(|()| Lease::new(opened.clone(), "x"));
        assert!(one.hold().await.unwrap());
        pass(11).await;
        let touch = "BEGIN; UPDATE tally_leases SET until = until + INTERVAL '1 ms'";
        for (lease, is_holder) in [(&one, true), (&two, false)] {
            client.batch_execute(touch).await.unwrap();
            let waits = async {
                if table == TABLES[1] && !database.name().contains("serializable") {
                    return;
                }
                let sql = "SELECT 1 FROM pg_stat_activity \
                           WHERE datname = current_database() AND wait_event_type = 'Lock'";
                let looking = database.connect().await;
                let is_waiting = async || looking.query_one(sql, &[]).await;
                eventually("the statement waits", LIMIT, is_waiting).await;
            };
            let commit = async {
                waits.await;
                client.batch_execute("COMMIT").await.unwrap();
            };
            let (held, ()) = tokio::join!(lease.hold(), commit);
            assert_eq!(held.expect("no error"), is_holder, "{}", database.name());
        }
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_not_waited_for() {
    let Some(database) = TestDatabase::create_or_skip("lease_stalled") else { return };
    let (_opened, client) = prepared(&database, TABLES[0]).await;
    let lease = Lease::new(open(&database.url()).await.unwrap(), "x");
    assert!(lease.hold().await.unwrap());
    pass(11).await;
    client.batch_execute("BEGIN; LOCK TABLE tally_leases").await.unwrap();
    tokio::time::pause();
    let error = lease.hold().await.expect_err("it waits for the lock");
    assert_eq!(error.outcome(), Outcome::Indeterminate);
    tokio::time::resume();
    client.batch_execute("ROLLBACK").await.unwrap();
    let again = async || lease.hold().await;
    assert!(eventually("it is asked again", LIMIT, again).await);
}

#[tokio::test]
async fn a_file_is_always_held() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("tally.db").display());
    let lease = Lease::new(open(&url).await.unwrap(), "x");
    assert!(lease.hold().await.unwrap());
    lease.release().await.unwrap();
    assert!(lease.hold().await.unwrap());
}
