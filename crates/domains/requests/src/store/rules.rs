//! Rules: what the store does for them.

use jiff::Timestamp;
use tally_outbox::Event;
use tally_store::Database;
use uuid::Uuid;

use super::{Result, Store, postgres, sqlite};
use crate::model::Namespace;
use crate::rules::KeptRule;

/// The SQLSTATE of a second row of the same key.
const UNIQUE_VIOLATION: &str = "23505";

/// How a rule stands after a verdict, and what its webhook is told.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) firing_since: Option<Timestamp>,
    pub(crate) told: Option<Timestamp>,
    pub(crate) event: Option<Event>,
}

/// What became of a new rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Added {
    New,
    /// There is one of this name: this.
    Taken(Box<KeptRule>),
    TooMany,
}

// === impl Store ===

/// Each operation fails when the database does.
impl Store {
    /// All rules of a namespace, by name, or those of all.
    pub(crate) async fn rules(&self, namespace: Option<Namespace>) -> Result<Vec<KeptRule>> {
        match &self.database {
            Database::Postgres(database) => postgres::rules::list(database, namespace).await,
            Database::Sqlite(database) => {
                database.read(move |connection| sqlite::rules::list(connection, namespace)).await
            }
        }
    }

    /// Adds a rule, unless its namespace has one of its name, or this many. Safe to repeat.
    pub(crate) async fn add_rule(&self, kept: &KeptRule, rules_max: u32) -> Result<Added> {
        match &self.database {
            Database::Postgres(database) => postgres::rules::add(database, kept, rules_max).await,
            Database::Sqlite(database) => {
                let kept = kept.clone();
                database
                    .write(move |connection| sqlite::rules::add(connection, &kept, rules_max))
                    .await
            }
        }
    }

    /// Removes a rule and its events. Safe to repeat.
    pub(crate) async fn remove_rule(&self, id: Uuid) -> Result<()> {
        match &self.database {
            Database::Postgres(database) => postgres::rules::remove(database, id).await,
            Database::Sqlite(database) => {
                database.write(move |connection| sqlite::rules::remove(connection, id)).await
            }
        }
    }

    /// Writes how a rule stands and its next event, in one transaction; false if something else has
    /// happened to it since it was read. Safe to repeat: of the same number, there is one event.
    pub(crate) async fn tell(&self, kept: &KeptRule, judged: &Judged) -> Result<bool> {
        match &self.database {
            Database::Postgres(database) => postgres::rules::tell(database, kept, judged).await,
            Database::Sqlite(database) => {
                let (kept, judged) = (kept.clone(), judged.clone());
                database
                    .write(move |connection| sqlite::rules::tell(connection, &kept, &judged))
                    .await
            }
        }
    }

    /// Writes a test event, unless there is one of its number. Safe to repeat.
    pub(crate) async fn add_test(&self, event: &Event, failed: Option<Uuid>) -> Result<()> {
        let done = match &self.database {
            Database::Postgres(database) => {
                postgres::rules::add_test(database, event, failed).await
            }
            Database::Sqlite(database) => {
                let event = event.clone();
                let add = move |connection: &mut rusqlite::Connection| {
                    sqlite::rules::add_test(connection, &event, failed)
                };
                database.write(add).await
            }
        };
        done.or_else(|error| match error.sqlstate() {
            Some(UNIQUE_VIOLATION) => Ok(()),
            _ => Err(error),
        })
    }
}
