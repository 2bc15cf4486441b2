//! Keys in Postgres and CockroachDB.

use std::collections::HashSet;
use std::time::Duration;

use tally_ingest::Batch;
use tally_runtime::{Kind, Namespace};
use tally_store::postgres::{Database, Isolation, Transaction};
use tally_store::retry::Policy;
use tally_store::{Error, Outcome};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::{FORGET_MAX, Keys, wanted};
use crate::run::Parcel;

/// Stores the keys of a batch that are new, and returns those that were used before. A key that another
/// transaction is storing is waited for, up to the session's limit for locks.
pub(crate) async fn store<C>(
    transaction: &Transaction,
    domain: &str,
    batch: &Batch<'_, Parcel<C>>,
) -> Result<Keys, Error> {
    let wanted = wanted(batch);
    if wanted.is_empty() {
        return Ok(Keys::default());
    }
    let step = "store idempotency keys";
    let namespace = Namespace::DEFAULT.0;
    let (keys, fingerprints): (Vec<&str>, Vec<&[u8]>) =
        wanted.iter().map(|(key, fingerprint)| (&**key, &fingerprint[..])).unzip();
    let values: [&(dyn ToSql + Sync); 4] = [&domain, &namespace, &keys, &fingerprints];
    let stored = transaction.rows(step, include_str!("postgres/store_keys.sql"), &values).await?;
    let stored: HashSet<&str> = stored.iter().map(|row| row.get(0)).collect();
    let used: Vec<&str> = keys.into_iter().filter(|key| !stored.contains(key)).collect();
    if used.is_empty() {
        return Ok(Keys::default());
    }
    let values: [&(dyn ToSql + Sync); 3] = [&domain, &namespace, &used];
    let found = transaction.rows(step, include_str!("postgres/find_keys.sql"), &values).await?;
    let key =
        |row: &Row| Some((row.get::<_, &str>(0).into(), row.get::<_, &[u8]>(1).try_into().ok()?));
    let found: Vec<_> = found.iter().filter_map(key).collect();
    if found.len() < used.len() {
        // Deleted between the two statements. The next attempt stores it.
        return Err(Error::transient("find idempotency keys", Outcome::Determinate));
    }
    Ok(found.into_iter().collect())
}

/// What an error of [`store`] means to the parcels of the batch. A key that is locked for long fails only
/// its own parcel, because a worker then tries each parcel alone; unless the lock may be that of an earlier
/// attempt of the same batch.
pub(crate) fn judge<C>(batch: &Batch<'_, Parcel<C>>, error: Error) -> Error {
    if error.sqlstate() != Some(SqlState::LOCK_NOT_AVAILABLE.code()) || batch.is_repeated {
        return error;
    }
    let text =
        "what came first under this Idempotency-Key is still being stored: send it again later";
    Error::permanent(text, Kind::FailedPrecondition)
}

/// Deletes those that are older than this, in bounded steps.
pub(crate) async fn forget(
    database: &Database,
    domain: &str,
    kept_for: Duration,
) -> Result<(), Error> {
    let (step, sql) = ("delete old idempotency keys", include_str!("postgres/forget_keys.sql"));
    let (seconds, max) = (kept_for.as_secs_f64(), i64::from(FORGET_MAX));
    // Repeated after a lost answer, it finds the next ones.
    let once = async || {
        let transaction = database.begin(Isolation::Default).await?;
        let values: [&(dyn ToSql + Sync); 3] = [&domain, &seconds, &max];
        let gone = transaction.write(step, sql, &values).await?;
        transaction.commit().await?;
        Ok(gone)
    };
    let policy = Policy::short(step);
    while policy.run(once).await? == u64::from(FORGET_MAX) {}
    Ok(())
}
