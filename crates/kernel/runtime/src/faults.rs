//! Points at which a test can stop the process, or make it err.
//!
//! With the `faults` feature, which only tests turn on, the variable `TALLY_FAULT` names the
//! faults that happen, with commas between them. Without the feature these functions
//! are empty.
//!
//! - A point, as in `TALLY_FAULT=append.committed`: the process prints `stopped at append.committed`
//!   to stderr there and goes no further, so that a test can kill it at exactly that statement.
//! - A rule that is left out, to prove that a check finds it: see where [`is_on`] is called.
//! - `sqlstate.40001.10`: see `tally_store::postgres`.

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

#[cfg(feature = "faults")]
fn is_chosen(name: &str) -> bool {
    chosen().split(',').any(|chosen| chosen == name)
}

/// What the test asked for, with commas between.
#[cfg(feature = "faults")]
#[must_use]
pub fn chosen() -> &'static str {
    static CHOSEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("TALLY_FAULT").unwrap_or_default())
}
