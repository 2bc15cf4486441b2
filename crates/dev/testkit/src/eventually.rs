//! Waiting for a condition that nobody announces. The only place that pauses.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long to pause between two looks. Short against what a test waits for, long enough
/// not to keep a core busy.
const PAUSE: Duration = Duration::from_millis(10);

/// The outcome of one look at a condition: its value, or a description of what is there.
///
/// `Option` has nothing to describe, the error of a `Result` is shown with `Debug`, and
/// `bool` stands for itself.
pub trait Attempt {
    /// What the condition gives once it holds.
    type Value;

    /// The value, or what was seen instead.
    ///
    /// # Errors
    /// The condition does not hold; the text says what was seen.
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

/// Looks at `condition` until it holds, and returns its value.
///
/// The limit bounds the whole wait: also a look that never comes back.
///
/// # Panics
/// When the condition does not hold within `limit`, with `what` and what was seen last.
#[cfg(feature = "async")]
pub async fn eventually<A: Attempt>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> A,
) -> A::Value {
    let deadline = tokio::time::Instant::now() + limit;
    let mut last = "no answer from the first look".to_owned();
    loop {
        match tokio::time::timeout_at(deadline, condition()).await {
            Ok(attempt) => match attempt.settle() {
                Ok(value) => return value,
                Err(seen) => last = seen,
            },
            Err(_) => panic!("{what}: not within {limit:?}; the last look saw: {last}"),
        }
        if tokio::time::Instant::now() >= deadline {
            panic!("{what}: not within {limit:?}; the last look saw: {last}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks at `condition` until it holds or `limit` has passed. For code without a runtime.
///
/// # Errors
/// What the last look saw, when the condition does not hold within `limit`.
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
