//! Polling for a condition. The only place that pauses.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// The pause between attempts: short compared to what tests wait for, long enough to keep the core
/// idle.
const PAUSE: Duration = Duration::from_millis(10);

/// The outcome of one attempt.
///
/// An `Option` has no description, a `Result` describes its error with `Debug`, and a `bool` stands
/// for itself.
pub trait Attempt {
    /// The condition's value once it holds.
    type Value;

    /// The value if the condition holds, or a description of the current state.
    fn settle(self) -> Result<Self::Value, String>;
}

impl<T> Attempt for Option<T> {
    type Value = T;

    fn settle(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T, E: Debug> Attempt for Result<T, E> {
    type Value = T;

    fn settle(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:?}"))
    }
}

impl Attempt for bool {
    type Value = ();

    fn settle(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("false".to_owned()) }
    }
}

/// Tries `condition` until it holds, and returns its value. The limit bounds the whole wait, even if
/// an attempt never returns; then it panics with `what` and the last attempt's state.
#[cfg(feature = "async")]
pub async fn eventually<A: Attempt>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> A,
) -> A::Value {
    let mut last = "the first attempt did not return".to_owned();
    let attempts = async {
        loop {
            match condition().await.settle() {
                Ok(value) => return value,
                Err(seen) => last = seen,
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let outcome = tokio::time::timeout(limit, attempts).await;
    outcome.unwrap_or_else(|_| panic!("{what}: not within {limit:?}; last attempt: {last}"))
}

/// Tries `condition` until it holds or `limit` has passed; then the error describes the last attempt.
/// For code without a runtime.
pub fn eventually_blocking<A: Attempt>(
    limit: Duration,
    mut condition: impl FnMut() -> A,
) -> Result<A::Value, String> {
    let start = Instant::now();
    loop {
        match condition().settle() {
            Ok(value) => return Ok(value),
            Err(seen) if start.elapsed() >= limit => return Err(seen),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
