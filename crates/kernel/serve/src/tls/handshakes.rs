//! How many handshakes there are at once: when there are too many, the oldest of those that had their
//! time must go, so that silent connections keep no honest client out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::sync::{Mutex as Line, Notify};
use tokio::time::{Instant, timeout_at};

/// How many connections may be in their handshake. Each takes 64 KiB at most, which is what rustls keeps of an
/// unfinished message.
const HANDSHAKES_MAX: usize = 512;
/// How long a handshake is left alone even if there are too many.
const UNDISTURBED: Duration = Duration::from_millis(500);

/// The connections that are in their handshake.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    all: Mutex<All>,
    /// Who waits, one after the other.
    line: Line<()>,
    /// One has left.
    left: Notify,
}

#[derive(Debug, Default)]
struct All {
    next: u64,
    /// In the order in which they came.
    running: BTreeMap<u64, Arc<Running>>,
}

#[derive(Debug)]
struct Running {
    since: Instant,
    must_go: AtomicBool,
    waker: AtomicWaker,
}

/// The right of a connection to be in its handshake.
#[derive(Debug)]
pub(super) struct Turn {
    of: Arc<Handshakes>,
    number: u64,
    running: Arc<Running>,
}

// === impl Handshakes ===

impl Handshakes {
    /// Waits for room: for those who came before, and then at most as long as the oldest is undisturbed.
    pub(super) async fn enter(self: Arc<Self>) -> Turn {
        let _first = self.line.lock().await;
        loop {
            let left = self.left.notified();
            let until = match self.try_enter() {
                Ok(turn) => return turn,
                Err(until) => until,
            };
            let _ = timeout_at(until, left).await;
        }
    }

    /// Fails with the moment at which the oldest must go.
    fn try_enter(self: &Arc<Self>) -> Result<Turn, Instant> {
        let now = Instant::now();
        self.with(|all| {
            if all.running.len() >= HANDSHAKES_MAX {
                let oldest = all.running.first_entry().expect("there are many");
                let until = oldest.get().since + UNDISTURBED;
                if now < until {
                    return Err(until);
                }
                oldest.remove().send_off();
            }
            let running = Arc::new(Running {
                since: now,
                must_go: AtomicBool::new(false),
                waker: AtomicWaker::new(),
            });
            let number = all.next;
            all.next += 1;
            all.running.insert(number, Arc::clone(&running));
            Ok(Turn { of: Arc::clone(self), number, running })
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut All) -> T) -> T {
        work(&mut self.all.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

// === impl Running ===

impl Running {
    fn send_off(&self) {
        self.must_go.store(true, Ordering::SeqCst);
        self.waker.wake();
    }
}

// === impl Turn ===

impl Turn {
    /// Ready when it must go.
    pub(super) fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.running.waker.register(cx.waker());
        if self.running.must_go.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.of.with(|all| all.running.remove(&self.number));
        self.of.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_goes_when_it_had_its_time() {
        let handshakes = Arc::new(Handshakes::default());
        let enter = || Arc::clone(&handshakes).enter();
        let (begun, mut turns) = (Instant::now(), Vec::new());
        for _ in 0..HANDSHAKES_MAX {
            turns.push(enter().await);
        }
        // One that leaves makes room at once.
        drop(turns.pop());
        turns.push(enter().await);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        turns.push(enter().await);
        assert_eq!(begun.elapsed(), UNDISTURBED, "all were new");
        poll_fn(|cx| turns[0].poll_over(cx)).await;
        let goes = poll_fn(|cx| turns[1].poll_over(cx)).now_or_never();
        assert_eq!(goes, None, "there is room for it");
        turns.push(enter().await);
        assert_eq!(begun.elapsed(), UNDISTURBED, "the second had its time as well");
        assert_eq!(handshakes.with(|all| all.running.len()), HANDSHAKES_MAX);
        drop(turns);
        assert_eq!(handshakes.with(|all| all.running.len()), 0);
    }
}
