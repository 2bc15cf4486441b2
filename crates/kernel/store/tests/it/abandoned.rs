//! Abandoned statements and COMMITs.

use std::time::Duration;

use tally_store::error::Step as _;
use tally_store::postgres::{Database, Isolation, Settings, commits_itself};
use tally_store::{DatabaseUrl, Outcome};
use tally_testkit::{Cluster, Options, TestDatabase, eventually};
use tokio_postgres::{Client, NoTls};

const LIMIT: Duration = Duration::from_secs(60);

async fn open(url: &str, settings: Settings) -> Database {
    let url: DatabaseUrl = url.parse().expect("a database URL");
    match tally_store::Database::open(&url, settings).await {
        Ok(tally_store::Database::Postgres(database)) => database,
        other => panic!("{other:?}"),
    }
}

/// A connection that bypasses Tally.
async fn connect(cluster: &Cluster) -> Client {
    let (client, connection) =
        tokio_postgres::connect(&cluster.url("postgres"), NoTls).await.expect("a connection");
    tally_runtime::Tasks::detach("connection", connection);
    client
}

/// The number of Tally's sessions, and how many of them wait for a standby.
async fn sessions(client: &Client) -> (i64, i64) {
    let sql = "SELECT count(*), count(*) FILTER (WHERE wait_event = 'SyncRep')
               FROM pg_stat_activity WHERE application_name = 'tally'";
    let row = client.query_one(sql, &[]).await.expect("the sessions");
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn hanging_commits_do_not_pile_up_and_are_not_ended() {
    let cluster = Cluster::start(Options::default()).expect("Postgres is installed");
    let client = connect(&cluster).await;
    client.batch_execute("CREATE TABLE things (n INT8)").await.expect("a table");
    let settings = Settings {
        connections_max: 6,
        writers_max: 2,
        write_max: Duration::from_millis(500),
        ..Settings::default()
    };
    let database = open(&cluster.url("postgres"), settings).await;
    cluster.hang_commits().await;
    let insert = "INSERT INTO things VALUES (1)";
    for hanging in 1..=2 {
        let connection = database.writer().await.expect("a connection");
        let commit = async move {
            if hanging == 1 {
                let transaction = connection.transaction(Isolation::Default).await.expect("begun");
                transaction.batch_execute(insert).await.expect("inserted");
                transaction.commit().await
            } else {
                commits_itself("insert", connection.execute(insert, &[]).await).map(drop)
            }
        };
        let waits = async || sessions(&client).await.1 == hanging;
        tokio::select! {
            done = commit => panic!("{done:?}"),
            () = eventually("the COMMIT hangs", LIMIT, waits) => {}
        }
    }
    let error = database.writer().await.err().expect("both hang");
    assert_eq!(error.outcome(), Outcome::Determinate);
    assert!(error.is_transient());
    // By now each has waited longer than the statement timeout.
    let (all, waiting) = sessions(&client).await;
    assert!(all <= 6 && waiting == 2, "{all}, {waiting}");
    let reader = database.connection().await.expect("reading still works");
    let row = reader.query_one("SELECT count(*) FROM things", &[]).await.expect("an answer");
    assert_eq!(row.get::<_, i64>(0), 0, "not visible before a standby has it");
    reader.release();
    cluster.let_commits_go().await;
    let is_free = async || database.writer().await.is_ok();
    eventually("a connection is free", LIMIT, is_free).await;
}

#[tokio::test]
async fn a_statement_that_times_out_certainly_did_not_happen() {
    let Some(database) = TestDatabase::create_or_skip("too_long") else { return };
    let client = database.connect().await;
    client.batch_execute("CREATE TABLE things (n INT8)").await.expect("a table");
    let settings = Settings { write_max: Duration::from_secs(1), ..Settings::default() };
    let opened = open(&database.url(), settings).await;
    let writer = opened.writer().await.expect("a connection");
    let slow = "INSERT INTO things SELECT 1 FROM pg_sleep(60)";
    let error = commits_itself("store", writer.execute(slow, &[]).await).expect_err("too slow");
    assert_eq!(error.outcome(), Outcome::Determinate, "{}", tally_runtime::chain(&error));
    assert!(error.is_transient());
    let limit = "SHOW statement_timeout";
    let of = async |connection: &tally_store::postgres::Connection| -> String {
        connection.query_one(limit, &[]).await.step("ask").expect("the limit").get(0)
    };
    assert_eq!(of(&writer).await, "1s");
    assert_eq!(of(&opened.connection().await.expect("a connection")).await, "0", "to read");
    // An administrator's own limit stays if it is lower.
    let separator = if database.url().contains('?') { '&' } else { '?' };
    for (own, expected) in [("500ms", "500ms"), ("1min", "1s")] {
        let option = format!("options=-c%20statement_timeout%3D{own}");
        let opened = open(&format!("{}{separator}{option}", database.url()), settings).await;
        assert_eq!(of(&opened.writer().await.expect("a connection")).await, expected);
    }
}
