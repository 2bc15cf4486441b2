//! Duties: done by one server, whatever fails.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tally_runtime::{Chore, Clock as _, Drain, Error, Kind, SystemClock, Tasks};
use tally_serve::{Duties, Next};
use tally_store::postgres::Settings;
use tally_store::{Database, DatabaseUrl, Lease};
use tally_testkit::{TestDatabase, eventually};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::LIMIT;

/// The tables that all domains share.
const TABLES: &str = include_str!("../../../../../migrations/postgres/kernel/V1__kernel.sql");

async fn open(url: &str) -> Database {
    let url: DatabaseUrl = url.parse().expect("a database URL");
    Database::open(&url, Settings::default()).await.expect("it opens")
}

/// A file, whose lease is always held.
async fn file() -> (TempDir, Database) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("tally.db").display());
    let database = open(&url).await;
    (folder, database)
}

/// A database with the tables.
async fn server(hint: &str) -> Option<(TestDatabase, Database)> {
    let database = TestDatabase::create_or_skip(hint)?;
    database.connect().await.batch_execute(TABLES).await.expect("the tables");
    let opened = open(&database.url()).await;
    Some((database, opened))
}

/// A server that counts how often it does its duties, and ends after some of them.
struct Counting {
    done: Arc<AtomicUsize>,
    drain: Drain,
    tasks: Tasks,
    chore: Chore,
}

impl Counting {
    fn start(database: &Database) -> Self {
        let (done, drain, tasks) = (Arc::<AtomicUsize>::default(), Drain::new(), Tasks::new());
        let duties = Duties::new(Lease::new(database.clone(), "x"), drain.clone());
        let chore = Chore::new("counting", Duration::ZERO, SystemClock.now());
        let duties = duties.doing([chore.clone()]);
        let counting = Arc::clone(&done);
        let count = move || {
            counting.fetch_add(1, Ordering::Relaxed);
            async { Ok(Next::Later) }
        };
        tasks.spawn("duties", duties.run(count));
        Self { done, drain, tasks, chore }
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    async fn end(&self) {
        self.drain.begin();
        self.tasks.finished().await;
    }
}

#[tokio::test]
async fn one_server_does_them_and_its_successor_need_not_wait() {
    let Some((database, _)) = server("duties").await else { return };
    // The database's clock stands still, so that no lease ends, however slow this machine is.
    let still = format!(
        "CREATE SCHEMA still; \
         CREATE FUNCTION still.now() RETURNS TIMESTAMPTZ LANGUAGE sql STABLE \
             AS 'SELECT TIMESTAMPTZ ''2030-06-15 12:00:00+00'''; \
         ALTER DATABASE {} SET search_path = still, pg_catalog, public",
        database.name()
    );
    database.connect().await.batch_execute(&still).await.expect("a clock");
    let opened = open(&database.url()).await;
    let one = Counting::start(&opened);
    eventually("the first one does them", LIMIT, async || one.done() > 0).await;
    let two = Counting::start(&opened);
    let before = one.done();
    eventually("they are done", LIMIT, async || one.done() > before + 1).await;
    assert_eq!(two.done(), 0);
    // Only one of them is late.
    let elsewhere = async || two.chore.is_elsewhere();
    eventually("the second one knows", LIMIT, elsewhere).await;
    assert_eq!((one.chore.overdue().is_some(), two.chore.overdue()), (true, None));
    one.end().await;
    let held = "SELECT count(*) FROM tally_leases";
    let rows = async || {
        let Database::Postgres(opened) = &opened else { panic!("Postgres") };
        opened.rows("count the leases", held, &[]).await.unwrap()[0].get::<_, i64>(0)
    };
    eventually("the second one does them", LIMIT, async || two.done() > 0).await;
    assert!(two.chore.overdue().is_some());
    assert_eq!(rows().await, 1);
    two.end().await;
    assert_eq!(rows().await, 0);
}

#[tokio::test]
async fn the_lease_is_renewed_while_a_duty_takes_long() {
    let Some((database, opened)) = server("duties_long").await else { return };
    let client = database.connect().await;
    let (tasks, drain, begun) = (Tasks::new(), Drain::new(), Arc::<AtomicUsize>::default());
    let long = {
        let begun = Arc::clone(&begun);
        move || {
            begun.fetch_add(1, Ordering::Relaxed);
            pending()
        }
    };
    let duties = Duties::new(Lease::new(opened, "x"), drain.clone());
    tasks.spawn("duties", duties.run(long));
    eventually("it has begun", LIMIT, async || begun.load(Ordering::Relaxed) == 1).await;
    client.batch_execute("UPDATE tally_leases SET until = now()").await.unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    let lasts = "SELECT 1 FROM tally_leases WHERE until > now() + INTERVAL '10 s'";
    eventually("it is renewed", LIMIT, async || client.query_one(lasts, &[]).await).await;
    assert_eq!(begun.load(Ordering::Relaxed), 1);
    // The drain does not wait for it.
    drain.begin();
    tasks.finished().await;
}

#[tokio::test]
async fn failures_and_panics_end_nothing_and_are_tried_again_ever_later() {
    let (_folder, database) = file().await;
    let (calls, drain) = (AtomicUsize::new(0), Drain::new());
    let begun = Instant::now();
    let (last, longest) = (std::cell::Cell::new(begun), std::cell::Cell::new(Duration::ZERO));
    let tick = || {
        let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
        longest.set(longest.get().max(last.replace(Instant::now()).elapsed()));
        assert!(call != 20, "on purpose");
        if call == 30 {
            drain.begin();
        }
        async move {
            match call {
                1..=19 => Err(Error::permanent("fail on purpose", Kind::Internal)),
                21 => panic!("on purpose"),
                _ => Ok(Next::Later),
            }
        }
    };
    tokio::time::pause();
    Duties::new(Lease::new(database, "x"), drain.clone()).run(tick).await;
    assert_eq!(calls.load(Ordering::Relaxed), 30);
    // Doubling pauses up to a minute, with jitter; then those of a second again.
    let (longest, all) = (longest.get().as_secs(), begun.elapsed().as_secs());
    assert!((30..=62).contains(&longest), "{longest}");
    assert!((300..=1_300).contains(&all), "{all}");
    assert!(last.get().elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn what_is_due_soon_does_not_wait_for_a_second() {
    let (_folder, database) = file().await;
    let (calls, drain, begun) = (AtomicUsize::new(0), Drain::new(), Instant::now());
    let tick = || {
        if calls.fetch_add(1, Ordering::Relaxed) == 40 {
            drain.begin();
        }
        async { Ok(Next::After(Duration::from_millis(250))) }
    };
    tokio::time::pause();
    Duties::new(Lease::new(database, "x"), drain.clone()).run(tick).await;
    let all = begun.elapsed();
    assert!((Duration::from_secs(10)..Duration::from_secs(15)).contains(&all), "{all:?}");
}
