//! Storing what is new in a batch, in one transaction.

use rusqlite::{Connection, Transaction};
use tally_ingest::{Batch, WriteError};
use tally_producers::{Content, Parcel, append};
use tally_store::error::Step as _;
use tally_store::sqlite::begin;

use super::super::{Appended, Names, Result};
use super::trays::Tray;
use super::{State, changes, series};
use crate::NAME;
use crate::rows::{self, Rows};

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
    insert(transaction, state.filling(), &rows::merge(rows))?;
    Ok(Appended::Stored { fates: plan.fates, renumbered })
}

/// Stores a row, removes it, and commits. Unlike a rollback, this reaches the disk.
pub(crate) fn try_write(connection: &mut Connection, state: &State) -> Result<()> {
    let step = "try to store a row";
    let transaction = begin(connection)?;
    // No row takes more room.
    let tray = state.filling();
    transaction.execute(&insert_sql(tray, 1, true), [i64::MAX; 3]).step(step)?;
    let row = transaction.last_insert_rowid();
    transaction.execute(&tray.sql(include_str!("remove_row.sql")), [row]).step(step)?;
    transaction.commit().step("commit")
}

pub(super) fn insert(transaction: &Transaction<'_>, tray: Tray, chunks: &[Rows]) -> Result<()> {
    let step = "insert the rows of a batch";
    let mut left: usize = chunks.iter().map(Content::rows).sum();
    let mut rows = chunks.iter().flat_map(Rows::iter);
    let counted = rows.clone().any(|row| row.requests != 1);
    let fields = if counted { 3 } else { 2 };
    for size in INSERT_ROWS {
        if left < size {
            continue;
        }
        let mut statement =
            transaction.prepare_cached(&insert_sql(tray, size, counted)).step(step)?;
        for _ in 0..left / size {
            for (at, row) in (1..).step_by(fields).zip(rows.by_ref().take(size)) {
                statement.raw_bind_parameter(at, row.series).step(step)?;
                statement.raw_bind_parameter(at + 1, row.micros).step(step)?;
                if counted {
                    let requests = Some(row.requests).filter(|requests| *requests != 1);
                    statement.raw_bind_parameter(at + 2, requests).step(step)?;
                }
            }
            statement.raw_execute().step(step)?;
        }
        left %= size;
    }
    Ok(())
}

/// An INSERT of this many rows, which say if `counted` how many requests each is.
fn insert_sql(tray: Tray, rows: usize, counted: bool) -> String {
    let (sql, values) = match counted {
        true => (include_str!("append_counted.sql"), "(?, ?, ?)"),
        false => (include_str!("append.sql"), "(?, ?)"),
    };
    format!("{} {}", tray.sql(sql.trim_end()), vec![values; rows].join(", "))
}
