//! A fresh database of each kind, and a server on it whose time the test sets.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tally_access::Caller;
use tally_debts::{DOMAIN, Service, Settings};
use tally_outbox::{Courier, Outbox, Secrets, Webhooks};
use tally_runtime::{Drain, ManualClock, Tasks};
use tally_serve::Parts;
use tally_store::error::Step as _;
use tally_store::{Database, DatabaseUrl};
use tally_testkit::{TestDatabase, as_cockroach};
use tempfile::TempDir;
use tonic::Request;

/// What the tests' webhooks begin with. Nothing is sent there.
pub(crate) const HOOK: &str = "https://hooks.example.com/tally/";

/// An empty database, which is removed with this value, and two servers on it; on SQLite, one.
pub(crate) struct Backend {
    pub(crate) one: Server,
    pub(crate) other: Server,
    pub(crate) database: Database,
    place: Place,
}

enum Place {
    /// It is removed with this value.
    Folder {
        _folder: TempDir,
    },
    Database(TestDatabase),
}

/// A server that sweeps when the test says so.
pub(crate) struct Server {
    pub(crate) service: Service,
    pub(crate) clock: Arc<ManualClock>,
    /// It delivers when the test says so.
    pub(crate) courier: Courier,
}

// === impl Backend ===

impl Backend {
    pub(crate) async fn sqlite(_hint: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let database =
            migrated(&format!("sqlite:{}", folder.path().join("tally.db").display())).await;
        let (one, other) = (Server::new(&database), Server::new(&database));
        Some(Self { one, other, database, place: Place::Folder { _folder: folder } })
    }

    pub(crate) async fn postgres(hint: &str) -> Option<Self> {
        let place = TestDatabase::create_or_skip(hint)?;
        let (one, other) = (migrated(&place.url()).await, open(&place.url()).await);
        Some(Self::of(&one, &other, place))
    }

    /// A real CockroachDB, if one is available.
    pub(crate) async fn cockroach(hint: &str) -> Option<Self> {
        let place = TestDatabase::create_on_cockroach(hint)?;
        let (one, other) = (migrated(&place.url()).await, open(&place.url()).await);
        Some(Self::of(&one, &other, place))
    }

    /// CockroachDB's tables on Postgres, with CockroachDB's isolation.
    pub(crate) async fn cockroach_on_postgres(hint: &str) -> Option<Self> {
        let place = TestDatabase::create_or_skip(hint)?;
        let sets = [tally_producers::MIGRATIONS.cockroach, DOMAIN.migrations.cockroach];
        place.make_tables_of_cockroach(&sets).await;
        let url = as_cockroach(&place.url());
        let (one, other) = (open(&url).await, open(&url).await);
        Some(Self::of(&one, &other, place))
    }

    fn of(one: &Database, other: &Database, place: TestDatabase) -> Self {
        let database = one.clone();
        let (one, other) = (Server::new(one), Server::new(other));
        Self { one, other, database, place: Place::Database(place) }
    }

    /// A server that Postgres tells this time, always.
    pub(crate) async fn server_by_clock(&self, shown: &str) -> Server {
        let Place::Database(place) = &self.place else { unreachable!("it is on Postgres") };
        let sql = format!(
            "CREATE SCHEMA clock; CREATE FUNCTION clock.clock_timestamp() RETURNS TIMESTAMPTZ \
             LANGUAGE SQL AS 'SELECT ''{}''::TIMESTAMPTZ'",
            time(shown)
        );
        place.connect().await.batch_execute(&sql).await.expect("a clock");
        let options = "options=-c%20search_path%3Dclock,pg_catalog,public";
        Server::new(&open(&with_parameter(&place.url(), options)).await)
    }

    /// Changes what no server would.
    pub(crate) async fn sql(&self, sql: &'static str) {
        match &self.database {
            Database::Postgres(database) => {
                database.commit_rows("break", sql, &[]).await.map(drop).expect("changed");
            }
            Database::Sqlite(database) => {
                let change = move |connection: &mut rusqlite::Connection| {
                    connection.execute_batch(sql).step("break")
                };
                database.write(change).await.expect("changed");
            }
        }
    }

    /// Does what the migrations of the next version may: each table gets a column with a default, under the
    /// servers that run.
    pub(crate) async fn add_columns(&self) {
        let add = |table: String| {
            format!("ALTER TABLE {table} ADD COLUMN next_version INTEGER NOT NULL DEFAULT 7;\n")
        };
        match (&self.place, &self.database) {
            (Place::Database(place), _) => {
                let client = place.connect().await;
                let sql = "SELECT tablename::TEXT FROM pg_tables WHERE schemaname = 'public'";
                for row in client.query(sql, &[]).await.expect("the tables") {
                    client.batch_execute(&add(row.get(0))).await.expect("a column");
                }
            }
            (Place::Folder { .. }, Database::Sqlite(database)) => {
                let change = move |connection: &mut rusqlite::Connection| {
                    let sql = "SELECT name FROM sqlite_master WHERE type = 'table'";
                    let mut tables = connection.prepare(sql).step("list the tables")?;
                    let tables = tables.query_map([], |row| row.get(0)).step("list the tables")?;
                    let add: Result<String, _> = tables.map(|table| table.map(add)).collect();
                    connection.execute_batch(&add.step("list the tables")?).step("add columns")
                };
                database.write(change).await.expect("changed");
            }
            (Place::Folder { .. }, Database::Postgres(_)) => unreachable!("it has no folder"),
        }
    }

    /// Fails unless what is kept twice is the same: of each debt when it is overdue and late, and how many there are.
    pub(crate) async fn check(&self) {
        let different = "SELECT CAST(count(*) AS BIGINT) FROM (\
                 SELECT id FROM (\
                     SELECT overdue_at, id, namespace_id, CASE WHEN status <= 1 THEN due_at END AS late_at \
                     FROM tally_debts WHERE overdue_at IS NOT NULL \
                     UNION ALL SELECT overdue_at, debt_id, namespace_id, late_at FROM tally_debt_deadlines\
                 ) AS both_of_them GROUP BY overdue_at, id, namespace_id, late_at HAVING count(*) <> 2\
             ) AS deadlines \
             UNION ALL \
             SELECT CAST(count(*) AS BIGINT) FROM tally_debt_namespaces AS n \
             WHERE n.debts <> (SELECT count(*) FROM tally_debts AS d WHERE d.namespace_id = n.namespace_id)";
        let counts: Vec<i64> = match &self.database {
            Database::Postgres(database) => {
                let rows = database.rows("check", different, &[]).await.expect("counts");
                rows.iter().map(|row| row.get(0)).collect()
            }
            Database::Sqlite(database) => {
                let count = |row: &rusqlite::Row<'_>| row.get(0);
                let read = move |connection: &mut rusqlite::Connection| {
                    tally_store::sqlite::rows(connection, "check", different, [], count)
                };
                database.read(read).await.expect("counts")
            }
        };
        assert_eq!(counts, [0, 0], "deadlines, and counts of debts");
    }

    /// A session in which a test does what a server would not. There is none of SQLite.
    pub(crate) async fn session(&self) -> tokio_postgres::Client {
        match &self.place {
            Place::Database(database) => database.connect().await,
            Place::Folder { .. } => panic!("a file of SQLite has no sessions"),
        }
    }

    /// Sets the time of both servers.
    pub(crate) fn set(&self, now: &str) {
        self.one.clock.set(time(now));
        self.other.clock.set(time(now));
    }
}

// === impl Server ===

impl Server {
    pub(crate) fn new(database: &Database) -> Self {
        Self::with(database, Settings { debts_max: 20, metrics_max: 2, ..Settings::default() })
    }

    /// With other settings.
    pub(crate) fn with(database: &Database, settings: Settings) -> Self {
        Self::telling(database, settings, webhooks(HOOK))
    }

    /// With other receivers.
    pub(crate) fn telling(database: &Database, settings: Settings, webhooks: Webhooks) -> Self {
        let (clock, drain) = (Arc::new(ManualClock::new(time("06:00:00"))), Drain::new());
        // Its duties end at once: the test sweeps.
        drain.begin();
        let parts = Parts {
            database: database.clone(),
            clock: Arc::clone(&clock) as _,
            drain,
            tasks: Tasks::new(),
            outbox: Outbox::new(database.clone(), webhooks),
        };
        let courier = Courier::new(parts.outbox.clone(), Arc::clone(&clock) as _);
        let service = Service::start(parts, settings);
        Self { service, clock, courier }
    }

    /// Sweeps from one time to another, as often as a server has to at least.
    pub(crate) async fn sweep_until(&self, first: &str, last: &str) {
        let (mut now, last) = (time(first), time(last));
        self.sweep(first).await;
        while now < last {
            now = (now + SignedDuration::from_secs(55)).min(last);
            self.sweep(&now.to_string()[11..19]).await;
        }
    }

    /// Sweeps at this time.
    pub(crate) async fn sweep(&self, now: &str) {
        self.clock.set(time(now));
        let done = self.service.sweep().await;
        done.unwrap_or_else(|error| panic!("{now}: {}", tally_runtime::chain(&error)));
    }

    /// Sweeps at this time, what can be swept.
    pub(crate) async fn fail_to_sweep(&self, now: &str) {
        self.clock.set(time(now));
        let done = self.service.sweep().await;
        assert!(done.is_err(), "{now}: something cannot be swept");
    }
}

fn with_parameter(url: &str, parameter: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{parameter}")
}

/// Those that begin with this.
pub(crate) fn webhooks(prefix: &str) -> Webhooks {
    let secrets: Secrets = format!("whsec_{}", "A".repeat(32)).parse().expect("a secret");
    Webhooks::new(prefix.parse().expect("a prefix"), secrets)
}

pub(crate) async fn open(url: &str) -> Database {
    let url: DatabaseUrl = url.parse().expect("a database URL");
    let settings = tally_store::postgres::Settings {
        connections_max: 8,
        writers_max: 4,
        ..Default::default()
    };
    Database::open(&url, settings).await.expect("the database opens")
}

pub(crate) async fn migrated(url: &str) -> Database {
    let database = open(url).await;
    tally_producers::MIGRATIONS.run(&database).await.expect("migrations");
    DOMAIN.migrations.run(&database).await.expect("migrations");
    database
}

/// What somebody asks for who needs no key.
pub(crate) fn asked<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Caller::open());
    request
}

/// A time of the tests' day.
pub(crate) fn time(text: &str) -> Timestamp {
    format!("2030-06-15T{text}Z").parse().expect("a time")
}
