//! An empty database of each kind, with an outbox in it.

use std::slice::from_ref;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tally_outbox::{
    About, Courier, Delivery, Event, Mail, Outbox, Receiver, Secrets, State, Told, Webhooks,
    postgres, sqlite,
};
use tally_runtime::{Clock as _, ManualClock};
use tally_store::postgres::{Isolation, Settings};
use tally_store::sqlite::begin;
use tally_store::{Database, DatabaseUrl, Error};
use tally_testkit::{Disturber, Hook, Relay, TestDatabase, as_cockroach};
use tempfile::TempDir;
use uuid::Uuid;

/// Only a failed test waits this long.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The secret that the tests sign with.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The domain of the tests' events.
pub(crate) const DOMAIN: &str = "tests";

/// A database that goes away with this value, a clock, and a receiver.
pub(crate) struct Place {
    pub(crate) outbox: Outbox,
    pub(crate) courier: Courier,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) hook: Hook,
    pub(crate) relay: Relay,
    pub(crate) database: Database,
    /// Before CockroachDB's SQL.
    pub(crate) disturber: Option<Disturber>,
    _home: Home,
}

enum Home {
    Sqlite(#[expect(dead_code, reason = "it goes away with this value")] TempDir),
    Postgres(#[expect(dead_code, reason = "it goes away with this value")] TestDatabase),
}

// === impl Place ===

impl Place {
    /// One of each kind that there is here; CockroachDB's tables on Postgres, with its isolation.
    pub(crate) async fn all(hint: &str) -> Vec<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("tally.db").display());
        let mut all = vec![Self::migrated(&url, Home::Sqlite(folder)).await];
        if let Some(database) = TestDatabase::create_or_skip(hint) {
            all.push(Self::postgres(database).await);
        }
        all.extend(Self::cockroach(hint).await);
        all
    }

    /// CockroachDB's tables on Postgres, with its isolation, and a proxy before it.
    pub(crate) async fn cockroach(hint: &str) -> Option<Self> {
        let database = TestDatabase::create_or_skip(hint)?;
        database.make_tables_of_cockroach(&[tally_producers::MIGRATIONS.cockroach]).await;
        let (disturber, url) = Disturber::before(&database.url()).await;
        let place = Self::open(&as_cockroach(&url), Home::Postgres(database)).await;
        Some(Self { disturber: Some(disturber), ..place })
    }

    /// On this Postgres.
    pub(crate) async fn postgres(database: TestDatabase) -> Self {
        Self::migrated(&database.url(), Home::Postgres(database)).await
    }

    async fn migrated(url: &str, home: Home) -> Self {
        let place = Self::open(url, home).await;
        tally_producers::MIGRATIONS.run(&place.database).await.expect("migrations");
        place
    }

    async fn open(url: &str, home: Home) -> Self {
        let url: DatabaseUrl = url.parse().expect("a database URL");
        let database = Database::open(&url, Settings::default()).await.expect("the database opens");
        let (hook, relay) = (Hook::start(), Relay::start());
        let allowed = "@example.com".parse().expect("a domain");
        let mail = Mail::new(&relay.url("127.0.0.1"), "Tally <tally@example.com>", allowed);
        let webhooks = webhooks(&hook).with_mail(mail.expect("right"));
        let clock = Arc::new(ManualClock::new("2030-06-15T12:00:00Z".parse().expect("a time")));
        let outbox = Outbox::new(database.clone(), webhooks);
        let courier = Courier::new(outbox.clone(), Arc::clone(&clock) as _);
        Self { outbox, courier, clock, hook, relay, database, disturber: None, _home: home }
    }

    /// Moves the clock.
    pub(crate) fn after(&self, pause: SignedDuration) -> Timestamp {
        self.clock.set(self.clock.now() + pause);
        self.clock.now()
    }

    /// An event of this subject for this path of the receiver.
    pub(crate) fn event(&self, subject: u128, number: i64, path: &str) -> Event {
        self.event_to(subject, number, &self.hook.url(path))
    }

    pub(crate) fn event_to(&self, subject: u128, number: i64, url: &str) -> Event {
        let about = About { domain: DOMAIN, subject: Uuid::from_u128(subject), number };
        let receiver: Receiver = url.parse().expect("a URL");
        let now = self.clock.now();
        let told = Told {
            subject: format!("Number {number}"),
            text: format!("number {number} <happened>"),
            facts: vec![("Number", number.to_string())],
            alert: "Happened",
            labels: vec![("subject", subject.to_string())],
            starts: (number % 2 == 1).then_some(now),
            ends: (number % 2 == 0).then_some(now),
        };
        Event::new(about, receiver, "tests.happened", now, &json!({"number": number}), &told)
    }

    /// Writes an event, or rolls it back.
    pub(crate) async fn write(&self, event: &Event, commits: bool) -> Result<(), Error> {
        match &self.database {
            Database::Postgres(database) => {
                let transaction = database.begin(Isolation::Default).await?;
                postgres::append(&transaction, from_ref(event)).await?;
                if commits { transaction.commit().await } else { transaction.abandon().await }
            }
            Database::Sqlite(database) => {
                let event = event.clone();
                database
                    .write(move |connection| {
                        let transaction = begin(connection)?;
                        sqlite::append(&transaction, from_ref(&event))?;
                        if commits {
                            transaction.commit().expect("it commits");
                        }
                        Ok(())
                    })
                    .await
            }
        }
    }

    /// Writes an event of subject 1 for the path `/`.
    pub(crate) async fn write_one(&self) -> Event {
        let event = self.event(1, 1, "/");
        self.write(&event, true).await.expect("an event");
        event
    }

    pub(crate) async fn remove(&self, subject: u128) {
        let subject = Uuid::from_u128(subject);
        match &self.database {
            Database::Postgres(database) => {
                let transaction = database.begin(Isolation::Default).await.expect("begun");
                postgres::remove(&transaction, DOMAIN, subject).await.expect("removed");
                transaction.commit().await.expect("it commits");
            }
            Database::Sqlite(database) => database
                .write(move |connection| {
                    let transaction = begin(connection)?;
                    sqlite::remove(&transaction, DOMAIN, subject)?;
                    transaction.commit().expect("it commits");
                    Ok(())
                })
                .await
                .expect("removed"),
        }
    }

    /// Makes attempts at what is due.
    pub(crate) async fn deliver(&self) -> usize {
        self.courier.deliver().await.expect("the database is there")
    }

    /// The events of subject 1.
    pub(crate) async fn deliveries(&self) -> Vec<Delivery> {
        let subject = Uuid::from_u128(1);
        self.outbox.deliveries(DOMAIN, subject, i64::MAX, 100).await.expect("the database is there")
    }

    /// The only one.
    pub(crate) async fn delivery(&self) -> Delivery {
        let all = self.deliveries().await;
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_iter().next().expect("one")
    }

    /// When the only event of subject 1 is due.
    pub(crate) async fn due(&self) -> Timestamp {
        let one = self.delivery().await;
        let State::Pending { due } = one.state else { panic!("{one:?}") };
        due
    }
}

/// What allows this receiver.
pub(crate) fn webhooks(hook: &Hook) -> Webhooks {
    let secrets: Secrets = SECRET.parse().expect("a secret");
    Webhooks::new(hook.url("/").parse().expect("a prefix"), secrets)
}
