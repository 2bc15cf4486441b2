//! The dictionary of endpoints: reading it, and adding names in a batch's transaction.

use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use hashbrown::HashMap;
use tally_runtime::{Kind, faults};
use tally_store::postgres::{Database, Transaction};
use tally_store::retry::Policy;
use tokio_postgres::Row;

use super::super::{Result, SALTS_MAX};
use crate::model::{Endpoint, EndpointId, Named};

/// Endpoints, up to the limits.
pub(crate) async fn list(
    database: &Database,
    count_max: usize,
    path_bytes_max: usize,
) -> Result<Vec<(EndpointId, Endpoint)>> {
    let (step, sql) = ("list endpoints", include_str!("endpoints.sql"));
    let limit = i64::try_from(count_max).unwrap_or(i64::MAX);
    let once = async || {
        let connection = database.connection().await?;
        let rows = connection.stream(step, sql, &[&limit]).await?;
        let (known, are_all) = read(rows, path_bytes_max).await?;
        // Otherwise drop it: the rest of the answer is still in it.
        if are_all {
            connection.release();
        }
        Ok(known)
    };
    Policy::short(step).run(once).await
}

/// Reads endpoints until their paths are too long. Returns whether that is all.
async fn read(
    mut rows: impl Stream<Item = Result<Row>> + Unpin,
    path_bytes_max: usize,
) -> Result<(Vec<(EndpointId, Endpoint)>, bool)> {
    let (mut found, mut path_bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next().await {
        let row = row?;
        let method = i32::try_from(row.get::<_, i64>(1)).unwrap_or_default();
        let endpoint = Endpoint::new(method, row.get::<_, &str>(2));
        path_bytes += endpoint.path.len();
        if path_bytes > path_bytes_max {
            return Ok((found, false));
        }
        found.push((row.get(0), endpoint));
    }
    Ok((found, true))
}

/// Adds names, and returns those that the database has under another id. They are sorted by id, so
/// that two servers that add the same names do not deadlock.
pub(crate) async fn add(
    transaction: &Transaction,
    names: &[Arc<Named>],
) -> Result<HashMap<EndpointId, EndpointId>> {
    let step = "add endpoints";
    let mut moved = HashMap::new();
    // Each with the id to try next.
    let mut wanted: Vec<(EndpointId, &Named)> = names.iter().map(|one| (one.id, &**one)).collect();
    if faults::is_on("endpoints.reuse_ids") && !names.is_empty() {
        let next = transaction.row(step, include_str!("../next_id.sql"), &[]).await?;
        wanted.iter_mut().zip(next.get::<_, i64>(0)..).for_each(|(one, id)| one.0 = id);
    }
    for salt in 1..=SALTS_MAX {
        if wanted.is_empty() {
            return Ok(moved);
        }
        let ids: Vec<EndpointId> = wanted.iter().map(|(id, _)| *id).collect();
        let named = || wanted.iter().map(|(_, named)| &named.endpoint);
        let methods: Vec<i64> = named().map(|one| i64::from(one.method)).collect();
        let paths: Vec<&str> = named().map(|one| &*one.path).collect();
        let sql = include_str!("add_endpoints.sql");
        transaction.write(step, sql, &[&ids, &methods, &paths]).await?;
        let sql = include_str!("stored_endpoints.sql");
        let rows = transaction.rows(step, sql, &[&methods, &paths]).await?;
        let mut taken = Vec::new();
        for row in rows {
            let (_, named) = wanted[usize::try_from(row.get::<_, i64>(0) - 1).unwrap_or_default()];
            match row.get::<_, Option<EndpointId>>(1) {
                Some(id) if id == named.id => {}
                Some(id) => drop(moved.insert(named.id, id)),
                None => taken.push((named.endpoint.id(salt), named)),
            }
        }
        taken.sort_unstable_by_key(|(id, _)| *id);
        wanted = taken;
    }
    Err(tally_store::Error::permanent("find an id for an endpoint", Kind::Internal))
}
