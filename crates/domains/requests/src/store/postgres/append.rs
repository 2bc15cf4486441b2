//! Storing the rows of a batch, by COPY or from arrays. CockroachDB uses it too.

use std::sync::LazyLock;

use bytes::Bytes;
use futures_util::{SinkExt as _, pin_mut};
use hashbrown::HashMap;
use tally_ingest::{Batch, WriteError};
use tally_producers::Parcel;
use tally_producers::append::postgres::{self, Column, Statements, Table};
use tally_store::error::Step as _;
use tally_store::postgres::{Database, Isolation, Transaction};

use super::super::{Appended, Names, Result};
use super::endpoints;
use crate::NAME;
use crate::copy::{self, Micros};
use crate::model::EndpointId;
use crate::rows::Rows;

/// From this many rows on COPY is faster than one INSERT from arrays.
const COPY_ROWS_MIN: usize = 2_000;

/// How a batch is written.
#[derive(Debug)]
pub(crate) struct Way {
    /// The statements for small batches.
    pub(crate) statements: Statements,
    /// From how many rows on COPY is used, if there is a COPY.
    pub(crate) copy_rows_min: Option<usize>,
}

/// A batch on its way, with the names that it needs.
struct Named<'a> {
    names: &'a Names,
    /// Those of the new names that the database has under another id.
    moved: HashMap<EndpointId, EndpointId>,
    way: &'a Way,
}

/// Postgres's way.
pub(super) static COPIES: LazyLock<Way> = LazyLock::new(|| Way {
    statements: Statements::new(include_str!("append.sql")),
    copy_rows_min: Some(COPY_ROWS_MIN),
});

/// Stores a batch once.
pub(crate) async fn append(
    database: &Database,
    batch: &Batch<'_, Parcel<Rows>>,
    names: &Names,
    way: &Way,
) -> Result<Appended, WriteError> {
    let connection = database.writer().await?;
    if database.writers_made() != names.state {
        connection.release();
        return Ok(Appended::Stale);
    }
    let mut named = Named { names, moved: HashMap::new(), way };
    let fates = postgres::append(connection, batch, &mut named).await?;
    Ok(Appended::Stored { fates, moved: named.moved })
}

/// Stores a row, takes it back, and commits.
pub(crate) async fn try_write(database: &Database, row: &str) -> Result<()> {
    let transaction = database.probe().await?.transaction(Isolation::Default).await?;
    transaction.try_out(row).await?;
    transaction.commit().await
}

/// Stores rows, whoever has counted them.
pub(super) async fn copy_rows(transaction: &Transaction, rows: &[Rows]) -> Result<()> {
    let step = "copy rows";
    let copy = transaction.copy_in::<_, Bytes>(include_str!("append_copy.sql")).await.step(step)?;
    pin_mut!(copy);
    copy.feed(Bytes::from_static(copy::HEADER)).await.step(step)?;
    for rows in rows {
        copy.feed(rows.copy_bytes()).await.step(step)?;
    }
    copy.feed(Bytes::from_static(copy::TRAILER)).await.step(step)?;
    copy.finish().await.step(step)?;
    Ok(())
}

// === impl Named ===

impl Table for Named<'_> {
    type Content = Rows;

    fn domain(&self) -> &'static str {
        NAME
    }

    fn statements(&self) -> &Statements {
        &self.way.statements
    }

    fn columns(&self, content: &[Rows]) -> Vec<Column> {
        let rows = content.iter().flat_map(Rows::iter);
        let (series, times): (Vec<i64>, Vec<Micros>) =
            rows.map(|(series, micros)| (series, Micros(micros))).unzip();
        vec![Box::new(series), Box::new(times)]
    }

    fn copies(&self, rows: usize) -> bool {
        self.way.copy_rows_min.is_some_and(|min| rows >= min)
    }

    async fn copy(&self, transaction: &Transaction, content: &[Rows]) -> Result<()> {
        copy_rows(transaction, content).await
    }

    fn has_more(&self) -> bool {
        !self.names.new.is_empty()
    }

    async fn store_more(&mut self, transaction: &Transaction) -> Result<()> {
        self.moved = endpoints::add(transaction, &self.names.new).await?;
        Ok(())
    }

    fn adapt(&self, content: Rows) -> Rows {
        content.moved(&self.names.moved_with(&self.moved))
    }
}
