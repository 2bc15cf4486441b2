//! Corrections, merges and forgets: what the store does for them.

use rusqlite::Connection;
use tally_runtime::faults;
use tally_store::Database;

use super::{Result, Store, postgres, sqlite};
use crate::changes::{Changes, Draft, Version};
use crate::corrections::{Balance, Corrected, Correction};
use crate::model::{DayRange, Namespace};

/// How many series one step moves in a month: some 10,000 rows.
pub(super) const SETTLED_SERIES: usize = 300;

// === impl Store ===

/// Each operation fails when the database does.
impl Store {
    /// The last change of series that the database has.
    pub(crate) async fn version(&self) -> Result<Version> {
        match &self.database {
            Database::Postgres(database) => postgres::changes::version(database).await,
            Database::Sqlite(database) => {
                database.read(|connection| sqlite::changes::version(connection)).await
            }
        }
    }

    /// What has changed since a version.
    pub(crate) async fn changes(&self, since: Version) -> Result<Changes> {
        match &self.database {
            Database::Postgres(database) => postgres::changes::load(database, since).await,
            Database::Sqlite(database) => {
                database.read(move |connection| sqlite::changes::load(connection, since)).await
            }
        }
    }

    /// Moves series and notes it. Fails with [`Outdated`](crate::changes::Outdated) if another change was
    /// first. Returns how many have moved.
    pub(crate) async fn move_series(&self, draft: &Draft) -> Result<usize> {
        match &self.database {
            Database::Postgres(database) => postgres::changes::write(database, draft).await,
            Database::Sqlite(database) => {
                let draft = draft.clone();
                database.write(move |connection| sqlite::changes::write(connection, draft)).await
            }
        }
    }

    /// Adds what days and months have of series that have moved to those that they have moved to, step
    /// by step. No answer changes. Returns whether nothing is left: a roll-up that is under way is not
    /// disturbed.
    pub(crate) async fn settle(&self) -> Result<bool> {
        let mut is_all = true;
        let months = match &self.database {
            Database::Postgres(database) => postgres::changes::months(database).await?,
            Database::Sqlite(database) => {
                database.read_long(|connection| sqlite::changes::months(connection)).await?
            }
        };
        for month in months {
            let moved = match &self.database {
                Database::Postgres(database) => {
                    postgres::changes::moved_in_month(database, month).await?
                }
                Database::Sqlite(database) => {
                    let find = move |connection: &mut Connection| {
                        sqlite::changes::moved_in_month(connection, month)
                    };
                    database.read_long(find).await?
                }
            };
            for some in moved.chunks(SETTLED_SERIES) {
                match &self.database {
                    Database::Postgres(database) => {
                        is_all &= postgres::changes::settle(database, month, some).await?;
                    }
                    Database::Sqlite(database) => {
                        let some = some.to_vec();
                        let step = move |connection: &mut Connection| {
                            sqlite::changes::settle(connection, month, &some)
                        };
                        database.write(step).await?;
                    }
                }
                faults::point("settle.step").await;
            }
        }
        Ok(is_all)
    }

    /// The changes that are not settled, and their ages in seconds by the database's clock.
    pub(crate) async fn unsettled(&self) -> Result<Vec<(i64, i64)>> {
        match &self.database {
            Database::Postgres(database) => postgres::changes::unsettled(database).await,
            Database::Sqlite(database) => {
                database.read(|connection| sqlite::changes::unsettled(connection)).await
            }
        }
    }

    /// Notes that the changes up to this one are settled.
    pub(crate) async fn mark_settled(&self, through: i64) -> Result<()> {
        match &self.database {
            Database::Postgres(database) => {
                postgres::changes::mark_settled(database, through).await
            }
            Database::Sqlite(database) => {
                let mark = move |connection: &mut Connection| {
                    sqlite::changes::mark_settled(connection, through)
                };
                database.write(mark).await
            }
        }
    }

    /// Stores a correction, unless the total with all corrections would be below zero. What is not folded
    /// does not count for that, so it stays true for answers without live totals.
    pub(crate) async fn correct(
        &self,
        correction: &Correction,
        is_dry_run: bool,
    ) -> Result<Balance> {
        match &self.database {
            Database::Postgres(database) => {
                postgres::corrections::correct(database, correction, is_dry_run).await
            }
            Database::Sqlite(database) => {
                let correction = correction.clone();
                let correct = move |connection: &mut Connection| {
                    sqlite::corrections::correct(connection, &correction, is_dry_run)
                };
                database.write(correct).await
            }
        }
    }

    /// The first corrections that a namespace has of these days, in order.
    pub(crate) async fn corrections(
        &self,
        namespace: Namespace,
        days: DayRange,
        limit: usize,
    ) -> Result<Vec<Corrected>> {
        match &self.database {
            Database::Postgres(database) => {
                postgres::corrections::list(database, namespace, days, limit).await
            }
            Database::Sqlite(database) => {
                let list = move |connection: &mut Connection| {
                    sqlite::corrections::list(connection, namespace, days, limit)
                };
                database.read(list).await
            }
        }
    }
}
