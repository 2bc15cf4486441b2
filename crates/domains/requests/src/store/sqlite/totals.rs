//! Answering queries, in one snapshot of the reader's connection.

use hashbrown::{HashMap, HashSet};
use rusqlite::{Connection, OptionalExtension as _};
use tally_producers::sqlite::dropped;
use tally_proto::methods;
use tally_runtime::Namespace;
use tally_store::error::Step as _;

use super::super::Result;
use super::series;
use crate::NAME;
use crate::model::{Day, SeriesId};
use crate::totals::{Collector, Query, TooMany, Totals};

/// Counts of rows to hold before adding them up: a few MiB.
pub(super) const COUNTED_MAX: usize = 1 << 17;

pub(crate) fn read(connection: &mut Connection, query: &Query) -> Result<Totals> {
    let snapshot = connection.transaction().step("begin a snapshot")?;
    let only = (!query.filter.is_empty()).then(|| filtered(&snapshot, query)).transpose()?;
    let mut collector = Collector::new(query, only);
    rolled_up(&snapshot, query, &mut collector)?;
    if query.live {
        not_rolled_up(&snapshot, query, &mut collector)?;
    }
    let dropped =
        dropped(&snapshot, NAME, Namespace::DEFAULT, query.days.first.0, query.days.last.0)?;
    let step = "name the endpoints of an answer";
    let mut name = snapshot.prepare_cached(include_str!("name_series.sql")).step(step)?;
    let names = collector.ids().iter().filter_map(|id| {
        let named = name.query_row([id], series::series).optional();
        named.step(step).transpose()
    });
    let (names, are_all) = series::read(names, collector.path_bytes_max())?;
    if !are_all {
        return Err(TooMany.into());
    }
    let names = names.into_iter().map(|(id, series)| (id, series.endpoint())).collect();
    Ok(Totals { dropped, ..collector.finish(names)? })
}

/// The endpoints that the query's filter lets through.
fn filtered(connection: &Connection, query: &Query) -> Result<HashSet<SeriesId>> {
    let step = "find the endpoints of a query";
    let mut statement = connection.prepare_cached(include_str!("series.sql")).step(step)?;
    let mut rows = statement.query([-1]).step(step)?;
    let mut found = HashSet::new();
    while let Some(row) = rows.next().step(step)? {
        let (method, path) = (row.get_ref(3).step(step)?, row.get_ref(4).step(step)?);
        let method = methods::number_of_text(method.as_str().unwrap_or_default());
        if path.as_bytes().is_ok_and(|path| query.filter.lets_through(method, path)) {
            found.insert(row.get(0).step(step)?);
        }
    }
    Ok(found)
}

fn rolled_up(connection: &Connection, query: &Query, collector: &mut Collector) -> Result<()> {
    let step = "read daily totals";
    let mut statement = connection.prepare_cached(include_str!("daily_totals.sql")).step(step)?;
    let mut rows =
        statement.query((query.days.first.0, query.days.last.0, query.live)).step(step)?;
    while let Some(row) = rows.next().step(step)? {
        let endpoint = row.get(1).step(step)?;
        let (day, count) = (Day(row.get(0).step(step)?), row.get(2).step(step)?);
        collector.add(day, endpoint, count)?;
    }
    Ok(())
}

fn not_rolled_up(connection: &Connection, query: &Query, collector: &mut Collector) -> Result<()> {
    let step = "count the rows";
    let mut counts: HashMap<(Day, SeriesId), i64> = HashMap::new();
    let mut statement = connection.prepare_cached(include_str!("rows.sql")).step(step)?;
    let mut rows = statement.query([]).step(step)?;
    while let Some(row) = rows.next().step(step)? {
        let day = Day::of_micros(row.get(1).step(step)?);
        let endpoint = row.get(0).step(step)?;
        if query.days.contains(day) && collector.wants(endpoint) {
            *counts.entry((day, endpoint)).or_default() += 1;
            if counts.len() >= COUNTED_MAX {
                add_all(&mut counts, collector)?;
            }
        }
    }
    Ok(add_all(&mut counts, collector)?)
}

fn add_all(
    counts: &mut HashMap<(Day, SeriesId), i64>,
    collector: &mut Collector,
) -> Result<(), TooMany> {
    let mut counts = counts.drain();
    counts.try_for_each(|((day, endpoint), count)| collector.add(day, endpoint, count))
}
