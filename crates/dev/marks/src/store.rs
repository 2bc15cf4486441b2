//! The one table, in each kind of database.

use std::sync::LazyLock;

use rusqlite::{Connection, Transaction};
use tally_ingest::{Batch, WriteError};
use tally_producers::append::postgres::{Column, Statements, Table};
use tally_producers::append::{postgres, sqlite};
use tally_producers::{Append, Fate, Parcel};
use tally_store::copy::Copying;
use tally_store::error::Step as _;
use tally_store::{Database, Error, Migrations};

use crate::batches::Marks;
use crate::domain::NAME;

mod in_postgres {
    refinery::embed_migrations!("migrations/postgres");
}

mod in_sqlite {
    refinery::embed_migrations!("migrations/sqlite");
}

/// CockroachDB has the table of Postgres.
pub(crate) const MIGRATIONS: Migrations = Migrations {
    set: NAME,
    postgres: in_postgres::migrations::runner,
    cockroach: in_postgres::migrations::runner,
    sqlite: in_sqlite::migrations::runner,
    copying: Copying::PLAIN,
};

/// The statements of Postgres and CockroachDB.
static STATEMENTS: LazyLock<Statements> =
    LazyLock::new(|| Statements::new(include_str!("store/append.sql"), "TRUE"));

/// Where marks are stored.
#[derive(Clone)]
pub(crate) struct Store(pub(crate) Database);

struct MarkTable;

// === impl Store ===

impl Store {
    pub(crate) async fn count(&self) -> Result<i64, Error> {
        let (step, sql) = ("count marks", include_str!("store/count.sql"));
        match &self.0 {
            Database::Postgres(database) => Ok(database.rows(step, sql, &[]).await?[0].get(0)),
            Database::Sqlite(database) => {
                let count = move |connection: &mut Connection| {
                    connection.query_row(sql, [], |row| row.get(0)).step(step)
                };
                database.read(count).await
            }
        }
    }
}

impl Append for Store {
    type Content = Marks;

    async fn append(&self, batch: &Batch<'_, Parcel<Marks>>) -> Result<Vec<Fate>, WriteError> {
        match &self.0 {
            Database::Postgres(database) => {
                let fates =
                    postgres::append(database.writer().await?, batch, &mut MarkTable).await?;
                Ok(fates.unwrap_or_default())
            }
            Database::Sqlite(database) => {
                sqlite::transaction(database, batch, |transaction, batch| {
                    let plan = sqlite::append(transaction, NAME, batch)?;
                    add(transaction, &plan.content)?;
                    Ok(plan.fates)
                })
                .await
            }
        }
    }
}

fn add(transaction: &Transaction<'_>, content: &[Marks]) -> Result<(), Error> {
    let step = "store a mark";
    let mut add = transaction.prepare_cached(include_str!("store/add_mark.sql")).step(step)?;
    for one in content {
        for mark in &one.marks {
            add.execute((mark, one.day().0)).step(step)?;
        }
    }
    Ok(())
}

// === impl MarkTable ===

impl Table for MarkTable {
    type Content = Marks;

    fn domain(&self) -> &'static str {
        NAME
    }

    fn statements(&self) -> &Statements {
        &STATEMENTS
    }

    fn columns(&self, content: &[Marks]) -> Vec<Column> {
        let rows = content.iter().flat_map(|one| one.marks.iter().map(|mark| (*mark, one.day().0)));
        let (marks, days): (Vec<i64>, Vec<i32>) = rows.unzip();
        vec![Box::new(marks), Box::new(days)]
    }
}
