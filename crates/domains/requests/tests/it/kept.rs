//! Days that are kept in memory: whatever changes them, whoever does it, every answer is the one of
//! a store that keeps nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tally_requests::store::Store;
use tally_requests::{DayRange, Filter, Granularity, Query};
use tokio::task::JoinSet;

use crate::backend::{Backend, TODAY, append, ask, day, listed, noon, query, sum};
use crate::conformance::on;

const DAYS: [&str; 5] = ["2029-12-30", "2029-12-31", "2030-01-01", "2030-06-14", TODAY];
const PATHS: [&str; 3] = ["/a", "/ab", "/é"];

mod sqlite {
    crate::kept::on!(sqlite, crate::kept:
        every_change_by_hand_is_seen,
        a_roll_up_by_another_server_is_seen,
        an_older_state_is_seen,
        an_answer_comes_from_memory,
        no_request_is_lost_or_seen_twice
    );
}

mod postgres {
    crate::kept::on!(postgres, crate::kept:
        every_change_by_hand_is_seen,
        a_roll_up_by_another_server_is_seen,
        an_older_state_is_seen,
        an_answer_comes_from_memory,
        no_request_is_lost_or_seen_twice,
        nobody_waits_for_a_stamp
    );
}

/// A backend whose totals are asked for through stores that keep more or less.
struct Kept {
    backend: Backend,
    ids: [i64; 3],
    /// Keep everything, and three days or so.
    keeping: [Arc<dyn Store>; 3],
    none: Arc<dyn Store>,
}

// === impl Kept ===

impl Kept {
    async fn new(backend: Backend) -> Self {
        backend.maintain().await;
        let mut ids = [0; 3];
        for (id, path) in ids.iter_mut().zip(PATHS) {
            *id = backend.id(3, path).await;
        }
        let keeping =
            [Arc::clone(&backend.store), Arc::clone(&backend.second), backend.keeping(30)];
        let none = backend.keeping(0);
        Self { backend, ids, keeping, none }
    }

    fn is_sqlite(&self) -> bool {
        self.backend.database_name() == "main"
    }

    fn date(&self, at: usize) -> String {
        if self.is_sqlite() { day(DAYS[at]).0.to_string() } else { format!("DATE '{}'", DAYS[at]) }
    }

    /// By hand, past the stores.
    async fn insert(&self, at: usize, path: usize, total: i64) {
        let (date, id) = (self.date(at), self.ids[path]);
        let sql = format!(
            "INSERT INTO tally_request_days (day, series_id, total) VALUES ({date}, {id}, {total}) \
             ON CONFLICT (day, series_id) DO UPDATE SET total = excluded.total"
        );
        self.backend.execute(&sql).await;
    }

    /// Holds every store against the one that keeps nothing.
    async fn check(&self, why: &str) {
        for query in queries() {
            let expected = ask(&*self.none, &query).await.unwrap();
            for (at, store) in self.keeping.iter().enumerate() {
                let answer = ask(&**store, &query).await.unwrap();
                assert_eq!(listed(&answer), listed(&expected), "{why}, store {at}: {query:?}");
            }
        }
    }
}

/// Every granularity, with and without a filter, of all days and of some; first by month, so that
/// some periods are known in part only.
fn queries() -> Vec<Query> {
    let some = DayRange { first: day(DAYS[1]), last: day(DAYS[3]) };
    let filters = [
        Filter::default(),
        Filter { path_prefix: "/a".into(), ..Filter::default() },
        Filter { method: Some(4), ..Filter::default() },
    ];
    let granularities =
        [Granularity::Month, Granularity::Day, Granularity::Year, Granularity::Whole];
    let mut queries = Vec::new();
    for (granularity, filter) in
        granularities.iter().flat_map(|one| filters.iter().map(move |filter| (*one, filter)))
    {
        for (days, live) in [(some, false), (DayRange::ALL, true)] {
            queries.push(Query { days, live, filter: filter.clone(), ..query(granularity, live) });
        }
    }
    queries
}

async fn every_change_by_hand_is_seen(backend: Backend) {
    let kept = Kept::new(backend).await;
    kept.check("empty").await;
    for at in 0..DAYS.len() {
        kept.insert(at, at % 3, 10).await;
        kept.insert(at, (at + 1) % 3, 20).await;
    }
    kept.check("inserted").await;
    let (first, last) = (kept.date(0), kept.date(4));
    let mut changes = vec![
        format!("UPDATE tally_request_days SET total = total + 1 WHERE day = {first}"),
        "UPDATE tally_request_days SET total = total + 5".to_owned(),
        format!("UPDATE tally_request_days SET day = day + 1 WHERE day = {last}"),
        format!("DELETE FROM tally_request_days WHERE day = {first} AND total > 20"),
        format!("DELETE FROM tally_request_days WHERE day = {first}"),
        "UPDATE tally_request_days SET total = 0 WHERE total < 0".to_owned(),
    ];
    let id = kept.ids[0];
    if kept.is_sqlite() {
        let day = kept.date(1);
        changes.push(format!("REPLACE INTO tally_request_days VALUES ({day}, {id}, 77)"));
        changes.push("DELETE FROM tally_request_days".to_owned());
    } else {
        changes.push("TRUNCATE tally_request_days".to_owned());
    }
    changes.push(format!("INSERT INTO tally_request_days VALUES ({first}, {id}, 3)"));
    for sql in changes {
        kept.backend.execute(&sql).await;
        kept.check(&sql).await;
        kept.backend.maintain().await;
        kept.check("kept house").await;
    }
}

async fn a_roll_up_by_another_server_is_seen(backend: Backend) {
    let kept = Kept::new(backend).await;
    for rolled_up in &DAYS[..3] {
        append(&kept.backend, (0..30).map(|n| (kept.ids[n % 3], noon(DAYS[n % 5])))).await;
        kept.check("appended").await;
        kept.backend.second.roll_up(DayRange::one(day(rolled_up))).await.unwrap();
        kept.check("rolled one day up").await;
        kept.backend.second.roll_up(DayRange::ALL).await.unwrap();
        kept.check("rolled all days up").await;
    }
    assert_eq!(sum(&kept.backend.rolled_up().await), 90);
}

/// The totals and their stamps are put back as a backup has them.
async fn an_older_state_is_seen(backend: Backend) {
    let kept = Kept::new(backend).await;
    for at in 0..DAYS.len() {
        kept.insert(at, 0, 10).await;
    }
    kept.backend.maintain().await;
    kept.check("before").await;
    let tables = ["tally_request_days", "tally_request_day_stamps"];
    for table in tables {
        kept.backend.execute(&format!("CREATE TABLE old_{table} AS SELECT * FROM {table}")).await;
    }
    for at in 0..3 {
        kept.insert(at, 1, 7).await;
    }
    kept.backend.maintain().await;
    kept.check("changed").await;
    let mut sql = "BEGIN;".to_owned();
    for table in tables {
        sql += &format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM old_{table};");
    }
    kept.backend.execute(&(sql + "COMMIT")).await;
    kept.check("put back").await;
    assert_eq!(sum(&kept.backend.rolled_up().await), 50);
}

/// Without the triggers, a change is not noticed: so it is the stamps that all of this depends on.
async fn an_answer_comes_from_memory(backend: Backend) {
    let kept = Kept::new(backend).await;
    kept.insert(0, 0, 10).await;
    kept.backend.maintain().await;
    assert_eq!(sum(&kept.backend.rolled_up().await), 10);
    kept.backend
        .execute(if kept.is_sqlite() {
            "DROP TRIGGER tally_request_days_updated"
        } else {
            "ALTER TABLE tally_request_days DISABLE TRIGGER tally_request_days_updated"
        })
        .await;
    kept.backend.execute("UPDATE tally_request_days SET total = 11").await;
    for granularity in [Granularity::Day, Granularity::Month, Granularity::Whole] {
        let query = query(granularity, false);
        assert_eq!(ask(&*kept.backend.store, &query).await.unwrap().sum(), 10);
        assert_eq!(ask(&*kept.none, &query).await.unwrap().sum(), 11);
    }
}

/// Two who change the same days in another order, at once: neither waits for the other, and each
/// state in between is seen as it is.
async fn nobody_waits_for_a_stamp(backend: Backend) {
    let kept = Kept::new(backend).await;
    for at in 0..2 {
        kept.insert(at, 0, 1).await;
        kept.insert(at, 1, 10).await;
    }
    kept.check("before").await;
    let (one, other) = (kept.backend.connect().await, kept.backend.connect().await);
    let change = |at: usize, path: usize| {
        let (date, id) = (kept.date(at), kept.ids[path]);
        let sql = "UPDATE tally_request_days SET total = total * 2";
        format!("{sql} WHERE day = {date} AND series_id = {id}")
    };
    // To wait would be an error.
    let begin = "SET lock_timeout = '1ms'; BEGIN";
    for (client, sql) in [
        (&one, begin),
        (&other, begin),
        (&one, &change(0, 0)),
        (&other, &change(1, 1)),
        (&one, &change(1, 0)),
        (&other, &change(0, 1)),
        (&one, "COMMIT"),
        (&other, "COMMIT"),
    ] {
        client.batch_execute(sql).await.expect(sql);
        kept.check(sql).await;
    }
    assert_eq!(kept.backend.count("tally_request_day_stamps").await, 4, "two each");
    one.batch_execute(&change(0, 0)).await.unwrap();
    kept.check("one more").await;
    assert_eq!(kept.backend.count("tally_request_day_stamps").await, 3, "the older ones are gone");
}

/// Days are rolled up by two servers, while totals are asked for: no answer shows half of anything.
async fn no_request_is_lost_or_seen_twice(backend: Backend) {
    const ROUNDS: usize = 30;
    let kept = Kept::new(backend).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let all = i64::try_from(ROUNDS * 4 * 50).unwrap();
    let mut readers = JoinSet::new();
    for (at, store) in kept.keeping.iter().cloned().enumerate() {
        let is_over = Arc::clone(&is_over);
        readers.spawn(async move {
            let mut seen = 0;
            while !is_over.load(Ordering::SeqCst) {
                let query = query([Granularity::Day, Granularity::Month][at % 2], true);
                let found = ask(&*store, &query).await.unwrap().sum();
                assert!((seen..=all).contains(&found), "{found} after {seen}");
                assert_eq!(found % 50, 0, "batches are stored as a whole");
                seen = found;
                tokio::task::yield_now().await;
            }
        });
    }
    for store in [&kept.keeping[0], &kept.keeping[1]] {
        let store = Arc::clone(store);
        let is_over = Arc::clone(&is_over);
        readers.spawn(async move {
            while !is_over.load(Ordering::SeqCst) {
                store.roll_up(DayRange::ALL).await.unwrap();
            }
        });
    }
    for _ in 0..ROUNDS {
        for path in 0..2 {
            let rows = (0..50).map(|n| (kept.ids[path], noon(DAYS[n % 5])));
            append(&kept.backend, rows.clone()).await;
            append(&kept.backend, rows).await;
        }
    }
    is_over.store(true, Ordering::SeqCst);
    while let Some(reader) = readers.join_next().await {
        reader.unwrap();
    }
    kept.check("at the end").await;
    let found = ask(&*kept.none, &query(Granularity::Whole, true)).await.unwrap().sum();
    assert_eq!(found, all);
}

/// One step of a story.
#[derive(Debug, Clone)]
enum Action {
    Append(Vec<(usize, usize)>),
    /// From one of the days to another, by one of two servers.
    RollUp(usize, usize, bool),
    Insert(usize, usize, i64),
    Add(usize, i64),
    Move(usize, usize),
    Delete(usize),
    Empty,
    Maintain,
}

fn action() -> impl Strategy<Value = Action> {
    let day = || 0..DAYS.len();
    let rows = prop::collection::vec((day(), 0..PATHS.len()), 1..8);
    prop_oneof![
        4 => rows.prop_map(Action::Append),
        4 => (day(), day(), any::<bool>())
            .prop_map(|(a, b, other)| Action::RollUp(a.min(b), a.max(b), other)),
        3 => (day(), 0..PATHS.len(), 1_i64..100).prop_map(|(a, b, n)| Action::Insert(a, b, n)),
        2 => (day(), 1_i64..100).prop_map(|(a, n)| Action::Add(a, n)),
        1 => (day(), 0..PATHS.len()).prop_map(|(a, b)| Action::Move(a, b)),
        2 => day().prop_map(Action::Delete),
        1 => Just(Action::Empty),
        2 => Just(Action::Maintain),
    ]
}

async fn tell(backend: Backend, actions: &[Action]) {
    let kept = Kept::new(backend).await;
    for action in actions {
        match action {
            Action::Append(rows) => {
                let rows = rows.iter().map(|(at, path)| (kept.ids[*path], noon(DAYS[*at])));
                append(&kept.backend, rows).await;
            }
            Action::RollUp(first, last, other) => {
                let days = DayRange { first: day(DAYS[*first]), last: day(DAYS[*last]) };
                kept.keeping[usize::from(*other)].roll_up(days).await.unwrap();
            }
            Action::Insert(at, path, total) => kept.insert(*at, *path, *total).await,
            Action::Add(at, total) => {
                let date = kept.date(*at);
                let sql = "UPDATE tally_request_days SET total = total +";
                kept.backend.execute(&format!("{sql} {total} WHERE day <= {date}")).await;
            }
            Action::Move(at, path) => {
                let (date, id) = (kept.date(*at), kept.ids[*path]);
                // To a day that nothing else is on.
                let sql = format!(
                    "DELETE FROM tally_request_days WHERE day = {date} + 1000; \
                     UPDATE tally_request_days SET day = day + 1000 \
                     WHERE day = {date} AND series_id = {id}"
                );
                kept.backend.execute(&sql).await;
            }
            Action::Delete(at) => {
                let date = kept.date(*at);
                let sql = format!("DELETE FROM tally_request_days WHERE day = {date}");
                kept.backend.execute(&sql).await;
            }
            Action::Empty if kept.is_sqlite() => {
                kept.backend.execute("DELETE FROM tally_request_days").await;
            }
            Action::Empty => kept.backend.execute("TRUNCATE tally_request_days").await,
            Action::Maintain => kept.backend.maintain().await,
        }
        kept.check(&format!("{action:?}")).await;
    }
}

macro_rules! story {
    ($name:ident, $backend:ident, $cases:expr) => {
        #[test]
        fn $name() {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let config = Config { cases: $cases, failure_persistence: None, ..Config::default() };
            let run = |actions: Vec<Action>| {
                runtime.block_on(async {
                    if let Some(backend) = Backend::$backend("kept_property").await {
                        tell(backend, &actions).await;
                    }
                });
                Ok(())
            };
            TestRunner::new(config)
                .run(&prop::collection::vec(action(), 1..20), run)
                .unwrap_or_else(|failure| panic!("{failure}"));
        }
    };
}

story!(any_story_is_told_the_same_on_sqlite, sqlite, 16);
story!(any_story_is_told_the_same_on_postgres, postgres, 8);
