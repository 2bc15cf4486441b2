//! Keys in Postgres and CockroachDB.

use std::collections::HashSet;
use std::time::Duration;

use tally_ingest::Batch;
use tally_runtime::Namespace;
use tally_store::postgres::{Database, Isolation, Transaction};
use tally_store::retry::Policy;
use tally_store::{Error, Outcome};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::{FORGET_MAX, Keys, Known, wanted};
use crate::run::Parcel;

const STEP: &str = "store idempotency keys";

/// How often a transaction waits for a key. What is left then counts as locked.
const WAITS_MAX: usize = 100;

/// A key with its namespace, and the fingerprint of what it is for.
type Wanted<'a> = ((Namespace, &'a str), &'a [u8]);

/// Stores the keys of a batch that are new, and returns the others: those that were used before, and those
/// that another transaction is storing, which it waits for only a moment. If that may be an earlier attempt
/// of the same batch, the batch fails, and comes back.
pub(crate) async fn store<C>(
    transaction: &Transaction,
    domain: &str,
    batch: &Batch<'_, Parcel<C>>,
) -> Result<Keys, Error> {
    let wanted = wanted(batch);
    let wanted: Vec<Wanted<'_>> = wanted
        .iter()
        .map(|((namespace, key), fingerprint)| ((*namespace, &**key), &fingerprint[..]))
        .collect();
    if wanted.is_empty() {
        return Ok(Keys::default());
    }
    let (mut used, mut locked, mut waits) = (Vec::new(), Vec::new(), 0);
    // From the first key to the last, so that all transactions lock keys in one order.
    let mut parts = vec![&wanted[..]];
    while let Some(part) = parts.pop() {
        if waits == WAITS_MAX {
            locked.extend(part);
            continue;
        }
        let wait = match waits {
            0 => include_str!("postgres/keys_wait_50_ms.sql"),
            _ => include_str!("postgres/keys_wait_2_ms.sql"),
        };
        transaction.script(STEP, wait).await?;
        transaction.script(STEP, include_str!("postgres/begin_keys.sql")).await?;
        match store_part(transaction, domain, part).await {
            Ok(more) => used.extend(more),
            Err(error) if !is_locked(&error) || batch.is_repeated => return Err(error),
            Err(_) => {
                transaction.script(STEP, include_str!("postgres/leave_keys.sql")).await?;
                waits += 1;
                match part.split_at(part.len() / 2) {
                    ([], one) => locked.extend(one),
                    (first, second) => parts.extend([second, first]),
                }
            }
        }
    }
    transaction.script(STEP, include_str!("postgres/end_keys.sql")).await?;
    let found = find(transaction, domain, &used).await?;
    let locked = locked.into_iter().map(|(one, _)| ((one.0, one.1.into()), Known::Locked));
    Ok(found.into_iter().chain(locked).collect())
}

/// Stores those that are new, and returns the others.
async fn store_part<'a>(
    transaction: &Transaction,
    domain: &str,
    part: &[Wanted<'a>],
) -> Result<Vec<(Namespace, &'a str)>, Error> {
    let namespaces: Vec<i64> = part.iter().map(|((namespace, _), _)| namespace.0).collect();
    let keys: Vec<&str> = part.iter().map(|((_, key), _)| *key).collect();
    let fingerprints: Vec<&[u8]> = part.iter().map(|(_, fingerprint)| *fingerprint).collect();
    let values: [&(dyn ToSql + Sync); 4] = [&domain, &namespaces, &keys, &fingerprints];
    let stored = transaction.rows(STEP, include_str!("postgres/store_keys.sql"), &values).await?;
    let stored: HashSet<(i64, &str)> = stored.iter().map(|row| (row.get(0), row.get(1))).collect();
    let is_new = |one: &(Namespace, &str)| stored.contains(&(one.0.0, one.1));
    Ok(part.iter().map(|(one, _)| *one).filter(|one| !is_new(one)).collect())
}

/// What is stored under keys that are there.
async fn find(
    transaction: &Transaction,
    domain: &str,
    used: &[(Namespace, &str)],
) -> Result<Vec<((Namespace, Box<str>), Known)>, Error> {
    if used.is_empty() {
        return Ok(Vec::new());
    }
    let (namespaces, keys): (Vec<i64>, Vec<&str>) =
        used.iter().map(|(namespace, key)| (namespace.0, *key)).unzip();
    let values: [&(dyn ToSql + Sync); 3] = [&domain, &namespaces, &keys];
    let found = transaction.rows(STEP, include_str!("postgres/find_keys.sql"), &values).await?;
    let known = |row: &Row| {
        let fingerprint = row.get::<_, &[u8]>(2).try_into().ok()?;
        let key = (Namespace(row.get(0)), row.get::<_, &str>(1).into());
        Some((key, Known::For(fingerprint)))
    };
    let found: Vec<_> = found.iter().filter_map(known).collect();
    if found.len() < used.len() {
        // Deleted between the two statements. The next attempt stores it.
        return Err(Error::transient("find idempotency keys", Outcome::Determinate));
    }
    Ok(found)
}

fn is_locked(error: &Error) -> bool {
    error.sqlstate() == Some(SqlState::LOCK_NOT_AVAILABLE.code())
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
