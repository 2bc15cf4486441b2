//! What those have in common who do not count: a journal that several write at once, and that they go on until a
//! signal comes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tally_runtime::Signals;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::journal::{Journal, Line};

/// A journal, and whether a signal has come.
pub(super) struct Notes {
    journal: Mutex<Journal>,
    is_over: watch::Sender<bool>,
}

// === impl Notes ===

impl Notes {
    pub(super) fn new(journal: Journal) -> Self {
        Self { journal: Mutex::new(journal), is_over: watch::channel(false).0 }
    }

    /// Does the work, which ends some time after a signal, and says that all of it is done.
    pub(super) async fn until_done(
        &self,
        mut signals: Signals,
        work: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        tokio::pin!(work);
        let outcome = tokio::select! {
            outcome = &mut work => outcome,
            _ = signals.recv() => {
                self.is_over.send_replace(true);
                work.await
            }
        };
        outcome?;
        self.write(&Line::Done)
    }

    pub(super) fn write(&self, line: &Line) -> anyhow::Result<()> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(journal.write(line)?)
    }

    /// Pauses. Returns false as soon as a signal has come.
    pub(super) async fn pause(&self, ms: u64) -> bool {
        let mut is_over = self.is_over.subscribe();
        timeout(Duration::from_millis(ms), is_over.wait_for(|over| *over)).await.is_err()
    }

    /// Waits for a signal.
    pub(super) async fn over(&self) {
        // It is never closed.
        let _ = self.is_over.subscribe().wait_for(|over| *over).await;
    }
}
