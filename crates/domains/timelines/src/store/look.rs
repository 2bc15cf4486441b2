//! What the pages read: contexts that were heard of last, their latest timelines, and the durations of a name.

use jiff::{SignedDuration, Timestamp};
use tally_runtime::Namespace;
use tally_store::Database;
use tally_store::retry::Policy;
use uuid::Uuid;

use super::{Result, Store, postgres, sqlite};
use crate::model::{Context, Timeline};

/// Where a list of contexts goes on: when the last one was heard of, and its name.
pub(crate) type Place = (Timestamp, String);

/// How long the events of one name took in a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lasted {
    pub(crate) timeline_number: i64,
    pub(crate) begun: Timestamp,
    /// Of the longest one that ended well.
    pub(crate) took: Option<SignedDuration>,
    pub(crate) failed: i64,
}

// === impl Store ===

/// Each operation fails when the database does.
impl Store {
    /// Contexts of a namespace whose names have this text in small letters, the one that was heard of last first,
    /// each with its newest timeline, if it is kept.
    pub(crate) async fn latest(
        &self,
        namespace: Namespace,
        search: &str,
        after: Option<Place>,
        limit: u32,
    ) -> Result<Vec<(Context, Option<Timeline>)>> {
        match self.database() {
            Database::Postgres(database) => {
                let once = || postgres::latest(database, namespace, search, after.as_ref(), limit);
                Policy::short("list contexts").run(once).await
            }
            Database::Sqlite(database) => {
                let search = search.to_owned();
                let latest = move |connection: &mut _| {
                    sqlite::latest(connection, namespace, &search, after.as_ref(), limit)
                };
                database.read(latest).await
            }
        }
    }

    /// The latest timelines of each of these contexts, the last first.
    pub(crate) async fn trends(&self, contexts: Vec<Uuid>, limit: u32) -> Result<Vec<Timeline>> {
        match self.database() {
            Database::Postgres(database) => {
                let once = || postgres::trends(database, &contexts, limit);
                Policy::short("list timelines").run(once).await
            }
            Database::Sqlite(database) => {
                database.read(move |connection| sqlite::trends(connection, &contexts, limit)).await
            }
        }
    }

    /// How long the events of a name took in these timelines, the last first.
    pub(crate) async fn durations(
        &self,
        context: Uuid,
        numbers: Vec<i64>,
        name: &str,
    ) -> Result<Vec<Lasted>> {
        match self.database() {
            Database::Postgres(database) => {
                let once = || postgres::durations(database, context, &numbers, name);
                Policy::short("read durations").run(once).await
            }
            Database::Sqlite(database) => {
                let name = name.to_owned();
                let durations = move |connection: &mut _| {
                    sqlite::durations(connection, context, &numbers, &name)
                };
                database.read(durations).await
            }
        }
    }
}
