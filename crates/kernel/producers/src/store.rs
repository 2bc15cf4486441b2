//! The producers of one domain, in its database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use tally_runtime::Namespace;
use tally_store::{Database, Error};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::lease::{Leaving, Opening, Producer, Refusal, Standing};
use crate::open::Terms;
use crate::setback::{Setback, Told};
use crate::{once, postgres, sqlite};

/// How many producers are opened or forgotten at the same time, so that clients that all come back at
/// once leave connections to the insert workers.
pub const OPENINGS_MAX: usize = 3;

/// Nobody has counted yet.
const UNKNOWN: u64 = u64::MAX;

/// The producers of one domain in one namespace. Clones share their places.
#[derive(Debug, Clone)]
pub struct Producers {
    database: Database,
    owner: Owner,
    terms: Terms,
    places: Arc<Semaphore>,
    /// How many clients there were when somebody counted them, or [`UNKNOWN`].
    clients: Arc<AtomicU64>,
}

/// Whose producers these are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) domain: &'static str,
    pub(crate) namespace: Namespace,
}

/// The clients of a domain in few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many producers there are that are clients.
    pub clients: i64,
    /// When one of them was opened or stored something last.
    pub last_seen: Option<Timestamp>,
    /// How much all clients, also those that are forgotten, said to have dropped.
    pub dropped: i64,
    /// How many producers miss acknowledged batches, because the database went back.
    pub setbacks: i64,
}

/// A producer by what people see of it, or by its whole id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub(crate) id: Option<Uuid>,
    pub(crate) short_id: Option<String>,
}

// === impl Shown ===

impl Shown {
    /// From 8 hexadecimal digits, or a UUID.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Some(Self { id: None, short_id: Some(text.to_ascii_lowercase()) });
        }
        Some(Self { id: Some(Uuid::try_parse(text).ok()?), short_id: None })
    }
}

// === impl Producers ===

impl Producers {
    /// Those of a domain in the default namespace, in a database whose migrations are applied.
    pub fn new(database: Database, domain: &'static str, terms: Terms) -> Self {
        let owner = Owner { domain, namespace: Namespace::DEFAULT };
        let (places, clients) = (Semaphore::new(OPENINGS_MAX), AtomicU64::new(UNKNOWN));
        Self { database, owner, terms, places: Arc::new(places), clients: Arc::new(clients) }
    }

    /// Those of the same domain in another namespace. They share the places; each namespace has
    /// the limits for itself.
    #[must_use]
    pub fn of(&self, namespace: Namespace) -> Self {
        let owner = Owner { namespace, ..self.owner };
        Self { owner, ..self.clone() }
    }

    /// Whether the database stores one batch at a time.
    pub(crate) fn has_one_writer(&self) -> bool {
        matches!(self.database, Database::Sqlite(_))
    }

    /// Which clients the domain takes.
    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// The domain's name.
    pub(crate) fn domain(&self) -> &'static str {
        self.owner.domain
    }

    /// How many clients there were at the last [summary](Self::summary), if there was one.
    pub(crate) fn counted(&self) -> Option<u64> {
        Some(self.clients.load(Ordering::Relaxed)).filter(|clients| *clients != UNKNOWN)
    }

    /// Opens a producer for a client, by the rules of [`Opening`]: from then on the database stores
    /// only this client's batches. Notes what was acknowledged and is missing. Safe to repeat.
    pub async fn open(&self, opening: &Opening) -> Result<Result<Standing, Refusal>, Error> {
        let (owner, max) = (self.owner, self.terms.producers_max);
        match &self.database {
            Database::Postgres(database) => {
                postgres::open(database, &self.places, owner, max, opening).await
            }
            Database::Sqlite(database) => {
                let opening = opening.clone();
                database
                    .write(move |connection| sqlite::open(connection, owner, max, &opening))
                    .await
            }
        }
    }

    /// Forgets a producer, if it stands there. What it stored and dropped stays known. Safe to repeat.
    pub async fn forget(&self, leaving: Leaving) -> Result<(), Error> {
        let owner = self.owner;
        match &self.database {
            Database::Postgres(database) => {
                postgres::forget(database, &self.places, owner, leaving).await
            }
            Database::Sqlite(database) => {
                database.write(move |connection| sqlite::forget(connection, owner, leaving)).await
            }
        }
    }

    /// Forgets the client that a person names; if several are shown by this id, none. Returns and logs the
    /// one that it forgot, or returns those that there are. What it stored and dropped stays known.
    pub async fn forget_shown(&self, shown: &Shown) -> Result<Vec<Producer>, Error> {
        let owner = self.owner;
        let found = match &self.database {
            Database::Postgres(database) => {
                postgres::forget_shown(database, &self.places, owner, shown).await
            }
            Database::Sqlite(database) => {
                let shown = shown.clone();
                database
                    .write(move |connection| sqlite::forget_shown(connection, owner, &shown))
                    .await
            }
        }?;
        if let [gone] = &*found {
            gone.tell_forgotten();
        }
        Ok(found)
    }

    /// Forgets producers of all namespaces that were silent for longer than the domain's terms allow,
    /// or for an hour if they have stored nothing. What they stored and dropped stays known.
    pub async fn forget_silent(&self) -> Result<(), Error> {
        let (domain, retention_days) = (self.owner.domain, self.terms.retention_days);
        match &self.database {
            Database::Postgres(database) => {
                postgres::forget_silent(database, domain, retention_days).await
            }
            Database::Sqlite(database) => {
                database
                    .write(move |connection| {
                        sqlite::forget_silent(connection, domain, retention_days)
                    })
                    .await
            }
        }
    }

    /// Deletes the idempotency keys of the domain, in all namespaces, that were stored longer ago than this,
    /// by the database's clock. What comes under one of them afterwards is new.
    pub async fn forget_keys(&self, kept_for: Duration) -> Result<(), Error> {
        let domain = self.owner.domain;
        match &self.database {
            Database::Postgres(database) => {
                once::postgres::forget(database, domain, kept_for).await
            }
            Database::Sqlite(database) => {
                let forget = move |connection: &mut Connection| {
                    once::sqlite::forget(connection, domain, kept_for)
                };
                while database.write(forget).await? {}
                Ok(())
            }
        }
    }

    /// Adds up the days of batches that have many, of all domains, so that there are a few rows for each
    /// day whatever clients send. Safe to repeat, and to leave off.
    pub async fn gather_days(&self) -> Result<(), Error> {
        match &self.database {
            Database::Postgres(database) => postgres::gather_days(database).await,
            Database::Sqlite(database) => {
                while database.write(sqlite::gather_days).await? {}
                Ok(())
            }
        }
    }

    /// Strikes what clients have said until now to have dropped on these days, from the first up to the last, which
    /// is included: nobody believes it any more, so these days are not short by it. Returns how much it was; 2^63-1
    /// is at least as much. What comes at the same time may be struck or not, and is never half of it. What each
    /// client said in all stays [listed](Self::list).
    pub async fn strike_drops(&self, first: i32, last: i32) -> Result<i64, Error> {
        let owner = self.owner;
        self.gather_days().await?;
        match &self.database {
            Database::Postgres(database) => {
                postgres::strike_drops(database, owner, first, last).await
            }
            Database::Sqlite(database) => {
                database
                    .write(move |connection| sqlite::strike_drops(connection, owner, first, last))
                    .await
            }
        }
    }

    /// The producers, the last seen first.
    pub async fn list(&self, with_workers: bool) -> Result<Vec<Producer>, Error> {
        let owner = self.owner;
        match &self.database {
            Database::Postgres(database) => postgres::list(database, owner, with_workers).await,
            Database::Sqlite(database) => {
                database.read(move |connection| sqlite::list(connection, owner, with_workers)).await
            }
        }
    }

    /// How many clients there are, when one was last seen, and how much they said to have dropped, ever.
    pub async fn summary(&self) -> Result<Summary, Error> {
        let owner = self.owner;
        let summary = match &self.database {
            Database::Postgres(database) => postgres::summary(database, owner).await?,
            Database::Sqlite(database) => {
                database.read(move |connection| sqlite::summary(connection, owner)).await?
            }
        };
        self.clients.store(summary.clients.unsigned_abs(), Ordering::Relaxed);
        Ok(summary)
    }

    /// Notes which batches of a worker, up to this one, are missing, in each of the namespaces that it has
    /// stored for; without any, in its own. Safe to repeat.
    pub async fn note_setback(
        &self,
        worker: Uuid,
        namespaces: &BTreeSet<Namespace>,
        told: Told,
    ) -> Result<(), Error> {
        let owner = self.owner;
        let owners = namespaces.iter().map(|namespace| Owner { namespace: *namespace, ..owner });
        let mut owners: Vec<Owner> = owners.collect();
        if owners.is_empty() {
            owners.push(owner);
        }
        match &self.database {
            Database::Postgres(database) => {
                postgres::note_setback(database, owner, &owners, worker, told).await
            }
            Database::Sqlite(database) => {
                database
                    .write(move |connection| {
                        sqlite::note_setback(connection, owner, &owners, worker, told)
                    })
                    .await
            }
        }
    }

    /// What was acknowledged and is missing, as far as anyone noticed.
    pub async fn setbacks(&self) -> Result<Vec<Setback>, Error> {
        let owner = self.owner;
        match &self.database {
            Database::Postgres(database) => postgres::setbacks(database, owner).await,
            Database::Sqlite(database) => {
                database.read(move |connection| sqlite::setbacks(connection, owner)).await
            }
        }
    }

    /// Clears the setbacks of the producers with this [short id](crate::short_id), or all if it is
    /// `all`. Returns and logs what it cleared.
    pub async fn clear_setbacks(&self, short_id: &str) -> Result<Vec<Setback>, Error> {
        let owner = self.owner;
        let cleared = match &self.database {
            Database::Postgres(database) => {
                postgres::clear_setbacks(database, owner, short_id).await
            }
            Database::Sqlite(database) => {
                let short_id = short_id.to_owned();
                database
                    .write(move |connection| sqlite::clear_setbacks(connection, owner, &short_id))
                    .await
            }
        }?;
        cleared.iter().for_each(Setback::tell_cleared);
        Ok(cleared)
    }
}
