//! Points at which a test can stop the process, or make it err.
//!
//! With the `faults` feature, which only tests turn on, the variable `TALLY_FAULT` names the
//! faults that happen, with commas between them. Without the feature nothing happens.
//!
//! - A point, as in `TALLY_FAULT=append.committed`: the process prints `stopped at append.committed`
//!   to stderr there and goes no further, so that a test can kill it at exactly that statement.
//! - A rule that is left out, to prove that a check finds it: see where [`is_on`] is called.
//! - `clock.8`: the clock is 8 seconds ahead in every other few seconds; see the module `clock`.
//! - `sqlstate.40001.10`: see `tally_store::postgres`.

use std::sync::OnceLock;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// How long a clock that is set again and again is right, and then wrong.
const CLOCK_SECONDS: u64 = 4;

/// Stops here for ever if the test asked for it.
pub async fn point(name: &str) {
    if is_on(name) {
        eprintln!("stopped at {name}");
        std::future::pending::<()>().await;
    }
}

/// The same for a thread.
pub fn blocking_point(name: &str) {
    if is_on(name) {
        eprintln!("stopped at {name}");
        loop {
            std::thread::park();
        }
    }
}

/// Panics here if the test asked for it.
pub fn panic_point(name: &str) {
    assert!(!is_on(name), "a test asked for this: {name}");
}

/// Whether the test asked for it. Without the feature this is `false` where it is called, for each row too.
#[inline]
pub fn is_on(name: &str) -> bool {
    cfg!(feature = "faults") && chosen().any(|chosen| chosen == name)
}

/// The time that a clock shows which is set ahead and back again, if the test asked for it.
pub(crate) fn clock(now: Timestamp) -> Timestamp {
    if !cfg!(feature = "faults") {
        return now;
    }
    static AHEAD: OnceLock<Option<(Instant, i64)>> = OnceLock::new();
    let read = || {
        let seconds = chosen().find_map(|chosen| chosen.strip_prefix("clock."))?;
        Some((Instant::now(), seconds.parse().ok()?))
    };
    let Some((since, seconds)) = AHEAD.get_or_init(read) else { return now };
    let is_ahead = since.elapsed().as_secs() / CLOCK_SECONDS % 2 == 1;
    let ahead = if is_ahead { *seconds } else { 0 };
    now.saturating_add(SignedDuration::from_secs(ahead)).unwrap_or(now)
}

/// What the test asked for.
pub fn chosen() -> impl Iterator<Item = &'static str> {
    static CHOSEN: OnceLock<String> = OnceLock::new();
    let read = || std::env::var("TALLY_FAULT").unwrap_or_default();
    let chosen = if cfg!(feature = "faults") { CHOSEN.get_or_init(read) } else { "" };
    chosen.split(',')
}
