//! Postgres servers that do not answer, refuse the login, or are read-only.

use tally_runtime::Kind;
use tally_store::postgres::Isolation;
use tally_store::{Database, Dialect, Error, Outcome};
use tally_testkit::{Proxy, TestDatabase, free_port};

use crate::{open, refused, refused_for_good};

#[tokio::test]
async fn an_existing_database_opens() {
    let Some(database) = TestDatabase::create_or_skip("opens") else { return };
    let opened = open(&database.url()).await.expect("it opens");
    assert_eq!(opened.dialect(), Dialect::Postgres);
    opened.ping().await.expect("a ping");
    let long = database.url().replace("postgres://", "postgresql://");
    open(&long).await.expect("the long scheme").ping().await.expect("a ping");
}

#[tokio::test]
async fn a_wrong_password_or_name_is_refused_for_good() {
    let Some(database) = TestDatabase::create_or_skip("wrong_names") else { return };
    let url = database.url();
    let wrong_name = url.replace(database.name(), "no_such_database");
    let line = refused_for_good(&wrong_name).await;
    assert!(line.contains("no_such_database") && line.contains("does not exist"), "{line}");
    if !url.contains(":tally-test@") {
        // The server of TEST_DATABASE_URL may accept any password.
        return;
    }
    let line = refused_for_good(&url.replace(":tally-test@", ":s3cret@")).await;
    assert!(line.contains("password authentication failed"), "{line}");
    assert!(line.contains("connect to postgres://tally@127.0.0.1:"), "{line}");
}

#[tokio::test]
async fn a_port_without_a_server_is_named() {
    let port = free_port();
    for scheme in ["postgres", "cockroachdb"] {
        let line = refused(&format!("{scheme}://me:s3cret@127.0.0.1:{port}/tally")).await;
        let named = format!("connect to {scheme}://me@127.0.0.1:{port}/tally");
        assert!(line.contains(&named), "{line}");
        assert!(line.contains("refused"), "{line}");
    }
    let line = refused("postgres://me:s3cret@no-such-host.invalid/tally").await;
    assert!(line.contains("no-such-host.invalid"), "{line}");
}

#[tokio::test]
async fn an_unreachable_server_is_transient() {
    let Some(database) = TestDatabase::create_or_skip("unreachable") else { return };
    let (proxy, url) = Proxy::before(&database.url()).await;
    let opened = open(&url).await.expect("it opens");
    proxy.cut().await;
    let error = opened.ping().await.expect_err("no server listens");
    assert!(error.is_transient(), "{error}");
    let error = open(&url).await.expect_err("no server listens");
    assert!(error.is_transient(), "{error}");
    assert_eq!(error.outcome(), Outcome::Determinate);
    proxy.restore().await;
    opened.ping().await.expect("a ping on a new connection");
}

#[tokio::test]
async fn a_ping_fails_on_a_read_only_database() {
    let Some(database) = TestDatabase::create_or_skip("read_only") else { return };
    let name = database.name();
    let sql = format!("ALTER DATABASE {name} SET default_transaction_read_only TO on");
    database.connect().await.batch_execute(&sql).await.expect("read-only");
    let opened = open(&database.url()).await.expect("it opens");
    let error = opened.ping().await.expect_err("it takes no writes");
    assert!(error.is_transient() && error.to_string().contains("read-only"), "{error}");
}

#[tokio::test]
async fn an_unreleased_connection_is_closed() {
    let Some(database) = TestDatabase::create_or_skip("not_released") else { return };
    let Ok(Database::Postgres(opened)) = open(&database.url()).await else { panic!("Postgres") };
    let process = "SELECT pg_backend_pid()";
    let first = opened.connection().await.expect("a connection");
    let id: i32 = first.query_one(process, &[]).await.expect("an id").get(0);
    first.release();
    let again = opened.connection().await.expect("a connection");
    assert_eq!(again.query_one(process, &[]).await.expect("an id").get::<_, i32>(0), id);
    // As if a future was dropped during a statement.
    drop(again);
    let other = opened.connection().await.expect("a connection");
    assert_ne!(other.query_one(process, &[]).await.expect("an id").get::<_, i32>(0), id);
}

/// A connection is handed on only after its transaction has ended: what was left open would be part
/// of the next one.
#[tokio::test]
async fn only_an_ended_transaction_gives_its_connection_back() {
    let Some(database) = TestDatabase::create_or_skip("ended") else { return };
    let Ok(Database::Postgres(opened)) = open(&database.url()).await else { panic!("Postgres") };
    let (step, process) = ("ask for the process", "SELECT pg_backend_pid()");
    let id = async || -> i32 {
        opened.rows(step, process, &[]).await.expect("an id").first().expect("a row").get(0)
    };
    let first = id().await;
    opened.begin(Isolation::Snapshot).await.expect("begun").commit().await.expect("committed");
    let begun = opened.begin(Isolation::Default).await.expect("begun");
    begun.abandon().await.expect("rolled back");
    assert_eq!(id().await, first);
    drop(opened.begin(Isolation::Default).await.expect("begun"));
    assert_ne!(id().await, first, "its transaction was dropped");
}

/// Callers who were refused a lock come back soon, and what the caller itself refuses is no failure. After
/// any other failure the connection is closed, because its server may have become a standby.
#[tokio::test]
async fn a_refusal_keeps_its_connection() {
    let Some(database) = TestDatabase::create_or_skip("refused_lock") else { return };
    let Ok(Database::Postgres(opened)) = open(&database.url()).await else { panic!("Postgres") };
    let locking = database.connect().await;
    locking.batch_execute("CREATE TABLE t ()").await.expect("a table");
    locking.batch_execute("BEGIN; LOCK TABLE t").await.expect("locked");
    let (step, process) = ("ask for the process", "SELECT pg_backend_pid()");
    for (sql, is_kept) in
        [("LOCK TABLE t NOWAIT", true), ("SELECT 1", true), ("SELECT 1 / 0", false)]
    {
        let transaction = opened.begin(Isolation::Default).await.expect("begun");
        let id: i32 = transaction.row(step, process, &[]).await.expect("an id").get(0);
        let refused = Error::permanent("go on", Kind::FailedPrecondition);
        let error = transaction.script("fail", sql).await.err().unwrap_or(refused);
        transaction.failed(error).await;
        let next = opened.rows(step, process, &[]).await.expect("an id");
        assert_eq!(next.first().expect("a row").get::<_, i32>(0) == id, is_kept, "{sql}");
    }
}

/// The system accepts the connections, but the port's owner never answers.
#[tokio::test]
async fn a_silent_server_times_out_as_the_url_says() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let line = refused(&format!("postgres://me@{address}/tally?connect_timeout=1")).await;
    assert!(line.ends_with(&format!(": no answer from {address} within 1 s")), "{line}");
}
