//! Answering queries.

use futures_util::StreamExt as _;
use tally_producers::postgres::dropped;
use tally_proto::methods;
use tally_runtime::Namespace;
use tally_store::postgres::{Database, Isolation, Transaction};
use tally_store::retry::Policy;
use tokio_postgres::types::ToSql;

use super::super::{Result, is_cockroach};
use super::series;
use crate::NAME;
use crate::model::{Day, DayRange, SeriesId};
use crate::rows::Micros;
use crate::totals::{Collector, Granularity, Query, TooMany, Totals};

/// Reads an answer in one snapshot.
pub(crate) async fn read(database: &Database, query: &Query) -> Result<Totals> {
    Policy::long("read totals").run(|| once(database, query)).await
}

async fn once(database: &Database, query: &Query) -> Result<Totals> {
    let transaction = database.begin(Isolation::Snapshot).await?;
    // CockroachDB's snapshots hold without a lock: there rows are deleted, not truncated.
    if query.live && !is_cockroach(database) {
        let step = "lock the rows for a live answer";
        transaction.script(step, include_str!("lock_for_live.sql")).await?;
    }
    let ids = filtered(&transaction, query).await?;
    let mut collector =
        Collector::new(query, ids.as_ref().map(|ids| ids.iter().copied().collect()));
    rolled_up(&transaction, query, ids, &mut collector).await?;
    if query.live {
        let range = query.days.micros();
        let (from, to) = (Micros(range.start), Micros(range.end));
        let sql = include_str!("count_rows.sql");
        collect(&transaction, sql, &[&from, &to], &mut collector).await?;
    }
    let (step, sql) = ("name the endpoints of an answer", include_str!("find_endpoints.sql"));
    let rows = transaction.stream(step, sql, &[&collector.ids()]).await?;
    let (names, are_all) = series::read(rows, collector.path_bytes_max()).await?;
    if !are_all {
        return Err(TooMany.into());
    }
    let dropped =
        dropped(&transaction, NAME, Namespace::DEFAULT, query.days.first.0, query.days.last.0)
            .await?;
    transaction.commit().await?;
    let names = names.into_iter().map(|(id, series)| (id, series.endpoint())).collect();
    Ok(Totals { dropped, ..collector.finish(names)? })
}

/// The endpoints that the filter lets through, if there is one.
async fn filtered(transaction: &Transaction, query: &Query) -> Result<Option<Vec<SeriesId>>> {
    let filter = &query.filter;
    if filter.is_empty() {
        return Ok(None);
    }
    let (method, paths) =
        (filter.method.map(methods::text), filter.paths.iter().collect::<Vec<_>>());
    let (step, sql) = ("find the endpoints of a query", include_str!("filter_endpoints.sql"));
    let rows =
        transaction.rows(step, sql, &[&method.as_deref(), &filter.path_prefix, &paths]).await?;
    Ok(Some(rows.iter().map(|row| row.get(0)).collect()))
}

/// Adds what is rolled up. Postgres sums longer periods itself, which saves sending every day.
async fn rolled_up(
    transaction: &Transaction,
    query: &Query,
    ids: Option<Vec<SeriesId>>,
    collector: &mut Collector,
) -> Result<()> {
    let DayRange { first: Day(first), last: Day(last) } = query.days;
    if query.granularity != Granularity::Day || query.granularity == Granularity::Day {
        let sql = include_str!("daily_totals.sql");
        return collect(transaction, sql, &[&first, &last, &ids, &query.live], collector).await;
    }
    let step = "find the first and the last day of a query";
    let row = transaction.row(step, include_str!("span.sql"), &[&first, &last]).await?;
    let (Some(first), Some(last)) = (row.get(0), row.get(1)) else { return Ok(()) };
    let days = DayRange { first: Day(first), last: Day(last) };
    let (firsts, nexts) = periods(days, query.granularity);
    let sql = include_str!("period_totals.sql");
    collect(transaction, sql, &[&firsts, &nexts, &ids], collector).await
}

/// Cuts days where periods end: the first day of each part, and the day after its last.
fn periods(days: DayRange, granularity: Granularity) -> (Vec<i32>, Vec<i32>) {
    let mut firsts = vec![days.first.0];
    if granularity != Granularity::Whole {
        let days = days.first.0 + 1..=days.last.0;
        firsts.extend(days.filter(|day| granularity.first_day(Day(*day)) == Day(*day)));
    }
    let nexts = firsts[1..].iter().copied().chain([days.last.0 + 1]).collect();
    (firsts, nexts)
}

/// Runs a query whose rows are a day, an endpoint and a count.
async fn collect(
    transaction: &Transaction,
    sql: &'static str,
    values: &[&(dyn ToSql + Sync)],
    collector: &mut Collector,
) -> Result<()> {
    let mut rows = transaction.stream("read totals", sql, values).await?;
    while let Some(row) = rows.next().await {
        let row = row?;
        collector.add(Day(row.get(0)), row.get(1), row.get(2))?;
    }
    Ok(())
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
