//! Totals, and lists of names.

use std::sync::Arc;

use rusqlite::Connection;
use tally_store::Database;

use super::{Result, Store, postgres, sqlite};
use crate::listing::{Found, Listing};
use crate::totals::{Query, Questions, Totals};

// === impl Store ===

impl Store {
    /// The first names of the dictionary that are asked for.
    pub(crate) async fn list(&self, listing: &Listing) -> Result<Found> {
        match &self.database {
            Database::Postgres(database) => postgres::series::find(database, listing).await,
            Database::Sqlite(database) => {
                let listing = listing.clone();
                database.read(move |connection| sqlite::series::find(connection, &listing)).await
            }
        }
    }

    /// Answers a query from one snapshot. Fails if there are [`TooMany`](crate::TooMany) totals.
    pub async fn totals(&self, query: &Query) -> Result<Totals> {
        let questions = Questions { first: vec![query.clone()], then: Arc::new(|_| Vec::new()) };
        Ok(self.answers(questions).await?.swap_remove(0))
    }

    /// Answers several queries from one snapshot.
    pub(crate) async fn answers(&self, questions: Questions) -> Result<Vec<Totals>> {
        match &self.database {
            Database::Postgres(database) => {
                postgres::totals::read(database, &questions, &self.cache).await
            }
            Database::Sqlite(database) => {
                let cache = Arc::clone(&self.cache);
                let read = move |connection: &mut Connection| {
                    sqlite::totals::read(connection, &questions, &cache)
                };
                database.read(read).await
            }
        }
    }
}
