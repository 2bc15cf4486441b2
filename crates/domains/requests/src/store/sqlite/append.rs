//! Storing what is new in a batch, in one transaction.

use rusqlite::{Connection, Transaction};
use tally_ingest::{Batch, WriteError};
use tally_producers::{Parcel, append};
use tally_store::error::Step as _;
use tally_store::sqlite::begin;

use super::super::{Appended, Names, Result};
use super::trays::Tray;
use super::{State, changes, series};
use crate::NAME;
use crate::rows::Rows;

/// Rows per INSERT: more is hardly faster. Smaller ones take the rest of a batch, so that few
/// statements are prepared, each once.
const INSERT_ROWS: [usize; 3] = [100, 10, 1];

pub(crate) fn append(
    transaction: &Transaction<'_>,
    batch: &Batch<'_, Parcel<Rows>>,
    names: &Names,
    state: &State,
) -> Result<Appended, WriteError> {
    if state.look(transaction)? != names.state {
        return Ok(Appended::Stale);
    }
    if !names.new.is_empty() && changes::version(transaction)? != names.version {
        return Ok(Appended::Outdated);
    }
    let renumbered = series::add(transaction, &names.new)?;
    let plan = append::sqlite::append(transaction, NAME, batch)?;
    let known = names.stored_as_with(&renumbered);
    let rows: Vec<Rows> = plan.content.into_iter().map(|rows| rows.stored_as(&known)).collect();
    insert(transaction, state.filling(), &rows)?;
    Ok(Appended::Stored { fates: plan.fates, renumbered })
}

/// Stores a row, removes it, and commits. Unlike a rollback, this reaches the disk.
pub(crate) fn try_write(connection: &mut Connection, state: &State) -> Result<()> {
    let step = "try to store a row";
    let transaction = begin(connection)?;
    // No row takes more room.
    let tray = state.filling();
    transaction.execute(&insert_sql(tray, 1), [i64::MAX; 2]).step(step)?;
    let row = transaction.last_insert_rowid();
    transaction.execute(&tray.sql(include_str!("remove_row.sql")), [row]).step(step)?;
    transaction.commit().step("commit")
}

pub(super) fn insert(transaction: &Transaction<'_>, tray: Tray, chunks: &[Rows]) -> Result<()> {
    let step = "insert the rows of a batch";
    let mut left: usize = chunks.iter().map(|rows| rows.iter().len()).sum();
    let mut rows = chunks.iter().flat_map(Rows::iter);
    for size in INSERT_ROWS {
        if left < size {
            continue;
        }
        let mut statement = transaction.prepare_cached(&insert_sql(tray, size)).step(step)?;
        for _ in 0..left / size {
            for (at, (id, micros)) in (1..).step_by(2).zip(rows.by_ref().take(size)) {
                statement.raw_bind_parameter(at, id).step(step)?;
                statement.raw_bind_parameter(at + 1, micros).step(step)?;
            }
            statement.raw_execute().step(step)?;
        }
        left %= size;
    }
    Ok(())
}

/// An INSERT of this many rows.
fn insert_sql(tray: Tray, rows: usize) -> String {
    let values = vec!["(?, ?)"; rows].join(", ");
    format!("{} {values}", tray.sql(include_str!("append.sql").trim_end()))
}
