//! Abandoning, deleting, and other terms.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use tally_store::error::Step as _;
use tally_store::sqlite::{begin, rows};
use uuid::Uuid;

use super::{Limits, Result, Terms};

pub(in crate::store) fn configure(
    connection: &mut Connection,
    context: Uuid,
    terms: Terms,
    limits: Limits,
) -> Result<()> {
    let step = "change a context";
    let transaction = begin(connection)?;
    let (id, after) = (context.as_bytes(), terms.abandon_after.map(|after| after.as_secs()));
    let values = params![id, terms.retention_days, after];
    transaction.execute(include_str!("configure.sql"), values).step(step)?;
    let days = terms.retention_days.unwrap_or(limits.retention_days);
    let sql = include_str!("configure_timelines.sql");
    transaction.execute(sql, params![id, days]).step(step)?;
    let after = after.unwrap_or(limits.abandon_after.as_secs());
    let sql = include_str!("configure_events.sql");
    transaction.execute(sql, params![id, after]).step(step)?;
    transaction.commit().step("commit")
}

pub(in crate::store) fn abandon(
    connection: &mut Connection,
    now: Timestamp,
    limit: u32,
) -> Result<u64> {
    let step = "abandon events";
    let transaction = begin(connection)?;
    let one = |row: &Row<'_>| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, i64>(1)?));
    let sql = include_str!("overdue.sql");
    let overdue = rows(&transaction, step, sql, params![now.as_microsecond(), limit], one)?;
    for (timeline, number) in &overdue {
        transaction.execute(include_str!("abandon.sql"), params![timeline, number]).step(step)?;
        transaction.execute(include_str!("count_abandoned.sql"), [timeline]).step(step)?;
    }
    transaction.commit().step("commit")?;
    Ok(overdue.len() as u64)
}

pub(in crate::store) fn expire(
    connection: &mut Connection,
    now: Timestamp,
    limit: u32,
) -> Result<u64> {
    let step = "delete timelines";
    let transaction = begin(connection)?;
    let (sql, values) = (include_str!("expired.sql"), params![now.as_microsecond(), limit]);
    let expired = rows(&transaction, step, sql, values, |row| row.get::<_, [u8; 16]>(0))?;
    for id in &expired {
        transaction.execute(include_str!("delete_timeline.sql"), [id]).step(step)?;
        transaction.execute(include_str!("delete_events.sql"), [id]).step(step)?;
    }
    transaction.commit().step("commit")?;
    Ok(expired.len() as u64)
}

pub(in crate::store) fn prune(
    connection: &mut Connection,
    messages: Timestamp,
    durations: Timestamp,
    limit: u32,
) -> Result<u64> {
    let step = "prune durations";
    let transaction = begin(connection)?;
    let sql = include_str!("prune_messages.sql");
    let forgotten = transaction.execute(sql, (messages.as_microsecond(), limit)).step(step)?;
    let sql = include_str!("prune_durations.sql");
    let deleted = transaction.execute(sql, (durations.as_microsecond(), limit)).step(step)?;
    transaction.commit().step("commit")?;
    Ok((forgotten + deleted) as u64)
}
