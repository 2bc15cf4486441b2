//! CockroachDB: a roll-up, a prune and a fold go in steps, each a transaction of a few rows. Whatever ends
//! them between two steps, each request is in the books once, and anybody can go on.

use std::time::Duration;

use tally_requests::periods::{Granularity, QuarterRange};
use tally_requests::{DayRange, Query, SeriesId};
use tally_runtime::Kind;
use tally_testkit::Disturbance;
use tokio_postgres::Client;

use crate::backend::{Backend, OLD, append, at, day, listed, noon, one_day, query, sum};

mod cockroach {
    crate::conformance::on!(cockroach, crate::steps: two_servers_go_in_steps_at_once);
}

mod cockroach_on_postgres {
    crate::conformance::on!(
        cockroach_on_postgres,
        crate::steps: a_step_has_few_rows,
        a_roll_up_ends_anywhere_and_goes_on,
        a_prune_ends_anywhere_and_goes_on,
        two_servers_go_in_steps_at_once
    );
}

/// Rows of a step.
const STEP: i64 = 2;
/// An error that is final ends it there, as a crash does.
const ENDS: [Disturbance; 1] = [Disturbance::Refused("XX000")];
/// Series of the one day.
const SERIES: i64 = 4;

async fn ids(backend: &Backend) -> Vec<SeriesId> {
    let mut ids = Vec::new();
    for n in 0..SERIES {
        ids.push(backend.id(3, &format!("/{n}")).await);
    }
    ids
}

/// A request of each series of the day.
async fn late(backend: &Backend, ids: &[SeriesId]) {
    append(backend, ids.iter().map(|id| (*id, noon(OLD)))).await;
}

/// What is under way.
async fn begun(client: &Client) -> i64 {
    let sql = "SELECT count(*) FROM tally_request_calendar WHERE reached IS NOT NULL";
    client.query_one(sql, &[]).await.expect("a count").get(0)
}

/// Begins again with one request of each series, in open days or not.
async fn again(backend: &Backend, client: &Client, ids: &[SeriesId], is_rolled_up: bool) {
    let tables =
        ["days", "months", "calendar"].map(|of| format!("DELETE FROM tally_request_{of};"));
    let sql = format!("{} DELETE FROM tally_producer_days", tables.concat());
    client.batch_execute(&sql).await.expect("nothing is left");
    late(backend, ids).await;
    backend.second.fold().await.expect("a fold");
    if is_rolled_up {
        backend.second.roll_up(DayRange::ALL).await.expect("a roll-up");
    }
}

/// The tables refuse more rows than a step has, in any statement.
async fn a_step_has_few_rows(backend: Backend) {
    let client = backend.connect().await;
    let backend = backend.in_steps(STEP);
    let ids = ids(&backend).await;
    late(&backend, &ids).await;
    // Days that fit into one step, besides.
    let others = ["2015-05-18", "2015-05-19", "2015-06-01"];
    append(&backend, others.map(|of| (ids[0], noon(of)))).await;
    let expected = SERIES + 3;
    for (table, of, rows) in [
        ("tally_request_months", "INSERT", "NEW"),
        ("tally_request_days", "DELETE", "OLD"),
        ("tally_requests", "DELETE", "OLD"),
    ] {
        let limit = format!(
            "CREATE FUNCTION few_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF (SELECT count(*) FROM changed) > {STEP} THEN RAISE 'too many rows'; END IF; \
                 RETURN NULL; END $$; \
             CREATE TRIGGER few AFTER {of} ON {table} REFERENCING {rows} TABLE AS changed \
                 FOR EACH STATEMENT EXECUTE FUNCTION few_{table}()"
        );
        backend.execute(&limit).await;
    }
    assert_eq!(backend.roll_up(DayRange::ALL).await, expected.unsigned_abs());
    assert_eq!((backend.audit().await, begun(&client).await), (expected, 0));
    assert_eq!(sum(&backend.rolled_up().await), expected);
    assert_eq!(backend.prune(day("2030-01-01")).await, 4);
    assert_eq!((backend.audit().await, begun(&client).await), (expected, 0));
    assert_eq!(backend.count("tally_request_days").await, 0);
}

/// Between two steps late rows are folded, of series that are in the month and of others.
async fn a_roll_up_ends_anywhere_and_goes_on(backend: Backend) {
    let ids = ids(&backend).await;
    let (backend, disturber) = backend.disturbed().await;
    let client = backend.connect().await;
    let backend = backend.in_steps(STEP);
    again(&backend, &client, &ids, false).await;
    let mut ended_midway = 0;
    disturber
        .at_every_statement(
            &ENDS,
            async || backend.store.roll_up(DayRange::ALL).await,
            async |when, done| {
                let mut expected = SERIES;
                if done.is_err() && begun(&client).await == 1 {
                    ended_midway += 1;
                    assert_eq!(backend.audit().await, expected, "{when}");
                    // The day is a rolled-up one, all of it.
                    assert_eq!(sum(&backend.rolled_up().await), expected, "{when}");
                    late(&backend, &ids).await;
                    expected += SERIES;
                    backend.second.fold().await.expect("a fold");
                    // It is not pruned before its month has all of it.
                    backend.prune(day("2030-01-01")).await;
                    assert_eq!(backend.audit().await, expected, "late rows, {when}");
                    assert_eq!(backend.count("tally_request_days").await, SERIES, "{when}");
                }
                // Whichever days are asked for, what was begun is finished.
                backend.second.roll_up(one_day("2000-01-01")).await.expect("a roll-up");
                assert_eq!(begun(&client).await, 0, "{when}");
                backend.second.roll_up(DayRange::ALL).await.expect("a roll-up");
                assert_eq!(backend.audit().await, expected, "{when}");
                assert_eq!(sum(&backend.rolled_up().await), expected, "{when}");
                again(&backend, &client, &ids, false).await;
            },
        )
        .await;
    assert!(ended_midway > 5, "{ended_midway}");
}

/// Hours have an answer that is exact, or none.
async fn a_prune_ends_anywhere_and_goes_on(backend: Backend) {
    let ids = ids(&backend).await;
    let (backend, disturber) = backend.disturbed().await;
    let client = backend.connect().await;
    let backend = backend.in_steps(STEP);
    again(&backend, &client, &ids, true).await;
    let hours = Query {
        range: QuarterRange { start: quarter("T12:00:00Z"), end: quarter("T13:00:00Z") },
        ..query(Granularity::Hour, true)
    };
    let mut ended_midway = 0;
    disturber
        .at_every_statement(
            &ENDS,
            async || backend.store.prune(day("2030-01-01"), Duration::ZERO).await,
            async |when, done| {
                let mut expected = SERIES;
                match backend.second.totals(&hours).await {
                    Ok(totals) => assert_eq!(sum(&listed(&totals)), expected, "{when}"),
                    Err(error) => assert_eq!(error.kind(), Kind::FailedPrecondition, "{when}"),
                }
                if done.is_err() && begun(&client).await == 1 {
                    ended_midway += 1;
                    assert_eq!(backend.audit().await, expected, "{when}");
                    late(&backend, &ids).await;
                    expected += SERIES;
                    backend.second.fold().await.expect("a fold");
                }
                backend.prune(day("2030-01-01")).await;
                assert_eq!(backend.count("tally_request_days").await, 0, "{when}");
                assert_eq!(begun(&client).await, 0, "{when}");
                assert_eq!(backend.audit().await, expected, "{when}");
                again(&backend, &client, &ids, true).await;
            },
        )
        .await;
    assert!(ended_midway > 5, "{ended_midway}");
}

fn quarter(time: &str) -> tally_requests::model::Quarter {
    tally_requests::model::Quarter::of_micros(at(&format!("{OLD}{time}")))
}

/// Two servers do the same, beside folds of late rows and queries.
async fn two_servers_go_in_steps_at_once(backend: Backend) {
    let client = backend.connect().await;
    let backend = backend.in_steps(STEP);
    let ids = ids(&backend).await;
    let mut expected = 0;
    for round in 0..4 {
        late(&backend, &ids).await;
        expected += SERIES;
        let asking = async {
            for _ in 0..6 {
                assert_eq!(sum(&backend.live().await), expected, "round {round}");
            }
        };
        let before = day(["2000-01-01", "2015-05-18", "2030-01-01"][round % 3]);
        let (one, other, pruned, folded, ()) = tokio::join!(
            backend.store.roll_up(DayRange::ALL),
            backend.second.roll_up(DayRange::ALL),
            backend.store.prune(before, Duration::ZERO),
            backend.second.fold(),
            asking
        );
        for done in [one.map(drop), other.map(drop), pruned.map(drop), folded.map(drop)] {
            done.unwrap_or_else(|error| panic!("{}", tally_runtime::chain(&error)));
        }
        assert_eq!((backend.audit().await, begun(&client).await), (expected, 0));
        assert_eq!(sum(&backend.rolled_up().await), expected);
    }
}
