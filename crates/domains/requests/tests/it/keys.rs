//! The promises of every store to callers that give an idempotency key.

use std::sync::Arc;
use std::time::Duration;

use tally_ingest::Batch;
use tally_producers::{Fate, Once, Parcel};
use tally_requests::store::Store;
use tally_requests::{Rows, SeriesId};
use tally_testkit::eventually;

use crate::LIMIT;
use crate::backend::{Backend, OLD, Producer, append_batch, batch, noon, sum};
use crate::conformance::on_every_backend;
use crate::runs::{Client, stored};

on_every_backend!(crate::keys:
    what_comes_under_a_key_is_stored_once,
    a_batch_with_keys_is_stored_once,
    a_key_does_not_fail_what_is_stored_with_it,
    two_servers_with_the_same_keys_at_once,
    locked_keys_hold_up_nobody_else,
    a_repeated_batch_waits_for_its_keys,
    after_its_keys_a_batch_waits_as_usual,
    old_keys_are_deleted,
);

/// Below and above the size from which Postgres uses COPY.
const SIZES: [usize; 2] = [3, 2_500];

/// Rows under a key. The fingerprint stands for what the caller meant.
fn keyed(key: &str, fingerprint: u8, id: SeriesId, rows: usize) -> Parcel<Rows> {
    let once = Once { key: key.into(), fingerprint: [fingerprint; 16] };
    let rows = Rows::from_iter(vec![(id, noon(OLD)); rows]);
    Parcel { once: Some(Arc::new(once)), ..rows.into() }
}

/// Stores a batch, and says what became of it, whether it was known or not.
async fn send(
    backend: &Backend,
    store: &Store,
    worker: &mut Producer,
    chunks: &[Parcel<Rows>],
) -> Vec<Fate> {
    let fates = worker.send(store, backend.is_cockroach(), chunks).await.into_iter();
    let fate = |fate| match fate {
        Fate::Stored { committed, .. } => stored(committed),
        fate => fate,
    };
    fates.map(fate).collect()
}

async fn what_comes_under_a_key_is_stored_once(backend: Backend) {
    let id = backend.id(3, "/").await;
    let mut expected = 0;
    for size in SIZES {
        let (key, other) = (format!("\"a {size}'"), format!("b {size}"));
        let mut worker = Producer::new();
        for store in [&backend.store, &backend.second, &backend.store] {
            let chunks = [keyed(&key, 1, id, size)];
            let fates = send(&backend, store, &mut worker, &chunks).await;
            assert_eq!(fates, [stored(0)]);
            assert_eq!(sum(&backend.live().await), expected + size as i64);
        }
        // Something else, and with it the same again.
        let chunks =
            [keyed(&key, 2, id, size), keyed(&key, 1, id, size), keyed(&other, 2, id, size)];
        let fates = send(&backend, &backend.store, &mut worker, &chunks).await;
        assert_eq!(fates, [Fate::OtherContent, stored(0), stored(0)]);
        expected += 2 * size as i64;
        assert_eq!(sum(&backend.live().await), expected);
    }
    assert_eq!(backend.count("tally_idempotency_keys").await, 4);
    backend.audit().await;
}

/// The answer to the COMMIT was lost, and the worker sends the batch again.
async fn a_batch_with_keys_is_stored_once(backend: Backend) {
    let id = backend.id(3, "/").await;
    let mut expected = 0;
    for size in SIZES {
        let names = ["a", "b"].map(|name| format!("{name}{size}"));
        let mut worker = Producer::new();
        let chunks = [
            keyed(&names[0], 1, id, size),
            keyed(&names[0], 1, id, size),
            keyed(&names[0], 2, id, size),
            keyed(&names[1], 2, id, size),
            Rows::from_iter([(id, noon(OLD))]).into(),
        ];
        expected += 2 * size as i64 + 1;
        for _ in 0..3 {
            let fates = send(&backend, &backend.store, &mut worker, &chunks).await;
            let (is, other) = (stored(0), Fate::OtherContent);
            assert_eq!(fates, [is, is, other, is, is]);
            assert_eq!(sum(&backend.live().await), expected);
            worker.repeat();
        }
    }
    backend.audit().await;
}

async fn a_key_does_not_fail_what_is_stored_with_it(backend: Backend) {
    let id = backend.id(3, "/").await;
    for size in SIZES {
        let before = sum(&backend.live().await);
        let (key, client) = (format!("k{size}"), Client::open(&backend.producers).await);
        let mut worker = Producer::new();
        let known = [keyed(&key, 1, id, 1), client.run(1, &[1], id, OLD)];
        send(&backend, &backend.store, &mut worker, &known).await;
        // The first batch of the run is stored already, so the batch does not fit as it is.
        let chunks = [
            keyed(&key, 2, id, size),
            client.run(1, &[1, size], id, OLD),
            keyed(&key, 1, id, size),
            Rows::from_iter(vec![(id, noon(OLD)); size]).into(),
        ];
        let fates = send(&backend, &backend.store, &mut worker, &chunks).await;
        assert_eq!(fates, [Fate::OtherContent, stored(2), stored(0), stored(0)]);
        assert_eq!(sum(&backend.live().await) - before, 2 + 2 * size as i64);
    }
    backend.audit().await;
}

/// In another order each, so that they would lock each other out.
async fn two_servers_with_the_same_keys_at_once(backend: Backend) {
    let id = backend.id(3, "/").await;
    let names: Vec<String> = (0..20).map(|n| format!("key {n}")).collect();
    for round in 0..10_u8 {
        let chunks: Vec<_> =
            names.iter().map(|name| keyed(&format!("{name} {round}"), round, id, 1)).collect();
        let turned: Vec<_> = chunks.iter().rev().cloned().collect();
        let (mut one, mut other) = (Producer::new(), Producer::new());
        tokio::join!(
            send_all(&backend, &backend.store, &mut one, &chunks),
            send_all(&backend, &backend.second, &mut other, &turned),
        );
        assert_eq!(sum(&backend.live().await), 20 * (i64::from(round) + 1));
    }
    backend.audit().await;
}

/// Stores all of a batch. On a slow machine, what is locked comes again.
async fn send_all(
    backend: &Backend,
    store: &Store,
    worker: &mut Producer,
    chunks: &[Parcel<Rows>],
) {
    let mut left = chunks.to_vec();
    for _ in 0..100 {
        let fates = send(backend, store, worker, &left).await;
        let mut fates = fates.into_iter();
        left.retain(|_| match fates.next() {
            Some(Fate::Locked) => true,
            fate => {
                assert_eq!(fate, Some(stored(0)));
                false
            }
        });
        if left.is_empty() {
            return;
        }
    }
    panic!("{} keys are locked again and again", left.len());
}

/// Somebody holds keys: they are told, and all others are stored.
async fn locked_keys_hold_up_nobody_else(backend: Backend) {
    if backend.is_sqlite() {
        return;
    }
    let id = backend.id(3, "/").await;
    let mut worker = Producer::new();
    let client = backend.connect().await;
    for (round, held) in [vec![7], vec![0, 8, 9, 19], (0..20).collect()].into_iter().enumerate() {
        let before = sum(&backend.live().await);
        let name = |n: usize| format!("{round} {n:02}");
        client.batch_execute("BEGIN").await.unwrap();
        for n in &held {
            client.batch_execute(&holds(&name(*n))).await.unwrap();
        }
        let mut chunks: Vec<_> = (0..20).map(|n| keyed(&name(n), 1, id, 1)).collect();
        chunks.push(Rows::from_iter([(id, noon(OLD))]).into());
        let fates = send(&backend, &backend.store, &mut worker, &chunks).await;
        let fate = |n| if held.contains(&n) { Fate::Locked } else { stored(0) };
        assert_eq!(fates, (0..21).map(fate).collect::<Vec<_>>());
        let others = 21 - held.len() as i64;
        assert_eq!(sum(&backend.live().await), before + others);
        // It stores one of them after all.
        client.batch_execute("COMMIT").await.unwrap();
        let fates = send(&backend, &backend.store, &mut worker, &chunks[..20]).await;
        let fate = |n| if held.contains(&n) { Fate::OtherContent } else { stored(0) };
        assert_eq!(fates, (0..20).map(fate).collect::<Vec<_>>());
        assert_eq!(sum(&backend.live().await), before + others);
    }
    backend.audit().await;
}

/// An earlier attempt of the same batch may hold them, and commit after all: so nobody is told anything yet.
async fn a_repeated_batch_waits_for_its_keys(backend: Backend) {
    if backend.is_sqlite() {
        return;
    }
    let id = backend.id(3, "/").await;
    let client = backend.connect().await;
    client.batch_execute(&format!("BEGIN; {}", holds("k"))).await.unwrap();
    let chunks = [keyed("free", 1, id, 1), keyed("k", 1, id, 1)];
    let mut worker = Producer::new();
    let batch = Batch { is_repeated: true, ..batch(worker.id, 1, &chunks) };
    let error = append_batch(&backend.store, &batch).await.expect_err("nobody knows");
    assert!(error.is_transient(), "{error:?}");
    assert_eq!(sum(&backend.live().await), 0);
    client.batch_execute("ROLLBACK").await.unwrap();
    let fates = send(&backend, &backend.store, &mut worker, &chunks).await;
    assert_eq!(fates, [stored(0), stored(0)]);
    assert_eq!(sum(&backend.live().await), 2);
    backend.audit().await;
}

/// Only keys are waited for no longer than a moment.
async fn after_its_keys_a_batch_waits_as_usual(backend: Backend) {
    if backend.is_sqlite() {
        return;
    }
    let id = backend.id(3, "/").await;
    let mut worker = Producer::new();
    send(&backend, &backend.store, &mut worker, &[keyed("a", 1, id, 1)]).await;
    let (holder, watcher) = (backend.connect().await, backend.connect().await);
    let lock = format!("BEGIN; SELECT FROM tally_producers WHERE id = '{}' FOR UPDATE", worker.id);
    holder.batch_execute(&lock).await.unwrap();
    let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                 AND datname = current_database() AND now() - query_start > INTERVAL '300 ms'";
    let watching = async {
        let waits =
            async || watcher.query_one(waits, &[]).await.expect("activity").get::<_, bool>(0);
        eventually("the batch waits for long", LIMIT, waits).await;
        holder.batch_execute("COMMIT").await.unwrap();
    };
    let chunks = [keyed("b", 1, id, 1)];
    let sending = send(&backend, &backend.store, &mut worker, &chunks);
    let (fates, ()) = tokio::join!(sending, watching);
    assert_eq!(fates, [stored(0)]);
    backend.audit().await;
}

/// Of something else.
pub(crate) fn holds(key: &str) -> String {
    format!(
        "INSERT INTO tally_idempotency_keys (domain, namespace_id, key, fingerprint) \
         VALUES ('requests', 0, '{key}', '\\x00000000000000000000000000000000')"
    )
}

async fn old_keys_are_deleted(backend: Backend) {
    let id = backend.id(3, "/").await;
    let mut worker = Producer::new();
    let mut store = async |key: &str| {
        let chunks = [keyed(key, 1, id, 1)];
        let fates = send(&backend, &backend.store, &mut worker, &chunks).await;
        assert_eq!(fates, [stored(0)]);
        sum(&backend.live().await)
    };
    assert_eq!((store("old").await, store("new").await), (1, 2));
    // More than one step deletes.
    let columns = match backend.is_sqlite() {
        true => "x'00', 0",
        false => "'\\x00'::BYTEA, TIMESTAMPTZ '2020-01-01 00:00:00+00'",
    };
    let numbers = match backend.is_sqlite() {
        true => "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 2500)",
        false => "WITH c(n) AS (SELECT * FROM generate_series(1, 2500))",
    };
    let insert =
        "INSERT INTO tally_idempotency_keys (domain, namespace_id, key, fingerprint, stored_at)";
    backend
        .execute(&format!(
            "{insert} {numbers} SELECT 'requests', 0, 'o' || n, {columns} FROM c; \
             {insert} {numbers} SELECT 'else', 0, 'o' || n, {columns} FROM c WHERE n < 8"
        ))
        .await;
    let hour_ago = match backend.is_sqlite() {
        true => "stored_at - 3600000000",
        false => "stored_at - INTERVAL '1 hour'",
    };
    let sql = format!("UPDATE tally_idempotency_keys SET stored_at = {hour_ago} WHERE key = 'old'");
    backend.execute(&sql).await;
    backend.producers.forget_keys(Duration::from_secs(3_590)).await.unwrap();
    assert_eq!(backend.count("tally_idempotency_keys").await, 1 + 7);
    assert_eq!(store("new").await, 2, "it is known");
    assert_eq!(store("old").await, 3, "it is new again");
    backend.audit().await;
}
