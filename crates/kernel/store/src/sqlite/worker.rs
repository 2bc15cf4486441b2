//! A thread that owns a SQLite connection and works through what it is sent.

use std::sync::mpsc;
use std::thread;

use rusqlite::Connection;
use tally_runtime::Kind;
use tokio::sync::oneshot;

use crate::Error;

/// How many jobs may wait. Callers hold their own data, so this bounds nothing but the list.
const JOBS_MAX: usize = 1024;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

#[derive(Debug)]
pub(super) struct Worker {
    jobs: mpsc::SyncSender<Job>,
}

// === impl Worker ===

impl Worker {
    /// Starts the thread, and waits until its connection is open.
    pub(super) async fn start<F>(name: &'static str, open: F) -> Result<Self, Error>
    where
        F: FnOnce() -> Result<Connection, Error> + Send + 'static,
    {
        let (jobs, queue) = mpsc::sync_channel::<Job>(JOBS_MAX);
        let (opened, is_open) = oneshot::channel();
        let work = move || {
            let mut connection = match open() {
                Ok(connection) => connection,
                Err(error) => return drop(opened.send(Err(error))),
            };
            let _ = opened.send(Ok(()));
            while let Ok(job) = queue.recv() {
                job(&mut connection);
            }
        };
        thread::Builder::new().name(name.into()).spawn(work).map_err(|error| {
            Error::permanent(format!("start the {name} thread"), Kind::Internal).because(error)
        })?;
        is_open.await.map_err(|_| gone(name))??;
        Ok(Self { jobs })
    }

    /// Runs a job on the thread. Once it has begun it runs to its end, even when the caller
    /// stops waiting.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    {
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // What nobody waits for any more is not begun.
            if !done.is_closed() {
                let _ = done.send(work(connection));
            }
        });
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => Error::transient(
                format!("queue for SQLite: {JOBS_MAX} operations wait already"),
                crate::Outcome::Determinate,
            ),
            mpsc::TrySendError::Disconnected(_) => gone("SQLite"),
        })?;
        result.await.map_err(|_| gone("SQLite"))?
    }
}

fn gone(name: &str) -> Error {
    Error::permanent(format!("use the {name} thread: it has ended"), Kind::Internal)
}
