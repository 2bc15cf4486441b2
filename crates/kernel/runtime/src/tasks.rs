//! Named tasks, and waiting for them at the end.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

/// Starts tasks with a name and waits for all of them when the process ends.
///
/// A server drains in order: it has one `Tasks` for each stage, and closes them one after
/// the other.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    names: Arc<Mutex<Vec<&'static str>>>,
}

/// Tells a task that the server is stopping.
#[derive(Debug, Clone, Default)]
pub struct Drain(CancellationToken);

struct Running {
    name: &'static str,
    names: Arc<Mutex<Vec<&'static str>>>,
}

// === impl Tasks ===

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task. A panic in it ends the task only, and is logged by name.
    #[allow(clippy::disallowed_methods, reason = "the one place that starts tasks")]
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let running = Running { name, names: Arc::clone(&self.names) };
        lock(&self.names).push(name);
        self.tracker.spawn(async move {
            let _running = running;
            future.await
        })
    }

    /// Takes no more waiting for new tasks: [`Tasks::finished`] returns once those that run
    /// have ended.
    pub fn close(&self) {
        self.tracker.close();
    }

    /// Waits until [`Tasks::close`] was called and every task has ended.
    pub async fn finished(&self) {
        self.tracker.wait().await;
    }

    /// The names of the tasks that are still running.
    #[must_use]
    pub fn running(&self) -> Vec<&'static str> {
        lock(&self.names).clone()
    }
}

// === impl Running ===

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.name, "task panicked");
        }
        let mut names = lock(&self.names);
        if let Some(at) = names.iter().position(|name| *name == self.name) {
            names.swap_remove(at);
        }
    }
}

// === impl Drain ===

impl Drain {
    /// Not draining yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells everyone.
    pub fn begin(&self) {
        self.0.cancel();
    }

    /// Whether the server is stopping.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until the server is stopping.
    pub fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.0.cancelled()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panicking_task_leaves_no_name_behind() {
        let tasks = Tasks::new();
        let panicked = tasks.spawn("falls over", async { panic!("on purpose") });
        let fine = tasks.spawn("stands", async { 7 });
        tasks.close();
        tasks.finished().await;
        assert!(panicked.await.is_err());
        assert_eq!(fine.await.expect("stands"), 7);
        assert!(tasks.running().is_empty());
    }

    #[tokio::test]
    async fn a_drain_reaches_those_who_come_late() {
        let drain = Drain::new();
        assert!(!drain.has_begun());
        drain.clone().begin();
        drain.begun().await;
        assert!(drain.has_begun());
    }
}
