//! A fresh database of each kind, and two servers on it whose time the test sets.

use std::sync::Arc;

use jiff::Timestamp;
use tally_access::Caller;
use tally_outbox::{Outbox, Secrets, Webhooks};
use tally_runtime::{Drain, ManualClock, Tasks};
use tally_serve::Parts;
use tally_store::{Database, DatabaseUrl};
use tally_testkit::TestDatabase;
use tally_timelines::{DOMAIN, Service, Settings};
use tempfile::TempDir;
use tonic::Request;

/// An empty database, which is removed with this value, and two servers on it.
pub(crate) struct Backend {
    pub(crate) one: Server,
    pub(crate) other: Server,
    _place: Place,
}

#[allow(dead_code, reason = "they are removed with it")]
enum Place {
    Folder(TempDir),
    Database(TestDatabase),
}

/// A server that sweeps when the test says so.
pub(crate) struct Server {
    pub(crate) service: Service,
    pub(crate) clock: Arc<ManualClock>,
}

// === impl Backend ===

impl Backend {
    pub(crate) async fn sqlite(_hint: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("tally.db").display());
        let database = migrated(&url).await;
        Some(Self::of(&database, &database, Place::Folder(folder)))
    }

    pub(crate) async fn postgres(hint: &str) -> Option<Self> {
        let place = TestDatabase::create_or_skip(hint)?;
        let (one, other) = (migrated(&place.url()).await, open(&place.url()).await);
        Some(Self::of(&one, &other, Place::Database(place)))
    }

    /// A real CockroachDB, if one is available.
    pub(crate) async fn cockroach(hint: &str) -> Option<Self> {
        let place = TestDatabase::create_on_cockroach(hint)?;
        let (one, other) = (migrated(&place.url()).await, open(&place.url()).await);
        Some(Self::of(&one, &other, Place::Database(place)))
    }

    /// CockroachDB's tables on Postgres, with CockroachDB's isolation.
    pub(crate) async fn cockroach_on_postgres(hint: &str) -> Option<Self> {
        let place = TestDatabase::create_or_skip(hint)?;
        let client = place.connect().await;
        for set in [tally_producers::MIGRATIONS, DOMAIN.migrations] {
            let runner = (set.cockroach)();
            let mut all: Vec<_> = runner.get_migrations().iter().collect();
            all.sort_by_key(|one| one.version());
            for one in all {
                let sql = one.sql().expect("a migration that is not applied has its text");
                // Postgres has no index of this kind.
                let sql = sql.replace(" USING HASH WITH (bucket_count = 8)", "");
                client.batch_execute(&sql).await.expect("the tables");
            }
        }
        let url = place.url();
        let (_, rest) = url.split_once("://").expect("a URL");
        let separator = if rest.contains('?') { '&' } else { '?' };
        let isolation = "options=-c%20default_transaction_isolation%3Dserializable";
        let url = format!("cockroachdb://{rest}{separator}{isolation}");
        let (one, other) = (open(&url).await, open(&url).await);
        Some(Self::of(&one, &other, Place::Database(place)))
    }

    fn of(one: &Database, other: &Database, place: Place) -> Self {
        Self { one: Server::new(one), other: Server::new(other), _place: place }
    }

    /// Sets the time of both servers.
    pub(crate) fn set(&self, now: &str) {
        self.one.clock.set(time(now));
        self.other.clock.set(time(now));
    }
}

// === impl Server ===

impl Server {
    fn new(database: &Database) -> Self {
        Self::with(database, &Settings { contexts_max: 5, events_max: 300, ..Settings::default() })
    }

    pub(crate) fn with(database: &Database, settings: &Settings) -> Self {
        let secrets: Secrets = format!("whsec_{}", "A".repeat(32)).parse().expect("a secret");
        let prefix = "https://hooks.example.com/".parse().expect("a prefix");
        let webhooks = Webhooks::new(prefix, secrets);
        let clock = Arc::new(ManualClock::new(time("2030-06-15T06:00:00Z")));
        let drain = Drain::new();
        // Its duties end at once: the test sweeps.
        drain.begin();
        let parts = Parts {
            database: database.clone(),
            clock: Arc::clone(&clock) as _,
            drain,
            tasks: Tasks::new(),
            outbox: Outbox::new(database.clone(), webhooks),
        };
        Self { service: Service::start(parts, settings), clock }
    }

    /// Sweeps, and prunes, at this time.
    pub(crate) async fn sweep(&self, now: &str) {
        self.clock.set(time(now));
        let done = self.service.sweep().await;
        done.unwrap_or_else(|error| panic!("{now}: {}", tally_runtime::chain(&error)));
    }
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

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}
