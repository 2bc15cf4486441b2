//! Writing what messages have made of timelines.

use futures_util::future::try_join5;
use jiff::Timestamp;
use tally_store::postgres::Transaction;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::super::codes::{Parts, micros};
use super::Result;
use crate::ledger::Changes;
use crate::message::nanos;
use crate::model::{Event, Timeline};

type Values<'a> = Vec<&'a (dyn ToSql + Sync)>;

/// Sent at once: they wait for the database together.
pub(super) async fn save(transaction: &Transaction, changes: &Changes) -> Result<()> {
    try_join5(
        save_contexts(transaction, changes),
        save_timelines(transaction, &changes.timelines),
        save_events(transaction, &changes.events),
        save_durations(transaction, changes),
        save_messages(transaction, changes),
    )
    .await
    .map(drop)
}

async fn save_contexts(transaction: &Transaction, changes: &Changes) -> Result<()> {
    if changes.contexts.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = changes.contexts.iter().map(|one| one.id).collect();
    let timelines: Vec<i64> = changes.contexts.iter().map(|one| one.timelines).collect();
    let sql = include_str!("update_contexts.sql");
    transaction.write("store contexts", sql, &[&ids, &timelines]).await.map(drop)
}

async fn save_timelines(transaction: &Transaction, all: &[Timeline]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = all.iter().map(|one| one.id).collect();
    let contexts: Vec<Uuid> = all.iter().map(|one| one.context).collect();
    let numbers: Vec<i64> = all.iter().map(|one| one.number).collect();
    let label = |one: &Timeline| Some(one.label.clone()).filter(|label| !label.is_empty());
    let labels: Vec<Option<String>> = all.iter().map(label).collect();
    let begun: Vec<Timestamp> = all.iter().map(|one| one.begun).collect();
    let heard: Vec<Timestamp> = all.iter().map(|one| one.heard).collect();
    let expires: Vec<Option<Timestamp>> = all.iter().map(|one| one.expires).collect();
    let first: Vec<Option<i64>> = all.iter().map(|one| one.first.and_then(nanos)).collect();
    let last: Vec<Option<i64>> = all.iter().map(|one| one.last.and_then(nanos)).collect();
    let events: Vec<i64> = all.iter().map(|one| one.counts.events).collect();
    let open: Vec<i64> = all.iter().map(|one| one.counts.open).collect();
    let abandoned: Vec<i64> = all.iter().map(|one| one.counts.abandoned).collect();
    let failed: Vec<i64> = all.iter().map(|one| one.counts.failed).collect();
    let values: Values<'_> = vec![
        &ids, &contexts, &numbers, &labels, &begun, &heard, &expires, &first, &last, &events,
        &open, &abandoned, &failed,
    ];
    let sql = include_str!("put_timelines.sql");
    transaction.write("store timelines", sql, &values).await.map(drop)
}

async fn save_events(transaction: &Transaction, all: &[Event]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let timelines: Vec<Uuid> = all.iter().map(|one| one.timeline).collect();
    let numbers: Vec<i64> = all.iter().map(|one| one.number).collect();
    let contexts: Vec<Uuid> = all.iter().map(|one| one.context).collect();
    let names: Vec<&str> = all.iter().map(|one| &*one.key.name).collect();
    let hosts: Vec<&str> = all.iter().map(|one| &*one.key.host).collect();
    let spans: Vec<&str> = all.iter().map(|one| &*one.key.span).collect();
    let kinds: Vec<i64> = all.iter().map(|one| i64::from(one.is_point)).collect();
    let ranks: Vec<i64> = all.iter().map(|one| one.rank).collect();
    let parts: Vec<Parts> = all.iter().map(Parts::of).collect();
    let started: Vec<Option<i64>> = parts.iter().map(|one| one.started).collect();
    let start_received: Vec<Option<Timestamp>> =
        parts.iter().map(|one| one.start_received).collect();
    let start_attributes: Vec<&str> = parts.iter().map(|one| &*one.start_attributes).collect();
    let ended: Vec<Option<i64>> = parts.iter().map(|one| one.ended).collect();
    let end_received: Vec<Option<Timestamp>> = parts.iter().map(|one| one.end_received).collect();
    let end_attributes: Vec<&str> = parts.iter().map(|one| &*one.end_attributes).collect();
    let statuses: Vec<i64> = parts.iter().map(|one| one.status).collect();
    let phases: Vec<&str> = parts.iter().map(|one| &*one.phases).collect();
    let overdue: Vec<Option<Timestamp>> = all.iter().map(|one| one.overdue).collect();
    let abandoned: Vec<Option<Timestamp>> = all.iter().map(|one| one.abandoned).collect();
    let values: Values<'_> = vec![
        &timelines,
        &numbers,
        &contexts,
        &names,
        &hosts,
        &spans,
        &kinds,
        &ranks,
        &started,
        &start_received,
        &start_attributes,
        &ended,
        &end_received,
        &end_attributes,
        &statuses,
        &phases,
        &overdue,
        &abandoned,
    ];
    let sql = include_str!("put_events.sql");
    transaction.write("store events", sql, &values).await.map(drop)
}

async fn save_durations(transaction: &Transaction, changes: &Changes) -> Result<()> {
    let all = &changes.durations;
    if all.is_empty() {
        return Ok(());
    }
    let contexts: Vec<Uuid> = all.iter().map(|one| one.context).collect();
    let numbers: Vec<i64> = all.iter().map(|one| one.timeline_number).collect();
    let names: Vec<&str> = all.iter().map(|one| &*one.key.name).collect();
    let hosts: Vec<&str> = all.iter().map(|one| &*one.key.host).collect();
    let spans: Vec<&str> = all.iter().map(|one| &*one.key.span).collect();
    let begun: Vec<Timestamp> = all.iter().map(|one| one.begun).collect();
    let took: Vec<Option<i64>> = all.iter().map(|one| one.took.map(micros)).collect();
    let waited: Vec<i64> = all.iter().map(|one| micros(one.waited)).collect();
    let failed: Vec<i64> = all.iter().map(|one| one.failed).collect();
    let values: Values<'_> =
        vec![&contexts, &numbers, &names, &hosts, &spans, &begun, &took, &waited, &failed];
    let sql = include_str!("put_durations.sql");
    transaction.write("store durations", sql, &values).await.map(drop)
}

async fn save_messages(transaction: &Transaction, changes: &Changes) -> Result<()> {
    let all = &changes.messages;
    if all.is_empty() {
        return Ok(());
    }
    let contexts: Vec<Uuid> = all.iter().map(|one| one.context).collect();
    let once: Vec<Uuid> = all.iter().map(|one| one.once).collect();
    let fingerprints: Vec<i64> = all.iter().map(|one| one.known.fingerprint).collect();
    let timelines: Vec<Uuid> = all.iter().map(|one| one.known.timeline).collect();
    let received: Vec<Timestamp> = all.iter().map(|one| one.received).collect();
    let values: Values<'_> = vec![&contexts, &once, &fingerprints, &timelines, &received];
    let sql = include_str!("insert_messages.sql");
    transaction.write("note messages", sql, &values).await.map(drop)
}
