//! Answering queries, in one snapshot of the reader's connection.

use hashbrown::HashMap;
use rusqlite::Connection;
use tally_store::error::Step as _;
use tally_store::faults::blocking_point;

use super::super::Result;
use super::list_endpoints;
use crate::model::{Day, EndpointId};
use crate::totals::{Collector, Query, TooMany, Totals};

pub(super) fn read(
    connection: &mut Connection,
    query: &Query,
) -> Result<std::result::Result<Totals, TooMany>> {
    let snapshot = connection.transaction().step("begin a snapshot")?;
    let mut names = list_endpoints(&snapshot)?;
    let filter = &query.filter;
    names.retain(|(_, endpoint)| {
        filter.method.is_none_or(|method| method == endpoint.method)
            && endpoint.path.starts_with(&filter.path_prefix)
    });
    let mut collector = Collector::new(query, names);
    let mut fits = rolled_up(&snapshot, query, &mut collector)?;
    blocking_point("totals.between");
    if query.live && fits.is_ok() {
        fits = not_rolled_up(&snapshot, query, &mut collector)?;
    }
    Ok(fits.map(|()| collector.finish()))
}

fn rolled_up(
    connection: &Connection,
    query: &Query,
    collector: &mut Collector,
) -> Result<std::result::Result<(), TooMany>> {
    let step = "read daily totals";
    let mut statement = connection.prepare_cached(include_str!("daily_totals.sql")).step(step)?;
    let mut rows = statement.query((query.days.first.0, query.days.last.0)).step(step)?;
    while let Some(row) = rows.next().step(step)? {
        let endpoint = row.get(1).step(step)?;
        let (day, count) = (Day(row.get(0).step(step)?), row.get(2).step(step)?);
        if collector.add(day, endpoint, count).is_err() {
            return Ok(Err(TooMany));
        }
    }
    Ok(Ok(()))
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
        }
    }
    for ((day, endpoint), count) in counts {
        if collector.add(day, endpoint, count).is_err() {
            return Ok(Err(TooMany));
        }
    }
    Ok(Ok(()))
}
