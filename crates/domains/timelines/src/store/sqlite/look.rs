//! What the pages read.

use jiff::SignedDuration;
use rusqlite::{Connection, Row, params};
use tally_runtime::Namespace;
use tally_store::sqlite::rows;
use uuid::Uuid;

use super::read::{read_context, read_timeline, timelines};
use super::{Context, Result, Timeline, time};
use crate::store::look::{Lasted, Place};

pub(in crate::store) fn latest(
    connection: &Connection,
    namespace: Namespace,
    search: &str,
    after: Option<&Place>,
    limit: u32,
) -> Result<Vec<(Context, Option<Timeline>)>> {
    let one = |row: &Row<'_>| {
        let has_newest = row.get::<_, Option<[u8; 16]>>(7)?.is_some();
        let newest = has_newest.then(|| read_timeline(row, 7)).transpose()?;
        Ok((read_context(row)?, newest))
    };
    let (heard, name) = after.map(|(heard, name)| (heard.as_microsecond(), name)).unzip();
    let values = params![namespace.0, search, heard, name, limit];
    rows(connection, "list contexts", include_str!("latest.sql"), values, one)
}

pub(in crate::store) fn trends(
    connection: &Connection,
    contexts: &[Uuid],
    limit: u32,
) -> Result<Vec<Timeline>> {
    let mut all = Vec::new();
    for context in contexts {
        all.extend(timelines(connection, *context, i64::MAX, limit)?);
    }
    Ok(all)
}

pub(in crate::store) fn durations(
    connection: &Connection,
    context: Uuid,
    numbers: &[i64],
    name: &str,
) -> Result<Vec<Lasted>> {
    let one = |row: &Row<'_>| {
        Ok(Lasted {
            timeline_number: row.get(0)?,
            begun: time(row.get(1)?),
            took: row.get::<_, Option<i64>>(2)?.map(SignedDuration::from_micros),
            failed: row.get(3)?,
        })
    };
    let numbers = serde_json::to_string(numbers).expect("numbers are JSON");
    let values = params![context.as_bytes(), numbers, name];
    rows(connection, "read durations", include_str!("durations.sql"), values, one)
}
