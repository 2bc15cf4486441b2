//! Points at which a test can stop the process, or make it err.
//!
//! With the `faults` feature, which only tests turn on, the variable `TALLY_FAULT` names what
//! shall go wrong, several things with commas between them. Without the feature these functions
//! are empty.
//!
//! - A point, as in `TALLY_FAULT=roll_up.pruned`: the process prints `stopped at roll_up.pruned`
//!   to stderr there and goes no further, so that a test can kill it at exactly that statement.
//! - A rule that is left out, to prove that a check finds it: see where [`is_on`] is called.
//! - `sqlstate.40001.10`: every tenth transaction on Postgres fails with this SQLSTATE, before it
//!   is committed.

use deadpool_postgres::GenericClient;

use crate::Error;

/// Stops here for ever if the test asked for it.
#[cfg(feature = "faults")]
pub async fn point(name: &str) {
    if is_chosen(name) {
        eprintln!("stopped at {name}");
        std::future::pending::<()>().await;
    }
}

/// Stops here for ever if the test asked for it.
#[cfg(not(feature = "faults"))]
#[expect(clippy::unused_async, reason = "the same signature as with the feature")]
pub async fn point(_name: &str) {}

/// The same for a thread.
#[cfg(feature = "faults")]
pub fn blocking_point(name: &str) {
    if is_chosen(name) {
        eprintln!("stopped at {name}");
        loop {
            std::thread::park();
        }
    }
}

/// The same for a thread.
#[cfg(not(feature = "faults"))]
pub fn blocking_point(_name: &str) {}

/// Whether the test asked for it.
#[cfg(feature = "faults")]
#[must_use]
pub fn is_on(name: &str) -> bool {
    is_chosen(name)
}

/// Whether the test asked for it.
#[cfg(not(feature = "faults"))]
#[must_use]
pub fn is_on(_name: &str) -> bool {
    false
}

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
    for one in chosen().split(',') {
        let Some((state, every)) =
            one.strip_prefix("sqlstate.").and_then(|one| one.split_once('.'))
        else {
            continue;
        };
        if every.parse::<u64>().is_ok_and(|every| every > 0 && write.is_multiple_of(every)) {
            let sql = include_str!("postgres/raise.sql").replace(":state", state);
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

#[cfg(feature = "faults")]
fn is_chosen(name: &str) -> bool {
    chosen().split(',').any(|chosen| chosen == name)
}

#[cfg(feature = "faults")]
fn chosen() -> &'static str {
    static CHOSEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("TALLY_FAULT").unwrap_or_default())
}
