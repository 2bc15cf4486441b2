//! Requests to be counted in SQLite.

use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction};
use tally_runtime::{Namespace, random};
use tally_store::Error;
use tally_store::error::Step as _;
use tally_store::sqlite::{begin, rows};
use uuid::Uuid;

use super::{Count, Counts, new_producer};

/// Adds requests. They are counted if the transaction commits.
///
/// # Errors
/// When the database fails.
pub fn append_counts(transaction: &Transaction<'_>, counts: &[Count]) -> Result<(), Error> {
    let step = "write requests to count";
    let sql = include_str!("../sqlite/append_count.sql");
    for Count { namespace, service, method, path, status, at } in counts {
        let id = random::id(*at);
        let values =
            (id.as_bytes(), namespace.0, service, method, path, status, at.as_microsecond());
        let mut statement = transaction.prepare_cached(sql).step(step)?;
        statement.execute(values).step(step)?;
    }
    Ok(())
}

pub(super) fn has_some(connection: &Connection) -> Result<bool, Error> {
    let sql = include_str!("../sqlite/has_counts.sql");
    let some = rows(connection, "look for requests to count", sql, [], |_| Ok(()))?;
    Ok(!some.is_empty())
}

pub(super) fn next(connection: &mut Connection, limit: u32) -> Result<Option<Counts>, Error> {
    let step = "take requests to count";
    let transaction = begin(connection)?;
    let new = new_producer();
    let sql = include_str!("../sqlite/begin_counter.sql");
    transaction.execute(sql, [new.as_bytes()]).step(step)?;
    let counter = |row: &Row<'_>| Ok((Uuid::from_bytes(row.get(0)?), row.get(1)?));
    let sql = include_str!("../sqlite/counter.sql");
    let (producer, last): (Uuid, i64) = transaction.query_row(sql, [], counter).step(step)?;
    let mut sequence = last;
    let mut counts = Vec::new();
    if last > 0 {
        counts = of_batch(&transaction, last)?;
    }
    if counts.is_empty() {
        sequence = last + 1;
        let sql = include_str!("../sqlite/take_counts.sql");
        if transaction.execute(sql, (sequence, limit)).step(step)? == 0 {
            return Ok(None);
        }
        transaction.execute(include_str!("../sqlite/next_batch.sql"), [sequence]).step(step)?;
        counts = of_batch(&transaction, sequence)?;
    }
    transaction.commit().step("commit")?;
    Ok(Some(Counts { producer, sequence, counts }))
}

fn of_batch(connection: &Connection, batch: i64) -> Result<Vec<Count>, Error> {
    let count = |row: &Row<'_>| {
        Ok(Count {
            namespace: Namespace(row.get(0)?),
            service: row.get(1)?,
            method: row.get(2)?,
            path: row.get(3)?,
            status: row.get(4)?,
            at: Timestamp::from_microsecond(row.get(5)?).unwrap_or_default(),
        })
    };
    let sql = include_str!("../sqlite/counts_of_batch.sql");
    rows(connection, "read a batch to count", sql, [batch], count)
}

pub(super) fn remove(connection: &Connection, batch: i64) -> Result<(), Error> {
    let sql = include_str!("../sqlite/remove_counts.sql");
    connection.execute(sql, [batch]).step("remove what is counted").map(drop)
}
