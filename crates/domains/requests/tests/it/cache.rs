//! Days that a server has read in pieces and caches: their stamps, and that no answer shows it.

use std::collections::BTreeMap;

use tally_requests::periods::{Granularity, Zone};
use tally_requests::{DayRange, Filter, Query, SeriesId, Settings, store};
use tally_runtime::Kind;

use crate::backend::{Backend, Total, append, ask, at, day, listed, query, sum};
use crate::changing::{expected, merge, merged, of, path, record, start, sums};
use crate::conformance::on_every_backend;
use crate::server::{Counting, settings};

on_every_backend!(crate::cache:
    a_day_is_read_again_when_its_stamp_is_another,
    whatever_changes_a_day_stamps_it,
    no_answer_shows_what_is_cached,
    a_merge_is_seen_at_once_and_when_it_is_settled,
    a_database_that_goes_back_is_read_again,
    a_spoilt_row_stops_only_those_who_ask_for_it,
);

const DAYS: [&str; 3] = ["2015-05-17", "2015-05-18", "2015-05-19"];

/// Days of a zone, whose midnight cuts days of UTC.
fn in_zone(zone: &str) -> Query {
    Query { zone: Zone::named(zone).unwrap(), ..query(Granularity::Day, true) }
}

fn of_path(path: &str) -> Query {
    let filter = Filter { paths: [path.to_owned()].into(), ..Filter::default() };
    Query { filter, ..in_zone("Asia/Kolkata") }
}

/// Some rows of each day.
async fn add(backend: &Backend, ids: &[SeriesId], times: usize) {
    let of_day = |day: &str| {
        let hours = ["02:00", "18:00", "18:45", "23:59"];
        hours.map(|hour| at(&format!("{day}T{hour}:00Z")))
    };
    for id in ids {
        let rows = DAYS.iter().flat_map(|day| of_day(day)).map(|time| (*id, time));
        append(backend, rows.flat_map(|row| vec![row; times])).await;
    }
}

/// Three rolled-up days of two series.
async fn filled(backend: &Backend) -> [SeriesId; 2] {
    backend.maintain().await;
    let ids = [backend.id(3, "/a").await, backend.id(3, "/b").await];
    add(backend, &ids, 2).await;
    backend.roll_up(DayRange::ALL).await;
    ids
}

async fn answer(backend: &Backend, query: &Query) -> Vec<Total> {
    listed(&ask(&backend.store, query).await.unwrap())
}

/// What a server answers, once and again, and that another one, which has cached nothing yet, says the same.
async fn by_all(backend: &Backend) -> Vec<Total> {
    let mut last = Vec::new();
    for query in [in_zone("Asia/Kolkata"), in_zone("America/St_Johns"), of_path("/b")] {
        last = answer(backend, &query).await;
        assert_eq!(answer(backend, &query).await, last, "again: {query:?}");
        let other = store::open(&backend.database);
        assert_eq!(listed(&ask(&other, &query).await.unwrap()), last, "another: {query:?}");
    }
    last
}

/// By day.
async fn stamps(backend: &Backend) -> BTreeMap<String, String> {
    let sql = if backend.is_sqlite() {
        "SELECT date(day * 86400, 'unixepoch'), 0, 0, 0, hex(stamp) FROM tally_request_calendar"
    } else {
        "SELECT day::TEXT, 0::INT8, 0::INT8, 0::INT8, stamp::TEXT FROM tally_request_calendar"
    };
    backend.lines(sql).await.into_iter().map(|line| (line.0, line.4)).collect()
}

/// The days whose stamps are others than before.
async fn stamped(backend: &Backend, before: &mut BTreeMap<String, String>) -> Vec<String> {
    let now = stamps(backend).await;
    let mut values: Vec<_> = now.values().collect();
    values.sort();
    values.dedup();
    assert_eq!(values.len(), now.len(), "each day has its own");
    let other = now.iter().filter(|(day, stamp)| before.get(*day) != Some(stamp));
    let days = other.map(|(day, _)| day.clone()).collect();
    *before = now;
    days
}

async fn a_day_is_read_again_when_its_stamp_is_another(backend: Backend) {
    filled(&backend).await;
    let (kolkata, st_johns) = (in_zone("Asia/Kolkata"), in_zone("America/St_Johns"));
    let read = answer(&backend, &kolkata).await;
    assert_eq!((read.len(), sum(&read)), (8, 48));
    // Behind the server's back.
    backend.execute("UPDATE tally_request_days SET quarters = '[0,1000]'").await;
    assert_eq!(answer(&backend, &kolkata).await, read, "it is cached");
    let of_b: Vec<_> = read.iter().filter(|one| one.2 == "/b").cloned().collect();
    assert_eq!(answer(&backend, &of_path("/b")).await, of_b, "for other questions as well");
    let month = Query { granularity: Granularity::Month, ..kolkata.clone() };
    assert_eq!(sum(&answer(&backend, &month).await), 48);
    assert_eq!(sum(&answer(&backend, &st_johns).await), 6_000, "in these pieces it was not read");
    let stamp = if backend.is_sqlite() { "randomblob(16)" } else { "gen_random_uuid()" };
    backend.execute(&format!("UPDATE tally_request_calendar SET stamp = {stamp}")).await;
    assert_eq!(sum(&answer(&backend, &kolkata).await), 6_000);
    assert_eq!(by_all(&backend).await.len(), 3);
}

async fn whatever_changes_a_day_stamps_it(backend: Backend) {
    let ids = filled(&backend).await;
    let mut before = stamps(&backend).await;
    assert_eq!(before.keys().collect::<Vec<_>>(), DAYS.iter().collect::<Vec<_>>());
    backend.store.fold().await.unwrap();
    backend.roll_up(DayRange::ALL).await;
    assert_eq!(stamped(&backend, &mut before).await, [""; 0], "nothing is new");
    // Late rows.
    append(&backend, [(ids[0], at("2015-05-18T12:00:00Z"))]).await;
    assert_eq!(stamped(&backend, &mut before).await, [""; 0], "rows count beside the day");
    backend.store.fold().await.unwrap();
    assert_eq!(stamped(&backend, &mut before).await, [DAYS[1]]);
    // A merge, which moves what /b has. One of its rows has nothing.
    append(&backend, [(ids[0], at("2015-05-20T12:00:00Z"))]).await;
    backend.store.fold().await.unwrap();
    assert_eq!(stamped(&backend, &mut before).await, ["2015-05-20"]);
    let empty = format!(
        "UPDATE tally_request_days SET total = 0, quarters = '[]' \
         WHERE series_id = {} AND day = (SELECT min(day) FROM tally_request_days)",
        ids[1]
    );
    backend.execute(&empty).await;
    let counting = start(&backend).await;
    assert_eq!(merged(&counting, merge(path("/b"), "/a")).await.unwrap().series, 1);
    assert_eq!(stamped(&backend, &mut before).await, DAYS);
    counting.stop().await;
    // A prune draws none: a pruned day is refused, not read.
    assert_eq!(backend.prune(day(DAYS[1])).await, 1);
    assert_eq!(stamped(&backend, &mut before).await, [""; 0]);
    // What comes for a pruned day goes to its month alone.
    append(&backend, [(ids[0], at("2015-05-17T12:00:00Z"))]).await;
    backend.store.fold().await.unwrap();
    assert_eq!(stamped(&backend, &mut before).await, [""; 0]);
}

async fn no_answer_shows_what_is_cached(backend: Backend) {
    let ids = filled(&backend).await;
    assert_eq!(sum(&by_all(&backend).await), 24);
    // Late rows, unfolded and folded, and those of a new series.
    add(&backend, &ids[1..], 1).await;
    assert_eq!(sum(&by_all(&backend).await), 36);
    backend.store.fold().await.unwrap();
    assert_eq!(sum(&by_all(&backend).await), 36);
    let new = backend.id(3, "/new").await;
    append(&backend, [(new, at("2015-05-18T18:15:00Z")), (7, at("2015-05-18T00:00:00Z"))]).await;
    backend.store.fold().await.unwrap();
    by_all(&backend).await;
    let all = ask(&backend.store, &in_zone("Asia/Kolkata")).await.unwrap();
    assert_eq!((all.sum(), all.unnamed), (62, 1));
    // An open day, which is folded again and again.
    for n in 1..4 {
        append(&backend, [(ids[1], at("2030-06-15T10:00:00Z"))]).await;
        backend.store.fold().await.unwrap();
        assert_eq!(sum(&by_all(&backend).await), 36 + n);
    }
    // A pruned day is refused, although it is cached.
    assert_eq!(backend.prune(day(DAYS[1])).await, 1);
    let refused = backend.store.totals(&in_zone("Asia/Kolkata")).await.expect_err("pruned");
    assert_eq!(refused.kind(), Kind::FailedPrecondition);
}

/// The server that answers is another one than that which merges.
async fn a_merge_is_seen_at_once_and_when_it_is_settled(backend: Backend) {
    let [a, b] = filled(&backend).await;
    assert_eq!(sum(&by_all(&backend).await), 24);
    let now = if backend.is_sqlite() { "1" } else { "now()" };
    backend
        .execute(&format!(
            "INSERT INTO tally_request_changes \
                 (seq, token, namespace_id, kind, selected, author, changed_at, series, requests) \
                 VALUES (1, 1, 0, 'merge', 'path', '', {now}, 1, 24); \
             INSERT INTO tally_request_moves (from_id, to_id, change_seq) VALUES ({b}, {a}, 1); \
             DELETE FROM tally_request_series WHERE id = {b}"
        ))
        .await;
    assert_eq!(by_all(&backend).await, [], "nothing is /b any more");
    assert_eq!(sum(&answer(&backend, &of_path("/a")).await), 48);
    // It prunes nothing.
    let settings = Settings { quarter_retention_days: u32::MAX, ..settings() };
    let counting = Counting::on(backend.database.clone(), settings).await;
    counting.service.keeper().tick().await.unwrap();
    assert_eq!(sums(&counting).await, expected(&[("/a", "", 48)]));
    assert_eq!(backend.count(&format!("tally_request_days WHERE series_id = {b}")).await, 0);
    assert_eq!(by_all(&backend).await, []);
    assert_eq!(sum(&answer(&backend, &of_path("/a")).await), 48);
    record(&counting, "2015-05-18T18:15:00Z", &[(of("/b", ""), 5)]).await;
    backend.store.fold().await.unwrap();
    assert_eq!(by_all(&backend).await, []);
    assert_eq!(sum(&answer(&backend, &of_path("/a")).await), 53);
    counting.stop().await;
}

/// Its days have other rows than those that were cached, and then others again.
async fn a_database_that_goes_back_is_read_again(backend: Backend) {
    let ids = filled(&backend).await;
    let tables = ["days", "months", "calendar"].map(|table| format!("tally_request_{table}"));
    for table in &tables {
        backend.execute(&format!("CREATE TABLE old_{table} AS SELECT * FROM {table}")).await;
    }
    let old = by_all(&backend).await;
    add(&backend, &ids, 1).await;
    backend.store.fold().await.unwrap();
    assert_eq!(sum(&by_all(&backend).await), 36);
    // Nobody asks before it goes on from there.
    for late in [2, 3, 0] {
        let restore = tables.each_ref().map(|table| {
            format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM old_{table};")
        });
        backend.execute(&format!("BEGIN; {} COMMIT", restore.concat())).await;
        add(&backend, &ids, late).await;
        backend.store.fold().await.unwrap();
        assert_eq!(sum(&by_all(&backend).await), 24 + 12 * i64::try_from(late).unwrap());
    }
    assert_eq!(by_all(&backend).await, old);
}

async fn a_spoilt_row_stops_only_those_who_ask_for_it(backend: Backend) {
    let [a, _] = filled(&backend).await;
    let spoil = "UPDATE tally_request_days SET quarters = '[96,1]' WHERE series_id =";
    backend.execute(&format!("{spoil} {a}")).await;
    for _ in 0..2 {
        assert_eq!(sum(&answer(&backend, &of_path("/b")).await), 24);
        assert!(backend.store.totals(&in_zone("Asia/Kolkata")).await.is_err());
    }
}
