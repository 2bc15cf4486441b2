//! How far folds and roll-ups have come, whichever server does them.

use jiff::Timestamp;
use rusqlite::Connection;
use tally_store::Database;

use super::{Result, Store, is_cockroach, postgres, sqlite};
use crate::model::Day;

/// How far folds and roll-ups have come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Advance {
    /// When a day was rolled up last.
    pub(crate) rolled_up_at: Option<Timestamp>,
    /// The last day that is rolled up.
    pub(crate) rolled_up_through: Option<Day>,
    /// The first day that has totals and is not rolled up.
    pub(crate) first_open: Option<Day>,
    /// How many days have totals and are not rolled up.
    pub(crate) days_open: i64,
    /// What is not folded, if that can be told.
    pub(crate) unfolded: Option<Unfolded>,
}

/// What is not folded. Each database can tell one of them without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfolded {
    Rows(i64),
    Bytes(i64),
}

// === impl Store ===

impl Store {
    /// The last day that is rolled up.
    pub(crate) async fn rolled_up_through(&self) -> Result<Option<Day>> {
        let last = Day(0);
        let advance = match &self.database {
            Database::Postgres(database) => postgres::books::advance(database, last).await?,
            Database::Sqlite(database) => {
                database.read(move |connection| sqlite::books::advance(connection, last)).await?
            }
        };
        Ok(advance.rolled_up_through)
    }

    /// How far folds and roll-ups have come, of the days up to this one.
    pub(crate) async fn advance(&self, last: Day) -> Result<Advance> {
        match &self.database {
            Database::Postgres(database) => {
                let advance = postgres::books::advance(database, last).await?;
                if is_cockroach(database) {
                    return Ok(advance);
                }
                let bytes = postgres::trays::unfolded_bytes(database).await?;
                Ok(Advance { unfolded: Some(Unfolded::Bytes(bytes)), ..advance })
            }
            Database::Sqlite(database) => {
                let read = move |connection: &mut Connection| {
                    let advance = sqlite::books::advance(connection, last)?;
                    let rows = sqlite::trays::unfolded_rows(connection)?;
                    Ok(Advance { unfolded: Some(Unfolded::Rows(rows)), ..advance })
                };
                database.read(read).await
            }
        }
    }
}
