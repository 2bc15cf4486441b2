//! A thread that owns a SQLite connection and works through what it is sent.

use std::fmt;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, InterruptHandle};
use tally_runtime::Kind;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::Error;

/// How many jobs may wait. Callers hold their own data, so this bounds nothing but the list.
const JOBS_MAX: usize = 1024;
/// How often a statement that keeps the thread from ending is interrupted: an interrupt between two
/// statements does nothing.
const INTERRUPT_INTERVAL: Duration = Duration::from_millis(50);

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

pub(super) struct Worker {
    /// None once the thread is being stopped.
    jobs: Mutex<Option<mpsc::SyncSender<Job>>>,
    interrupt: InterruptHandle,
    /// Its sender goes away when the connection is closed.
    closed: watch::Receiver<()>,
}

// === impl Worker ===

impl Worker {
    /// Starts the thread, which keeps `lock` until it has closed its connection, and waits until that
    /// is open.
    pub(super) async fn start<F>(
        name: &'static str,
        lock: &Arc<File>,
        open: F,
    ) -> Result<Self, Error>
    where
        F: FnOnce() -> Result<Connection, Error> + Send + 'static,
    {
        let (jobs, queue) = mpsc::sync_channel::<Job>(JOBS_MAX);
        let (opened, is_open) = oneshot::channel();
        let (alive, closed) = watch::channel(());
        let lock = Arc::clone(lock);
        let work = move || {
            let mut connection = match open() {
                Ok(connection) => connection,
                Err(error) => return drop(opened.send(Err(error))),
            };
            let _ = opened.send(Ok(connection.get_interrupt_handle()));
            while let Ok(job) = queue.recv() {
                job(&mut connection);
            }
            drop(connection);
            drop(lock);
            drop(alive);
        };
        thread::Builder::new().name(name.into()).spawn(work).map_err(|error| {
            Error::permanent(format!("start the {name} thread"), Kind::Internal).because(error)
        })?;
        let interrupt = is_open.await.map_err(|_| gone(name))??;
        Ok(Self { jobs: Mutex::new(Some(jobs)), interrupt, closed })
    }

    /// Runs a job on the thread. Once begun, it runs to its end even if the caller stops waiting.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    {
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // A job whose caller has gone does not begin.
            if !done.is_closed() {
                let _ = done.send(work(connection));
            }
        });
        let sent = match &*self.jobs.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(jobs) => jobs.try_send(job),
            None => return Err(gone("SQLite")),
        };
        sent.map_err(|error| match error {
            mpsc::TrySendError::Full(_) => Error::transient(
                format!("queue for SQLite: {JOBS_MAX} operations wait already"),
                crate::Outcome::Determinate,
            ),
            mpsc::TrySendError::Disconnected(_) => gone("SQLite"),
        })?;
        result.await.map_err(|_| gone("SQLite"))?
    }

    /// Interrupts jobs until none runs: they fail, and their transactions are rolled back.
    pub(super) async fn interrupt(&self) {
        let idle = self.run(|_| Ok(()));
        tokio::pin!(idle);
        while timeout(INTERRUPT_INTERVAL, &mut idle).await.is_err() {
            self.interrupt.interrupt();
        }
    }

    /// Takes no more jobs, and waits until the connection is closed.
    pub(super) async fn stop(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        // Nothing is ever sent: this fails when the thread has ended.
        let _ = self.closed.clone().changed().await;
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

fn gone(name: &str) -> Error {
    Error::permanent(format!("use the {name} thread: it has ended"), Kind::Internal)
}
