//! Opening, listing and forgetting producers.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Params, Transaction};
use tally_store::error::Step as _;
use uuid::Uuid;

use super::super::plan::Counted;
use super::super::{Opened, ProducerRetention, Result, WORKER_NAME};
use super::{begin, files};
use crate::model::DayRange;
use crate::producer::{Leaving, Opening, Producer, Refusal, Standing, Step};
use crate::setback::{Setback, Told};

pub(super) fn open(connection: &mut Connection, opening: &Opening) -> Result<Opened> {
    let step = "register the client";
    let transaction = begin(connection)?;
    let id = opening.id.as_bytes();
    let found = find(&transaction, opening.id)?;
    let standing = found.map(|(standing, _)| standing);
    let (claim, name) = (opening.claim(), &opening.name);
    let next = opening.step(standing);
    let setback = match next {
        Step::Refuse(Refusal::InUse) => None,
        _ => opening.setback(stored(found)),
    };
    let setback = note(&transaction, setback)?;
    let opened = match next {
        Step::Refuse(refusal) => {
            commit(transaction, setback.as_ref())?;
            return Ok(Err(refusal));
        }
        Step::Add => {
            let max = opening.producers_max;
            let producers: i64 = transaction
                .query_row(include_str!("count_producers.sql"), [max], |row| row.get(0))
                .step(step)?;
            if producers >= max {
                commit(transaction, setback.as_ref())?;
                return Ok(Err(Refusal::TooMany { max }));
            }
            let epoch = opening.next_epoch;
            transaction
                .execute(include_str!("add_producer.sql"), (id, epoch, claim, name))
                .step(step)?;
            Standing { epoch, claim, sequence: 0 }
        }
        Step::GoOn { epoch } => {
            transaction
                .execute(include_str!("open_producer.sql"), (id, epoch, claim, name))
                .step(step)?;
            Standing { epoch, claim, sequence: standing.map_or(0, |standing| standing.sequence) }
        }
    };
    commit(transaction, setback.as_ref())?;
    Ok(Ok(opened))
}

pub(super) fn note_setback(connection: &mut Connection, worker: Uuid, told: Told) -> Result<()> {
    let transaction = begin(connection)?;
    let stored = stored(find(&transaction, worker)?);
    let setback = note(&transaction, told.setback(worker, WORKER_NAME, stored))?;
    commit(transaction, setback.as_ref())
}

pub(super) fn setbacks(connection: &Connection) -> Result<Vec<Setback>> {
    let step = "list what is missing";
    let mut statement = connection.prepare_cached(include_str!("list_setbacks.sql")).step(step)?;
    let rows = statement.query_map([], setback).step(step)?;
    rows.collect::<rusqlite::Result<_>>().step(step)
}

pub(super) fn clear_setbacks(connection: &mut Connection, short_id: &str) -> Result<Vec<Setback>> {
    let step = "clear setbacks";
    let transaction = begin(connection)?;
    let cleared = {
        let mut statement =
            transaction.prepare_cached(include_str!("clear_setbacks.sql")).step(step)?;
        let rows = statement.query_map([short_id], setback).step(step)?;
        rows.collect::<rusqlite::Result<_>>().step(step)?
    };
    transaction.commit().step("commit")?;
    Ok(cleared)
}

fn setback(row: &rusqlite::Row<'_>) -> rusqlite::Result<Setback> {
    Ok(Setback {
        producer: Uuid::from_bytes(row.get(0)?),
        name: row.get(1)?,
        noticed_micros: row.get(2)?,
        since_micros: row.get(3)?,
        producers: row.get(4)?,
        batches: row.get(5)?,
    })
}

/// Where a producer stands, and since when.
fn find(transaction: &Transaction<'_>, id: Uuid) -> Result<Option<(Standing, i64)>> {
    let found = transaction.query_row(include_str!("producer.sql"), [id.as_bytes()], |row| {
        let (claim, sequence, epoch) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok((Standing { epoch, claim, sequence }, row.get(3)?))
    });
    found.optional().step("look where a producer stands")
}

fn stored(found: Option<(Standing, i64)>) -> Option<(i64, i64)> {
    found.map(|(standing, last_seen)| (standing.sequence, last_seen))
}

/// Notes what is missing. It is given back if it is to be logged.
fn note(transaction: &Transaction<'_>, setback: Option<Setback>) -> Result<Option<Setback>> {
    let Some(setback) = setback else { return Ok(None) };
    let Setback { producer, name, noticed_micros, since_micros, batches, .. } = &setback;
    let values = (producer.as_bytes(), name, noticed_micros, since_micros, batches);
    let sql = include_str!("note_setback.sql");
    let noted = transaction.query_row(sql, values, |row| row.get(0)).optional();
    Ok(noted.step("note what is missing")?.unwrap_or(false).then_some(setback))
}

/// What was noted is told once it is there.
fn commit(transaction: Transaction<'_>, setback: Option<&Setback>) -> Result<()> {
    transaction.commit().step("commit")?;
    setback.into_iter().for_each(Setback::tell);
    Ok(())
}

pub(super) fn list(connection: &mut Connection, with_workers: bool) -> Result<Vec<Producer>> {
    let step = "list producers";
    let snapshot = connection.transaction().step("begin a snapshot")?;
    let mut statement = snapshot.prepare_cached(include_str!("list_producers.sql")).step(step)?;
    let producer = |row: &rusqlite::Row<'_>| {
        Ok(Producer {
            id: Uuid::from_bytes(row.get(0)?),
            name: row.get(1)?,
            sequence: row.get(2)?,
            is_worker: row.get(3)?,
            last_seen_micros: row.get(4)?,
            accepted: 0,
            dropped: 0,
        })
    };
    let rows = statement.query_map([with_workers], producer).step(step)?;
    let mut producers = rows.collect::<rusqlite::Result<Vec<_>>>().step(step)?;
    for producer in &mut producers {
        for (_, counted) in days(&snapshot, producer.id)? {
            producer.accepted += counted.accepted;
            producer.dropped = producer.dropped.saturating_add(counted.dropped);
        }
    }
    Ok(producers)
}

pub(super) fn forget(connection: &mut Connection, retention: ProducerRetention) -> Result<()> {
    forget_by(connection, include_str!("forget_producers.sql"), [retention], None)
}

pub(super) fn forget_one(connection: &mut Connection, leaving: &Leaving) -> Result<()> {
    let Leaving { id, epoch, sequence, .. } = leaving;
    let values = (id.as_bytes(), epoch, sequence);
    forget_by(connection, include_str!("forget_producer.sql"), values, Some(leaving))
}

/// Forgets the producers that a statement deletes, and remembers the files that they have counted.
fn forget_by(
    connection: &mut Connection,
    sql: &str,
    values: impl Params,
    leaving: Option<&Leaving>,
) -> Result<()> {
    let step = "forget producers";
    let transaction = begin(connection)?;
    let gone: Vec<Uuid> = {
        let mut statement = transaction.prepare_cached(sql).step(step)?;
        let ids = statement.query_map(values, |row| row.get(0).map(Uuid::from_bytes));
        ids.and_then(Iterator::collect).step(step)?
    };
    if gone.is_empty() {
        return Ok(());
    }
    let mut accepted = 0_i64;
    let mut kept: BTreeMap<i32, Counted> = BTreeMap::new();
    for id in gone {
        for (day, counted) in days(&transaction, id)? {
            let sum = kept.entry(day).or_default();
            sum.accepted += counted.accepted;
            accepted = accepted.saturating_add(counted.accepted);
            sum.dropped = sum.dropped.saturating_add(counted.dropped);
        }
        transaction.execute(include_str!("forget_days.sql"), [id.as_bytes()]).step(step)?;
    }
    let nobody = Uuid::nil();
    for (day, counted) in kept {
        let values = (nobody.as_bytes(), day, counted.accepted, counted.dropped);
        transaction.execute(include_str!("count_day.sql"), values).step(step)?;
    }
    files::note(&transaction, leaving.map_or(&[], |leaving| leaving.files_within(accepted)))?;
    tally_runtime::faults::blocking_point("forget.before_commit");
    transaction.commit().step("commit")
}

/// How many requests of the days were dropped.
pub(super) fn dropped(connection: &Connection, range: DayRange) -> Result<i64> {
    let step = "read how much was dropped";
    let mut statement = connection.prepare_cached(include_str!("dropped.sql")).step(step)?;
    let rows = statement.query_map((range.first.0, range.last.0), |row| row.get(0)).step(step)?;
    let counts = rows.collect::<rusqlite::Result<Vec<i64>>>().step(step)?;
    Ok(counts.into_iter().fold(0, i64::saturating_add))
}

fn days(connection: &Connection, producer: Uuid) -> Result<Vec<(i32, Counted)>> {
    let step = "read what a producer brought";
    let mut statement = connection.prepare_cached(include_str!("producer_days.sql")).step(step)?;
    let rows = statement
        .query_map([producer.as_bytes()], |row| {
            Ok((row.get(0)?, Counted { accepted: row.get(1)?, dropped: row.get(2)? }))
        })
        .step(step)?;
    rows.collect::<rusqlite::Result<_>>().step(step)
}
