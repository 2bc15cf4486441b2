//! Postgres: trays are emptied by TRUNCATE, which no snapshot protects from. So nobody may miss a count
//! who has an older snapshot, nothing goes into a tray that is being folded, and no insert waits for it.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use tally_serve::Next;
use tally_testkit::{Cluster, Options, TestDatabase, bin_dir, eventually};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

use crate::LIMIT;
use crate::backend::{Backend, NOW, Producer, TODAY, append, migrated, noon, open, sum};
use crate::server::{Counting, get, settings};
use crate::snapshots::{one_row, wait_for_a_waiter};

/// The tray that takes rows at [`NOW`], and the one after it.
const TRAY: &str = "tally_requests_0";
const NEXT: &str = "tally_requests_1";
/// The live totals, and the tables that they are made of, by one statement.
const BOTH: &str = "SELECT
    (SELECT coalesce(sum(total), 0) FROM tally_totals_by_day)::INT8,
    (SELECT count(*) FROM tally_requests)
        + (SELECT coalesce(sum(total), 0) FROM tally_request_days)::INT8";
/// Below and above the size from which rows are copied.
const SIZES: [usize; 2] = [3, 2_500];
/// From then on one snapshot.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1";

async fn both(client: &Client) -> (i64, i64) {
    let row = client.query_one(BOTH, &[]).await.expect("sums");
    (row.get(0), row.get(1))
}

async fn states(client: &Client) -> Vec<String> {
    let sql = "SELECT state FROM tally_request_trays WHERE state <> 'imports' ORDER BY tray";
    client.query(sql, &[]).await.expect("states").iter().map(|row| row.get(0)).collect()
}

/// How many rows there are in tables, whether they count or not.
async fn rows(client: &Client) -> i64 {
    let mut all = 0;
    for tray in 0..4 {
        let sql = format!("SELECT count(*) FROM tally_requests_{tray}");
        all += client.query_one(&sql, &[]).await.expect("a count").get::<_, i64>(0);
    }
    all
}

/// Someone's snapshot stays for several folds. It always has the same counts, requests are counted and
/// folded meanwhile, and the trays are emptied after it.
#[tokio::test]
async fn a_snapshot_that_stays_sees_the_same() {
    let Some(backend) = one_row("old_snapshot").await else { return };
    let (reading, other) = (backend.connect().await, backend.connect().await);
    reading.batch_execute(BEGIN).await.expect("a snapshot");
    let id = backend.id(3, "/").await;
    for round in 1..=6 {
        assert_eq!(backend.store.fold().await.expect("a fold").requests, 1);
        assert_eq!(both(&reading).await, (1, 1), "round {round}");
        assert_eq!(both(&other).await, (round, round));
        append(&backend, [(id, noon(TODAY))]).await;
        assert_eq!(backend.audit().await, round + 1);
    }
    // The last one that takes rows keeps doing so.
    let states_now = states(&other).await;
    assert_eq!(states_now.iter().filter(|state| *state == "folded").count(), 3, "{states_now:?}");
    let holder = "SELECT min(reader) FROM tally_request_readers";
    let pid: i32 = reading.query_one("SELECT pg_backend_pid()", &[]).await.expect("one").get(0);
    let holder: String = other.query_one(holder, &[]).await.expect("one").get(0);
    assert_eq!(holder, format!("process {pid}"));
    reading.batch_execute("COMMIT").await.expect("it ends");
    for _ in 0..2 {
        backend.store.fold().await.expect("a fold");
    }
    assert_eq!(states(&other).await, ["open"; 4]);
    assert_eq!((rows(&other).await, backend.audit().await), (0, 7));
}

/// The same by the duties: they leave the last tray alone, whose rows are exact as they are.
#[tokio::test]
async fn duties_leave_one_tray_that_takes_rows() {
    let Some(database) = TestDatabase::create_or_skip("old_and_duties") else { return };
    let counting = Counting::start(&database.url(), settings()).await;
    let (reading, other) = (database.connect().await, database.connect().await);
    let at = async |time: &str| {
        counting.clock.set(time.parse().expect("a time"));
        counting.service.keeper().tick().await.expect("the duties");
    };
    reading.batch_execute(BEGIN).await.expect("a snapshot");
    for minute in ["00", "15", "30", "45"] {
        // A turn of each tray.
        for ms in ["000", "250", "500", "750"] {
            at(&format!("2030-06-15T13:{minute}:00.{ms}Z")).await;
            counting.add(vec![get("/", NOW)]).await.expect("counted");
        }
        assert_eq!(both(&reading).await, (0, 0));
    }
    let is_open = |state: &String| state == "open";
    assert_eq!(states(&other).await.into_iter().filter(is_open).count(), 1);
    assert_eq!(both(&other).await, (16, 16));
    reading.batch_execute("COMMIT").await.expect("it ends");
    for time in ["0", "0.25", "0.5", "0.75", "1", "1.25"] {
        at(&format!("2030-06-15T14:10:0{time}Z")).await;
    }
    assert_eq!((rows(&other).await, both(&other).await), (0, (16, 16)));
    counting.stop().await;
}

/// Rounds of a whole second would find a tray at its turn each time.
#[tokio::test]
async fn a_tray_at_its_turn_is_folded_after_it() {
    let Some(database) = TestDatabase::create_or_skip("turns") else { return };
    let counting = Counting::start(&database.url(), settings()).await;
    let client = database.connect().await;
    counting.add(vec![get("/", NOW)]).await.expect("counted");
    let round = async |time: &str| {
        counting.clock.set(time.parse().expect("a time"));
        let next = counting.service.keeper().tick().await.expect("the duties");
        (rows(&client).await, next)
    };
    let later = Next::After(Duration::from_millis(500));
    assert_eq!(round("2030-06-15T12:15:00Z").await, (1, later));
    assert_eq!(round("2030-06-15T12:15:00.5Z").await.0, 0);
    counting.stop().await;
}

/// How much was started, and how much is stored.
#[derive(Default)]
struct Progress {
    begun: AtomicI64,
    stored: AtomicI64,
    is_over: AtomicBool,
}

/// Appends and folds as long as somebody looks at it.
async fn keep_folding(backend: &Backend, progress: &Progress) {
    let (id, mut producer) = (backend.id(3, "/").await, Producer::new());
    while !progress.is_over.load(Ordering::SeqCst) {
        for size in SIZES {
            let count = i64::try_from(size).expect("few");
            progress.begun.fetch_add(count, Ordering::SeqCst);
            producer.append(&backend.store, false, vec![(id, noon(TODAY)); size]).await;
            progress.stored.fetch_add(count, Ordering::SeqCst);
            backend.second.fold().await.expect("a fold");
        }
    }
}

/// COPY takes its snapshot before its locks, for one of which it waits here while rows are folded.
#[tokio::test]
async fn a_copy_of_the_view_misses_nothing() {
    let Some(backend) = one_row("copied_view").await else { return };
    let (holding, copying) = (backend.connect().await, backend.connect().await);
    let lock = "BEGIN; LOCK TABLE tally_request_months IN ACCESS EXCLUSIVE MODE";
    holding.batch_execute(lock).await.expect("a lock");
    let copied = async {
        let sql = "COPY (SELECT sum(total) FROM tally_totals_by_day) TO STDOUT";
        let copy = copying.copy_out(sql).await.expect("a copy");
        let bytes: Vec<_> = copy.try_collect().await.expect("a copy");
        String::from_utf8(bytes.concat()).expect("a number")
    };
    let folding = async {
        wait_for_a_waiter(&backend).await;
        assert_eq!(backend.store.fold().await.expect("a fold").requests, 1);
        holding.batch_execute("COMMIT").await.expect("free");
    };
    let (copied, ()) = tokio::join!(copied, folding);
    assert_eq!(copied, "1\n");
    assert_eq!(backend.audit().await, 1);
}

fn run(bin: &Path, program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(bin.join(program)).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Backups that are made during folds have everything, and a server goes on with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_misses_nothing() {
    let Some(backend) = one_row("dumped").await else { return };
    let bin = bin_dir().expect("Postgres's programs, which the tests' Postgres comes with");
    let folder = tempfile::tempdir().expect("a folder");
    let url = backend.url();
    let progress = Progress::default();
    let dumping = async {
        let mut dumps = Vec::new();
        for n in 0..5 {
            let path = folder.path().join(format!("{n}.sql"));
            let (stored, bin, url) =
                (progress.stored.load(Ordering::SeqCst), bin.clone(), url.clone());
            let file = path.display().to_string();
            let dump = move || run(&bin, "pg_dump", &["--no-owner", "--file", &file, &url]);
            let mut dumping = JoinSet::new();
            dumping.spawn_blocking(dump);
            dumping.join_next().await.expect("a dump").expect("a dump");
            dumps.push((path, stored, progress.begun.load(Ordering::SeqCst)));
        }
        progress.is_over.store(true, Ordering::SeqCst);
        dumps
    };
    let ((), dumps) = tokio::join!(keep_folding(&backend, &progress), dumping);
    for (path, stored, begun) in dumps {
        let place = TestDatabase::create("restored");
        let file = path.display().to_string();
        let arguments = ["--quiet", "--set", "ON_ERROR_STOP=1", "--file", &file, &place.url()];
        tokio::task::block_in_place(|| run(&bin, "psql", &arguments));
        let (one, second) = (open(&place.url()).await, open(&place.url()).await);
        let restored = Backend::of_postgres(place, one, &second);
        let all = restored.audit().await;
        assert!((stored..=begun).contains(&(all - 1)), "{all} of {stored} to {begun}");
        let id = restored.id(3, "/").await;
        append(&restored, [(id, noon(TODAY))]).await;
        restored.store.fold().await.expect("a fold");
        assert_eq!((restored.audit().await, restored.count("tally_requests").await), (all + 1, 0));
    }
}

/// A fold is held in the middle. Another server, which does not know of it, stores rows of any number in
/// the next tray, at once.
#[tokio::test]
async fn an_insert_does_not_wait_for_a_fold() {
    let Some(backend) = one_row("beside_fold").await else { return };
    let holding = backend.connect().await;
    let lock = "BEGIN; LOCK TABLE tally_request_calendar IN SHARE ROW EXCLUSIVE MODE";
    holding.batch_execute(lock).await.expect("the books");
    let storing = async {
        wait_for_a_waiter(&backend).await;
        let id = backend.id(3, "/").await;
        for size in SIZES {
            let rows = vec![(id, noon(TODAY)); size];
            Producer::new().append(&backend.second, false, rows).await;
        }
        assert_eq!(backend.count(NEXT).await, SIZES.iter().sum::<usize>() as i64);
        assert_eq!(sum(&backend.live().await), 2_504);
        holding.batch_execute("COMMIT").await.expect("the books are free");
    };
    let (folded, ()) = tokio::join!(backend.store.fold(), storing);
    assert!(folded.expect("a fold").requests >= 1);
    backend.store.fold().await.expect("a fold");
    assert_eq!((backend.audit().await, backend.count("tally_requests").await), (2_504, 0));
}

/// A batch that waits for a tray's lock while the tray is closed goes to the next one, whatever isolation
/// an administrator has set.
#[tokio::test]
async fn no_row_goes_into_a_tray_that_is_closed_meanwhile() {
    let Some(backend) = one_row("closed_meanwhile").await else { return };
    let sql = format!(
        "ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'",
        backend.database_name()
    );
    backend.execute(&sql).await;
    let backend = backend.opened_again().await;
    let id = backend.id(3, "/").await;
    let mut expected = 0;
    // A server remembers for a while what is closed.
    for (size, store) in SIZES.into_iter().zip([&backend.second, &backend.store]) {
        let closing = backend.connect().await;
        let begin = format!("BEGIN; LOCK TABLE {TRAY} IN SHARE ROW EXCLUSIVE MODE");
        closing.batch_execute(&begin).await.expect("a lock");
        let ending = async {
            wait_for_a_waiter(&backend).await;
            let mark = format!(
                "UPDATE tally_request_trays SET state = 'closed' WHERE tray = '{TRAY}'; COMMIT"
            );
            closing.batch_execute(&mark).await.expect("closed");
        };
        let mut producer = Producer::new();
        let storing = producer.append(store, false, vec![(id, noon(TODAY)); size]);
        tokio::join!(storing, ending);
        expected += size as i64;
        assert_eq!(backend.count(NEXT).await, expected);
        // What was closed by somebody who is gone is folded by the next one, and emptied by the one after it.
        for _ in 0..2 {
            backend.store.fold().await.expect("a fold");
        }
        assert_eq!(backend.count("tally_requests").await, 0);
        expected = 0;
    }
    assert_eq!(backend.audit().await, 2_504);
}

/// The server that has folded is gone before it has emptied the tray: another one does it.
#[tokio::test]
async fn a_folded_tray_is_emptied_by_another_server() {
    let Some(backend) = one_row("left_folded").await else { return };
    let (reading, other) = (backend.connect().await, backend.connect().await);
    reading.batch_execute(BEGIN).await.expect("a snapshot");
    assert_eq!(backend.store.fold().await.expect("a fold").requests, 1);
    assert_eq!(states(&other).await[0], "folded");
    assert_eq!((backend.count(TRAY).await, both(&reading).await), (1, (1, 1)));
    let backend = backend.opened_again().await;
    assert_eq!(backend.audit().await, 1);
    assert_eq!(backend.second.fold().await.expect("a fold").requests, 0);
    assert_eq!((backend.count(TRAY).await, both(&reading).await), (1, (1, 1)));
    reading.batch_execute("COMMIT").await.expect("it ends");
    assert_eq!(backend.second.fold().await.expect("a fold").requests, 0);
    assert_eq!(states(&other).await, ["open"; 4]);
    assert_eq!((rows(&other).await, backend.audit().await), (0, 1));
}

/// A standby tells its primary what its queries need.
#[tokio::test]
async fn a_tray_waits_for_a_query_on_a_standby() {
    if TestDatabase::create_or_skip("standby").is_none() {
        return;
    }
    let settings = [("hot_standby_feedback", "on"), ("wal_receiver_status_interval", "1")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let primary = Cluster::start(Options { settings, ..Options::default() }).expect("a primary");
    let place = TestDatabase::create_on(&primary.url("postgres"), "primary");
    let (one, second) = (migrated(&place.url()).await, open(&place.url()).await);
    let backend = Backend::of_postgres(place, one, &second);
    let id = backend.id(3, "/").await;
    append(&backend, [(id, noon(TODAY))]).await;
    let standby = primary.standby().expect("a standby");
    let url = standby.url(backend.database_name());
    let (reading, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a standby");
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    eventually("it has the row", LIMIT, async || both(&reading).await == (1, 1)).await;
    let told = "SELECT count(*) FROM pg_stat_replication WHERE backend_xmin IS NOT NULL";
    let other = backend.connect().await;
    let tells = async || other.query_one(told, &[]).await.expect("one").get::<_, i64>(0) > 0;
    eventually("it tells what it needs", LIMIT, tells).await;
    reading.batch_execute(BEGIN).await.expect("a snapshot");
    assert_eq!(both(&reading).await, (1, 1));
    backend.store.fold().await.expect("a fold");
    let at: String =
        other.query_one("SELECT pg_current_wal_lsn()::TEXT", &[]).await.expect("one").get(0);
    let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{at}'::PG_LSN");
    let replays = async || reading.query_one(&replayed, &[]).await.expect("one").get::<_, bool>(0);
    eventually("it has replayed the fold", LIMIT, replays).await;
    backend.store.fold().await.expect("a fold");
    assert_eq!((states(&other).await[0].as_str(), backend.count(TRAY).await), ("folded", 1));
    assert_eq!(both(&reading).await, (1, 1));
    reading.batch_execute("COMMIT").await.expect("it ends");
    let empties = async || {
        backend.store.fold().await.expect("a fold");
        backend.count(TRAY).await == 0
    };
    eventually("the tray is emptied", LIMIT, empties).await;
    eventually("it has both", LIMIT, async || both(&reading).await == (1, 1)).await;
}
