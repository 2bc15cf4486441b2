//! Each statement of an operation goes wrong once, COMMIT included, as CockroachDB lets it: the
//! operation ends well all the same, and what it did, it did once.

use tally_requests::{DayRange, ImportCount, SeriesId, import_count};
use tally_runtime::Namespace;
use tally_testkit::{Disturbance, TestDatabase};

use crate::backend::{Backend, OLD, Producer, append, day, noon, open, sum};
use crate::conformance::on;

mod postgres {
    super::on!(
        postgres,
        crate::disturbed: batches_are_stored_once,
        totals_are_read,
        folded_once,
        rolled_up_once,
        pruned_once,
        gathered_once,
        imported_once
    );
}

mod cockroach_on_postgres {
    super::on!(
        cockroach_on_postgres,
        crate::disturbed: batches_are_stored_once,
        totals_are_read,
        folded_once,
        rolled_up_once,
        pruned_once,
        gathered_once
    );
}

/// Below and above the size from which Postgres uses COPY.
const SIZES: [usize; 2] = [3, 2_500];
/// For operations of many statements: one that is refused, one that is done but fails, and one whose
/// answer is lost. The others take the same ways.
const LONG: [Disturbance; 3] =
    [Disturbance::Refused("40001"), Disturbance::DoneBut("40003"), Disturbance::LostAfter];
/// Days of two months.
const DAYS: [&str; 4] = [OLD, "2015-05-31", "2015-06-01", "2030-06-15"];

/// Four rows of each day.
async fn late(backend: &Backend, ids: [SeriesId; 2]) -> i64 {
    let times = [0, 900_000_000];
    let rows = DAYS.map(|day| ids.map(|id| times.map(|more| (id, noon(day) + more))));
    let rows: Vec<_> = rows.into_iter().flatten().flatten().collect();
    let count = rows.len() as i64;
    append(backend, rows).await;
    count
}

async fn batches_are_stored_once(backend: Backend) {
    let (backend, disturber) = backend.disturbed().await;
    let id = backend.id(3, "/").await;
    for size in SIZES {
        let mut worker = Producer::new();
        let mut expected = sum(&backend.live().await);
        disturber
            .at_every_statement(
                &Disturbance::ALL,
                async || worker.append(&backend.store, true, vec![(id, noon(OLD)); size]).await,
                async |when, ()| {
                    expected += size as i64;
                    assert_eq!(backend.count("tally_requests").await, expected, "{when}");
                    assert_eq!(backend.audit().await, expected, "{when}");
                },
            )
            .await;
    }
}

async fn totals_are_read(backend: Backend) {
    let (backend, disturber) = backend.disturbed().await;
    let id = backend.id(3, "/").await;
    append(&backend, vec![(id, noon(OLD)); 7]).await;
    disturber
        .at_every_statement(
            &Disturbance::ALL,
            async || backend.live().await,
            async |when, totals| assert_eq!(sum(&totals), 7, "{when}"),
        )
        .await;
}

/// Open days, rolled-up days and a pruned one.
async fn folded_once(backend: Backend) {
    let (backend, disturber) = backend.disturbed().await;
    let ids = [backend.id(3, "/a").await, backend.id(3, "/b").await];
    let mut expected = late(&backend, ids).await;
    backend.roll_up(DayRange { first: day(DAYS[0]), last: day(DAYS[1]) }).await;
    backend.prune(day(DAYS[1])).await;
    expected += late(&backend, ids).await;
    disturber
        .at_every_statement(
            &LONG,
            async || backend.store.fold().await.expect("a fold"),
            async |when, _| {
                assert_eq!(backend.count("tally_requests").await, 0, "{when}");
                assert_eq!(backend.audit().await, expected, "{when}");
                expected += late(&backend, ids).await;
            },
        )
        .await;
}

/// New days, and late rows of rolled-up days, one of which is pruned.
async fn rolled_up_once(backend: Backend) {
    let (backend, disturber) = backend.disturbed().await;
    let ids = [backend.id(3, "/a").await, backend.id(3, "/b").await];
    let mut expected = late(&backend, ids).await;
    let (mut round, id) = (0, backend.id(3, "/new").await);
    disturber
        .at_every_statement(
            &LONG,
            async || backend.roll_up(DayRange::ALL).await,
            async |when, _moved| {
                assert_eq!(sum(&backend.rolled_up().await), expected, "{when}");
                assert_eq!(backend.audit().await, expected, "{when}");
                backend.prune(day(DAYS[1])).await;
                round += 1;
                append(&backend, [(id, noon(OLD) + round * 86_400_000_000 * 30)]).await;
                expected += 1 + late(&backend, ids).await;
            },
        )
        .await;
}

async fn pruned_once(backend: Backend) {
    let (backend, disturber) = backend.disturbed().await;
    let id = backend.id(3, "/").await;
    let (mut round, mut expected) = (0, 0);
    let mut more = async || {
        round += 1;
        append(&backend, [0, 1].map(|day| (id, noon(OLD) + (2 * round + day) * 86_400_000_000)))
            .await;
        backend.roll_up(DayRange::ALL).await;
        2
    };
    expected += more().await;
    disturber
        .at_every_statement(
            &Disturbance::ALL,
            async || backend.prune(day(DAYS[3])).await,
            async |when, _days| {
                assert_eq!(backend.count("tally_request_days").await, 0, "{when}");
                assert_eq!(backend.audit().await, expected, "{when}");
                expected += more().await;
            },
        )
        .await;
}

/// The accounts of producers, by day.
async fn gathered_once(backend: Backend) {
    let (backend, disturber) = backend.disturbed().await;
    let ids = [backend.id(3, "/a").await, backend.id(3, "/b").await];
    let mut expected = late(&backend, ids).await;
    disturber
        .at_every_statement(
            &Disturbance::ALL,
            async || backend.producers.gather_days().await.expect("gathered"),
            async |when, ()| {
                assert_eq!(backend.audit().await, expected, "{when}");
                expected += late(&backend, ids).await;
            },
        )
        .await;
}

/// A Go server's tables: what is refused is imported by the next run, and what is done is done once.
async fn imported_once(backend: Backend) {
    let (backend, disturber) = backend.disturbed().await;
    let go = TestDatabase::create("imported_once");
    let schema = include_str!("../../../../apps/tally/tests/it/import_count/migrations/count.sql");
    go.connect().await.batch_execute(schema).await.expect("the tables");
    let methods = "INSERT INTO count.methods (id, method, path) VALUES (1, 'GET', '/a')";
    go.connect().await.batch_execute(methods).await.expect("a method");
    let source = open(&go.url()).await;
    let ids = [backend.id(3, "/a").await, backend.id(3, "/b").await];
    let (mut expected, mut round) = (late(&backend, ids).await, 0);
    // A day of totals, which was open here, and requests that were not rolled up.
    let mut more = async || {
        round += 1;
        let sql = format!(
            "INSERT INTO count.daily_method_totals VALUES (DATE '{OLD}' + {round}, 1, 1000); \
             INSERT INTO count.requests \
                 SELECT 1, TIMESTAMPTZ '2023-05-03 10:00:00+00' FROM generate_series(1, 30)"
        );
        go.connect().await.batch_execute(&sql).await.expect("more");
        let id = ids[0];
        append(&backend, [(id, noon(OLD) + round * 86_400_000_000)]).await;
        backend.store.fold().await.expect("a fold");
        1_031
    };
    expected += more().await;
    disturber
        .at_every_statement(
            &LONG,
            async || {
                let how = || ImportCount {
                    namespace: Namespace::DEFAULT,
                    source: None,
                    series_max: 100,
                    path_bytes_max: 100,
                    dry_run: false,
                };
                for _ in 0..3 {
                    if import_count(&backend.database, &source, how()).await.is_ok() {
                        return;
                    }
                }
                panic!("three imports have failed");
            },
            async |when, ()| {
                assert_eq!(backend.audit().await, expected, "{when}");
                expected += more().await;
            },
        )
        .await;
}
