//! Storing the rows of a batch, by COPY or from arrays.

use std::sync::LazyLock;

use bytes::Bytes;
use futures_util::{SinkExt as _, pin_mut};
use hashbrown::HashMap;
use jiff::Timestamp;
use tally_ingest::{Batch, WriteError};
use tally_producers::Parcel;
use tally_producers::append::postgres::{self, Column, Statements, Table};
use tally_store::error::Step as _;
use tally_store::postgres::{Database, Isolation, Transaction};
use tally_store::{Error, Outcome};

use super::super::{Appended, Names, Result, cockroach, is_cockroach};
use super::micros::Micros;
use super::trays::{Tray, Turns};
use super::{changes, copy, series};
use crate::NAME;
use crate::changes::Outdated;
use crate::model::SeriesId;
use crate::rows::{self, Rows};

/// From this many rows on COPY is faster than one INSERT from arrays.
const COPY_ROWS_MIN: usize = 2_000;

/// How a batch is written.
#[derive(Debug)]
pub(crate) struct Way {
    /// The statements for small batches.
    pub(crate) statements: Statements,
    /// The COPY, from [`COPY_ROWS_MIN`] rows on, if there is one.
    pub(crate) copy: Option<Copying>,
    /// Stores a row, and takes it back.
    pub(crate) try_row: String,
}

/// COPY statements for rows.
#[derive(Debug)]
pub(crate) struct Copying {
    /// That are one request each.
    single: String,
    /// Of which some are several requests.
    counted: String,
}

/// The table of rows, for one batch and the names that it needs.
struct RowTable<'a> {
    names: &'a Names,
    /// Those of the new names that the database has under another id.
    renumbered: HashMap<SeriesId, SeriesId>,
    way: &'static Way,
}

/// For each tray.
static TRAYS: LazyLock<[Way; Tray::ALL.len()]> = LazyLock::new(|| {
    Tray::ALL.map(|tray| Way {
        statements: Statements::new(
            &tray.sql(include_str!("append.sql")),
            &tray.sql(include_str!("append_open.sql")),
        ),
        copy: Some(Copying {
            single: tray.sql(include_str!("append_copy.sql")),
            counted: tray.sql(include_str!("append_copy_counted.sql")),
        }),
        try_row: tray.sql(include_str!("try_row.sql")),
    })
});

fn way(database: &Database, tray: Tray) -> &'static Way {
    if is_cockroach(database) { &cockroach::WAY } else { &TRAYS[tray.index()] }
}

/// Stores a batch once, in the first tray that is open.
pub(crate) async fn append(
    database: &Database,
    batch: &Batch<'_, Parcel<Rows>>,
    names: &Names,
    turns: &Turns,
    now: Timestamp,
) -> Result<Appended, WriteError> {
    for tray in turns.order_of_batch(now) {
        let _storing = turns.begin(tray);
        let connection = database.writer().await?;
        if database.writers_made() != names.state {
            connection.release();
            return Ok(Appended::Stale);
        }
        let mut table = RowTable { names, renumbered: HashMap::new(), way: way(database, tray) };
        match postgres::append(connection, batch, &mut table).await {
            Ok(Some(fates)) => return Ok(Appended::Stored { fates, renumbered: table.renumbered }),
            Ok(None) => {}
            Err(WriteError::Failed(error)) if error.find::<Outdated>().is_some() => {
                return Ok(Appended::Outdated);
            }
            Err(error) => return Err(error),
        }
        turns.note_closed(tray);
    }
    // One was always open, but it was not the same one all the time.
    let step = "store rows: no tray was open when it was tried";
    Err(Error::transient(step, Outcome::Determinate).into())
}

/// Stores a row, takes it back, and commits.
pub(crate) async fn try_write(database: &Database, tray: Tray) -> Result<()> {
    let transaction = database.probe().await?.transaction(Isolation::Default).await?;
    transaction.try_out(&way(database, tray).try_row).await?;
    transaction.commit().await
}

/// Stores rows in the tray of imports.
pub(super) async fn import_rows(transaction: &Transaction, rows: &Rows) -> Result<()> {
    let way = &TRAYS[Tray::IMPORTED.index()];
    copy_rows(transaction, way, std::slice::from_ref(rows)).await
}

/// Stores rows by COPY.
async fn copy_rows(transaction: &Transaction, way: &Way, chunks: &[Rows]) -> Result<()> {
    let step = "copy rows";
    let rows = chunks.iter().flat_map(Rows::iter);
    let counted = rows.clone().any(|row| row.requests != 1);
    let sql = way.copy.as_ref().map(|copy| if counted { &copy.counted } else { &copy.single });
    let sql = sql.map_or("", String::as_str);
    let copy = transaction.copy_in::<_, Bytes>(sql).await.step(step)?;
    pin_mut!(copy);
    for piece in copy::pieces(rows, counted) {
        copy.feed(piece).await.step(step)?;
    }
    copy.finish().await.step(step)?;
    Ok(())
}

// === impl RowTable ===

impl Table for RowTable<'_> {
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
            rows.clone().map(|row| (row.series, Micros(row.micros))).unzip();
        // NULL is one request, and what an array lacks is NULL.
        let requests = rows.map(|row| Some(row.requests).filter(|requests| *requests != 1));
        let requests: Vec<Option<i64>> = requests.collect();
        let last = requests.iter().rposition(Option::is_some);
        let requests = requests[..last.map_or(0, |last| last + 1)].to_vec();
        vec![Box::new(series), Box::new(times), Box::new(requests)]
    }

    fn copies(&self, rows: usize) -> bool {
        self.way.copy.is_some() && rows >= COPY_ROWS_MIN
    }

    async fn copy(&self, transaction: &Transaction, content: &[Rows]) -> Result<()> {
        copy_rows(transaction, self.way, content).await
    }

    fn has_more(&self) -> bool {
        !self.names.new.is_empty()
    }

    async fn store_more(&mut self, transaction: &Transaction) -> Result<()> {
        if self.names.new.is_empty() {
            return Ok(());
        }
        self.renumbered = series::add(transaction, &self.names.new).await?;
        // After the names: a change that was being made had to be waited for.
        match changes::version_in(transaction).await? {
            version if version == self.names.version => Ok(()),
            _ => Err(Outdated.into()),
        }
    }

    fn adapt(&self, content: Vec<Rows>) -> Vec<Rows> {
        let ids = self.names.stored_as_with(&self.renumbered);
        rows::merge(content.into_iter().map(|rows| rows.stored_as(&ids)).collect())
    }
}
