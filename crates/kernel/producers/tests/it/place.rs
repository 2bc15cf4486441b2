//! An empty database of each kind, and two domains in it.

use tally_producers::{Days, MIGRATIONS, Opening, Producers, Terms, draw_epoch, postgres, sqlite};
use tally_runtime::Namespace;
use tally_store::postgres::{Isolation, Settings};
use tally_store::{Database, DatabaseUrl};
use tally_testkit::TestDatabase;
use tempfile::TempDir;
use uuid::Uuid;

/// The days that the tests ask for.
pub(crate) const DAYS: (i32, i32) = (20_000, 20_001);

/// A database that goes away with this value.
pub(crate) struct Place {
    pub(crate) database: Database,
    home: Home,
}

enum Home {
    Sqlite(TempDir),
    Postgres(TestDatabase),
}

// === impl Place ===

impl Place {
    /// One of each kind that there is here.
    pub(crate) async fn all(hint: &str) -> Vec<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("tally.db").display());
        let mut all = vec![Self::new(&url, Home::Sqlite(folder)).await];
        if let Some(database) = TestDatabase::create_or_skip(hint) {
            all.push(Self::new(&database.url(), Home::Postgres(database)).await);
        }
        all
    }

    async fn new(url: &str, home: Home) -> Self {
        let database = open(url).await;
        MIGRATIONS.run(&database).await.expect("migrations");
        Self { database, home }
    }

    pub(crate) fn producers(&self, domain: &'static str) -> Producers {
        Producers::new(self.database.clone(), domain, TERMS)
    }

    pub(crate) async fn execute(&self, sql: &str) {
        assert!(self.try_execute(sql).await, "{sql}");
    }

    /// Whether the database does it.
    pub(crate) async fn try_execute(&self, sql: &str) -> bool {
        match &self.home {
            Home::Postgres(database) => database.connect().await.batch_execute(sql).await.is_ok(),
            Home::Sqlite(folder) => {
                let file = rusqlite::Connection::open(folder.path().join("tally.db"));
                file.and_then(|file| file.execute_batch(sql)).is_ok()
            }
        }
    }

    /// What a producer stored and dropped on the first of the days.
    pub(crate) async fn count(&self, id: Uuid, domain: &str, accepted: i64, dropped: i64) {
        let (id, day) = match &self.home {
            Home::Postgres(_) => (format!("'{id}'"), format!("DATE '1970-01-01' + {}", DAYS.0)),
            Home::Sqlite(_) => (format!("x'{}'", id.simple()), DAYS.0.to_string()),
        };
        self.execute(&format!(
            "UPDATE tally_producers SET accepted = {accepted}, dropped = {dropped} WHERE id = {id}; \
             INSERT INTO tally_producer_days \
                 (worker_id, day, domain, namespace_id, accepted, dropped) \
             VALUES ({id}, {day}, '{domain}', 0, {accepted}, {dropped})"
        ))
        .await;
    }

    pub(crate) async fn dropped(&self, domain: &'static str) -> i64 {
        self.dropped_of(domain, Namespace::DEFAULT).await
    }

    pub(crate) async fn dropped_of(&self, domain: &'static str, namespace: Namespace) -> i64 {
        match &self.database {
            Database::Sqlite(database) => database
                .read(move |connection| {
                    sqlite::dropped(connection, domain, namespace, DAYS.0, DAYS.1)
                })
                .await
                .expect("sums"),
            Database::Postgres(database) => {
                let transaction = database.begin(Isolation::Default).await.expect("begun");
                postgres::dropped(&transaction, domain, namespace, DAYS.0, DAYS.1)
                    .await
                    .expect("sums")
            }
        }
    }

    pub(crate) async fn add_days(&self, domain: &'static str, days: Days) {
        self.add_days_of(domain, Namespace::DEFAULT, days).await;
    }

    pub(crate) async fn add_days_of(&self, domain: &'static str, namespace: Namespace, days: Days) {
        match &self.database {
            Database::Sqlite(database) => database
                .write(move |connection| {
                    let transaction = connection.transaction().expect("begun");
                    sqlite::add_days(&transaction, domain, namespace, &days)?;
                    transaction.commit().expect("committed");
                    Ok(())
                })
                .await
                .expect("added"),
            Database::Postgres(database) => {
                let transaction = database.begin(Isolation::Default).await.expect("begun");
                postgres::add_days(&transaction, domain, namespace, &days).await.expect("added");
                transaction.commit().await.expect("committed");
            }
        }
    }
}

/// Which clients the tests' domains take.
pub(crate) const TERMS: Terms = Terms { producers_max: 2, retention_days: 30 };

/// A client that opens a producer for the first time.
pub(crate) fn opening(id: Uuid) -> Opening {
    Opening {
        id,
        epoch: 0,
        claims: vec![7],
        name: "a test".to_owned(),
        may_be_new: true,
        take_over: false,
        told: None,
        next_epoch: draw_epoch(),
    }
}

pub(crate) async fn open(url: &str) -> Database {
    let url: DatabaseUrl = url.parse().expect("a database URL");
    Database::open(&url, Settings::default()).await.expect("a database")
}
