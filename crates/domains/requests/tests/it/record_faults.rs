//! `Record` while the database is down, stalls or loses answers, and while the server stops.

use std::time::Duration;

use tally_ingest::Limits;
use tally_requests::{RecordLimits, Settings};
use tally_serve::Running as _;
use tally_testkit::{Proxy, TestDatabase, eventually};
use tokio_postgres::Client;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::LIMIT;
use crate::backend::{NOW, at};
use crate::recording::{Recording, batch, many, open, totals, trailer};
use crate::server::{Counting, get, impatient, settings};

/// Sizes of a small batch, which is one statement, and a large one, which uses COPY.
const SIZES: [u32; 2] = [3, 2_500];

const LOCK: &str = "BEGIN; LOCK TABLE tally_requests IN ACCESS EXCLUSIVE MODE";

/// A service on Postgres, and a connection that locks the row table.
async fn locked(hint: &str, settings: Settings) -> Option<(TestDatabase, Counting, Client)> {
    let database = TestDatabase::create_or_skip(hint)?;
    let counting = Counting::start(&database.url(), settings).await;
    let client = database.connect().await;
    client.batch_execute(LOCK).await.expect("locked");
    Some((database, counting, client))
}

/// Waits until a statement waits for the lock.
async fn waits(client: &Client) {
    let sql = "SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database \
               WHERE d.datname = current_database() AND NOT granted";
    let waits = async || client.query_one(sql, &[]).await.expect("locks").get::<_, i64>(0) > 0;
    eventually("a batch waits for the database", LIMIT, waits).await;
}

/// Whether an answer has arrived.
fn has_answer(stream: &mut Recording) -> bool {
    use futures_util::FutureExt as _;
    stream.answers.message().now_or_never().is_some()
}

fn assert_unavailable(status: &Status, words: &str, committed: &str) {
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains(words), "{status}");
    assert_eq!(trailer(status, "tally-committed").as_deref(), Some(committed), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_before_the_commit() {
    for size in SIZES {
        let Some((_database, counting, client)) = locked("record_commit", settings()).await else {
            return;
        };
        let mut stream = Recording::start(&counting).await;
        stream.send(many(1, true, size));
        waits(&client).await;
        stream.send(many(2, false, size));
        assert!(!has_answer(&mut stream), "acknowledged before the commit");
        client.batch_execute("ROLLBACK").await.unwrap();
        stream.acknowledged(2).await.unwrap();
        assert_eq!(totals(&counting).await.0, 2 * i64::from(size));
        counting.stop().await;
    }
}

/// The answer to the single statement or to COMMIT is lost, so the worker retries.
#[tokio::test]
async fn a_lost_answer_stores_a_batch_once() {
    let Some(database) = TestDatabase::create_or_skip("record_lost") else { return };
    let (proxy, url) = Proxy::before(&database.url()).await;
    let counting = Counting::start(&url, settings()).await;
    let mut stream = Recording::start(&counting).await;
    for round in 1..=5_u32 {
        let time = format!("2030-06-15T01:02:03.{round:06}Z");
        let micros = at(&time) - at("2000-01-01T00:00:00Z");
        proxy.swallow_after(&[&micros.to_be_bytes()]);
        let mut small = batch(u64::from(round) * 2 - 1, 0, &[("/", time.as_str()); 10]);
        if round > 1 {
            small.series.clear();
        }
        stream.send(small);
        stream.acknowledged(u64::from(round) * 2 - 1).await.unwrap();
        proxy.swallow_after(&[b"COMMIT"]);
        stream.send(many(u64::from(round) * 2, false, 2_500));
        stream.acknowledged(u64::from(round) * 2).await.unwrap();
        assert_eq!(proxy.swallowed(), 2 * round as usize);
    }
    assert_eq!(totals(&counting).await.0, 5 * 2_510);
    counting.stop().await;
}

/// Unacknowledged batches are resent through another server and counted once.
#[tokio::test]
async fn a_client_continues_with_another_server() {
    let Some(database) = TestDatabase::create_or_skip("record_other") else { return };
    let (proxy, url) = Proxy::before(&database.url()).await;
    let first = Counting::start(&url, impatient()).await;
    let second = Counting::start(&database.url(), settings()).await;
    for size in SIZES {
        let id = Uuid::now_v7();
        let mut stream = Recording::open(&first, open(id, 0, &[5])).await.unwrap();
        stream.send(many(1, true, size));
        stream.acknowledged(1).await.unwrap();
        proxy.cut().await;
        stream.send(many(2, false, size));
        let status = stream.ended().await;
        assert_unavailable(&status, "the database did not take the rows", "1");
        let mut stream = Recording::open(&second, open(id, 1, &[5])).await.unwrap();
        assert_eq!(stream.committed, 1);
        stream.send(many(2, true, size));
        stream.acknowledged(2).await.unwrap();
        proxy.restore().await;
    }
    assert_eq!(totals(&second).await.0, 2 * i64::from(SIZES[0] + SIZES[1]));
    first.stop().await;
    second.stop().await;
}

/// Clients trust `tally-committed`, so it is missing if the outcome is unknown.
#[tokio::test]
async fn an_unknown_outcome_is_not_reported_as_certain() {
    let Some(database) = TestDatabase::create_or_skip("record_unknown") else { return };
    let (proxy, url) = Proxy::before(&database.url()).await;
    let counting = Counting::start(&url, impatient()).await;
    let mut stream = Recording::start(&counting).await;
    stream.send(many(1, true, 3));
    stream.acknowledged(1).await.unwrap();
    proxy.stall();
    stream.send(many(2, false, 3));
    let status = stream.ended().await;
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(trailer(&status, "tally-committed"), None, "{status}");
    proxy.resume();
    counting.stop().await;
}

#[tokio::test]
async fn a_stop_stores_and_acknowledges_received_batches() {
    let Some((_database, counting, client)) = locked("record_drain", settings()).await else {
        return;
    };
    let mut stream = Recording::start(&counting).await;
    let idle = Recording::start(&counting).await;
    stream.send(many(1, true, 3));
    waits(&client).await;
    stream.send(many(2, false, 3));
    // The server has received the second one and queues it.
    let queued = async || counting.service.queued_rows() == 6;
    eventually("both batches are received", LIMIT, queued).await;
    let request_client = counting.request_client().await;
    let stopping = counting.stop();
    let unlocking = async {
        let status = idle.finish().await.unwrap_err();
        assert_unavailable(&status, "shutting down", "0");
        assert!(!has_answer(&mut stream), "acknowledged before the commit");
        client.batch_execute("ROLLBACK").await.unwrap();
        let status = stream.ended().await;
        assert_unavailable(&status, "shutting down", "2");
        assert_eq!(stream.committed, 2);
        // The server waits until its clients disconnect.
        drop((stream, request_client));
    };
    tokio::join!(stopping, unlocking);
}

#[tokio::test]
async fn a_queue_that_stays_full_ends_the_stream() {
    let queue = Limits { rows_max: 10, bytes_max: 100_000, wait_max: Duration::from_secs(1) };
    let settings = Settings { queue, ..settings() };
    let Some((_database, counting, client)) = locked("record_full", settings).await else { return };
    let mut stream = Recording::start(&counting).await;
    stream.send(many(1, true, 6));
    waits(&client).await;
    // Another stream's batch has no room; its client is told so and is not affected otherwise.
    let mut other = Recording::start(&counting).await;
    other.send(many(1, true, 6));
    let status = other.ended().await;
    assert_unavailable(&status, "the server's queue is full", "0");
    client.batch_execute("ROLLBACK").await.unwrap();
    stream.acknowledged(1).await.unwrap();
    stream.send(many(2, false, 6));
    assert_eq!(stream.finish().await.unwrap(), 2);
    assert_eq!(totals(&counting).await.0, 12);
    counting.stop().await;
}

#[tokio::test]
async fn more_batches_than_allowed_end_the_stream() {
    let record = RecordLimits { batches_in_flight_max: 3, ..RecordLimits::default() };
    let settings = Settings { record, ..settings() };
    let Some((_database, counting, client)) = locked("record_window", settings).await else {
        return;
    };
    let mut stream = Recording::start(&counting).await;
    assert_eq!(stream.opened.batches_in_flight_max, 3);
    for sequence in 1..=4 {
        stream.send(many(sequence, sequence == 1, 1));
    }
    waits(&client).await;
    let all = async || counting.service.queued_rows() == 3;
    eventually("three are taken", LIMIT, all).await;
    client.batch_execute("ROLLBACK").await.unwrap();
    let status = stream.ended().await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("batch 4: more than 3 batches are sent"), "{status}");
    assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("TOO_MANY_BATCHES"));
    assert_eq!(trailer(&status, "tally-committed").as_deref(), Some("3"));
    // Clients that wait for acknowledgements may send any number.
    let mut stream = Recording::start(&counting).await;
    for sequence in 1..=40 {
        stream.send(many(sequence, sequence == 1, 1));
        stream.acknowledged(sequence.saturating_sub(2)).await.unwrap();
    }
    assert_eq!(stream.finish().await.unwrap(), 40);
    assert_eq!(totals(&counting).await.0, 43);
    counting.stop().await;
}

#[tokio::test]
async fn a_producer_forgotten_while_open_is_reported() {
    let Some(database) = TestDatabase::create_or_skip("record_forgotten") else { return };
    let counting = Counting::start(&database.url(), settings()).await;
    let mut stream = Recording::start(&counting).await;
    stream.send(many(1, true, 3));
    stream.acknowledged(1).await.unwrap();
    database.connect().await.batch_execute("DELETE FROM tally_producers").await.unwrap();
    // A concurrent Add stream is stored, because its worker starts over.
    counting.add(vec![get("/", NOW)]).await.unwrap();
    stream.send(many(2, false, 3));
    let status = stream.ended().await;
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("PRODUCER_FORGOTTEN"));
    assert_eq!(totals(&counting).await.0, 4);
    counting.stop().await;
}

/// As after a restored backup, the database lacks acknowledged batches.
#[tokio::test]
async fn a_rewound_database_is_noticed() {
    let Some(database) = TestDatabase::create_or_skip("record_back") else { return };
    let counting = Counting::start(&database.url(), settings()).await;
    let mut stream = Recording::start(&counting).await;
    for sequence in 1..=3 {
        stream.send(many(sequence, sequence == 1, 1));
        stream.acknowledged(sequence).await.unwrap();
    }
    let back = "UPDATE tally_producers SET sequence = 1 WHERE epoch > 0";
    database.connect().await.batch_execute(back).await.unwrap();
    stream.send(many(4, false, 1));
    let status = stream.ended().await;
    assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("OUT_OF_SEQUENCE"), "{status}");
    assert_eq!(trailer(&status, "tally-committed").as_deref(), Some("1"));
    counting.stop().await;
}

/// Batches larger than the queue, and many streams that share it: none waits forever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_share_a_small_queue_all_end() {
    let Some(database) = TestDatabase::create_or_skip("record_small_queue") else { return };
    let queue = Limits { rows_max: 100, bytes_max: 10_000, wait_max: Duration::from_secs(60) };
    let counting = Counting::start(&database.url(), Settings { queue, ..settings() }).await;
    let streams = (0..20_u32).map(async |n| {
        let mut stream = Recording::start(&counting).await;
        for sequence in 1..=30 {
            stream.send(many(sequence, sequence == 1, 1 + 10 * n));
            stream.acknowledged(sequence.saturating_sub(10)).await.unwrap();
        }
        assert_eq!(stream.finish().await.unwrap(), 30);
    });
    futures_util::future::join_all(streams).await;
    assert_eq!(totals(&counting).await.0, (0..20).map(|n| 30 * (1 + 10 * n)).sum::<i64>());
    counting.stop().await;
}

/// A batch that will be refused does not occupy memory while it waits for a series' id.
#[tokio::test]
async fn overlong_lists_are_refused_without_waiting() {
    let Some(database) = TestDatabase::create_or_skip("long") else { return };
    let wait_max = Duration::from_secs(3);
    let queue = Limits { wait_max, ..settings().queue };
    let counting = Counting::start(&database.url(), Settings { queue, ..settings() }).await;
    let mut recording = Recording::start(&counting).await;
    let client = database.connect().await;
    let lock = "BEGIN; LOCK TABLE tally_request_series IN ACCESS EXCLUSIVE MODE";
    client.batch_execute(lock).await.expect("locked");
    recording.send(many(1, true, recording.opened.batch_rows_max + 1));
    let status = recording.ended().await;
    assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("LIMIT"), "{status}");
    client.batch_execute("ROLLBACK").await.expect("unlocked");
    counting.stop().await;
}
