//! The handle of the driver that queues and producers keep.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::producer::Opened;
use crate::progress::Progress;
use crate::{Row, clock};

/// How long past its limit a close waits for a task that does not end.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

pub(crate) struct DriverHandle {
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) trouble: watch::Receiver<Option<String>>,
    pub(super) deadline: watch::Sender<Option<Instant>>,
    pub(crate) done: Arc<AtomicBool>,
    pub(crate) opened: watch::Receiver<Option<Opened>>,
    pub(crate) unsent: Arc<Mutex<Vec<Row>>>,
}

// === impl DriverHandle ===

impl DriverHandle {
    /// Gives the driver this long to send what waits.
    pub(crate) fn close_within(&self, limit: Duration) {
        let at = clock::later(Instant::now(), limit);
        self.deadline.send_modify(|set| *set = Some(set.map_or(at, |set| set.min(at))));
    }

    /// Waits until the condition holds, or never will.
    pub(crate) async fn wait(&self, mut so: impl FnMut(&Progress) -> bool) -> Progress {
        let mut progress = self.progress.clone();
        let waited = progress.wait_for(|progress| progress.finished || so(progress)).await;
        let waited = waited.map(|progress| *progress);
        waited.unwrap_or_else(|_| *self.progress.borrow())
    }

    /// Waits for the end of the task, which comes at the limit unless its runtime exists but does
    /// not run. Outside a runtime there is no clock to wait by.
    pub(crate) async fn finished(&self, limit: Duration) {
        let end = self.wait(|_| false);
        if tokio::runtime::Handle::try_current().is_err() {
            end.await;
        } else {
            let _ = tokio::time::timeout(limit.saturating_add(CLOSE_GRACE), end).await;
        }
    }
}
