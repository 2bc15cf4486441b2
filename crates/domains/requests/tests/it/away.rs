//! Lost databases and answers: never an OK for unstored requests, and never stored twice.

use tally_ingest::Batch;
use tally_requests::Rows;
use tally_requests::periods::Granularity;
use tally_requests::store;
use tally_serve::Running as _;
use tally_store::Outcome;
use tally_testkit::{Proxy, TestDatabase, eventually};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use uuid::Uuid;

use crate::LIMIT;
use crate::backend::{
    NOW, TODAY, Total, append_named, ask, at, batch, listed, migrated, named, noon, open, query,
    sum, total,
};
use crate::server::{Counting, counted, get, impatient, settings};

/// Live totals without the proxy.
async fn live(database: &TestDatabase) -> Vec<Total> {
    let store = store::open(&open(&database.url()).await);
    listed(&ask(&store, &query(Granularity::Day, true)).await.expect("not too many"))
}

/// A time on the wire: microseconds since 2000-01-01 UTC.
fn as_sent(time: &str) -> [u8; 8] {
    (at(time) - at("2000-01-01T00:00:00Z")).to_be_bytes()
}

#[tokio::test]
async fn a_database_that_stays_down_ends_the_stream() {
    let Some(database) = TestDatabase::create_or_skip("away") else { return };
    let (proxy, url) = Proxy::before(&database.url()).await;
    let counting = Counting::start(&url, impatient()).await;
    counting.add(vec![get("/", NOW)]).await.unwrap();
    proxy.cut().await;
    for path in ["/", "/", "/unknown"] {
        let status = counting.add(vec![get(path, NOW); 3]).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(!status.message().is_empty());
        assert!(counted(&status).is_none_or(|counted| counted == (0, 0)), "{status}");
    }
    assert_eq!(live(&database).await, [total(TODAY, 3, "/", 1)]);
    proxy.restore().await;
    counting.add(vec![get("/", NOW), get("/unknown", NOW)]).await.unwrap();
    let expected = [total(TODAY, 3, "/", 2), total(TODAY, 3, "/unknown", 1)];
    assert_eq!(live(&database).await, expected);
    counting.stop().await;
}

#[tokio::test]
async fn a_stream_is_held_until_the_database_is_back() {
    let Some(database) = TestDatabase::create_or_skip("held") else { return };
    let (proxy, url) = Proxy::before(&database.url()).await;
    let counting = Counting::start(&url, settings()).await;
    counting.add(vec![get("/", NOW)]).await.unwrap();
    proxy.cut().await;
    let adding = counting.add(vec![get("/", NOW); 500]);
    let mending = async {
        let queued = async || counting.service.queued_rows() == 500;
        eventually("the rows wait", LIMIT, queued).await;
        assert_eq!(live(&database).await, [total(TODAY, 3, "/", 1)]);
        proxy.restore().await;
    };
    let (added, ()) = tokio::join!(adding, mending);
    added.unwrap();
    assert_eq!(live(&database).await, [total(TODAY, 3, "/", 501)]);
    counting.stop().await;
}

/// The answer to the self-committing statement of a small batch is lost.
#[tokio::test]
async fn a_lost_answer_stores_a_stream_once() {
    let Some(database) = TestDatabase::create_or_skip("lost_answer") else { return };
    let (proxy, url) = Proxy::before(&database.url()).await;
    let counting = Counting::start(&url, settings()).await;
    counting.add(vec![get("/", NOW)]).await.unwrap();
    for round in 1..=5 {
        let time = format!("2030-06-15T01:02:03.{round:06}Z");
        proxy.swallow_after(&[&as_sent(&time)]);
        counting.add(vec![get("/", &time); 10]).await.unwrap();
        assert_eq!(proxy.swallowed(), round);
        assert_eq!(sum(&live(&database).await), 1 + 10 * i64::try_from(round).unwrap());
    }
    counting.stop().await;
}

/// The answer to a large batch's COMMIT is lost.
#[tokio::test]
async fn a_lost_commit_is_unknown_and_safe_to_repeat() {
    let Some(database) = TestDatabase::create_or_skip("lost_commit") else { return };
    let (proxy, url) = Proxy::before(&database.url()).await;
    let store = store::open(&migrated(&url).await);
    let names = [named(3, "/")];
    let id = names[0].id;
    let (producer, rows) = (Uuid::now_v7(), 2_500);
    let chunks = [(0..rows).map(|_| (id, noon(TODAY))).collect::<Rows>().into()];
    for sequence in 1..=3 {
        let batch = batch(producer, sequence, &chunks);
        proxy.swallow_after(&[b"COMMIT"]);
        let error = append_named(&store, &batch, &names).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Indeterminate, "{error}");
        assert!(error.is_transient());
        assert_eq!(proxy.swallowed(), usize::try_from(sequence).unwrap());
        let repeated = Batch { is_repeated: true, ..batch };
        append_named(&store, &repeated, &names).await.unwrap();
        assert_eq!(sum(&live(&database).await), rows * sequence);
    }
}

/// A roll-up whose COMMIT is lost has happened; it goes on, and moves nothing twice.
#[tokio::test]
async fn a_roll_up_survives_a_lost_commit() {
    let Some(database) = TestDatabase::create_or_skip("lost_roll_up") else { return };
    let (proxy, url) = Proxy::before(&database.url()).await;
    let store = store::open(&migrated(&url).await);
    let names = [named(3, "/")];
    let id = names[0].id;
    for (sequence, day) in [(1, TODAY), (2, "2015-05-17")] {
        let chunks = [(0..100).map(|_| (id, noon(day))).collect::<Rows>().into()];
        let producer = Uuid::now_v7();
        append_named(&store, &batch(producer, 1, &chunks), &names).await.unwrap();
        proxy.swallow_after(&[b"COMMIT"]);
        store.roll_up(tally_requests::DayRange::ALL).await.unwrap();
        assert_eq!(proxy.swallowed(), sequence);
        assert_eq!(sum(&live(&database).await), 100 * i64::try_from(sequence).unwrap());
    }
    let rolled_up = ask(&store, &query(Granularity::Day, false)).await.unwrap();
    let expected = [total("2015-05-17", 3, "/", 100), total(TODAY, 3, "/", 100)];
    assert_eq!(listed(&rolled_up), expected);
}

/// A client that does not read its answer keeps sending, and never resends.
#[tokio::test]
async fn requests_that_arrive_during_a_stop_are_stored() {
    let Some(database) = TestDatabase::create_or_skip("late") else { return };
    let counting = Counting::start(&database.url(), settings()).await;
    counting.add(vec![get("/", NOW)]).await.unwrap();
    let locking = database.connect().await;
    let lock = "BEGIN; LOCK TABLE tally_requests IN ACCESS EXCLUSIVE MODE";
    locking.batch_execute(lock).await.unwrap();
    let mut client = counting.client().await;
    let (messages, stream) = mpsc::channel(1);
    let (added, stopping) = (client.add(ReceiverStream::new(stream)), async {
        messages.send(get("/", NOW)).await.unwrap();
        let queued = async || counting.service.queued_rows() == 1;
        eventually("it waits for the database", LIMIT, queued).await;
        counting.begin_to_stop();
        // Each one is sent before the next one is accepted.
        for _ in 0..3 {
            messages.send(get("/", NOW)).await.unwrap();
        }
        locking.batch_execute("ROLLBACK").await.unwrap();
    });
    let (status, ()) = tokio::join!(added, stopping);
    let status = status.unwrap_err();
    assert!(status.message().contains("shutting down"), "{status}");
    let (stored, _) = counted(&status).expect("the position is known");
    assert!(stored >= 3, "{stored}");
    assert_eq!(sum(&live(&database).await), 1 + i64::try_from(stored).unwrap());
    drop((messages, client));
    counting.stop().await;
}
