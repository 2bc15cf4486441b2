//! Answering queries, in one snapshot of the reader's connection.

use hashbrown::{HashMap, HashSet};
use rusqlite::{Connection, Row};
use tally_producers::sqlite::dropped;
use tally_store::error::Step as _;
use tally_store::faults::blocking_point;

use super::super::Result;
use super::super::kept::{KeptDays, Stamp};
use super::endpoints;
use crate::DOMAIN;
use crate::model::{Day, DayRange, EndpointId};
use crate::totals::{Collector, Query, TooMany, Totals};

/// How many counts of rows are held before they are added to the answer: a few MiB.
pub(super) const COUNTED_MAX: usize = 1 << 17;

pub(super) fn read(
    connection: &mut Connection,
    query: &Query,
    kept: &KeptDays,
) -> Result<std::result::Result<Totals, TooMany>> {
    let snapshot = connection.transaction().step("begin a snapshot")?;
    let only = (!query.filter.is_empty()).then(|| filtered(&snapshot, query)).transpose()?;
    let mut collector = Collector::new(query, only);
    let mut fits = rolled_up(&snapshot, query, kept, &mut collector)?;
    blocking_point("totals.between");
    if query.live && fits.is_ok() {
        fits = not_rolled_up(&snapshot, query, &mut collector)?;
    }
    let dropped = dropped(&snapshot, DOMAIN, query.days.first.0, query.days.last.0)?;
    let names = match fits {
        Ok(()) => endpoints::named(&snapshot, &collector)?,
        Err(too_many) => Err(too_many),
    };
    let totals = names.and_then(|names| collector.finish(names));
    Ok(totals.map(|totals| Totals { dropped, ..totals }))
}

/// The endpoints that the query's filter lets through.
fn filtered(connection: &Connection, query: &Query) -> Result<HashSet<EndpointId>> {
    let step = "find the endpoints of a query";
    let mut statement = connection.prepare_cached(include_str!("endpoints.sql")).step(step)?;
    let mut rows = statement.query([-1]).step(step)?;
    let mut found = HashSet::new();
    while let Some(row) = rows.next().step(step)? {
        let (method, path) = (row.get(1).step(step)?, row.get_ref(2).step(step)?);
        if path.as_bytes().is_ok_and(|path| query.filter.lets_through(method, path)) {
            found.insert(row.get(0).step(step)?);
        }
    }
    Ok(found)
}

fn rolled_up(
    connection: &Connection,
    query: &Query,
    kept: &KeptDays,
    collector: &mut Collector,
) -> Result<std::result::Result<(), TooMany>> {
    let mut reading = kept.reading(query.days, stamps(connection, query.days)?);
    if reading.add_known(collector).is_err() {
        return Ok(Err(TooMany));
    }
    let step = "read daily totals";
    let mut statement = connection.prepare_cached(include_str!("daily_totals.sql")).step(step)?;
    for days in reading.rest().to_vec() {
        let mut rows = statement.query((days.first.0, days.last.0)).step(step)?;
        while let Some(row) = rows.next().step(step)? {
            let endpoint = row.get(1).step(step)?;
            let (day, count) = (Day(row.get(0).step(step)?), row.get(2).step(step)?);
            if reading.found(day, endpoint, count, collector).is_err() {
                return Ok(Err(TooMany));
            }
        }
    }
    Ok(reading.keep(collector))
}

/// The stamps of the days, as the snapshot has them.
fn stamps(connection: &Connection, days: DayRange) -> Result<Vec<(Day, Stamp)>> {
    let step = "read the stamps of the days";
    let mut statement = connection.prepare_cached(include_str!("daily_stamps.sql")).step(step)?;
    let one = |row: &Row<'_>| Ok((Day(row.get(0)?), Stamp::from_be_bytes(row.get(1)?)));
    let rows = statement.query_map((days.first.0, days.last.0), one).step(step)?;
    rows.collect::<rusqlite::Result<_>>().step(step)
}

/// Stamps the days that were changed by hand, so that they are kept again.
pub(super) fn stamp_days(connection: &Connection) -> Result<()> {
    connection.execute(include_str!("stamp_days.sql"), []).step("stamp the days")?;
    Ok(())
}

fn not_rolled_up(
    connection: &Connection,
    query: &Query,
    collector: &mut Collector,
) -> Result<std::result::Result<(), TooMany>> {
    let step = "count the rows";
    let mut counts: HashMap<(Day, EndpointId), i64> = HashMap::new();
    let mut statement = connection.prepare_cached(include_str!("rows.sql")).step(step)?;
    let mut rows = statement.query([]).step(step)?;
    while let Some(row) = rows.next().step(step)? {
        let day = Day::of_micros(row.get(1).step(step)?);
        let endpoint = row.get(0).step(step)?;
        if query.days.contains(day) && collector.wants(endpoint) {
            *counts.entry((day, endpoint)).or_default() += 1;
            if counts.len() >= COUNTED_MAX && add_all(&mut counts, collector).is_err() {
                return Ok(Err(TooMany));
            }
        }
    }
    Ok(add_all(&mut counts, collector))
}

fn add_all(
    counts: &mut HashMap<(Day, EndpointId), i64>,
    collector: &mut Collector,
) -> std::result::Result<(), TooMany> {
    let mut counts = counts.drain();
    counts.try_for_each(|((day, endpoint), count)| collector.add(day, endpoint, count))
}
