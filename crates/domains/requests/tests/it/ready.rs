//! Readiness: lost while requests cannot be stored, and regained without a request.

use std::time::Duration;

use tally_requests::DayRange;
use tally_serve::Running as _;
use tally_testkit::{Cluster, Options, TestDatabase, eventually};
use tokio::time::timeout;
use tokio_postgres::Client;
use tonic::Code;

use crate::LIMIT;
use crate::backend::{Backend, NOW, Producer, TODAY, noon, sum};
use crate::server::{Counting, counted, get, impatient};

crate::conformance::on_every_backend!(crate::ready: a_trial_row_leaves_nothing_behind);

async fn a_trial_row_leaves_nothing_behind(backend: Backend) {
    backend.maintain().await;
    backend.store.try_write(crate::backend::now()).await.unwrap();
    assert_eq!(backend.count("tally_requests").await, 0);
    let id = backend.id(3, "/").await;
    crate::backend::append(&backend, [(id, noon(TODAY))]).await;
    backend.store.try_write(crate::backend::now()).await.unwrap();
    assert_eq!(backend.count("tally_requests").await, 1);
}

#[tokio::test]
async fn a_full_sqlite_file_and_new_room_are_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}?size_bytes_max=524288", folder.path().join("tally.db").display());
    let store = tally_requests::store::open(&crate::backend::migrated(&url).await);
    let id = crate::backend::named(3, "/").id;
    let mut worker = Producer::new();
    // Row by row, so that the last page is full.
    for rows in [1_000, 1] {
        loop {
            let chunks =
                [(0..rows).map(|_| (id, noon(TODAY))).collect::<tally_requests::Rows>().into()];
            let sequence = worker.sequence + 1;
            let batch = crate::backend::batch(worker.id, sequence, &chunks);
            match crate::backend::append_batch(&store, &batch).await {
                Ok(_) => worker.sequence = sequence,
                Err(error) => break assert!(error.is_transient(), "{error}"),
            }
        }
    }
    let error = store.try_write(crate::backend::now()).await.unwrap_err();
    assert!(tally_runtime::chain(&error).contains("full"), "{}", tally_runtime::chain(&error));
    store.roll_up(DayRange::ALL).await.unwrap();
    store.try_write(crate::backend::now()).await.unwrap();
}

/// A small batch's statement ends in the database before the server gives up on it, so it is
/// certain that nothing was stored and nothing is still running.
#[tokio::test]
async fn a_locked_table_is_noticed() {
    let Some(database) = TestDatabase::create_or_skip("ready_locked") else { return };
    let counting = Counting::start(&database.url(), impatient()).await;
    counting.add(vec![get("/", NOW)]).await.unwrap();
    assert_eq!(counting.service.ready().await, Ok(()));
    let client = database.connect().await;
    let lock = "BEGIN; LOCK TABLE tally_requests IN ACCESS EXCLUSIVE MODE";
    client.batch_execute(lock).await.expect("locked");
    let status = counting.add(vec![get("/", NOW); 3]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(counted(&status), Some((0, 0)), "{status}");
    assert_eq!(active(&client).await, 0, "no statement is still running");
    let reason = counting.service.ready().await.unwrap_err();
    assert!(reason.contains("lock") || reason.contains("statement timeout"), "{reason}");
    client.batch_execute("COMMIT").await.expect("free again");
    is_ready(&counting).await;
    counting.add(vec![get("/", NOW)]).await.unwrap();
    counting.stop().await;
}

/// A COMMIT that waits for a standby keeps waiting even if its client gives up.
#[tokio::test]
async fn a_hanging_commit_is_noticed() {
    let cluster = Cluster::start(Options::default()).expect("Postgres is installed");
    let url = cluster.url("postgres");
    let counting = Counting::start(&url, impatient()).await;
    counting.add(vec![get("/", NOW)]).await.unwrap();
    cluster.hang_commits().await;
    for _ in 0..2 {
        let status = counting.add(vec![get("/", NOW)]).await.unwrap_err();
        assert_eq!(counted(&status), None, "it may be stored: {status}");
        // The trial hangs, too, so the health check gives it up; the next one is refused.
        let ready = timeout(Duration::from_millis(100), counting.service.ready()).await;
        assert!(!matches!(ready, Ok(Ok(()))));
    }
    cluster.let_commits_go().await;
    is_ready(&counting).await;
    counting.add(vec![get("/", NOW)]).await.unwrap();
    let live = crate::backend::query(tally_requests::periods::Granularity::Day, true);
    let store = tally_requests::store::open(&crate::backend::open(&url).await);
    let sum = sum(&crate::backend::listed(&crate::backend::ask(&store, &live).await.unwrap()));
    assert!((2..=4).contains(&sum), "{sum}");
    counting.stop().await;
}

/// How many of Tally's statements that store rows are running in the database.
async fn active(client: &Client) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tally'
               AND datname = current_database() AND state = 'active'
               AND query LIKE '%INSERT INTO%'";
    client.query_one(sql, &[]).await.expect("the sessions").get(0)
}

/// Without any request.
async fn is_ready(counting: &Counting) {
    let ready = async || {
        let ready = timeout(Duration::from_secs(3), counting.service.ready()).await;
        matches!(ready, Ok(Ok(())))
    };
    eventually("requests can be stored again", LIMIT, ready).await;
}

/// Without any `Add`, and with `Record` clients that fail before their first batch.
#[tokio::test]
async fn a_failed_open_is_noticed() {
    let Some(database) = TestDatabase::create_or_skip("ready_open") else { return };
    let counting = Counting::start(&database.url(), impatient()).await;
    let client = database.connect().await;
    let full = "CREATE FUNCTION full_disk() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$; \
         CREATE TRIGGER full_disk BEFORE INSERT ON tally_producers EXECUTE FUNCTION full_disk(); \
         CREATE TRIGGER full_disk BEFORE INSERT ON tally_requests_0 EXECUTE FUNCTION full_disk()";
    client.batch_execute(full).await.expect("full");
    assert_eq!(counting.service.ready().await, Ok(()), "nothing was tried yet");
    let open = crate::recording::open(uuid::Uuid::now_v7(), 0, &[7]);
    let status = crate::recording::Recording::open(&counting, open).await.err().expect("full");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let reason = counting.service.ready().await.unwrap_err();
    assert!(reason.contains("no space left"), "{reason}");
    client.batch_execute("DROP FUNCTION full_disk CASCADE").await.expect("room");
    is_ready(&counting).await;
    counting.stop().await;
}
