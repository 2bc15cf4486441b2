//! Answering queries, in one snapshot of the reader's connection.

use std::sync::Arc;

use rusqlite::{Connection, Params, Row};
use tally_producers::sqlite::dropped;
use tally_store::error::Step as _;

use super::super::Result;
use super::series;
use crate::NAME;
use crate::error::refused;
use crate::model::{Day, DayRange, Quarter};
use crate::totals::{
    Collector, DaysToRead, Groups, PieceCache, Plan, Pruned, Query, Questions, Span, Stamp, Totals,
};

const STEP: &str = "read totals";

pub(crate) fn read(
    connection: &mut Connection,
    questions: &Questions,
    cache: &Arc<PieceCache>,
) -> Result<Vec<Totals>> {
    let snapshot = connection.transaction().step("begin a snapshot")?;
    let answer = |query: &Query| answer(&snapshot, query, cache);
    let mut answers = questions.first.iter().map(answer).collect::<Result<Vec<_>>>()?;
    for query in (questions.then)(&answers) {
        answers.push(answer(&query)?);
    }
    Ok(answers)
}

fn answer(snapshot: &Connection, query: &Query, cache: &Arc<PieceCache>) -> Result<Totals> {
    let days = query.days();
    let dropped = dropped(snapshot, NAME, query.filter.namespace, days.first.0, days.last.0)?;
    let mut groups = groups(snapshot, query)?;
    let plan = plan(snapshot, query, &mut groups)?;
    let mut collector = Collector::new(query, plan, groups, cache);
    if let Some(days) = collector.plan.days() {
        months(snapshot, &mut collector)?;
        let DaysToRead { cut, uncut } = self::days(snapshot, query, days, &mut collector)?;
        for day in uncut {
            each(snapshot, include_str!("day_totals.sql"), (day.0,), |row| {
                collector.add_day(day, row.get(0).step(STEP)?, row.get(1).step(STEP)?)
            })?;
        }
        for day in collector.add_cached(cut, true)? {
            each(snapshot, include_str!("day_quarters.sql"), (day.0,), |row| {
                let quarters = text(row, 1)?.as_bytes();
                collector.add_quarters(day, row.get(0).step(STEP)?, quarters)
            })?;
        }
        if query.live {
            rows(snapshot, &mut collector)?;
        }
        if query.with_corrections {
            let values = (days.first.0, days.last.0, query.live);
            each(snapshot, include_str!("corrections.sql"), values, |row| {
                let (day, series) = (Day(row.get(0).step(STEP)?), row.get(1).step(STEP)?);
                collector.add_corrections(day, series, row.get(2).step(STEP)?)
            })?;
        }
    }
    Ok(Totals { dropped, ..collector.finish()? })
}

/// Finds out which days have something.
fn plan(connection: &Connection, query: &Query, groups: &mut Groups) -> Result<Plan> {
    let span = |sql, first: i64, last: i64, day: fn(i64) -> Day| {
        let mut found = Span::default();
        each(connection, sql, (first, last), |row| {
            let ends: Option<i64> = row.get(0).step(STEP)?;
            let ends = ends.zip(row.get::<_, Option<i64>>(1).step(STEP)?);
            found = Span(ends.map(|ends| DayRange { first: day(ends.0), last: day(ends.1) }));
            Ok(())
        })?;
        Ok::<_, tally_store::Error>(found)
    };
    let days = query.days();
    let (first, last) = (i64::from(days.first.0), i64::from(days.last.0));
    let day = |day| Day(i32::try_from(day).unwrap_or_default());
    let calendar = span(include_str!("span.sql"), first, last, day)?;
    let rows = if Plan::needs_rows_span(query) {
        let (from, to) = (query.range.start.start_micros(), query.range.end.start_micros());
        Some(span(include_str!("span_of_rows.sql"), from, to, Day::of_micros)?)
    } else {
        None
    };
    let mut planned = Plan::of(query, calendar, rows);
    if Plan::is_too_long(&planned) {
        // By what others have, perhaps.
        let mut of_series = Vec::new();
        each(connection, include_str!("span_of_series.sql"), (query.live,), |row| {
            let (first, last) = (row.get(1).step(STEP)?, row.get(2).step(STEP)?);
            of_series.push((row.get(0).step(STEP)?, Day(first), Day(last)));
            Ok(())
        })?;
        let own = groups.span(&of_series);
        planned = Plan::of(query, own, Some(own));
    }
    planned.map_err(|error| refused(STEP)(error.into()))
}

/// The groups of the series that the filter lets through.
fn groups(connection: &Connection, query: &Query) -> Result<Groups> {
    let mut groups = Groups::new(query);
    let namespace = groups.namespace_read();
    series::each(connection, STEP, namespace, |id, series| {
        if namespace.is_none() || query.filter.lets_through(series) {
            groups.add(id, series);
        }
    })?;
    each(connection, include_str!("unsettled_moves.sql"), (), |row| {
        groups.follow(row.get(0).step(STEP)?, row.get(1).step(STEP)?);
        Ok(())
    })?;
    Ok(groups)
}

/// Adds what is rolled up, but for the days that are cut.
fn months(connection: &Connection, collector: &mut Collector) -> Result<()> {
    for (first, last, period) in collector.plan.whole.clone() {
        each(connection, include_str!("month_totals.sql"), (first.0, last.0), |row| {
            collector.add_months(period, row.get(0).step(STEP)?, row.get(1).step(STEP)?)
        })?;
    }
    for (first, last) in collector.plan.parts.clone() {
        each(connection, include_str!("month_days.sql"), (first.0, last.0), |row| {
            let days = text(row, 2)?.as_bytes();
            collector.add_days(Day(row.get(0).step(STEP)?), row.get(1).step(STEP)?, days)
        })?;
    }
    Ok(())
}

/// Finds out which days are cut, and with `live` which others are not rolled up.
fn days(
    connection: &Connection,
    query: &Query,
    days: DayRange,
    collector: &mut Collector,
) -> Result<DaysToRead> {
    let plan = &collector.plan;
    let between = (days.first.0, days.last.0);
    let mut found = DaysToRead::default();
    let stamped = |row: &Row<'_>| {
        let (day, stamp) = (row.get(0).step(STEP)?, row.get(1).step(STEP)?);
        Ok::<_, tally_store::Error>((Day(day), Stamp::from_bytes(stamp)))
    };
    if plan.has_cuts() {
        let mut pruned = Vec::new();
        each(connection, include_str!("rolled_up_days.sql"), between, |row| {
            let (day, stamp) = stamped(row)?;
            match row.get::<_, bool>(2).step(STEP)? {
                _ if !plan.is_cut(day) => {}
                true => pruned.push(day),
                false => found.cut.push((day, stamp)),
            }
            Ok(())
        })?;
        if !pruned.is_empty() {
            self::pruned(connection, pruned, collector)?;
        }
    }
    let plan = &collector.plan;
    if query.live {
        each(connection, include_str!("open_totals.sql"), between, |row| {
            let (day, stamp) = stamped(row)?;
            if plan.is_cut(day) {
                found.cut.push((day, stamp));
            } else {
                found.uncut.push(day);
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// Fails if what is asked for has counts on these days, which are cut and pruned.
fn pruned(connection: &Connection, days: Vec<Day>, collector: &mut Collector) -> Result<()> {
    let mut last = Day::MIN;
    each(connection, include_str!("last_pruned.sql"), (), |row| {
        last = Day(row.get(0).step(STEP)?);
        Ok(())
    })?;
    let mut pruned = Pruned::new(days, last);
    let (first, last) = pruned.months();
    each(connection, include_str!("month_days.sql"), (first.0, last.0), |row| {
        let days = text(row, 2)?.as_bytes();
        let (month, series) = (Day(row.get(0).step(STEP)?), row.get(1).step(STEP)?);
        Ok(pruned.see(collector, month, series, days)?)
    })?;
    pruned.check(&collector.plan).map_err(refused(STEP))
}

/// Adds the rows that are not folded.
fn rows(connection: &Connection, collector: &mut Collector) -> Result<()> {
    let range = collector.plan.range();
    let between = (range.start.start_micros(), range.end.start_micros());
    each(connection, include_str!("unfolded_rows.sql"), between, |row| {
        let quarter = Quarter::of_micros(row.get(1).step(STEP)?);
        collector.add_rows(quarter, row.get(0).step(STEP)?, row.get(2).step(STEP)?)
    })
}

fn text<'row>(row: &'row Row<'_>, at: usize) -> Result<&'row str> {
    let text = row.get_ref(at).step(STEP)?.as_str();
    text.map_err(rusqlite::Error::from).step(STEP)
}

/// Takes each row of a statement.
fn each(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    mut take: impl FnMut(&Row<'_>) -> Result<()>,
) -> Result<()> {
    let mut statement = connection.prepare_cached(sql).step(STEP)?;
    let mut rows = statement.query(values).step(STEP)?;
    while let Some(row) = rows.next().step(STEP)? {
        take(row)?;
    }
    Ok(())
}
