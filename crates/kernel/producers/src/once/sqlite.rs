//! Keys in SQLite.

use std::time::Duration;

use rusqlite::{Connection, Transaction};
use tally_ingest::Batch;
use tally_store::Error;
use tally_store::error::Step as _;
use tally_store::sqlite::begin;

use super::{FORGET_MAX, Keys, Known, wanted};
use crate::run::Parcel;

/// Stores the keys of a batch that are new, and returns those that were used before.
pub(crate) fn store<C>(
    transaction: &Transaction<'_>,
    domain: &str,
    batch: &Batch<'_, Parcel<C>>,
) -> Result<Keys, Error> {
    let step = "store idempotency keys";
    let mut used = Vec::new();
    for ((namespace, key), fingerprint) in wanted(batch) {
        let sql = include_str!("sqlite/store_key.sql");
        let stored = transaction
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute((domain, namespace.0, &key, fingerprint)))
            .step(step)?;
        if stored == 0 {
            let sql = include_str!("sqlite/find_key.sql");
            let found = transaction
                .prepare_cached(sql)
                .and_then(|mut statement| {
                    statement.query_row((domain, namespace.0, &key), |row| row.get(0))
                })
                .step(step)?;
            used.push(((namespace, key.into()), Known::For(found)));
        }
    }
    Ok(used.into_iter().collect())
}

/// Deletes some of those that are older than this. Returns whether there may be more.
pub(crate) fn forget(
    connection: &mut Connection,
    domain: &str,
    kept_for: Duration,
) -> Result<bool, Error> {
    let step = "delete old idempotency keys";
    let transaction = begin(connection)?;
    let values = (domain, kept_for.as_secs_f64(), FORGET_MAX);
    let gone = transaction.execute(include_str!("sqlite/forget_keys.sql"), values).step(step)?;
    transaction.commit().step("commit")?;
    Ok(gone == FORGET_MAX as usize)
}
