//! What one server does for all, second by second.

use std::sync::Arc;
use std::time::Duration;

use tally_outbox::{Outbox, Webhooks};
use tally_requests::{DayRange, Service, Settings};
use tally_runtime::{Drain, ManualClock, Tasks, chain};
use tally_serve::Parts;
use tally_testkit::{Disturbance, Disturber, TestDatabase, eventually};

use crate::backend::{Backend, NOW, append, noon, open};
use crate::server::{Counting, get, settings};

/// Days that are not rolled up.
const OPEN: &str = "tally_request_calendar WHERE rolled_up_at IS NULL";

/// Asks a database how many rows a table has.
enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(TestDatabase),
}

// === impl Place ===

impl Place {
    fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a folder"))
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite:{}", folder.path().join("tally.db").display()),
            Self::Postgres(database) => database.url(),
        }
    }

    async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        match self {
            Self::Sqlite(folder) => {
                let file = rusqlite::Connection::open(folder.path().join("tally.db"));
                file.and_then(|file| file.query_row(&sql, [], |row| row.get(0))).expect("a count")
            }
            Self::Postgres(database) => {
                database.connect().await.query_one(&sql, &[]).await.expect("a count").get(0)
            }
        }
    }
}

#[tokio::test]
async fn sqlite_is_kept_without_anybody_watching() {
    keep(&Place::sqlite()).await;
}

#[tokio::test]
async fn postgres_is_kept_without_anybody_watching() {
    let Some(database) = TestDatabase::create_or_skip("keeper") else { return };
    keep(&Place::Postgres(database)).await;
}

async fn keep(place: &Place) {
    let roll_up_at = "00:10".parse().expect("a time of day");
    let settings = Settings { roll_up_at, quarter_retention_days: 2, ..settings() };
    let counting = Counting::start(&place.url(), settings).await;
    let at = async |time: &str| {
        counting.clock.set(time.parse().expect("a time"));
        counting.service.keeper().tick().await.expect("the duties");
    };
    // A server that starts catches up first.
    at(NOW).await;
    counting.add(vec![get("/", NOW); 3]).await.unwrap();
    at("2030-06-15T12:14:59Z").await;
    assert_eq!(place.count("tally_requests").await, 3, "the quarter goes on");
    at("2030-06-15T12:15:00.5Z").await;
    assert_eq!(place.count("tally_requests").await, 0);
    assert_eq!(place.count("tally_request_days").await, 1);
    assert_eq!(counting.live().await.iter().map(|total| total.3).sum::<i64>(), 3);

    at("2030-06-16T00:09:59Z").await;
    assert_eq!(place.count("tally_request_months").await, 0, "it is not yet time");
    at("2030-06-16T00:10:00Z").await;
    assert_eq!(place.count("tally_request_months").await, 1);

    // A week without a tick, and a month's end in it.
    for day in ["2030-06-28", "2030-06-30", "2030-07-01"] {
        counting.clock.set(format!("{day}T10:00:00Z").parse().expect("a time"));
        counting.add(vec![get("/", &format!("{day}T10:00:00Z"))]).await.unwrap();
    }
    at("2030-07-02T09:00:00.5Z").await;
    assert_eq!(place.count("tally_request_months").await, 2);
    let rolled_up = "tally_request_calendar WHERE rolled_up_at IS NOT NULL";
    assert_eq!(place.count(rolled_up).await, 4);
    // Two whole days are kept.
    assert_eq!(place.count("tally_request_days").await, 2);
    assert_eq!(place.count("tally_request_calendar WHERE pruned_at IS NOT NULL").await, 2);
    // A clock that is years ahead deletes nothing.
    at("2033-01-01T00:00:02Z").await;
    assert_eq!(place.count("tally_request_days").await, 2);
    assert_eq!(counting.live().await.iter().map(|total| total.3).sum::<i64>(), 6);
}

/// A shorter retention prunes what it does not keep any more, a longer one or none brings nothing back, and
/// a day that was rolled up just now keeps its hours for a day, however old it is.
#[tokio::test]
async fn hours_are_kept_as_the_settings_say() {
    let Some(backend) = Backend::postgres("retention").await else { return };
    let id = backend.id(3, "/").await;
    let days = ["2029-06-15", "2030-06-12", "2030-06-14"];
    append(&backend, days.map(|day| (id, noon(day)))).await;
    backend.roll_up(DayRange::ALL).await;
    // The retention, how long the roll-ups are ago, and how many of the three days have hours.
    for (quarter_retention_days, hours, kept) in
        [(400, 0, 3), (400, 25, 3), (2, 23, 3), (2, 25, 1), (0, 25, 1), (400, 25, 1)]
    {
        let sql = format!(
            "UPDATE tally_request_calendar SET rolled_up_at = now() - INTERVAL '{hours} hours'"
        );
        backend.execute(&sql).await;
        let kept_after_roll_up = Duration::from_secs(24 * 60 * 60);
        let settings = Settings { quarter_retention_days, kept_after_roll_up, ..settings() };
        let (service, _) = idle(&backend.url(), settings).await;
        service.keeper().tick().await.expect("the duties");
        let case = format!("{quarter_retention_days} days, {hours} hours after the roll-up");
        assert_eq!(backend.count("tally_request_days").await, kept, "{case}");
        assert_eq!(backend.audit().await, 3, "{case}");
    }
}

/// Each statement of the duties goes wrong once. The books are right at any time, and the next round goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duties_that_are_disturbed_go_on() {
    let Some(backend) = Backend::postgres("duties_disturbed").await else { return };
    let (disturber, url) = Disturber::before(&backend.url()).await;
    let roll_up_at = "00:10".parse().expect("a time of day");
    let settings = Settings { roll_up_at, quarter_retention_days: 2, ..settings() };
    let (service, clock) = idle(&url, settings).await;
    let id = backend.id(3, "/").await;
    let start: jiff::Timestamp = NOW.parse().expect("a time");
    // Each round is a day later, so that all is due: folds, a roll-up, a prune, and housekeeping.
    let mut round = 0;
    let mut next_day = async || {
        round += 1;
        let now = start + jiff::SignedDuration::from_hours(24 * round);
        clock.set(now);
        let times = [0, 4].map(|days| now.as_microsecond() - days * 86_400_000_000);
        append(&backend, times.map(|time| (id, time))).await;
    };
    next_day().await;
    let mut expected = 2;
    disturber
        .at_every_statement(
            &[Disturbance::Refused("XX000")],
            async || service.keeper().tick().await,
            async |when, done| {
                if done.is_err() {
                    assert_eq!(backend.audit().await, expected, "{when}");
                    service.keeper().tick().await.expect("the next round");
                }
                assert_eq!(backend.count("tally_requests").await, 0, "{when}");
                assert_eq!(backend.count(OPEN).await, 1, "only today is open, {when}");
                assert_eq!(backend.audit().await, expected, "{when}");
                next_day().await;
                expected += 2;
            },
        )
        .await;
}

/// A role that may not TRUNCATE never empties a tray. All other duties go on.
#[tokio::test]
async fn a_duty_that_fails_keeps_no_other_one_waiting() {
    let Some(backend) = Backend::postgres("duty_failing").await else { return };
    let role = format!("{}_role", backend.database_name());
    let rights = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'rights';
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
    );
    backend.execute(&rights).await;
    let url = backend.url();
    let (_, server) = url.split_once('@').expect("a user");
    let roll_up_at = "00:10".parse().expect("a time of day");
    let settings = Settings { roll_up_at, quarter_retention_days: 2, ..settings() };
    let (service, clock) = idle(&format!("postgres://{role}:rights@{server}"), settings).await;
    let id = backend.id(3, "/").await;
    let start: jiff::Timestamp = NOW.parse().expect("a time");
    let mut failures = Vec::new();
    for day in 1..=5 {
        let now = start + jiff::SignedDuration::from_hours(24 * day);
        clock.set(now);
        append(&backend, [(id, now.as_microsecond())]).await;
        failures.extend(service.keeper().tick().await.err());
        assert_eq!(backend.count(OPEN).await, 1, "only today is open, day {day}");
        assert_eq!(backend.audit().await, day, "day {day}");
    }
    assert!(chain(failures.first().expect("a failure")).contains("permission denied"));
    assert_eq!(backend.count("tally_request_calendar WHERE pruned_at IS NOT NULL").await, 2);
    backend.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

/// A service that does its duties when the test says so, and not each second.
async fn idle(url: &str, settings: Settings) -> (Service, Arc<ManualClock>) {
    let (clock, drain) = (Arc::new(ManualClock::new(NOW.parse().expect("a time"))), Drain::new());
    drain.begin();
    let (database, clock_of_parts) = (open(url).await, Arc::clone(&clock) as _);
    let outbox = Outbox::new(database.clone(), Webhooks::default());
    let parts = Parts { database, clock: clock_of_parts, drain, tasks: Tasks::new(), outbox };
    (Service::start(parts, settings).await.expect("the service starts"), clock)
}

/// Somebody reads a tray and does not end. All are folded, requests are counted, and the tray is emptied
/// when it is free.
#[tokio::test]
async fn a_reader_that_stays_holds_up_one_tray() {
    let Some(database) = TestDatabase::create_or_skip("staying") else { return };
    let counting = Counting::start(&database.url(), settings()).await;
    let at = |time: &str| counting.clock.set(time.parse().expect("a time"));
    // Of two trays.
    for second in ["12:00:00", "12:00:00.25"] {
        at(&format!("2030-06-15T{second}Z"));
        counting.add(vec![get("/", NOW); 3]).await.unwrap();
    }
    let reading = database.connect().await;
    let begin = "BEGIN; LOCK TABLE tally_requests_0 IN ACCESS SHARE MODE";
    reading.batch_execute(begin).await.expect("a reader");
    let rows = async || {
        let sql = "SELECT count(*) FROM tally_requests_0";
        reading.query_one(sql, &[]).await.expect("a count").get::<_, i64>(0)
    };
    for second in ["12:15:00.5", "12:15:00.75", "12:15:01.5"] {
        at(&format!("2030-06-15T{second}Z"));
        counting.service.keeper().tick().await.expect("the duties");
    }
    let live = async || counting.live().await.iter().map(|total| total.3).sum::<i64>();
    assert_eq!((rows().await, live().await), (3, 6));
    at("2030-06-15T12:15:02Z");
    counting.add(vec![get("/", NOW); 3]).await.expect("into the next tray");
    assert_eq!(live().await, 9);
    reading.batch_execute("COMMIT").await.expect("it ends");
    at("2030-06-15T12:30:00.5Z");
    counting.service.keeper().tick().await.expect("the duties");
    assert_eq!(live().await, 9);
    let sql = "SELECT count(*) FROM tally_requests_0";
    assert_eq!(reading.query_one(sql, &[]).await.expect("a count").get::<_, i64>(0), 0);
}

/// Two servers do all duties at the same time, with clocks that differ by an hour: whoever has the
/// lease, or thinks so, is right. A reader sees every request once, at any time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_keepers_at_once() {
    let Some(database) = TestDatabase::create_or_skip("two_keepers") else { return };
    let kept = || {
        let roll_up_at = "00:10".parse().expect("a time of day");
        Settings { roll_up_at, quarter_retention_days: 1, ..settings() }
    };
    let one = Counting::start(&database.url(), kept()).await;
    let other = Counting::start(&database.url(), kept()).await;
    let sum =
        async |counting: &Counting| counting.live().await.iter().map(|total| total.3).sum::<i64>();
    let start: jiff::Timestamp = NOW.parse().expect("a time");
    let (mut expected, mut seen) = (0, 0);
    for round in 0..24 {
        let now = start + jiff::SignedDuration::from_secs(round * 10_001);
        one.clock.set(now);
        other.clock.set(now - jiff::SignedDuration::from_hours(1));
        let times = [now.to_string(), NOW.to_owned()];
        let batch = |path| times.iter().map(|time| get(path, time)).collect::<Vec<_>>();
        let reading = async {
            let mut live = seen;
            for _ in 0..3 {
                let next = sum(&one).await;
                assert!(next >= live && next <= expected + 4, "{live}, then {next}");
                live = next;
            }
            live
        };
        let (keepers, servers) = ([one.service.keeper(), other.service.keeper()], [&one, &other]);
        let (a, b, c, d, live) = tokio::join!(
            keepers[0].tick(),
            keepers[1].tick(),
            servers[0].add(batch("/a")),
            servers[1].add(batch("/b")),
            reading,
        );
        for done in [c, d] {
            done.expect("requests are counted");
        }
        for done in [a, b] {
            done.unwrap_or_else(|error| panic!("{}", tally_runtime::chain(&error)));
        }
        expected += 4;
        seen = live;
        assert_eq!(sum(&other).await, expected);
    }
    let audit = "SELECT (SELECT sum(total) FROM tally_totals_by_day)::INT8, \
                        (SELECT count(*) FROM tally_request_calendar WHERE pruned_at IS NOT NULL)";
    let row = database.connect().await.query_one(audit, &[]).await.expect("sums");
    assert_eq!(row.get::<_, i64>(0), expected);
    assert!(row.get::<_, i64>(1) > 0, "days were pruned on the way");
}

/// What a service has to tidy up besides its totals, and what of it a SQLite file need not keep.
#[tokio::test]
async fn housekeeping_is_a_duty() {
    let Some(backend) = Backend::postgres("housekeeping").await else { return };
    let id = backend.id(3, "/").await;
    let times = (0..100).map(|n| (id, noon("2015-05-17") + n * 86_400_000_000));
    append(&backend, times).await;
    backend.age_producers(31).await;
    assert_eq!(backend.count("tally_producer_batches").await, 1, "it has many days");
    let (service, _) = idle(&backend.url(), settings()).await;
    service.keeper().tick().await.expect("the duties");
    assert_eq!(backend.count("tally_producer_batches").await, 0);
    assert_eq!(backend.count("tally_producers").await, 0, "it was silent for too long");
    assert_eq!(backend.audit().await, 100);
}

#[tokio::test]
async fn a_file_gives_free_space_back() {
    let backend = Backend::sqlite("space").await.expect("a file");
    let counting = Counting::on(backend.database.clone(), settings()).await;
    let fill = "CREATE TABLE filler (data BLOB); INSERT INTO filler VALUES (zeroblob(20000000)); \
                DROP TABLE filler";
    backend.execute(fill).await;
    let file = rusqlite::Connection::open(backend.file()).expect("the file");
    eventually("free space is given back in steps", crate::LIMIT, async || {
        counting.service.keeper().tick().await.expect("the duties");
        let free = file.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
        free.expect("a number") <= 2_048
    })
    .await;
}
