//! Rules.

use std::slice::from_ref;

use jiff::Timestamp;
use rusqlite::{Connection, Row};
use tally_outbox::{Event, sqlite as outbox};
use tally_runtime::{Kind, faults};
use tally_store::Error;
use tally_store::error::Step as _;
use tally_store::sqlite::{begin, rows};
use uuid::Uuid;

use super::super::Result;
use super::super::rules::{Added, Judged};
use crate::NAME;
use crate::model::Namespace;
use crate::rules::{KeptRule, TESTS};

pub(crate) fn list(connection: &Connection, namespace: Option<Namespace>) -> Result<Vec<KeptRule>> {
    let sql = include_str!("rules.sql");
    rows(connection, "list rules", sql, [namespace.map(|one| one.0)], |row| Ok(kept(row)))?
        .into_iter()
        .collect()
}

/// Adds a rule.
pub(crate) fn add(connection: &Connection, kept: &KeptRule, rules_max: u32) -> Result<Added> {
    let KeptRule { id, namespace, rule, webhook, created, .. } = kept;
    let definition = serde_json::to_string(rule)
        .map_err(|error| Error::permanent("write a rule", Kind::Internal).because(error))?;
    let (id, created) = (id.as_bytes(), created.as_microsecond());
    let values = (id, namespace.0, &rule.name, definition, webhook, created, rules_max);
    if connection.execute(include_str!("add_rule.sql"), values).step("add a rule")? > 0 {
        return Ok(Added::New);
    }
    let same =
        list(connection, Some(*namespace))?.into_iter().find(|other| other.rule.name == rule.name);
    Ok(same.map_or(Added::TooMany, |same| Added::Taken(Box::new(same))))
}

/// Removes a rule and its events.
pub(crate) fn remove(connection: &mut Connection, id: Uuid) -> Result<()> {
    let transaction = begin(connection)?;
    let sql = include_str!("remove_rule.sql");
    transaction.execute(sql, [id.as_bytes()]).step("remove a rule")?;
    outbox::remove(&transaction, NAME, id)?;
    outbox::remove(&transaction, TESTS, id)?;
    transaction.commit().step("commit")
}

/// Writes how a rule stands, and its next event.
pub(crate) fn tell(connection: &mut Connection, kept: &KeptRule, judged: &Judged) -> Result<bool> {
    let transaction = begin(connection)?;
    let micros = |at: Option<Timestamp>| at.map(Timestamp::as_microsecond);
    let (since, at) = (micros(judged.firing_since), micros(judged.told));
    let values = (kept.id.as_bytes(), kept.events, since, at);
    let done = transaction.execute(include_str!("tell_rule.sql"), values);
    if done.step("write a verdict")? == 0 {
        return Ok(false);
    }
    outbox::append(&transaction, judged.event.as_slice())?;
    faults::blocking_point("rules.before_commit");
    transaction.commit().step("commit")?;
    faults::blocking_point("rules.committed");
    Ok(true)
}

/// Writes a test event.
pub(crate) fn add_test(
    connection: &mut Connection,
    event: &Event,
    failed: Option<Uuid>,
) -> Result<()> {
    let transaction = begin(connection)?;
    if let Some(rule) = failed {
        outbox::remove(&transaction, TESTS, rule)?;
    }
    outbox::append(&transaction, from_ref(event))?;
    transaction.commit().step("commit")
}

fn kept(row: &Row<'_>) -> Result<KeptRule> {
    let step = "read a rule";
    let at = |at: usize| row.get::<_, Option<i64>>(at).map(|micros| micros.map(time)).step(step);
    let definition: String = row.get(1).step(step)?;
    Ok(KeptRule {
        id: Uuid::from_bytes(row.get(0).step(step)?),
        namespace: Namespace(row.get(7).step(step)?),
        rule: serde_json::from_str(&definition)
            .map_err(|error| Error::permanent(step, Kind::Internal).because(error))?,
        webhook: row.get(2).step(step)?,
        created: at(3)?.unwrap_or_default(),
        firing_since: at(4)?,
        told: at(5)?,
        events: row.get(6).step(step)?,
    })
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or_default()
}
