//! Answering queries.

use std::sync::Arc;

use futures_util::StreamExt as _;
use jiff::civil::Date;
use tally_producers::postgres::dropped;
use tally_store::postgres::{Database, Isolation, Transaction};
use tally_store::retry::Policy;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::cockroach::begun;
use super::super::{Result, is_cockroach};
use super::micros::Micros;
use super::{series, trays};
use crate::NAME;
use crate::error::refused;
use crate::model::{Day, DayRange, Quarter, SeriesId};
use crate::totals::{
    Collector, DaysToRead, Groups, PieceCache, Plan, Pruned, Query, Questions, Span, Stamp, Totals,
};

const STEP: &str = "read totals";
/// Up to this many series are asked for by their ids. More are sifted out here, because the database
/// may compare a long list with each row.
const IDS_MAX: usize = 100;

/// Reads answers in one snapshot.
pub(crate) async fn read(
    database: &Database,
    questions: &Questions,
    cache: &Arc<PieceCache>,
) -> Result<Vec<Totals>> {
    Policy::long(STEP).run(|| once(database, questions, cache)).await
}

async fn once(
    database: &Database,
    questions: &Questions,
    cache: &Arc<PieceCache>,
) -> Result<Vec<Totals>> {
    let transaction = database.begin(Isolation::Snapshot).await?;
    let is_cockroach = is_cockroach(database);
    let mut answers = Vec::new();
    for query in &questions.first {
        answers.push(answer(&transaction, is_cockroach, query, cache).await?);
    }
    for query in (questions.then)(&answers) {
        answers.push(answer(&transaction, is_cockroach, &query, cache).await?);
    }
    transaction.commit().await?;
    Ok(answers)
}

async fn answer(
    transaction: &Transaction,
    is_cockroach: bool,
    query: &Query,
    cache: &Arc<PieceCache>,
) -> Result<Totals> {
    let DayRange { first: Day(first), last: Day(last) } = query.days();
    let dropped = dropped(transaction, NAME, query.filter.namespace, first, last).await?;
    let mut groups = groups(transaction, query).await?;
    let plan = plan(transaction, is_cockroach, query, &mut groups).await?;
    let mut collector = Collector::new(query, plan, groups, cache);
    if let Some(days) = collector.plan.days() {
        let ids = collector.few(IDS_MAX);
        months(transaction, ids.as_deref(), &mut collector).await?;
        let to_read = self::days(transaction, query, days, ids.as_deref(), &mut collector).await?;
        uncut(transaction, to_read.uncut, ids.as_deref(), &mut collector).await?;
        cut(transaction, to_read.cut, ids.as_deref(), &mut collector).await?;
        if is_cockroach {
            begun::read_left(transaction, days, ids.as_deref(), &mut collector).await?;
        }
        if query.live {
            rows(transaction, is_cockroach, &mut collector).await?;
        }
        if query.with_corrections {
            let sql = include_str!("corrections.sql");
            let values: [&(dyn ToSql + Sync); 3] = [&days.first.0, &days.last.0, &query.live];
            for row in transaction.rows(STEP, sql, &values).await? {
                collector.add_corrections(Day(row.get(0)), row.get(1), row.get(2))?;
            }
        }
    }
    Ok(Totals { dropped, ..collector.finish()? })
}

/// Finds out which days have something.
async fn plan(
    transaction: &Transaction,
    is_cockroach: bool,
    query: &Query,
    groups: &mut Groups,
) -> Result<Plan> {
    let days = query.days();
    let span = include_str!("span.sql");
    let row = transaction.row(STEP, span, &[&days.first.date(), &days.last.date()]).await?;
    let calendar = span_of(&row);
    let rows = if Plan::needs_rows_span(query) {
        let (from, to) = (micros(query.range.start), micros(query.range.end));
        let rows = all_rows(transaction, is_cockroach).await?;
        let sql = include_str!("span_of_rows.sql").replace(":rows", &rows);
        let row = transaction.row(STEP, &sql, &[&from, &to]).await?;
        Some(span_of(&row))
    } else {
        None
    };
    let mut planned = Plan::of(query, calendar, rows);
    if Plan::is_too_long(&planned) {
        // By what others have, perhaps.
        let rows = all_rows(transaction, is_cockroach).await?;
        let sql = include_str!("span_of_series.sql").replace(":rows", &rows);
        let day = |row: &Row, at: usize| Day::from(row.get::<_, Date>(at));
        let rows = transaction.rows(STEP, &sql, &[&query.live]).await?;
        let of_series: Vec<_> =
            rows.iter().map(|row| (row.get(0), day(row, 1), day(row, 2))).collect();
        let own = groups.span(&of_series);
        planned = Plan::of(query, own, Some(own));
    }
    planned.map_err(|error| refused(STEP)(error.into()))
}

/// What has the rows that count.
async fn all_rows(transaction: &Transaction, is_cockroach: bool) -> Result<String> {
    if is_cockroach { Ok("tally_requests".to_owned()) } else { trays::counting(transaction).await }
}

fn span_of(row: &Row) -> Span {
    let ends = row.get::<_, Option<Date>>(0).zip(row.get::<_, Option<Date>>(1));
    Span(ends.map(|(first, last)| DayRange { first: first.into(), last: last.into() }))
}

fn micros(quarter: Quarter) -> Micros {
    Micros(quarter.start_micros())
}

/// The groups of the series that the filter lets through.
async fn groups(transaction: &Transaction, query: &Query) -> Result<Groups> {
    let filter = &query.filter;
    let mut groups = Groups::new(query);
    let namespace = groups.namespace_read().map(|namespace| namespace.0);
    let texts = [&filter.paths, &filter.services, &filter.methods, &filter.customers];
    let [paths, services, methods, customers] = texts.map(|of| of.iter().collect::<Vec<_>>());
    let values: [&(dyn ToSql + Sync); 6] =
        [&namespace, &filter.path_prefix, &paths, &services, &methods, &customers];
    let mut rows = transaction.stream(STEP, include_str!("query_series.sql"), &values).await?;
    while let Some(row) = rows.next().await {
        let row = row?;
        let series = series::of_row(&row);
        if namespace.is_none() || filter.lets_through(&series) {
            groups.add(row.get(0), &series);
        }
    }
    drop(rows);
    for row in transaction.rows(STEP, include_str!("unsettled_moves.sql"), &[]).await? {
        groups.follow(row.get(0), row.get(1));
    }
    Ok(groups)
}

/// Adds what is rolled up, but for the days that are cut.
async fn months(
    transaction: &Transaction,
    ids: Option<&[SeriesId]>,
    collector: &mut Collector,
) -> Result<()> {
    let date = |day: &Day| day.date();
    let whole = collector.plan.whole.iter().copied();
    let (single, several): (Vec<_>, Vec<_>) = whole.partition(|(first, last, _)| first == last);
    for (sql, months) in
        [(include_str!("each_month.sql"), single), (include_str!("month_totals.sql"), several)]
    {
        if months.is_empty() {
            continue;
        }
        let periods: Vec<i32> = months.iter().map(|of| of.2.cast_signed()).collect();
        let firsts: Vec<Date> = months.iter().map(|of| date(&of.0)).collect();
        let lasts: Vec<Date> = months.iter().map(|of| date(&of.1)).collect();
        let values: [&(dyn ToSql + Sync); 4] = [&periods, &firsts, &lasts, &ids];
        let mut rows = transaction.stream(STEP, sql, &values).await?;
        while let Some(row) = rows.next().await {
            let row = row?;
            let period: i32 = row.get(0);
            collector.add_months(period.cast_unsigned(), row.get(1), row.get(2))?;
        }
    }
    let parts = &collector.plan.parts;
    if !parts.is_empty() {
        let firsts: Vec<Date> = parts.iter().map(|of| date(&of.0)).collect();
        let lasts: Vec<Date> = parts.iter().map(|of| date(&of.1)).collect();
        let sql = include_str!("month_days.sql");
        let mut rows = transaction.stream(STEP, sql, &[&firsts, &lasts, &ids]).await?;
        while let Some(row) = rows.next().await {
            let row = row?;
            let days: &str = row.get(2);
            collector.add_days(row.get::<_, Date>(0).into(), row.get(1), days.as_bytes())?;
        }
    }
    Ok(())
}

/// Finds out which days are cut, and with `live` which others are not rolled up.
async fn days(
    transaction: &Transaction,
    query: &Query,
    days: DayRange,
    ids: Option<&[SeriesId]>,
    collector: &mut Collector,
) -> Result<DaysToRead> {
    let plan = &collector.plan;
    let between: [&(dyn ToSql + Sync); 2] = [&days.first.date(), &days.last.date()];
    let mut found = DaysToRead::default();
    if plan.has_cuts() {
        let mut pruned = Vec::new();
        let mut rows =
            transaction.stream(STEP, include_str!("rolled_up_days.sql"), &between).await?;
        while let Some(row) = rows.next().await {
            let row = row?;
            let day = Day::from(row.get::<_, Date>(0));
            match row.get::<_, bool>(2) {
                _ if !plan.is_cut(day) => {}
                true => pruned.push(day),
                false => found.cut.push((day, row.get(1))),
            }
        }
        drop(rows);
        if !pruned.is_empty() {
            self::pruned(transaction, pruned, ids, collector).await?;
        }
    }
    let plan = &collector.plan;
    if query.live {
        let mut rows = transaction.stream(STEP, include_str!("open_totals.sql"), &between).await?;
        while let Some(row) = rows.next().await {
            let row = row?;
            let day = Day::from(row.get::<_, Date>(0));
            if plan.is_cut(day) {
                found.cut.push((day, row.get(1)));
            } else {
                found.uncut.push(day);
            }
        }
    }
    Ok(found)
}

/// Fails if what is asked for has counts on these days, which are cut and pruned.
async fn pruned(
    transaction: &Transaction,
    days: Vec<Day>,
    ids: Option<&[SeriesId]>,
    collector: &mut Collector,
) -> Result<()> {
    let last: Date = transaction.row(STEP, include_str!("last_pruned.sql"), &[]).await?.get(0);
    let mut pruned = Pruned::new(days, last.into());
    let (first, last) = pruned.months();
    let (firsts, lasts) = ([first.date()], [last.date()]);
    let values: [&(dyn ToSql + Sync); 3] = [&&firsts[..], &&lasts[..], &ids];
    let mut rows = transaction.stream(STEP, include_str!("month_days.sql"), &values).await?;
    while let Some(row) = rows.next().await {
        let row = row?;
        let days: &str = row.get(2);
        pruned.see(collector, row.get::<_, Date>(0).into(), row.get(1), days.as_bytes())?;
    }
    pruned.check(&collector.plan).map_err(refused(STEP))
}

/// Adds days that are not cut.
async fn uncut(
    transaction: &Transaction,
    days: Vec<Day>,
    ids: Option<&[SeriesId]>,
    collector: &mut Collector,
) -> Result<()> {
    if !days.is_empty() {
        let days: Vec<Date> = days.into_iter().map(Day::date).collect();
        let values: [&(dyn ToSql + Sync); 2] = [&days, &ids];
        let mut rows = transaction.stream(STEP, include_str!("day_totals.sql"), &values).await?;
        while let Some(row) = rows.next().await {
            let row = row?;
            collector.add_day(row.get::<_, Date>(0).into(), row.get(1), row.get(2))?;
        }
    }
    Ok(())
}

/// Adds days that are cut.
async fn cut(
    transaction: &Transaction,
    days: Vec<(Day, Stamp)>,
    ids: Option<&[SeriesId]>,
    collector: &mut Collector,
) -> Result<()> {
    let days = collector.add_cached(days, ids.is_none())?;
    if !days.is_empty() {
        let days: Vec<Date> = days.into_iter().map(Day::date).collect();
        let values: [&(dyn ToSql + Sync); 2] = [&days, &ids];
        let mut rows = transaction.stream(STEP, include_str!("day_quarters.sql"), &values).await?;
        while let Some(row) = rows.next().await {
            let row = row?;
            let (date, quarters): (Date, &str) = (row.get(0), row.get(2));
            collector.add_quarters(date.into(), row.get(1), quarters.as_bytes())?;
        }
    }
    Ok(())
}

/// Adds the rows that are not folded.
async fn rows(
    transaction: &Transaction,
    is_cockroach: bool,
    collector: &mut Collector,
) -> Result<()> {
    let sql = if is_cockroach {
        include_str!("../cockroach/count_rows.sql").to_owned()
    } else {
        let rows = trays::counting(transaction).await?;
        include_str!("count_rows.sql").replace(":rows", &rows)
    };
    let range = collector.plan.range();
    let values: [&(dyn ToSql + Sync); 3] =
        [&micros(range.start), &micros(range.end), &collector.plan.rows_quarters()];
    let mut rows = transaction.stream(STEP, &sql, &values).await?;
    while let Some(row) = rows.next().await {
        let row = row?;
        collector.add_rows(Quarter(row.get(0)), row.get(1), row.get(2))?;
    }
    Ok(())
}
