//! An empty database of each kind, with the tables of keys in it.

use std::sync::Arc;

use jiff::Timestamp;
use tally_access::{Key, Keys, Scope, Secret, Store};
use tally_runtime::{Clock as _, ManualClock};
use tally_store::postgres::Settings;
use tally_store::{Database, DatabaseUrl};
use tally_testkit::TestDatabase;
use tempfile::TempDir;

/// A database that goes away with this value, and a clock.
pub(crate) struct Place {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) folder: TempDir,
    _database: Option<TestDatabase>,
}

// === impl Place ===

impl Place {
    /// One of each kind that there is here.
    pub(crate) async fn all(hint: &str) -> Vec<Self> {
        let mut all = vec![Self::open(None).await];
        if let Some(database) = TestDatabase::create_or_skip(hint) {
            all.push(Self::open(Some(database)).await);
        }
        all
    }

    async fn open(of_test: Option<TestDatabase>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = match &of_test {
            Some(database) => database.url(),
            None => format!("sqlite:{}", folder.path().join("tally.db").display()),
        };
        let url: DatabaseUrl = url.parse().expect("a URL");
        let database = Database::open(&url, Settings::default()).await.expect("it is there");
        for set in [tally_producers::MIGRATIONS, tally_access::MIGRATIONS] {
            set.run(&database).await.expect("the tables");
        }
        let now = "2026-01-31T12:00:00Z".parse().expect("a time");
        let clock = Arc::new(ManualClock::new(now));
        Self { store: Store::new(database), clock, folder, _database: of_test }
    }

    /// The keys as a server knows them that starts now.
    pub(crate) async fn server(&self) -> Keys {
        let clock = Arc::clone(&self.clock);
        Keys::open(self.store.clone(), None, clock).await.expect("the database answers")
    }

    /// A new key.
    pub(crate) async fn key(&self, name: &str, expires: Option<Timestamp>) -> (Key, Secret) {
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
        assert!(self.store.add(&key, false).await.expect("it is stored"), "the name is new");
        (key, secret)
    }
}
