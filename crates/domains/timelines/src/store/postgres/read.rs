//! Reading contexts, timelines, events and durations.

use jiff::SignedDuration;
use tally_runtime::Namespace;
use tally_store::postgres::Database;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::super::codes::Parts;
use super::{Context, Event, Key, Result, Sums, Terms, Timeline, Took, Which};
use crate::message::of_nanos;
use crate::model::Counts;

pub(in crate::store) async fn contexts(
    database: &Database,
    namespace: Namespace,
    after: &str,
    limit: u32,
) -> Result<Vec<(Context, Option<Timeline>)>> {
    let values: [&(dyn ToSql + Sync); 3] = [&namespace.0, &after, &i64::from(limit)];
    let rows = database.rows("list contexts", include_str!("contexts.sql"), &values).await?;
    let one = |row: &Row| {
        let newest = row.get::<_, Option<Uuid>>(7).map(|_| read_timeline(row, 7));
        (read_context(row, 0), newest)
    };
    Ok(rows.iter().map(one).collect())
}

pub(in crate::store) async fn context(
    database: &Database,
    namespace: Namespace,
    name: &str,
) -> Result<Option<Context>> {
    let sql = include_str!("context.sql");
    let rows = database.rows("find a context", sql, &[&namespace.0, &name]).await?;
    Ok(rows.first().map(|row| read_context(row, 0)))
}

pub(in crate::store) async fn timelines(
    database: &Database,
    context: Uuid,
    before: i64,
    limit: u32,
) -> Result<Vec<Timeline>> {
    let values: [&(dyn ToSql + Sync); 3] = [&context, &before, &i64::from(limit)];
    let rows = database.rows("list timelines", include_str!("timelines.sql"), &values).await?;
    Ok(rows.iter().map(|row| read_timeline(row, 0)).collect())
}

pub(in crate::store) async fn timeline(
    database: &Database,
    context: &Context,
    which: &Which,
) -> Result<Option<Timeline>> {
    let (mut number, mut id, mut label) = (None, None, None);
    match which {
        Which::Newest => number = Some(context.timelines),
        // Labels may be numbers and ids as well.
        Which::Number(of) => (number, label) = (Some(*of), Some(of.to_string())),
        Which::Id(of) => (id, label) = (Some(*of), Some(of.to_string())),
        Which::Label(of) => label = Some(of.clone()),
    }
    let values: [&(dyn ToSql + Sync); 4] = [&context.id, &number, &id, &label];
    let rows = database.rows("find a timeline", include_str!("timeline.sql"), &values).await?;
    Ok(rows.first().map(|row| read_timeline(row, 0)))
}

pub(in crate::store) async fn events(
    database: &Database,
    timeline: Uuid,
    after: i64,
    limit: u32,
) -> Result<Vec<Event>> {
    let values: [&(dyn ToSql + Sync); 3] = [&timeline, &after, &i64::from(limit)];
    let rows = database.rows("list events", include_str!("events.sql"), &values).await?;
    rows.iter().map(read_event).collect()
}

pub(in crate::store) async fn typical(
    database: &Database,
    context: Uuid,
    number: i64,
    last: u32,
) -> Result<Vec<Took>> {
    let values: [&(dyn ToSql + Sync); 3] = [&context, &number, &i64::from(last)];
    let rows = database.rows("read durations", include_str!("typical.sql"), &values).await?;
    let one = |row: &Row| Took {
        timeline_number: row.get(0),
        name: row.get(1),
        took: row.get::<_, Option<i64>>(2).map(SignedDuration::from_micros),
        failed: row.get(3),
    };
    Ok(rows.iter().map(one).collect())
}

pub(in crate::store) async fn sums(database: &Database) -> Result<Sums> {
    let rows = database.rows("count timelines", include_str!("sums.sql"), &[]).await?;
    let sums = |row: &Row| Sums {
        contexts: row.get(0),
        timelines: row.get(1),
        events: row.get(2),
        open: row.get(3),
        abandoned: row.get(4),
    };
    Ok(rows.first().map(sums).unwrap_or_default())
}

pub(super) fn read_context(row: &Row, at: usize) -> Context {
    let days: Option<i64> = row.get(at + 5);
    Context {
        id: row.get(at),
        namespace: Namespace(row.get(at + 1)),
        name: row.get(at + 2),
        created: row.get(at + 3),
        timelines: row.get(at + 4),
        terms: Terms {
            retention_days: days.and_then(|days| u32::try_from(days).ok()),
            abandon_after: row.get::<_, Option<i64>>(at + 6).map(SignedDuration::from_secs),
        },
    }
}

pub(super) fn read_timeline(row: &Row, at: usize) -> Timeline {
    Timeline {
        id: row.get(at),
        context: row.get(at + 1),
        number: row.get(at + 2),
        label: row.get::<_, Option<String>>(at + 3).unwrap_or_default(),
        begun: row.get(at + 4),
        heard: row.get(at + 5),
        expires: row.get(at + 6),
        first: row.get::<_, Option<i64>>(at + 7).map(of_nanos),
        last: row.get::<_, Option<i64>>(at + 8).map(of_nanos),
        counts: Counts {
            events: row.get(at + 9),
            open: row.get(at + 10),
            abandoned: row.get(at + 11),
            failed: row.get(at + 12),
        },
    }
}

pub(super) fn read_event(row: &Row) -> Result<Event> {
    let parts = Parts {
        started: row.get(8),
        start_received: row.get(9),
        start_attributes: row.get(10),
        ended: row.get(11),
        end_received: row.get(12),
        end_attributes: row.get(13),
        status: row.get(14),
        phases: row.get(15),
    };
    Ok(Event {
        timeline: row.get(0),
        number: row.get(1),
        context: row.get(2),
        key: Key { name: row.get(3), host: row.get(4), span: row.get(5) },
        is_point: row.get::<_, i64>(6) == 1,
        rank: row.get(7),
        attempt: parts.attempt()?,
        overdue: row.get(16),
        abandoned: row.get(17),
    })
}
