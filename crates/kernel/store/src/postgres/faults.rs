//! Transactions that fail on purpose.
//!
//! With `TALLY_FAULT=sqlstate.40001.10`, every tenth transaction fails with this SQLSTATE before it
//! is committed; see [`tally_runtime::faults`].

use deadpool_postgres::GenericClient;
use tally_runtime::Error;

/// Fails now and then if the test asked for it. It belongs before the end of each transaction.
///
/// # Errors
/// With the SQLSTATE that was asked for.
#[cfg(feature = "faults")]
pub async fn fail<C: GenericClient>(client: &C) -> Result<(), Error> {
    use std::sync::atomic::{AtomicU64, Ordering};

    use crate::error::Step as _;

    static WRITES: AtomicU64 = AtomicU64::new(0);
    let write = WRITES.fetch_add(1, Ordering::Relaxed) + 1;
    for one in tally_runtime::faults::chosen().split(',') {
        let Some((state, every)) =
            one.strip_prefix("sqlstate.").and_then(|one| one.split_once('.'))
        else {
            continue;
        };
        if every.parse::<u64>().is_ok_and(|every| every > 0 && write.is_multiple_of(every)) {
            let sql = include_str!("raise.sql").replace(":state", state);
            client.batch_execute(&sql).await.step("fail on purpose")?;
        }
    }
    Ok(())
}

/// Fails now and then if the test asked for it.
///
/// # Errors
/// Never.
#[cfg(not(feature = "faults"))]
#[expect(clippy::unused_async, reason = "the same signature as with the feature")]
pub async fn fail<C: GenericClient>(_client: &C) -> Result<(), Error> {
    Ok(())
}
