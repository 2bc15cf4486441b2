//! The one loop that repeats a failed operation: named, bounded, jittered, counted.

use std::future::Future;
use std::time::Duration;

use tally_runtime::{Error, Outcome, backoff, random};
use tokio::time::timeout;

/// How an operation is repeated. The operation must be harmless to repeat after an
/// [`Outcome::Indeterminate`] failure: it reads, carries an id, or finds nothing left to do.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// What the log calls the operation.
    pub name: &'static str,
    /// At most this many attempts, the first included.
    pub attempts_max: u32,
    /// How long one attempt may take before its connection is given up.
    pub attempt_timeout: Duration,
    /// The pause after the first failure; it doubles each time, up to `pause_max`.
    pub pause_min: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

// === impl Policy ===

impl Policy {
    /// For short statements: eight attempts within a few seconds.
    pub const fn short(name: &'static str) -> Self {
        Self {
            name,
            attempts_max: 8,
            attempt_timeout: Duration::from_secs(30),
            pause_min: Duration::from_millis(10),
            pause_max: Duration::from_secs(1),
        }
    }

    /// For a step that may read or move a whole day's rows.
    pub const fn long(name: &'static str) -> Self {
        Self { attempt_timeout: Duration::from_secs(30 * 60), ..Self::short(name) }
    }

    /// Runs the operation until it succeeds, fails for good, or was tried `attempts_max` times.
    pub async fn run<T, F, R>(&self, operation: F) -> Result<T, Error>
    where
        F: Fn() -> R,
        R: Future<Output = Result<T, Error>>,
    {
        let mut attempt = 1;
        loop {
            let done = timeout(self.attempt_timeout, operation()).await.unwrap_or_else(|_| {
                let step = format!("{} within {:?}", self.name, self.attempt_timeout);
                Err(Error::transient(step, Outcome::Indeterminate))
            });
            let error = match done {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if !error.is_transient() || attempt >= self.attempts_max {
                return Err(error);
            }
            let pause = backoff::pause(self.pause_min, self.pause_max, attempt, random::number());
            tracing::warn!(
                operation = self.name,
                attempt,
                pause_ms = pause.as_millis(),
                error = tally_runtime::chain(&error),
                "storage operation failed, trying again"
            );
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tally_runtime::Kind;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn transient_failures_are_repeated_up_to_the_limit() {
        let tries = AtomicU32::new(0);
        let result: Result<(), Error> = Policy::short("test")
            .run(|| async {
                tries.fetch_add(1, Ordering::Relaxed);
                Err(Error::transient("fail", Outcome::Determinate))
            })
            .await;
        assert!(result.is_err());
        assert_eq!(tries.into_inner(), Policy::short("test").attempts_max);
    }

    #[tokio::test]
    async fn permanent_failures_are_not_repeated() {
        let tries = AtomicU32::new(0);
        let result: Result<(), Error> = Policy::short("test")
            .run(|| async {
                tries.fetch_add(1, Ordering::Relaxed);
                Err(Error::permanent("fail", Kind::Internal))
            })
            .await;
        assert!(result.is_err());
        assert_eq!(tries.into_inner(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_is_indeterminate() {
        let policy = Policy { attempts_max: 1, ..Policy::short("hang") };
        let result: Result<(), Error> = policy.run(std::future::pending).await;
        assert_eq!(result.expect_err("hangs").outcome(), Outcome::Indeterminate);
    }
}
