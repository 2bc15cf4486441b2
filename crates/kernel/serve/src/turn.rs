//! The end of a task's turn: what it has given to others is worked on before it goes on.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Whether a task's turn is over. It knows nothing of turns itself: whatever it polls, it may poll several times in
/// one turn.
#[derive(Debug, Default)]
pub(crate) struct Turn(Option<Arc<Rest>>);

#[derive(Debug, Default)]
struct Rest {
    is_over: AtomicBool,
    task: AtomicWaker,
}

// === impl Turn ===

impl Turn {
    /// Ends the turn: `poll` is ready in the next one.
    pub(crate) fn end(&mut self) {
        let rest = self.0.insert(Arc::default());
        let waker = Waker::from(Arc::clone(rest));
        // It wakes after other tasks have had their turns.
        let _ = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&waker));
    }

    /// Ready while the turn has not ended, and wakes the task at its next one.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        if let Some(rest) = &self.0 {
            rest.task.register(cx.waker());
            if !rest.is_over.load(SeqCst) {
                return Poll::Pending;
            }
            self.0 = None;
        }
        Poll::Ready(())
    }
}

// === impl Rest ===

impl Wake for Rest {
    fn wake(self: Arc<Self>) {
        self.is_over.store(true, SeqCst);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    use tally_runtime::Tasks;

    use super::*;

    #[tokio::test]
    async fn others_have_their_turns_first() {
        let others = Arc::new(AtomicUsize::new(0));
        let (mut turn, tasks) = (Turn::default(), Tasks::new());
        for round in 0..3 {
            let others_too = Arc::clone(&others);
            tasks.spawn("other", async move { _ = others_too.fetch_add(1, SeqCst) });
            turn.end();
            poll_fn(|cx| {
                let is_over = turn.poll(cx).is_ready();
                assert_eq!(others.load(SeqCst), round + usize::from(is_over));
                assert_eq!(turn.poll(cx).is_ready(), is_over, "it is the same turn");
                if is_over { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }
}
