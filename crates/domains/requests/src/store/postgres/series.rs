//! The dictionary of series: reading it, and adding names in a batch's transaction.

use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use hashbrown::HashMap;
use tally_runtime::{Kind, faults};
use tally_store::postgres::{Database, Transaction};
use tally_store::retry::Policy;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::{ListLimit, Result, SALTS_MAX};
use crate::listing::{Found, Listing};
use crate::model::{Named, Namespace, Series, SeriesId, SeriesRef};

/// Series, up to the limits of each namespace.
pub(crate) async fn list(
    database: &Database,
    count_max: usize,
    text_bytes_max: usize,
) -> Result<Vec<(SeriesId, Series)>> {
    let (step, sql) = ("list series", include_str!("series.sql"));
    let once = async || {
        let connection = database.connection().await?;
        let rows = connection.stream(step, sql, &[]).await?;
        let known = read(rows, count_max, text_bytes_max).await?;
        connection.release();
        Ok(known)
    };
    Policy::short(step).run(once).await
}

/// The names that a listing asks for.
pub(crate) async fn find(database: &Database, listing: &Listing) -> Result<Found> {
    let (step, sql) = ("list names", include_str!("query_series.sql"));
    let none: &[&str] = &[];
    let values: [&(dyn ToSql + Sync); 6] =
        [&Some(listing.namespace.0), &"", &none, &none, &none, &none];
    let once = async || {
        let connection = database.connection().await?;
        let mut rows = connection.stream(step, sql, &values).await?;
        let mut found = Found::new(listing.clone());
        while let Some(row) = rows.next().await {
            found.take(&of_row(&row?));
        }
        drop(rows);
        connection.release();
        Ok(found)
    };
    Policy::short(step).run(once).await
}

/// Reads series: of each namespace at most this many, whose texts have at most so many bytes.
pub(super) async fn read(
    mut rows: impl Stream<Item = Result<Row>> + Unpin,
    count_max: usize,
    text_bytes_max: usize,
) -> Result<Vec<(SeriesId, Series)>> {
    let (mut found, mut limit) = (Vec::new(), ListLimit::new(count_max, text_bytes_max));
    while let Some(row) = rows.next().await {
        let row = row?;
        let series = of_row(&row);
        if limit.takes(&series) {
            found.push((row.get(0), series.to_owned()));
        }
    }
    Ok(found)
}

/// Names of one statement: CockroachDB takes 16 MiB, and a name is up to 2.7 KB.
const NAMES_MAX: usize = 1_000;

/// The series of a row that has its id first.
pub(super) fn of_row(row: &Row) -> SeriesRef<'_> {
    SeriesRef {
        namespace: Namespace(row.get(1)),
        service: row.get(2),
        method: row.get(3),
        path: row.get(4),
        status: u16::try_from(row.get::<_, i64>(5)).unwrap_or_default(),
        customer: row.get(6),
    }
}

/// Adds names, and returns those that the database has under another id. They are sorted by id, so
/// that two servers that add the same names do not deadlock.
pub(crate) async fn add(
    transaction: &Transaction,
    names: &[Arc<Named>],
) -> Result<HashMap<SeriesId, SeriesId>> {
    let mut renumbered = HashMap::new();
    for names in names.chunks(NAMES_MAX) {
        add_some(transaction, names, &mut renumbered).await?;
    }
    Ok(renumbered)
}

async fn add_some(
    transaction: &Transaction,
    names: &[Arc<Named>],
    renumbered: &mut HashMap<SeriesId, SeriesId>,
) -> Result<()> {
    let step = "add series";
    // Each with the id to try next.
    let mut wanted: Vec<(SeriesId, &Named)> = names.iter().map(|one| (one.id, &**one)).collect();
    if faults::is_on("series.reuse_ids") && !names.is_empty() {
        let next = transaction.row(step, include_str!("../next_id.sql"), &[]).await?;
        wanted.iter_mut().zip(next.get::<_, i64>(0)..).for_each(|(one, id)| one.0 = id);
    }
    for salt in 1..=SALTS_MAX {
        if wanted.is_empty() {
            return Ok(());
        }
        let ids: Vec<SeriesId> = wanted.iter().map(|(id, _)| *id).collect();
        let series = || wanted.iter().map(|(_, named)| &named.series);
        let namespaces: Vec<i64> = series().map(|one| one.namespace.0).collect();
        let services: Vec<&str> = series().map(|one| &*one.service).collect();
        let methods: Vec<&str> = series().map(|one| &*one.method).collect();
        let paths: Vec<&str> = series().map(|one| &*one.path).collect();
        let statuses: Vec<i64> = series().map(|one| i64::from(one.status)).collect();
        let customers: Vec<&str> = series().map(|one| &*one.customer).collect();
        let all: [&(dyn ToSql + Sync); 7] =
            [&ids, &namespaces, &services, &methods, &paths, &statuses, &customers];
        transaction.write(step, include_str!("add_series.sql"), &all).await?;
        let rows = transaction.rows(step, include_str!("stored_series.sql"), &all[1..]).await?;
        let mut taken = Vec::new();
        for row in rows {
            let (_, named) = wanted[usize::try_from(row.get::<_, i64>(0) - 1).unwrap_or_default()];
            match row.get::<_, Option<SeriesId>>(1) {
                Some(id) if id == named.id => {}
                Some(id) => drop(renumbered.insert(named.id, id)),
                None => taken.push((named.series.id(salt), named)),
            }
        }
        taken.sort_unstable_by_key(|(id, _)| *id);
        wanted = taken;
    }
    Err(tally_store::Error::permanent("find an id for a series", Kind::Internal))
}
