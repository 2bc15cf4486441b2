//! A fresh store of each kind, and helpers for what the tests store and read.
//!
//! | file | what it owns |
//! |---|---|
//! | `asking.rs` | queries and their answers, as lists |
//! | `storing.rs` | batches of rows, as an insert worker stores them |
//! | `tables.rs` | what the tables have, by SQL that bypasses the store |

mod asking;
mod storing;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use tally_producers::{Producers, Terms};
use tally_requests::periods::Granularity;
use tally_requests::store::{self, Store};
use tally_requests::{DOMAIN, Day, DayRange, MIGRATIONS};
use tally_store::{Database, DatabaseUrl};
use tally_testkit::{Disturber, TestDatabase, as_cockroach};
use tempfile::TempDir;

pub(crate) use self::asking::{Total, ask, listed, query, sum, total};
pub(crate) use self::storing::{
    Producer, SENDS_MAX, append, append_batch, append_named, appended, batch, named,
};

/// When the tests take place.
pub(crate) const NOW: &str = "2030-06-15T12:00:00Z";
/// Its day.
pub(crate) const TODAY: &str = "2030-06-15";
/// A day long before.
pub(crate) const OLD: &str = "2015-05-17";

/// Which clients the tests' servers take.
pub(crate) const TERMS: Terms = Terms { producers_max: 100, retention_days: 30 };

/// A store on an empty database, which is removed with this value.
pub(crate) struct Backend {
    pub(crate) store: Arc<Store>,
    /// Another server's store with its own pool; on SQLite, which has one server, the same store.
    pub(crate) second: Arc<Store>,
    pub(crate) producers: Producers,
    /// The other server's.
    pub(crate) second_producers: Producers,
    /// What `store` is on.
    pub(crate) database: Database,
    /// What `second` is on.
    pub(crate) second_database: Database,
    place: Place,
}

enum Place {
    Sqlite(TempDir),
    Postgres(TestDatabase),
    /// CockroachDB's SQL, on CockroachDB or on Postgres.
    Cockroach(TestDatabase),
}

// === impl Backend ===

impl Backend {
    pub(crate) async fn sqlite(_hint: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("tally.db").display());
        let database = migrated(&url).await;
        let second = database.clone();
        let one = Self::of(database, &second, Place::Sqlite(folder));
        Some(Self { second: Arc::clone(&one.store), ..one })
    }

    pub(crate) async fn postgres(hint: &str) -> Option<Self> {
        let database = TestDatabase::create_or_skip(hint)?;
        let (tally, second) = (migrated(&database.url()).await, open(&database.url()).await);
        Some(Self::of(tally, &second, Place::Postgres(database)))
    }

    /// A real CockroachDB, if one is available.
    pub(crate) async fn cockroach(hint: &str) -> Option<Self> {
        let database = TestDatabase::create_on_cockroach(hint)?;
        let (tally, second) = (migrated(&database.url()).await, open(&database.url()).await);
        Some(Self::of(tally, &second, Place::Cockroach(database)))
    }

    /// CockroachDB's tables and SQL on Postgres, with CockroachDB's isolation.
    pub(crate) async fn cockroach_on_postgres(hint: &str) -> Option<Self> {
        let database = TestDatabase::create_or_skip(hint)?;
        let sets = [tally_producers::MIGRATIONS, MIGRATIONS].map(|set| set.cockroach);
        database.make_tables_of_cockroach(&sets).await;
        let url = as_cockroach(&database.url());
        Some(Self::of(open(&url).await, &open(&url).await, Place::Cockroach(database)))
    }

    /// On a Postgres that was made ready elsewhere.
    pub(crate) fn of_postgres(place: TestDatabase, database: Database, second: &Database) -> Self {
        Self::of(database, second, Place::Postgres(place))
    }

    fn of(database: Database, second: &Database, place: Place) -> Self {
        Self {
            store: store::open(&database),
            producers: Producers::new(database.clone(), DOMAIN.name, TERMS),
            second_producers: Producers::new(second.clone(), DOMAIN.name, TERMS),
            second: store::open(second),
            second_database: second.clone(),
            database,
            place,
        }
    }

    /// CockroachDB's SQL on Postgres, with new connections that see new settings.
    pub(crate) async fn reopened(self) -> Self {
        let Place::Cockroach(database) = &self.place else { panic!("not CockroachDB's SQL") };
        let url = as_cockroach(&database.url());
        Self::of(open(&url).await, &open(&url).await, self.place)
    }

    /// The same database by new servers, as after a crash of all of them.
    pub(crate) async fn opened_again(self) -> Self {
        let url = self.url();
        Self::of(open(&url).await, &open(&url).await, self.place)
    }

    /// Postgres's URL.
    pub(crate) fn url(&self) -> String {
        let Place::Postgres(database) = &self.place else { panic!("not Postgres") };
        database.url()
    }

    /// The same database behind a proxy that lets statements go wrong. What bypasses the store
    /// bypasses the proxy too.
    pub(crate) async fn disturbed(self) -> (Self, Disturber) {
        let (Place::Postgres(database) | Place::Cockroach(database)) = &self.place else {
            panic!("not Postgres")
        };
        let (disturber, url) = Disturber::before(&database.url()).await;
        let url = if self.is_cockroach() { as_cockroach(&url) } else { url };
        (Self::of(open(&url).await, &open(&url).await, self.place), disturber)
    }

    /// The database's name.
    pub(crate) fn database_name(&self) -> &str {
        match &self.place {
            Place::Sqlite(_) => "main",
            Place::Postgres(database) | Place::Cockroach(database) => database.name(),
        }
    }

    /// A connection that bypasses the store.
    pub(crate) async fn connect(&self) -> tokio_postgres::Client {
        match &self.place {
            Place::Sqlite(_) => panic!("not Postgres"),
            Place::Postgres(database) | Place::Cockroach(database) => database.connect().await,
        }
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self.place, Place::Sqlite(_))
    }

    /// SQLite's file.
    pub(crate) fn file(&self) -> std::path::PathBuf {
        let Place::Sqlite(folder) = &self.place else { panic!("not SQLite") };
        folder.path().join("tally.db")
    }

    pub(crate) fn is_cockroach(&self) -> bool {
        matches!(self.place, Place::Cockroach(_))
    }

    /// The table that has the rows, or one of them.
    pub(crate) fn tray(&self) -> &'static str {
        if self.is_cockroach() { "tally_requests" } else { "tally_requests_0" }
    }

    pub(crate) async fn maintain(&self) {
        self.producers.forget_silent().await.expect("forgotten");
        self.producers.gather_days().await.expect("gathered");
    }

    pub(crate) async fn roll_up(&self, days: DayRange) -> u64 {
        self.store.roll_up(days).await.expect("a roll-up")
    }

    /// Deletes the quarters of rolled-up days before this one, even if they were just rolled up.
    pub(crate) async fn prune(&self, before: Day) -> usize {
        self.store.prune(before, Duration::ZERO).await.expect("pruned")
    }

    /// The same, with steps of a few rows on CockroachDB.
    pub(crate) fn in_steps(self, rows: i64) -> Self {
        let [store, second] =
            [&self.database, &self.second_database].map(|of| store::open_with_steps(of, rows));
        Self { store, second, ..self }
    }

    /// Live totals by day.
    pub(crate) async fn live(&self) -> Vec<Total> {
        listed(&ask(&self.store, &query(Granularity::Day, true)).await.expect("not too many"))
    }

    /// Rolled-up totals by day.
    pub(crate) async fn rolled_up(&self) -> Vec<Total> {
        listed(&ask(&self.store, &query(Granularity::Day, false)).await.expect("not too many"))
    }
}

/// [`NOW`].
pub(crate) fn now() -> Timestamp {
    NOW.parse().expect("a time")
}

/// Opens a database.
pub(crate) async fn open(url: &str) -> Database {
    open_with(url, tally_store::postgres::Settings::default().write_max).await
}

/// The same, with a limit for storing statements.
pub(crate) async fn open_with(url: &str, write_max: Duration) -> Database {
    let url: DatabaseUrl = url.parse().expect("a database URL");
    let settings = tally_store::postgres::Settings {
        connections_max: 8,
        writers_max: 4,
        write_max,
        ..Default::default()
    };
    Database::open(&url, settings).await.expect("the database opens")
}

/// Opens a database and creates its tables.
pub(crate) async fn migrated(url: &str) -> Database {
    let database = open(url).await;
    tally_producers::MIGRATIONS.run(&database).await.expect("migrations");
    MIGRATIONS.run(&database).await.expect("migrations");
    database
}

pub(crate) fn day(text: &str) -> Day {
    text.parse::<Date>().expect("a date").into()
}

pub(crate) fn one_day(text: &str) -> DayRange {
    DayRange::one(day(text))
}

/// A time in microseconds since 1970-01-01 UTC.
pub(crate) fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().expect("a time").as_microsecond()
}

/// Noon of a day.
pub(crate) fn noon(text: &str) -> i64 {
    day(text).start_micros() + 43_200_000_000
}
