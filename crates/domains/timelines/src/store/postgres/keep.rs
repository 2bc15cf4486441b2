//! Abandoning, deleting, and other terms.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tally_store::postgres::{Database, Isolation};
use uuid::Uuid;

use super::{Limits, Result, Terms};

pub(in crate::store) async fn configure(
    database: &Database,
    context: Uuid,
    terms: Terms,
    limits: Limits,
) -> Result<()> {
    let step = "change a context";
    let transaction = database.begin(Isolation::Default).await?;
    transaction.rows(step, include_str!("lock_by_id.sql"), &[&vec![context]]).await?;
    let days = terms.retention_days.map(i64::from);
    let after = terms.abandon_after.map(|after| after.as_secs());
    let sql = include_str!("configure.sql");
    transaction.write(step, sql, &[&context, &days, &after]).await?;
    let days = days.unwrap_or(i64::from(limits.retention_days));
    let sql = include_str!("configure_timelines.sql");
    transaction.write(step, sql, &[&context, &days]).await?;
    let after = after.unwrap_or(limits.abandon_after.as_secs());
    let sql = include_str!("configure_events.sql");
    transaction.write(step, sql, &[&context, &after]).await?;
    transaction.commit().await
}

pub(in crate::store) async fn abandon(
    database: &Database,
    now: Timestamp,
    limit: u32,
) -> Result<u64> {
    let step = "abandon events";
    let sql = include_str!("overdue.sql");
    let rows = database.rows(step, sql, &[&now, &i64::from(limit)]).await?;
    let contexts: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    if contexts.is_empty() {
        return Ok(0);
    }
    let transaction = database.begin(Isolation::Default).await?;
    transaction.rows(step, include_str!("lock_by_id.sql"), &[&contexts]).await?;
    let sql = include_str!("abandon.sql");
    let counts = transaction.rows(step, sql, &[&contexts, &now]).await?;
    transaction.commit().await?;
    Ok(counts.iter().map(|row| row.get::<_, i64>(0).unsigned_abs()).sum())
}

pub(in crate::store) async fn expire(
    database: &Database,
    now: Timestamp,
    limit: u32,
) -> Result<u64> {
    let step = "delete timelines";
    let sql = include_str!("expired.sql");
    let rows = database.rows(step, sql, &[&now, &i64::from(limit)]).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let ids: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    let contexts: BTreeSet<Uuid> = rows.iter().map(|row| row.get(1)).collect();
    let contexts: Vec<Uuid> = contexts.into_iter().collect();
    let transaction = database.begin(Isolation::Default).await?;
    transaction.rows(step, include_str!("lock_by_id.sql"), &[&contexts]).await?;
    let sql = include_str!("delete_timelines.sql");
    let gone = transaction.rows(step, sql, &[&ids, &now]).await?;
    let ids: Vec<Uuid> = gone.iter().map(|row| row.get(0)).collect();
    transaction.write(step, include_str!("delete_events.sql"), &[&ids]).await?;
    transaction.commit().await?;
    Ok(rows.len() as u64)
}

pub(in crate::store) async fn prune(
    database: &Database,
    messages: Timestamp,
    durations: Timestamp,
    limit: u32,
) -> Result<u64> {
    let (step, limit) = ("prune durations", i64::from(limit));
    let sql = include_str!("prune_messages.sql");
    let forgotten = database.commit_rows(step, sql, &[&messages, &limit]).await?.len();
    let sql = include_str!("prune_durations.sql");
    let deleted = database.commit_rows(step, sql, &[&durations, &limit]).await?.len();
    Ok((forgotten + deleted) as u64)
}
