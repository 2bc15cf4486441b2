//! Answering queries. CockroachDB uses it too.

use futures_util::{StreamExt as _, pin_mut};
use tally_producers::postgres::dropped;
use tally_store::error::Step as _;
use tally_store::faults;
use tally_store::postgres::{Database, Isolation, Transaction};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::super::Result;
use super::super::kept::{KeptDays, Stamp};
use super::append::Micros;
use super::copied;
use super::endpoints;
use crate::DOMAIN;
use crate::model::{Day, DayRange, EndpointId};
use crate::totals::{Collector, Granularity, Query, TooMany, Totals};

type Answer = std::result::Result<Totals, TooMany>;

/// Reads an answer in one snapshot, which begins after `lock`, if there is one. `kept` are the days
/// that need not be read, if their stamps are the same.
pub(crate) async fn read(
    database: &Database,
    query: &Query,
    lock: Option<&str>,
    kept: Option<&KeptDays>,
) -> Result<Answer> {
    let mut connection = database.connection().await?;
    let transaction = connection.begin(Isolation::Snapshot).await?;
    if let Some(lock) = lock {
        transaction.batch_execute(lock).await.step("lock the rows for a live answer")?;
    }
    let ids = filtered(&transaction, query).await?;
    let mut collector =
        Collector::new(query, ids.as_ref().map(|ids| ids.iter().copied().collect()));
    let mut fits = match kept {
        Some(kept) => with_kept(&transaction, query, ids, kept, &mut collector).await?,
        None => rolled_up(&transaction, query, ids, &mut collector).await?,
    };
    faults::point("totals.between").await;
    if query.live && fits.is_ok() {
        fits = not_rolled_up(&transaction, query, &mut collector).await?;
    }
    let dropped = dropped(&transaction, DOMAIN, query.days.first.0, query.days.last.0).await?;
    let names = match fits {
        Ok(()) => endpoints::named(&transaction, &collector).await?,
        Err(too_many) => Err(too_many),
    };
    transaction.commit().await?;
    connection.release();
    let totals = names.and_then(|names| collector.finish(names));
    Ok(totals.map(|totals| Totals { dropped, ..totals }))
}

/// The endpoints that the filter lets through, if there is one.
async fn filtered(transaction: &Transaction<'_>, query: &Query) -> Result<Option<Vec<EndpointId>>> {
    let step = "find the endpoints of a query";
    let filter = &query.filter;
    if filter.is_empty() {
        return Ok(None);
    }
    let statement =
        transaction.prepare_cached(include_str!("filter_endpoints.sql")).await.step(step)?;
    let method = filter.method.map(i64::from);
    let paths: Vec<_> = filter.paths.iter().collect();
    let rows =
        transaction.query(&statement, &[&method, &filter.path_prefix, &paths]).await.step(step)?;
    Ok(Some(rows.iter().map(|row| row.get(0)).collect()))
}

/// Adds what is rolled up, all of it from the database.
async fn rolled_up(
    transaction: &Transaction<'_>,
    query: &Query,
    ids: Option<Vec<EndpointId>>,
    collector: &mut Collector,
) -> Result<std::result::Result<(), TooMany>> {
    if query.granularity != Granularity::Day {
        return by_period(transaction, query, &[query.days], ids, collector).await;
    }
    let (first, last) = (query.days.first.0, query.days.last.0);
    let sql = include_str!("daily_totals.sql");
    collect(transaction, sql, &[&first, &last, &ids], collector).await
}

/// Adds what is rolled up, and reads only the days that are not kept as the snapshot has them.
/// What is read of all endpoints by day is kept.
async fn with_kept(
    transaction: &Transaction<'_>,
    query: &Query,
    ids: Option<Vec<EndpointId>>,
    kept: &KeptDays,
    collector: &mut Collector,
) -> Result<std::result::Result<(), TooMany>> {
    let mut reading = kept.reading(query.days, stamps(transaction, query.days).await?);
    if reading.add_known(collector).is_err() {
        return Ok(Err(TooMany));
    }
    if reading.rest().is_empty() {
        return Ok(Ok(()));
    }
    if query.granularity != Granularity::Day {
        return by_period(transaction, query, reading.rest(), ids, collector).await;
    }
    if let Some(ids) = ids {
        let firsts: Vec<i32> = reading.rest().iter().map(|days| days.first.0).collect();
        let lasts: Vec<i32> = reading.rest().iter().map(|days| days.last.0).collect();
        let sql = include_str!("daily_totals_of.sql");
        return collect(transaction, sql, &[&firsts, &lasts, &ids], collector).await;
    }
    Ok(match copied::daily_totals(transaction, &mut reading, collector).await? {
        Ok(()) => reading.keep(collector),
        Err(too_many) => Err(too_many),
    })
}

/// The stamps of the days, as the snapshot has them.
async fn stamps(transaction: &Transaction<'_>, days: DayRange) -> Result<Vec<(Day, Stamp)>> {
    let step = "read the stamps of the days";
    let statement =
        transaction.prepare_cached(include_str!("daily_stamps.sql")).await.step(step)?;
    let rows = transaction.query(&statement, &[&days.first.0, &days.last.0]).await.step(step)?;
    Ok(rows.iter().map(|row| (Day(row.get(0)), row.get::<_, Uuid>(1).as_u128())).collect())
}

/// Adds what is rolled up of some ranges of days, summed by period.
async fn by_period(
    transaction: &Transaction<'_>,
    query: &Query,
    ranges: &[DayRange],
    ids: Option<Vec<EndpointId>>,
    collector: &mut Collector,
) -> Result<std::result::Result<(), TooMany>> {
    let Some(span) = span(transaction, query.days).await? else { return Ok(Ok(())) };
    let (mut firsts, mut nexts) = (Vec::new(), Vec::new());
    for days in ranges {
        let (first, last) = (days.first.max(span.first), days.last.min(span.last));
        if first <= last {
            let parts = periods(DayRange { first, last }, query.granularity);
            firsts.extend(parts.0);
            nexts.extend(parts.1);
        }
    }
    if firsts.is_empty() {
        return Ok(Ok(()));
    }
    let sql = include_str!("period_totals.sql");
    collect(transaction, sql, &[&firsts, &nexts, &ids], collector).await
}

/// The first and the last of the days that have totals.
async fn span(transaction: &Transaction<'_>, days: DayRange) -> Result<Option<DayRange>> {
    let step = "find the first and the last day of a query";
    let statement = transaction.prepare_cached(include_str!("span.sql")).await.step(step)?;
    let row = transaction.query_one(&statement, &[&days.first.0, &days.last.0]).await.step(step)?;
    let (first, last) = (row.get::<_, Option<i32>>(0), row.get::<_, Option<i32>>(1));
    Ok(first.zip(last).map(|(first, last)| DayRange { first: Day(first), last: Day(last) }))
}

/// The days, cut where a period ends: the first day of each part, and the one after its last.
fn periods(days: DayRange, granularity: Granularity) -> (Vec<i32>, Vec<i32>) {
    let mut firsts = vec![days.first.0];
    if granularity != Granularity::Whole {
        let days = days.first.0 + 1..=days.last.0;
        firsts.extend(days.filter(|day| granularity.first_day(Day(*day)) == Day(*day)));
    }
    let nexts = firsts[1..].iter().copied().chain([days.last.0 + 1]).collect();
    (firsts, nexts)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_cut_where_months_and_years_end() {
        let day = |text: &str| Day::from(text.parse::<jiff::civil::Date>().unwrap());
        let days = DayRange { first: day("2023-12-30"), last: day("2024-02-01") };
        let cut = |granularity| {
            let (firsts, nexts) = periods(days, granularity);
            firsts.into_iter().zip(nexts).map(|(a, b)| (Day(a), Day(b))).collect::<Vec<_>>()
        };
        let [start, new_year] = [day("2023-12-30"), day("2024-01-01")];
        let [february, end] = [day("2024-02-01"), day("2024-02-02")];
        assert_eq!(cut(Granularity::Whole), [(start, end)]);
        assert_eq!(cut(Granularity::Year), [(start, new_year), (new_year, end)]);
        let months = [(start, new_year), (new_year, february), (february, end)];
        assert_eq!(cut(Granularity::Month), months);
    }
}
