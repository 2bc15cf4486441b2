//! An empty database of each kind, with the tables of keys in it.

use std::sync::Arc;

use jiff::Timestamp;
use tally_access::{Key, Keys, Scope, Secret, Store};
use tally_runtime::{Clock as _, ManualClock};
use tally_store::postgres::Settings;
use tally_store::{Database, DatabaseUrl, Migrations};
use tally_testkit::{Disturber, TestDatabase, as_cockroach};
use tempfile::TempDir;

const SETS: [Migrations; 2] = [tally_producers::MIGRATIONS, tally_access::MIGRATIONS];

/// A database that goes away with this value, and a clock.
pub(crate) struct Place {
    pub(crate) store: Store,
    database: Database,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) folder: TempDir,
    /// Before CockroachDB's SQL.
    pub(crate) disturber: Option<Disturber>,
    pub(crate) of_test: Option<TestDatabase>,
}

// === impl Place ===

impl Place {
    /// One of each kind that there is here; CockroachDB's tables on Postgres, with its isolation.
    pub(crate) async fn all(hint: &str) -> Vec<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("tally.db").display());
        let mut all = vec![Self { folder, ..Self::migrated(&url, None).await }];
        if let Some(database) = TestDatabase::create_or_skip(hint) {
            all.push(Self::migrated(&database.url(), Some(database)).await);
        }
        all.extend(Self::cockroach(hint).await);
        all
    }

    /// CockroachDB's tables on Postgres, with its isolation, and a proxy before it.
    pub(crate) async fn cockroach(hint: &str) -> Option<Self> {
        let database = TestDatabase::create_or_skip(hint)?;
        database.make_tables_of_cockroach(&SETS.map(|set| set.cockroach)).await;
        let (disturber, url) = Disturber::before(&database.url()).await;
        let place = Self::open(&as_cockroach(&url), Some(database)).await;
        Some(Self { disturber: Some(disturber), ..place })
    }

    async fn migrated(url: &str, of_test: Option<TestDatabase>) -> Self {
        let place = Self::open(url, of_test).await;
        for set in SETS {
            set.run(&place.database).await.expect("the tables");
        }
        place
    }

    async fn open(url: &str, of_test: Option<TestDatabase>) -> Self {
        let url: DatabaseUrl = url.parse().expect("a URL");
        let database = Database::open(&url, Settings::default()).await.expect("it is there");
        let now = "2026-01-31T12:00:00Z".parse().expect("a time");
        let clock = Arc::new(ManualClock::new(now));
        Self {
            store: Store::new(database.clone()),
            database,
            clock,
            folder: tempfile::tempdir().expect("a folder"),
            disturber: None,
            of_test,
        }
    }

    /// The keys as a server knows them that starts now.
    pub(crate) async fn server(&self) -> Keys {
        let clock = Arc::clone(&self.clock);
        Keys::open(self.store.clone(), None, clock).await.expect("the database answers")
    }

    /// A new key.
    pub(crate) async fn key(&self, name: &str, expires: Option<Timestamp>) -> (Key, Secret) {
        let (key, secret) = self.unstored(name, expires).await;
        assert!(self.store.add(&key).await.expect("it is stored"), "the name is new");
        (key, secret)
    }

    /// A key that is not stored yet.
    pub(crate) async fn unstored(&self, name: &str, expires: Option<Timestamp>) -> (Key, Secret) {
        let secret = Secret::of_key(Scope::Read);
        let namespace = self.store.some_namespace("shop").await.expect("a namespace");
        let key = Key {
            digest: secret.digest(),
            name: name.to_owned(),
            namespace,
            namespace_name: "shop".to_owned(),
            scope: Scope::Read,
            created: self.clock.now(),
            expires,
            revoked: None,
            last_used: None,
        };
        (key, secret)
    }
}
