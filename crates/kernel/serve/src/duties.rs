//! Duties: the work of a domain that one server does for all.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tally_runtime::{Chore, Drain, Error, Kind, backoff, chain, random};
use tally_store::Lease;

/// The pause between two rounds.
const ROUND: Duration = Duration::from_secs(1);

/// The longest pause after failures. It is longer than the term of a lease, so that another server may
/// try what this one fails to do.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// When the next round is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// In a second.
    Later,
    /// After this long. It should be much shorter than the term of a lease, which is renewed by then.
    After(Duration),
}

/// The duties of one domain. They need not be done by one server only to be right: a lease can be lost
/// at any point.
#[derive(Debug)]
pub struct Duties {
    lease: Lease,
    drain: Drain,
    is_holder: Arc<AtomicBool>,
    chores: Vec<Chore>,
}

// === impl Duties ===

impl Duties {
    /// Under this lease, until this drain.
    #[must_use]
    pub fn new(lease: Lease, drain: Drain) -> Self {
        Self { lease, drain, is_holder: Arc::default(), chores: Vec::new() }
    }

    /// They are overdue only where the lease is. What becomes of them, the domain notes itself.
    #[must_use]
    pub fn doing(mut self, chores: impl IntoIterator<Item = Chore>) -> Self {
        self.chores.extend(chores);
        self
    }

    /// Says whether this server had the lease in the last round.
    #[must_use]
    pub fn is_holder(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_holder)
    }

    /// Calls `tick` every second, or when it says so, while this server holds the lease. At the
    /// drain, the call that has begun is dropped, and the lease released. A failure is logged if it is
    /// another one than the last, and the pauses grow until a call succeeds. A panic is a failure.
    pub async fn run<T>(self, tick: impl Fn() -> T)
    where
        T: Future<Output = Result<Next, Error>>,
    {
        let (mut pause, mut failures, mut last) = (ROUND, 0, None);
        while self.drain.pause(pause).await {
            let error = match self.round(&tick).await {
                Ok(next) => {
                    (pause, failures, last) = (next.pause(), 0, None);
                    continue;
                }
                Err(error) => error,
            };
            failures += 1;
            pause = ROUND + backoff::pause(ROUND, PAUSE_MAX, failures, random::number());
            let step = error.to_string();
            if last.as_ref() != Some(&step) {
                tracing::warn!(error = chain(&error), "duties failed, will try again");
                last = Some(step);
            }
        }
        if let Err(error) = self.lease.release().await {
            tracing::debug!(error = chain(&error), "the lease is left to end by itself");
        }
    }

    async fn round<T>(&self, tick: &impl Fn() -> T) -> Result<Next, Error>
    where
        T: Future<Output = Result<Next, Error>>,
    {
        let held = self.lease.hold().await;
        self.is_holder.store(matches!(held, Ok(true)), Ordering::Relaxed);
        if let Ok(held) = held {
            self.chores.iter().for_each(|chore| chore.is_here(held));
        }
        if !held? {
            return Ok(Next::Later);
        }
        let ticking = AssertUnwindSafe(async { tick().await }).catch_unwind();
        let renewing = async {
            while self.drain.pause(ROUND).await {
                // If this fails, or another server has the lease, the next round knows.
                let _ = self.lease.hold().await;
            }
        };
        tokio::select! {
            done = ticking => done.unwrap_or_else(|_| {
                Err(Error::permanent("do the duties: a panic, logged above", Kind::Internal))
            }),
            () = renewing => Ok(Next::Later),
        }
    }
}

// === impl Next ===

impl Next {
    fn pause(self) -> Duration {
        match self {
            Self::Later => ROUND,
            Self::After(pause) => pause,
        }
    }
}
