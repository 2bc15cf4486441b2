//! What the pages read.

use jiff::{SignedDuration, Timestamp};
use tally_runtime::Namespace;
use tally_store::postgres::Database;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::read::{read_context, read_timeline};
use super::{Context, Result, Timeline};
use crate::store::look::{Lasted, Place};

pub(in crate::store) async fn latest(
    database: &Database,
    namespace: Namespace,
    search: &str,
    after: Option<&Place>,
    limit: u32,
) -> Result<Vec<(Context, Option<Timeline>)>> {
    let (heard, name) = after.map(|(heard, name)| (*heard, &**name)).unzip();
    let heard: Option<Timestamp> = heard;
    let values: [&(dyn ToSql + Sync); 5] =
        [&namespace.0, &search, &heard, &name, &i64::from(limit)];
    let rows = database.rows("list contexts", include_str!("latest.sql"), &values).await?;
    let one = |row: &Row| {
        let newest = row.get::<_, Option<Uuid>>(7).map(|_| read_timeline(row, 7));
        (read_context(row, 0), newest)
    };
    Ok(rows.iter().map(one).collect())
}

pub(in crate::store) async fn trends(
    database: &Database,
    contexts: &[Uuid],
    limit: u32,
) -> Result<Vec<Timeline>> {
    let values: [&(dyn ToSql + Sync); 2] = [&contexts, &i64::from(limit)];
    let rows = database.rows("list timelines", include_str!("trends.sql"), &values).await?;
    Ok(rows.iter().map(|row| read_timeline(row, 0)).collect())
}

pub(in crate::store) async fn durations(
    database: &Database,
    context: Uuid,
    numbers: &[i64],
    name: &str,
) -> Result<Vec<Lasted>> {
    let values: [&(dyn ToSql + Sync); 3] = [&context, &numbers, &name];
    let rows = database.rows("read durations", include_str!("durations.sql"), &values).await?;
    let one = |row: &Row| Lasted {
        timeline_number: row.get(0),
        begun: row.get(1),
        took: row.get::<_, Option<i64>>(2).map(SignedDuration::from_micros),
        failed: row.get(3),
    };
    Ok(rows.iter().map(one).collect())
}
