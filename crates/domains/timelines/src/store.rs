//! Where timelines are kept, and which database does it how.
//!
//! | file | what it owns |
//! |---|---|
//! | `codes.rs` | events and their parts as the database has them |
//! | `look.rs` | what the pages read |
//! | `postgres.rs`, `postgres/` | Postgres and CockroachDB |
//! | `sqlite.rs`, `sqlite/` | SQLite |
//! | `wanted.rs` | what messages are about |

mod codes;
pub(crate) mod look;
mod postgres;
mod sqlite;
mod wanted;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tally_runtime::Namespace;
use tally_store::Database;
use tally_store::retry::Policy;
use uuid::Uuid;

use crate::ledger::{Limits, Loaded, Outcome, judge};
use crate::message::Message;
use crate::metrics::Measured;
use crate::model::{Context, Event, Terms, Timeline, Which};

/// The result of a storage operation.
pub(crate) type Result<T, E = tally_store::Error> = std::result::Result<T, E>;

/// For how many days a message is known if it comes again.
pub(crate) const KNOWN_DAYS: i64 = 30;

/// Contexts, timelines, their events, and how long these took. Clones share everything.
///
/// Every database keeps these promises, and the same tests check each of them:
///
/// - What a batch of messages makes of timelines is one transaction, or nothing of it.
/// - Contexts are locked while messages are judged, in the order of their ids, so that two servers never judge
///   by the same state.
/// - A message that is known by its idempotency key, or by what it says, is not stored again.
#[derive(Clone)]
pub(crate) struct Store {
    database: Database,
    limits: Limits,
    measured: Arc<Measured>,
}

/// How long the events of a name took in one timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Took {
    pub(crate) timeline_number: i64,
    pub(crate) name: String,
    /// Of the longest one that ended well.
    pub(crate) took: Option<SignedDuration>,
    pub(crate) failed: i64,
}

/// How much there is of everything.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) contexts: i64,
    pub(crate) timelines: i64,
    pub(crate) events: i64,
    pub(crate) open: i64,
    pub(crate) abandoned: i64,
}

// === impl Store ===

/// Each operation fails when the database does.
impl Store {
    pub(crate) fn new(database: Database, limits: Limits) -> Self {
        Self { database, limits, measured: Arc::default() }
    }

    /// What is counted of what is done here.
    pub(crate) fn measured(&self) -> &Measured {
        &self.measured
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Takes messages in one transaction, and returns what became of each. An error says whether they may be
    /// stored all the same; sent again, they are known.
    pub(crate) async fn record(
        &self,
        messages: Arc<[Message]>,
        now: Timestamp,
    ) -> Result<Vec<Outcome>> {
        let limits = self.limits;
        match &self.database {
            Database::Postgres(database) => {
                postgres::record(database, &messages, now, limits).await
            }
            Database::Sqlite(database) => {
                database
                    .write(move |connection| sqlite::record(connection, &messages, now, limits))
                    .await
            }
        }
    }

    /// Contexts of a namespace after this name, each with its newest timeline, if it is kept.
    pub(crate) async fn contexts(
        &self,
        namespace: Namespace,
        after: &str,
        limit: u32,
    ) -> Result<Vec<(Context, Option<Timeline>)>> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::contexts(database, namespace, after, limit);
                Policy::short("list contexts").run(once).await
            }
            Database::Sqlite(database) => {
                let after = after.to_owned();
                database
                    .read(move |connection| sqlite::contexts(connection, namespace, &after, limit))
                    .await
            }
        }
    }

    /// A context by its name.
    pub(crate) async fn context(
        &self,
        namespace: Namespace,
        name: &str,
    ) -> Result<Option<Context>> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::context(database, namespace, name);
                Policy::short("find a context").run(once).await
            }
            Database::Sqlite(database) => {
                let name = name.to_owned();
                database.read(move |connection| sqlite::context(connection, namespace, &name)).await
            }
        }
    }

    /// Gives a context other terms. Safe to repeat.
    pub(crate) async fn configure(&self, context: Uuid, terms: Terms) -> Result<()> {
        let limits = self.limits;
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::configure(database, context, terms, limits);
                Policy::short("change a context").run(once).await
            }
            Database::Sqlite(database) => {
                database
                    .write(move |connection| sqlite::configure(connection, context, terms, limits))
                    .await
            }
        }
    }

    /// The latest timelines of a context before this number.
    pub(crate) async fn timelines(
        &self,
        context: Uuid,
        before: i64,
        limit: u32,
    ) -> Result<Vec<Timeline>> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::timelines(database, context, before, limit);
                Policy::short("list timelines").run(once).await
            }
            Database::Sqlite(database) => {
                database
                    .read(move |connection| sqlite::timelines(connection, context, before, limit))
                    .await
            }
        }
    }

    /// A timeline of a context.
    pub(crate) async fn timeline(
        &self,
        context: &Context,
        which: &Which,
    ) -> Result<Option<Timeline>> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::timeline(database, context, which);
                Policy::short("find a timeline").run(once).await
            }
            Database::Sqlite(database) => {
                let (context, which) = (context.clone(), which.clone());
                database
                    .read(move |connection| sqlite::timeline(connection, &context, &which))
                    .await
            }
        }
    }

    /// The events of a timeline after this number.
    pub(crate) async fn events(
        &self,
        timeline: Uuid,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Event>> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::events(database, timeline, after, limit);
                Policy::short("list events").run(once).await
            }
            Database::Sqlite(database) => {
                database
                    .read(move |connection| sqlite::events(connection, timeline, after, limit))
                    .await
            }
        }
    }

    /// How long the events of each name took in the last finished timelines of a context before this number.
    pub(crate) async fn typical(&self, context: Uuid, number: i64, last: u32) -> Result<Vec<Took>> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::typical(database, context, number, last);
                Policy::short("read durations").run(once).await
            }
            Database::Sqlite(database) => {
                database
                    .read(move |connection| sqlite::typical(connection, context, number, last))
                    .await
            }
        }
    }

    /// How much there is of everything.
    pub(crate) async fn sums(&self) -> Result<Sums> {
        match &self.database {
            Database::Postgres(database) => postgres::sums(database).await,
            Database::Sqlite(database) => {
                database.read(|connection| sqlite::sums(connection)).await
            }
        }
    }

    /// Abandons events that are overdue. Returns how many; not all at once. Safe to repeat.
    pub(crate) async fn abandon(&self, now: Timestamp, limit: u32) -> Result<u64> {
        let abandoned = match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::abandon(database, now, limit);
                Policy::short("abandon events").run(once).await?
            }
            Database::Sqlite(database) => {
                database.write(move |connection| sqlite::abandon(connection, now, limit)).await?
            }
        };
        self.measured.abandoned.add(abandoned);
        Ok(abandoned)
    }

    /// Deletes timelines that are expired, with their events. Returns how many; not all at once. Safe to repeat.
    pub(crate) async fn expire(&self, now: Timestamp, limit: u32) -> Result<u64> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::expire(database, now, limit);
                Policy::short("delete timelines").run(once).await
            }
            Database::Sqlite(database) => {
                database.write(move |connection| sqlite::expire(connection, now, limit)).await
            }
        }
    }

    /// Forgets messages and durations of before. Returns how many; not all at once. Safe to repeat.
    pub(crate) async fn prune(
        &self,
        messages: Timestamp,
        durations: Timestamp,
        limit: u32,
    ) -> Result<u64> {
        match &self.database {
            Database::Postgres(database) => {
                let once = || postgres::prune(database, messages, durations, limit);
                Policy::short("prune durations").run(once).await
            }
            Database::Sqlite(database) => {
                database
                    .write(move |connection| sqlite::prune(connection, messages, durations, limit))
                    .await
            }
        }
    }
}
