//! Postgres: endpoints, batches, totals.
//!
//! | file | what it owns |
//! |---|---|
//! | `append.rs` | storing a batch, by COPY or by unnest |
//! | `endpoints.rs` | finding and adding endpoints; CockroachDB uses it too |
//! | `files.rs` | files that were counted as a whole; CockroachDB uses it too |
//! | `import_count.rs` | importing the Go server's tables |
//! | `partitions.rs` | which partitions there are; making and dropping them |
//! | `roll_up.rs` | rolling partitions up, and the default partition |
//! | `totals.rs` | answering queries; CockroachDB uses it too |

pub(super) mod append;
pub(super) mod endpoints;
pub(crate) mod files;
mod import_count;
mod partitions;
mod roll_up;
pub(super) mod totals;

use async_trait::async_trait;
use jiff::Timestamp;
use tally_ingest::{Batch, WriteError};
use tally_producers::Parcel;
use tally_store::postgres::Database;
use tally_store::retry::Policy;

use super::{Appended, Names, Result, Store};
use crate::counted::CountedFile;
use crate::import_count::{CountTables, Imported};
use crate::model::{DayRange, Endpoint, EndpointId};
use crate::rows::Rows;
use crate::totals::{Query, Totals};

/// Requests in Postgres: rows in a partition for each day.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    database: Database,
}

// === impl PostgresStore ===

impl PostgresStore {
    /// On a database whose migrations are applied.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn endpoints(
        &self,
        count_max: usize,
        path_bytes_max: usize,
    ) -> Result<(Vec<(EndpointId, Endpoint)>, u64)> {
        let state = self.state();
        let list = || endpoints::list(&self.database, count_max, path_bytes_max);
        Ok((Policy::short("list endpoints").run(list).await?, state))
    }

    fn state(&self) -> u64 {
        self.database.writers_made()
    }

    async fn append(
        &self,
        batch: &Batch<'_, Parcel<Rows>>,
        names: &Names,
    ) -> Result<Appended, WriteError> {
        let appended = append::append(&self.database, batch, names, &append::COPIES).await;
        appended.map_err(|error| match error {
            WriteError::Failed(error) if partitions::was_just_made(&error) => {
                WriteError::Failed(error.that_passes())
            }
            error => error,
        })
    }

    async fn roll_up(&self, days: DayRange) -> Result<u64> {
        roll_up::roll_up(&self.database, days).await
    }

    async fn totals(&self, query: &Query) -> Result<Totals> {
        let lock = query.live.then_some(include_str!("postgres/lock_for_live.sql"));
        Policy::long("read totals").run(|| totals::read(&self.database, query, lock)).await
    }

    async fn counted_files(&self, fingerprints: &[Vec<u8>]) -> Result<Vec<CountedFile>> {
        files::find(&self.database, fingerprints).await
    }

    async fn try_write(&self) -> Result<()> {
        append::try_write(&self.database, include_str!("postgres/try_row.sql")).await
    }

    async fn import_count(&self, tables: CountTables) -> Result<Imported> {
        import_count::import_count(&self.database, tables).await
    }

    async fn maintain(&self, now: Timestamp) -> Result<()> {
        partitions::make_ahead(&self.database, now).await?;
        partitions::drop_empty(&self.database, now).await?;
        files::forget(&self.database).await
    }
}
