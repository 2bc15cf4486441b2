//! Faults of the proxy between a real client and a real server.

use std::time::Duration;

use tally_testkit::{Proxy, TestDatabase, eventually};
use tokio_postgres::{Client, NoTls};

use crate::LIMIT;

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    #[expect(clippy::disallowed_methods, reason = "it ends with the client")]
    tokio::spawn(connection);
    Ok(client)
}

async fn one(client: &Client) -> Result<i32, tokio_postgres::Error> {
    client.query_one("SELECT 1", &[]).await.map(|row| row.get(0))
}

#[tokio::test]
async fn a_cut_closes_and_refuses_connections_until_restored() {
    let database = TestDatabase::create("proxy_cut");
    let (proxy, url) = Proxy::before(&database.url()).await;
    let client = connect(&url).await.unwrap();
    assert_eq!(one(&client).await.unwrap(), 1);

    proxy.cut().await;
    assert!(one(&client).await.is_err());
    assert!(tokio::net::TcpStream::connect(proxy.addr()).await.is_err());

    proxy.restore().await;
    assert_eq!(one(&connect(&url).await.unwrap()).await.unwrap(), 1);
    assert_eq!(proxy.accepted(), 2);
}

#[tokio::test]
async fn a_stall_delays_the_answer_and_loses_nothing() {
    let database = TestDatabase::create("proxy_stall");
    let (proxy, url) = Proxy::before(&database.url()).await;
    let client = connect(&url).await.unwrap();
    proxy.stall();
    let mut answer = std::pin::pin!(one(&client));
    let held = tokio::time::timeout(Duration::from_millis(200), &mut answer).await;
    assert!(held.is_err(), "the answer came through");
    proxy.resume();
    assert_eq!(answer.await.unwrap(), 1);
}

#[tokio::test]
async fn a_commit_with_a_lost_answer_has_happened() {
    let database = TestDatabase::create("proxy_swallow");
    let (proxy, url) = Proxy::before(&database.url()).await;
    let client = connect(&url).await.unwrap();
    client.batch_execute("CREATE TABLE numbers (n int)").await.unwrap();
    client.batch_execute("BEGIN; INSERT INTO numbers VALUES (1)").await.unwrap();

    proxy.swallow_after(&[b"COMMIT"]);
    let lost = client.batch_execute("COMMIT").await.unwrap_err();
    assert!(lost.as_db_error().is_none(), "the answer came through: {lost}");
    assert_eq!(proxy.swallowed(), 1);
    eventually("the connection ends", LIMIT, async || client.is_closed()).await;

    // The next one is not swallowed.
    let client = connect(&url).await.unwrap();
    client.batch_execute("BEGIN; INSERT INTO numbers VALUES (2)").await.unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    let row = client.query_one("SELECT sum(n) FROM numbers", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 3);
}
