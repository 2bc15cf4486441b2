//! Finding and adding endpoints. CockroachDB uses it too.

use std::collections::HashMap;

use tally_runtime::Kind;
use tally_store::error::Step as _;
use tally_store::postgres::{Connection, Database, commits_itself};

use super::super::Result;
use crate::model::{Endpoint, EndpointId};

/// Every endpoint.
pub(crate) async fn list(database: &Database) -> Result<Vec<(EndpointId, Endpoint)>> {
    let connection = database.connection().await?;
    let statement =
        connection.prepare_cached(include_str!("endpoints.sql")).await.step("list endpoints")?;
    let rows = connection.query(&statement, &[]).await.step("list endpoints")?;
    connection.release();
    Ok(rows.iter().map(|row| (row.get(0), endpoint(row.get(1), row.get(2)))).collect())
}

/// Ids in the order of the endpoints.
pub(crate) async fn resolve(
    database: &Database,
    endpoints: &[Endpoint],
) -> Result<Vec<EndpointId>> {
    let connection = database.writer().await?;
    let mut found = find(&connection, endpoints).await?;
    let missing: Vec<&Endpoint> =
        endpoints.iter().filter(|endpoint| !found.contains_key(*endpoint)).collect();
    if !missing.is_empty() {
        add(&connection, &missing).await?;
        // Also those that another server has added in the meantime.
        found = find(&connection, endpoints).await?;
    }
    connection.release();
    endpoints
        .iter()
        .map(|endpoint| found.get(endpoint).copied())
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| tally_store::Error::permanent("find an endpoint just added", Kind::Internal))
}

async fn find(
    connection: &Connection,
    endpoints: &[Endpoint],
) -> Result<HashMap<Endpoint, EndpointId>> {
    let (methods, paths) = columns(endpoints.iter());
    let step = "look endpoints up";
    let statement =
        connection.prepare_cached(include_str!("find_endpoints.sql")).await.step(step)?;
    let rows = connection.query(&statement, &[&methods, &paths]).await.step(step)?;
    Ok(rows.iter().map(|row| (endpoint(row.get(1), row.get(2)), row.get(0))).collect())
}

async fn add(connection: &Connection, endpoints: &[&Endpoint]) -> Result<()> {
    let (methods, paths) = columns(endpoints.iter().copied());
    let step = "add endpoints";
    let statement =
        connection.prepare_cached(include_str!("add_endpoints.sql")).await.step(step)?;
    let done = connection.execute(&statement, &[&methods, &paths]).await;
    commits_itself(step, done)?;
    Ok(())
}

fn columns<'a>(endpoints: impl Iterator<Item = &'a Endpoint>) -> (Vec<i64>, Vec<&'a str>) {
    endpoints.map(|endpoint| (i64::from(endpoint.method), &*endpoint.path)).unzip()
}

pub(crate) fn endpoint(method: i64, path: &str) -> Endpoint {
    Endpoint::new(i32::try_from(method).unwrap_or_default(), path)
}
