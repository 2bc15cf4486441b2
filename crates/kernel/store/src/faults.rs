//! Points at which a test can stop the process.
//!
//! With the `faults` feature, which only tests turn on, the variable `TALLY_FAULT` names one
//! point, as in `TALLY_FAULT=roll_up.pruned`. The process prints `stopped at roll_up.pruned`
//! to stderr there and goes no further, so that a test can kill it at exactly that
//! statement. Without the feature these functions are empty.

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

#[cfg(feature = "faults")]
fn is_chosen(name: &str) -> bool {
    std::env::var("TALLY_FAULT").is_ok_and(|chosen| chosen == name)
}
