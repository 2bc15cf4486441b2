//! Reading contexts, timelines, events and durations.

use jiff::SignedDuration;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};
use tally_runtime::Namespace;
use tally_store::error::Step as _;
use tally_store::sqlite::rows;
use uuid::Uuid;

use super::super::codes::Parts;
use super::{Context, Event, Key, Result, Sums, Terms, Timeline, Took, Which, time};
use crate::message::of_nanos;
use crate::model::Counts;

pub(in crate::store) fn contexts(
    connection: &Connection,
    namespace: Namespace,
    after: &str,
    limit: u32,
) -> Result<Vec<(Context, Option<Timeline>)>> {
    let one = |row: &Row<'_>| {
        let has_newest = row.get::<_, Option<[u8; 16]>>(7)?.is_some();
        let newest = has_newest.then(|| read_timeline(row, 7)).transpose()?;
        Ok((read_context(row)?, newest))
    };
    let sql = include_str!("contexts.sql");
    rows(connection, "list contexts", sql, params![namespace.0, after, limit], one)
}

pub(in crate::store) fn context(
    connection: &Connection,
    namespace: Namespace,
    name: &str,
) -> Result<Option<Context>> {
    let step = "find a context";
    let mut statement = connection.prepare_cached(include_str!("context.sql")).step(step)?;
    statement.query_row(params![namespace.0, name], read_context).optional().step(step)
}

pub(in crate::store) fn timelines(
    connection: &Connection,
    context: Uuid,
    before: i64,
    limit: u32,
) -> Result<Vec<Timeline>> {
    let values = params![context.as_bytes(), before, limit];
    let sql = include_str!("timelines.sql");
    rows(connection, "list timelines", sql, values, |row| read_timeline(row, 0))
}

pub(in crate::store) fn timeline(
    connection: &Connection,
    context: &Context,
    which: &Which,
) -> Result<Option<Timeline>> {
    let (mut number, mut id, mut label) = (None, None, None);
    match which {
        Which::Newest => number = Some(context.timelines),
        // Labels may be numbers and ids as well.
        Which::Number(of) => (number, label) = (Some(*of), Some(of.to_string())),
        Which::Id(of) => (id, label) = (Some(*of.as_bytes()), Some(of.to_string())),
        Which::Label(of) => label = Some(of.clone()),
    }
    let values = params![context.id.as_bytes(), number, id, label];
    one_timeline(connection, include_str!("timeline.sql"), values)
}

pub(super) fn one_timeline(
    connection: &Connection,
    sql: &str,
    values: impl Params,
) -> Result<Option<Timeline>> {
    let step = "find a timeline";
    let mut statement = connection.prepare_cached(sql).step(step)?;
    statement.query_row(values, |row| read_timeline(row, 0)).optional().step(step)
}

pub(in crate::store) fn events(
    connection: &Connection,
    timeline: Uuid,
    after: i64,
    limit: u32,
) -> Result<Vec<Event>> {
    let values = params![timeline.as_bytes(), after, limit];
    read_events(connection, include_str!("events.sql"), values)
}

pub(super) fn read_events(
    connection: &Connection,
    sql: &str,
    values: impl Params,
) -> Result<Vec<Event>> {
    rows(connection, "read events", sql, values, |row| Ok(read_event(row)))?.into_iter().collect()
}

pub(in crate::store) fn typical(
    connection: &Connection,
    context: Uuid,
    number: i64,
    last: u32,
) -> Result<Vec<Took>> {
    let one = |row: &Row<'_>| {
        Ok(Took {
            timeline_number: row.get(0)?,
            name: row.get(1)?,
            took: row.get::<_, Option<i64>>(2)?.map(SignedDuration::from_micros),
            failed: row.get(3)?,
        })
    };
    let values = params![context.as_bytes(), number, last];
    rows(connection, "read durations", include_str!("typical.sql"), values, one)
}

pub(in crate::store) fn sums(connection: &Connection) -> Result<Sums> {
    let sums = |row: &Row<'_>| {
        Ok(Sums {
            contexts: row.get(0)?,
            timelines: row.get(1)?,
            events: row.get(2)?,
            open: row.get(3)?,
            abandoned: row.get(4)?,
        })
    };
    connection.query_row(include_str!("sums.sql"), [], sums).step("count timelines")
}

pub(super) fn read_context(row: &Row<'_>) -> rusqlite::Result<Context> {
    Ok(Context {
        id: Uuid::from_bytes(row.get(0)?),
        namespace: Namespace(row.get(1)?),
        name: row.get(2)?,
        created: time(row.get(3)?),
        timelines: row.get(4)?,
        terms: Terms {
            retention_days: row.get(5)?,
            abandon_after: row.get::<_, Option<i64>>(6)?.map(SignedDuration::from_secs),
        },
    })
}

pub(super) fn read_timeline(row: &Row<'_>, at: usize) -> rusqlite::Result<Timeline> {
    let nanos = |at: usize| row.get::<_, Option<i64>>(at).map(|nanos| nanos.map(of_nanos));
    Ok(Timeline {
        id: Uuid::from_bytes(row.get(at)?),
        context: Uuid::from_bytes(row.get(at + 1)?),
        number: row.get(at + 2)?,
        label: row.get::<_, Option<String>>(at + 3)?.unwrap_or_default(),
        begun: time(row.get(at + 4)?),
        heard: time(row.get(at + 5)?),
        expires: row.get::<_, Option<i64>>(at + 6)?.map(time),
        first: nanos(at + 7)?,
        last: nanos(at + 8)?,
        counts: Counts {
            events: row.get(at + 9)?,
            open: row.get(at + 10)?,
            abandoned: row.get(at + 11)?,
            failed: row.get(at + 12)?,
        },
    })
}

fn read_event(row: &Row<'_>) -> Result<Event> {
    let step = "read an event";
    let at = |at: usize| row.get::<_, Option<i64>>(at).map(|micros| micros.map(time)).step(step);
    let id = |at: usize| row.get(at).map(Uuid::from_bytes).step(step);
    let parts = Parts {
        started: row.get(8).step(step)?,
        start_received: at(9)?,
        start_attributes: row.get(10).step(step)?,
        ended: row.get(11).step(step)?,
        end_received: at(12)?,
        end_attributes: row.get(13).step(step)?,
        status: row.get(14).step(step)?,
        phases: row.get(15).step(step)?,
    };
    let text = |at: usize| row.get(at).step(step);
    Ok(Event {
        timeline: id(0)?,
        number: row.get(1).step(step)?,
        context: id(2)?,
        key: Key { name: text(3)?, host: text(4)?, span: text(5)? },
        is_point: row.get::<_, i64>(6).step(step)? == 1,
        rank: row.get(7).step(step)?,
        attempt: parts.attempt()?,
        overdue: at(16)?,
        abandoned: at(17)?,
    })
}
