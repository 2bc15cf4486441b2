//! The dictionary of endpoints: reading it, and adding names in a batch's transaction.

use std::sync::Arc;

use hashbrown::HashMap;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction};
use tally_runtime::Kind;
use tally_runtime::faults;
use tally_store::error::Step as _;

use super::super::{Result, SALTS_MAX};
use crate::model::{Endpoint, EndpointId, Named};

/// Endpoints, up to the limits.
pub(crate) fn list(
    connection: &Connection,
    count_max: usize,
    path_bytes_max: usize,
) -> Result<Vec<(EndpointId, Endpoint)>> {
    let step = "list endpoints";
    let mut statement = connection.prepare_cached(include_str!("endpoints.sql")).step(step)?;
    let limit = i64::try_from(count_max).unwrap_or(-1);
    let rows = statement.query_map([limit], endpoint).step(step)?;
    Ok(read(rows.map(|row| row.step(step)), path_bytes_max)?.0)
}

/// Reads endpoints until their paths are too long. Returns whether that is all.
fn read(
    rows: impl Iterator<Item = Result<(EndpointId, Endpoint)>>,
    path_bytes_max: usize,
) -> Result<(Vec<(EndpointId, Endpoint)>, bool)> {
    let (mut found, mut path_bytes) = (Vec::new(), 0);
    for row in rows {
        let one = row?;
        path_bytes += one.1.path.len();
        if path_bytes > path_bytes_max {
            return Ok((found, false));
        }
        found.push(one);
    }
    Ok((found, true))
}

/// Adds names, and returns those that the database has under another id.
pub(super) fn add(
    transaction: &Transaction<'_>,
    names: &[Arc<Named>],
) -> Result<HashMap<EndpointId, EndpointId>> {
    let step = "add endpoints";
    let mut moved = HashMap::new();
    let mut add = transaction.prepare_cached(include_str!("add_endpoint.sql")).step(step)?;
    let mut find = transaction.prepare_cached(include_str!("find_endpoint.sql")).step(step)?;
    for named in names {
        let Endpoint { method, path } = &named.endpoint;
        let ids = (1..SALTS_MAX).map(|salt| named.endpoint.id(salt));
        let mut found = None;
        let first = if faults::is_on("endpoints.reuse_ids") {
            let next = transaction.query_row(include_str!("../next_id.sql"), [], |row| row.get(0));
            next.step(step)?
        } else {
            named.id
        };
        for id in std::iter::once(first).chain(ids) {
            add.execute((id, method, path)).step(step)?;
            let row = find.query_row((method, path), |row| row.get(0));
            found = row.optional().step(step)?;
            if found.is_some() {
                break;
            }
        }
        let found = found.ok_or_else(|| {
            tally_store::Error::permanent("find an id for an endpoint", Kind::Internal)
        })?;
        if found != named.id {
            moved.insert(named.id, found);
        }
    }
    Ok(moved)
}

/// Reads an id, a method and a path.
fn endpoint(row: &Row<'_>) -> rusqlite::Result<(EndpointId, Endpoint)> {
    Ok((row.get(0)?, Endpoint::new(row.get(1)?, row.get::<_, String>(2)?)))
}
