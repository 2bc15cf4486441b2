//! Transactions that fail on purpose.
//!
//! With `TALLY_FAULT=sqlstate.40001.10`, every tenth transaction fails with this SQLSTATE before it
//! is committed; see [`tally_runtime::faults`].

use std::sync::atomic::{AtomicU64, Ordering};

use super::Connection;
use crate::Error;

static WRITES: AtomicU64 = AtomicU64::new(0);

/// Fails now and then if the test asked for it. Call it before the end of each transaction.
pub async fn fail(connection: &Connection) -> Result<(), Error> {
    let write = WRITES.fetch_add(1, Ordering::Relaxed) + 1;
    for one in tally_runtime::faults::chosen() {
        let fault = one.strip_prefix("sqlstate.").and_then(|one| one.split_once('.'));
        let Some((state, every)) = fault else { continue };
        if every.parse::<u64>().is_ok_and(|every| every > 0 && write.is_multiple_of(every)) {
            let sql = include_str!("raise.sql").replace(":state", state);
            connection.script("fail on purpose", &sql).await?;
        }
    }
    Ok(())
}
