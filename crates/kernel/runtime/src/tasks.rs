//! Named tasks, and waiting for them at the end.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

use crate::trace::{self, Trace};
use crate::turns::Asker;

/// Starts tasks with a name, and waits for them at the end. A server has one `Tasks` for each stage
/// of its drain.
#[derive(Debug, Clone, Default)]
pub struct Tasks(TaskTracker);

/// Tells a task that the server is stopping.
#[derive(Debug, Clone, Default)]
pub struct Drain(CancellationToken);

/// The name of a running task.
struct Running(&'static str);

// === impl Tasks ===

impl Tasks {
    /// Without tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task, for whoever asks for it, as a part of the same trace. A panic in it ends the task only, and is logged by name.
    #[allow(clippy::disallowed_methods, reason = "the one place that starts tasks")]
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let running = Running(name);
        let work = async move {
            let _running = running;
            future.await
        };
        self.0.spawn(trace::within(Trace::current(), Asker::current().asks(work)))
    }

    /// Starts a task that no drain waits for: the process may end before it does.
    pub fn detach<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Self::new().spawn(name, future)
    }

    /// Waits until every task has ended.
    pub async fn finished(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

// === impl Running ===

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.0, "task panicked");
        }
    }
}

// === impl Drain ===

impl Drain {
    /// Not draining yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells everyone.
    pub fn begin(&self) {
        self.0.cancel();
    }

    /// Whether the server is stopping.
    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits for this long, or until the server is stopping; says whether it goes on.
    pub async fn pause(&self, pause: Duration) -> bool {
        tokio::time::timeout(pause, self.begun()).await.is_err()
    }

    /// Waits until the server is stopping.
    pub fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.0.cancelled()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_panicking_task_is_logged_by_name_and_ends_no_other() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        // The runtime has this thread only.
        let _logging = tracing::subscriber::set_default(subscriber);
        let tasks = Tasks::new();
        let panicked = tasks.spawn("falls over", async { panic!("on purpose") });
        let fine = tasks.spawn("stands", async { 7 });
        tasks.finished().await;
        assert!(panicked.await.is_err());
        assert_eq!(fine.await.expect("stands"), 7);
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.matches("task panicked").count(), 1, "{log}");
        assert!(log.contains("task=\"falls over\""), "{log}");
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
