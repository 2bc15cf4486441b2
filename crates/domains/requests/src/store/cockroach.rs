//! CockroachDB: one table of rows, whose key is led by a hash of the day.

use std::sync::LazyLock;

use async_trait::async_trait;
use jiff::Timestamp;
use tally_ingest::{Batch, WriteError};
use tally_producers::Parcel;
use tally_producers::append::postgres::Statements;
use tally_store::postgres::Database;
use tally_store::retry::Policy;
use tokio_postgres::types::ToSql;

use super::postgres::append::{self, Way};
use super::postgres::{endpoints, files, totals};
use super::{Appended, Names, Result, Store};
use crate::counted::CountedFile;
use crate::import_count::{CountTables, Imported};
use crate::model::{DayRange, Endpoint, EndpointId};
use crate::rows::Rows;
use crate::totals::{Query, Totals};

/// How many rows one step of a roll-up moves: CockroachDB advises against larger transactions.
const STEP_ROWS: i64 = 10_000;

/// There is no COPY in the form that the driver speaks.
static WAY: LazyLock<Way> = LazyLock::new(|| Way {
    statements: Statements::new(include_str!("cockroach/append.sql")),
    copy_rows_min: None,
});

/// Requests in CockroachDB.
#[derive(Debug, Clone)]
pub struct CockroachStore {
    database: Database,
}

// === impl CockroachStore ===

impl CockroachStore {
    /// On a database whose migrations are applied.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// One statement, which is its own transaction.
    async fn roll_up_step(&self, days: DayRange) -> Result<i64> {
        let (step, sql) = ("move rows into totals", include_str!("cockroach/roll_up.sql"));
        let values: [&(dyn ToSql + Sync); 3] = [&days.first.0, &days.last.0, &STEP_ROWS];
        let rows = self.database.commit_rows(step, sql, &values).await?;
        Ok(rows.first().map_or(0, |row| row.get(0)))
    }
}

#[async_trait]
impl Store for CockroachStore {
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
        append::append(&self.database, batch, names, &WAY).await
    }

    async fn roll_up(&self, days: DayRange) -> Result<u64> {
        let mut rows = 0;
        loop {
            // A repeated step finds what the one before it left: it moves no row twice.
            let moved = Policy::long("roll rows up").run(|| self.roll_up_step(days)).await?;
            if moved == 0 {
                return Ok(rows);
            }
            rows += u64::try_from(moved).unwrap_or_default();
        }
    }

    async fn totals(&self, query: &Query) -> Result<Totals> {
        // Its snapshots hold without a lock: rows are deleted, not truncated.
        Policy::long("read totals").run(|| totals::read(&self.database, query, None)).await
    }

    async fn counted_files(&self, fingerprints: &[Vec<u8>]) -> Result<Vec<CountedFile>> {
        files::find(&self.database, fingerprints).await
    }

    async fn try_write(&self) -> Result<()> {
        append::try_write(&self.database, include_str!("cockroach/try_row.sql")).await
    }

    async fn import_count(&self, tables: CountTables) -> Result<Imported> {
        let step = "import the Go server's tables into CockroachDB, where one transaction cannot \
                    take so much: import them into Postgres or SQLite";
        drop(tables);
        Err(tally_store::Error::permanent(step, tally_runtime::Kind::FailedPrecondition))
    }

    async fn maintain(&self, _now: Timestamp) -> Result<()> {
        files::forget(&self.database).await
    }
}
