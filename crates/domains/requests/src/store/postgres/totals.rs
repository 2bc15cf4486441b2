//! Answering queries. CockroachDB uses it too.

use futures_util::{StreamExt as _, pin_mut};
use tally_store::error::Step as _;
use tally_store::postgres::{Database, Isolation, Transaction};
use tally_store::{Dialect, faults};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::Result;
use super::append::Micros;
use super::copied;
use super::endpoints::endpoint;
use crate::model::{Day, Endpoint, EndpointId};
use crate::totals::{Collector, Granularity, Query, TooMany, Totals};

type Names = Vec<(EndpointId, Endpoint)>;
type Answer = std::result::Result<Totals, TooMany>;

/// Reads an answer in one snapshot, which begins after `lock`, if there is one.
pub(crate) async fn read(database: &Database, query: &Query, lock: Option<&str>) -> Result<Answer> {
    let mut connection = database.connection().await?;
    let transaction = connection.begin(Isolation::Snapshot).await?;
    if let Some(lock) = lock {
        transaction.batch_execute(lock).await.step("lock the rows for a live answer")?;
    }
    let names = names(&transaction, query).await?;
    let mut collector = Collector::new(query);
    let copies_out = database.dialect() == Dialect::Postgres;
    let mut fits = rolled_up(&transaction, query, &names, copies_out, &mut collector).await?;
    faults::point("totals.between").await;
    if query.live && fits.is_ok() {
        fits = not_rolled_up(&transaction, query, &mut collector).await?;
    }
    transaction.commit().await?;
    connection.release();
    Ok(fits.map(|()| collector.finish(names)))
}

/// The endpoints that the filter lets through.
async fn names(transaction: &Transaction<'_>, query: &Query) -> Result<Names> {
    let step = "find the endpoints of a query";
    let filter = &query.filter;
    let rows = if filter.is_empty() {
        let statement =
            transaction.prepare_cached(include_str!("endpoints.sql")).await.step(step)?;
        transaction.query(&statement, &[]).await.step(step)?
    } else {
        let statement =
            transaction.prepare_cached(include_str!("filter_endpoints.sql")).await.step(step)?;
        let method = filter.method.map(i64::from);
        transaction.query(&statement, &[&method, &filter.path_prefix]).await.step(step)?
    };
    Ok(rows.iter().map(|row| (row.get(0), endpoint(row.get(1), row.get(2)))).collect())
}

async fn rolled_up(
    transaction: &Transaction<'_>,
    query: &Query,
    names: &Names,
    copies_out: bool,
    collector: &mut Collector,
) -> Result<std::result::Result<(), TooMany>> {
    let (first, last) = (query.days.first.0, query.days.last.0);
    let ids: Option<Vec<EndpointId>> =
        (!query.filter.is_empty()).then(|| names.iter().map(|(id, _)| *id).collect());
    let unit = match query.granularity {
        Granularity::Day => None,
        Granularity::Month => Some("month"),
        Granularity::Year => Some("year"),
        Granularity::Whole => Some("whole"),
    };
    match unit {
        None if ids.is_none() && copies_out => {
            copied::daily_totals(transaction, query.days, collector).await
        }
        None => {
            let sql = include_str!("daily_totals.sql");
            collect(transaction, sql, &[&first, &last, &ids], collector).await
        }
        Some(unit) => {
            let sql = include_str!("period_totals.sql");
            collect(transaction, sql, &[&first, &last, &ids, &unit], collector).await
        }
    }
}

async fn not_rolled_up(
    transaction: &Transaction<'_>,
    query: &Query,
    collector: &mut Collector,
) -> Result<std::result::Result<(), TooMany>> {
    let range = query.days.micros();
    let (from, to) = (Micros(range.start), Micros(range.end));
    collect(transaction, include_str!("count_rows.sql"), &[&from, &to], collector).await
}

/// Runs a query whose rows are a day, an endpoint and a count.
async fn collect(
    transaction: &Transaction<'_>,
    sql: &'static str,
    parameters: &[&(dyn ToSql + Sync)],
    collector: &mut Collector,
) -> Result<std::result::Result<(), TooMany>> {
    let step = "read totals";
    let statement = transaction.prepare_cached(sql).await.step(step)?;
    let rows = transaction.query_raw(&statement, parameters.iter().copied()).await.step(step)?;
    pin_mut!(rows);
    while let Some(row) = rows.next().await {
        let row: Row = row.step(step)?;
        let day = Day(row.get(0));
        if let Err(too_many) = collector.add(day, row.get(1), row.get(2)) {
            return Ok(Err(too_many));
        }
    }
    Ok(Ok(()))
}
