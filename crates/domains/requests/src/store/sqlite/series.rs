//! The dictionary of series: reading it, and adding names in a batch's transaction.

use std::sync::Arc;

use hashbrown::HashMap;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction};
use tally_runtime::Kind;
use tally_runtime::faults;
use tally_store::error::Step as _;

use super::super::{ListLimit, Result, SALTS_MAX};
use crate::listing::{Found, Listing};
use crate::model::{Named, Namespace, Series, SeriesId, SeriesRef};

/// Series, up to the limits of each namespace.
pub(crate) fn list(
    connection: &Connection,
    count_max: usize,
    text_bytes_max: usize,
) -> Result<Vec<(SeriesId, Series)>> {
    let step = "list series";
    let mut statement = connection.prepare_cached(include_str!("series.sql")).step(step)?;
    let mut rows = statement.query(()).step(step)?;
    let (mut found, mut limit) = (Vec::new(), ListLimit::new(count_max, text_bytes_max));
    while let Some(row) = rows.next().step(step)? {
        let one = series(row).step(step)?;
        if limit.takes(&SeriesRef::from(&one.1)) {
            found.push(one);
        }
    }
    Ok(found)
}

/// Goes through all of the dictionary, or all that it has of a namespace.
pub(super) fn each(
    connection: &Connection,
    step: &'static str,
    namespace: Option<Namespace>,
    mut take: impl FnMut(SeriesId, &SeriesRef<'_>),
) -> Result<()> {
    let mut statement = connection.prepare_cached(include_str!("query_series.sql")).step(step)?;
    let mut rows = statement.query([namespace.map(|one| one.0)]).step(step)?;
    while let Some(row) = rows.next().step(step)? {
        let text = |at| row.get_ref(at)?.as_str().map_err(rusqlite::Error::from);
        let series = SeriesRef {
            namespace: Namespace(row.get(1).step(step)?),
            service: text(2).step(step)?,
            method: text(3).step(step)?,
            path: text(4).step(step)?,
            status: row.get(5).step(step)?,
            customer: text(6).step(step)?,
        };
        take(row.get(0).step(step)?, &series);
    }
    Ok(())
}

/// The names that a listing asks for.
pub(crate) fn find(connection: &Connection, listing: &Listing) -> Result<Found> {
    let mut found = Found::new(listing.clone());
    each(connection, "list names", Some(listing.namespace), |_, series| found.take(series))?;
    Ok(found)
}

/// Adds names, and returns those that the database has under another id.
pub(super) fn add(
    transaction: &Transaction<'_>,
    names: &[Arc<Named>],
) -> Result<HashMap<SeriesId, SeriesId>> {
    let step = "add series";
    let mut renumbered = HashMap::new();
    let mut add = transaction.prepare_cached(include_str!("add_series.sql")).step(step)?;
    let mut find = transaction.prepare_cached(include_str!("find_series.sql")).step(step)?;
    for named in names {
        let Series { namespace, service, method, path, status, customer } = &named.series;
        let ids = (1..SALTS_MAX).map(|salt| named.series.id(salt));
        let mut found = None;
        let first = if faults::is_on("series.reuse_ids") {
            let next = transaction.query_row(include_str!("../next_id.sql"), [], |row| row.get(0));
            next.step(step)?
        } else {
            named.id
        };
        for id in std::iter::once(first).chain(ids) {
            add.execute((id, namespace.0, service, method, path, status, customer)).step(step)?;
            let fields = (namespace.0, service, method, path, status, customer);
            let row = find.query_row(fields, |row| row.get(0));
            found = row.optional().step(step)?;
            if found.is_some() {
                break;
            }
        }
        let found = found.ok_or_else(|| {
            tally_store::Error::permanent("find an id for a series", Kind::Internal)
        })?;
        if found != named.id {
            renumbered.insert(named.id, found);
        }
    }
    Ok(renumbered)
}

/// Reads an id and a series.
pub(super) fn series(row: &Row<'_>) -> rusqlite::Result<(SeriesId, Series)> {
    let text = |at| Ok::<Box<str>, rusqlite::Error>(row.get::<_, String>(at)?.into());
    let series = Series {
        namespace: Namespace(row.get(1)?),
        service: text(2)?,
        method: text(3)?,
        path: text(4)?,
        status: row.get(5)?,
        customer: text(6)?,
    };
    Ok((row.get(0)?, series))
}
