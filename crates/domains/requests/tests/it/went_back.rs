//! The database is set back to an earlier state, or changed by hand, under a running server. The
//! loss stays, but nothing is counted under another name, and no sum loses a row.

use tally_proto::count::v1 as proto;
use tally_requests::Settings;
use tally_testkit::TestDatabase;
use tempfile::TempDir;
use tonic::Code;

use crate::add::on_sqlite;
use crate::backend::{NOW, TODAY, sum, total};
use crate::server::{Counting, get, settings};
use crate::submitting::submit;

/// The tables of a backup.
const TABLES: [&str; 8] = [
    "tally_request_series",
    "tally_requests_0",
    "tally_request_calendar",
    "tally_request_months",
    "tally_request_days",
    "tally_producers",
    "tally_producer_days",
    "tally_idempotency_keys",
];

/// Direct access to a service's database.
enum Place {
    Sqlite(TempDir),
    Postgres(TestDatabase),
}

// === impl Place ===

impl Place {
    async fn execute(&self, sql: &str) {
        match self {
            Self::Sqlite(folder) => {
                let file = rusqlite::Connection::open(folder.path().join("tally.db")).unwrap();
                file.execute_batch(sql).expect(sql);
            }
            Self::Postgres(database) => {
                database.connect().await.batch_execute(sql).await.expect(sql);
            }
        }
    }

    /// Copies all tables within the database.
    async fn back_up(&self) {
        for table in TABLES {
            self.execute(&format!("CREATE TABLE backup_{table} AS SELECT * FROM {table}")).await;
        }
    }

    /// Restores all tables in one transaction.
    async fn restore(&self) {
        let restore = TABLES.map(|table| {
            format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM backup_{table};")
        });
        self.execute(&format!("BEGIN; {} COMMIT", restore.concat())).await;
    }
}

async fn on_postgres(hint: &str, settings: Settings) -> Option<(Place, Counting)> {
    let database = TestDatabase::create_or_skip(hint)?;
    let counting = Counting::start(&database.url(), settings).await;
    Some((Place::Postgres(database), counting))
}

async fn add(counting: &Counting, path: &str, times: usize) {
    counting.add(vec![get(path, NOW); times]).await.unwrap();
}

/// The same server counts names newer than the backup before and after the restore, with entirely
/// new names in between.
async fn nothing_is_counted_under_another_name(place: Place, counting: Counting) {
    add(&counting, "/old", 1).await;
    place.back_up().await;
    add(&counting, "/new", 5).await;
    place.restore().await;
    if let Place::Postgres(_) = place {
        // A restore or a failover ends the database's sessions.
        let sessions = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()";
        place.execute(sessions).await;
    }
    add(&counting, "/new", 100).await;
    for n in 0..20 {
        add(&counting, &format!("/other{n}"), 1).await;
    }
    add(&counting, "/new", 100).await;
    let totals = counting.live().await;
    assert!(totals.contains(&total(TODAY, 3, "/new", 200)), "{totals:?}");
    assert!(totals.contains(&total(TODAY, 3, "/old", 1)), "{totals:?}");
    assert_eq!((totals.len(), sum(&totals)), (22, 221));
    counting.stop().await;
}

#[tokio::test]
async fn a_restored_sqlite_file() {
    let (folder, counting) = on_sqlite(settings()).await;
    nothing_is_counted_under_another_name(Place::Sqlite(folder), counting).await;
}

#[tokio::test]
async fn a_restored_postgres() {
    let Some((place, counting)) = on_postgres("went_back", settings()).await else { return };
    nothing_is_counted_under_another_name(place, counting).await;
}

/// What came under a key after the backup is gone with its key, so it can be counted again.
async fn keys_go_back_with_what_they_stand_for(place: Place, counting: Counting) {
    let entry = r#"[{"method":"GET","path":"/"}]"#;
    let send = async |key: &str| {
        let head = format!("idempotency-key: {key}\r\n");
        let answer = submit(counting.address(), &head, entry).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        sum(&counting.live().await)
    };
    assert_eq!(send("before").await, 1);
    place.back_up().await;
    assert_eq!(send("after").await, 2);
    place.restore().await;
    assert_eq!(sum(&counting.live().await), 1);
    assert_eq!((send("before").await, send("after").await, send("after").await), (1, 2, 2));
    counting.stop().await;
}

#[tokio::test]
async fn keys_of_a_restored_sqlite_file() {
    let (folder, counting) = on_sqlite(settings()).await;
    keys_go_back_with_what_they_stand_for(Place::Sqlite(folder), counting).await;
}

#[tokio::test]
async fn keys_of_a_restored_postgres() {
    let Some((place, counting)) = on_postgres("keys_back", settings()).await else { return };
    keys_go_back_with_what_they_stand_for(place, counting).await;
}

/// Sessions survive, so only the gap in the worker's numbers shows it.
#[tokio::test]
async fn a_postgres_set_back_by_one_transaction() {
    let settings = Settings { workers: 1, ..settings() };
    let Some((place, counting)) = on_postgres("went_back_alive", settings).await else { return };
    add(&counting, "/old", 1).await;
    place.back_up().await;
    add(&counting, "/new", 5).await;
    place.restore().await;
    add(&counting, "/new", 100).await;
    assert_eq!(counting.live().await, [total(TODAY, 3, "/new", 100), total(TODAY, 3, "/old", 1)]);
    counting.stop().await;
}

/// Deleted names: `_unknown` until they are used again, which restores them for all their rows.
async fn deleted_names_return(place: Place, counting: Counting) {
    add(&counting, "/a", 2).await;
    add(&counting, "/b", 3).await;
    place.execute("DELETE FROM tally_request_series").await;
    let mut client = counting.client().await;
    let date = Some(tally_proto::google::r#type::Date { year: 2030, month: 6, day: 15 });
    let request = proto::CountDailyTotalsRequest { date };
    let counts = client.count_daily_totals(request).await.unwrap().into_inner().method_counts;
    let counts: Vec<_> = counts.iter().map(|one| (&*one.path, one.count)).collect();
    assert_eq!(counts, [("_unknown", 5)]);
    add(&counting, "/a", 4).await;
    assert_eq!(counting.live().await, [total(TODAY, 3, "/a", 6), total(TODAY, 0, "_unknown", 3)]);
    counting.stop().await;
}

#[tokio::test]
async fn names_deleted_from_sqlite() {
    let (folder, counting) = on_sqlite(settings()).await;
    deleted_names_return(Place::Sqlite(folder), counting).await;
}

#[tokio::test]
async fn names_deleted_from_postgres() {
    let Some((place, counting)) = on_postgres("no_names", settings()).await else { return };
    deleted_names_return(place, counting).await;
}

/// A copy of the server's machine counts with the same worker id, but its numbers are not ours.
async fn a_copied_server_acknowledges_what_it_stores(place: Place, counting: Counting) {
    for n in 0..70 {
        if n == 5 || n == 40 {
            place
                .execute("UPDATE tally_producers SET sequence = sequence + 40 WHERE epoch = 0")
                .await;
        }
        add(&counting, "/", 1).await;
    }
    assert_eq!(counting.live().await, [total(TODAY, 3, "/", 70)]);
    counting.stop().await;
}

#[tokio::test]
async fn a_copied_server_on_sqlite() {
    let (folder, counting) = on_sqlite(settings()).await;
    a_copied_server_acknowledges_what_it_stores(Place::Sqlite(folder), counting).await;
}

#[tokio::test]
async fn a_copied_server_on_postgres() {
    let Some((place, counting)) = on_postgres("copied", settings()).await else { return };
    a_copied_server_acknowledges_what_it_stores(place, counting).await;
}

/// A new endpoint is written with its rows and not looked up before, so a locked dictionary delays
/// the batch but refuses nothing.
#[tokio::test]
async fn a_locked_dictionary_delays_and_refuses_nothing() {
    let Some((place, counting)) = on_postgres("locked_names", settings()).await else { return };
    let Place::Postgres(database) = &place else { unreachable!() };
    add(&counting, "/", 1).await;
    let holder = database.connect().await;
    holder.batch_execute("BEGIN; LOCK TABLE tally_request_series").await.unwrap();
    let adding = add(&counting, "/new", 1_000);
    let unlocking = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
             AND datname = current_database()";
        let watcher = database.connect().await;
        tally_testkit::eventually("a batch waits for the dictionary", crate::LIMIT, async || {
            let waiting: i64 = watcher.query_one(waiting, &[]).await.unwrap().get(0);
            if waiting > 0 { Ok(()) } else { Err("none waits") }
        })
        .await;
        holder.batch_execute("COMMIT").await.unwrap();
    };
    tokio::join!(adding, unlocking);
    assert_eq!(counting.live().await, [total(TODAY, 3, "/", 1), total(TODAY, 3, "/new", 1_000)]);
    counting.stop().await;
}

/// Paths are also limited in bytes, and so is a single-message answer.
#[tokio::test]
async fn long_paths_fill_no_memory() {
    let settings = Settings { series_max: 20_000, ..settings() };
    let (folder, counting) = on_sqlite(settings).await;
    let long = "x".repeat(2_000);
    let stream = (0..3_000).map(|n| get(&format!("/{n}/{long}"), NOW)).collect();
    counting.add(stream).await.unwrap();
    // Half of the room for texts is 2,560,000 bytes; these have 2,006 to 2,009.
    let totals = counting.live().await;
    let other = totals.iter().find(|one| one.2 == "_other").expect("the rest").3;
    assert_eq!((totals.len(), sum(&totals)), (1_276, 3_000));
    assert_eq!(other, 3_000 - 1_275);
    // Ten such days.
    for day in 10..20 {
        let time = format!("2030-05-{day}T12:00:00Z");
        let stream = (0..1_275).map(|n| get(&format!("/{n}/{long}"), &time)).collect();
        counting.add(stream).await.unwrap();
    }
    let mut client = counting.client().await;
    let date = |month, day| Some(tally_proto::google::r#type::Date { year: 2030, month, day });
    let request = proto::CountDailyTotalsRequest { date: date(5, 0) };
    let error = client.count_daily_totals(request).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(error.message().contains("are rolled up, but not answered"), "{error}");
    let range = proto::ListDailyTotalsRequest { start_date: date(5, 0), end_date: date(5, 0) };
    let error = client.list_daily_totals(range).await.unwrap_err();
    assert!(error.message().contains("QueryTotals"), "{error}");
    let day = proto::ListDailyTotalsRequest { start_date: date(5, 10), end_date: date(5, 10) };
    let answer = client.list_daily_totals(day).await.unwrap().into_inner();
    assert_eq!(answer.method_counts.len(), 1_275);
    counting.stop().await;
    drop(folder);
}
