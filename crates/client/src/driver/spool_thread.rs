//! The thread that owns the spool, because files block.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::error::ConnectError;
use crate::random::ProducerId;
use crate::spool::{Error, Options, Recovered, Spool, Stored};

/// The longest wait without anything to do.
const IDLE: Duration = Duration::from_secs(3600);

/// The pause before retrying a failed sync.
const SYNC_PAUSE: Duration = Duration::from_secs(1);

/// Log a failing disk at most this often.
const SYNC_LOG_INTERVAL: Duration = Duration::from_secs(60);

type Task = Box<dyn FnOnce(&mut Spool) + Send>;

pub(crate) struct SpoolThread {
    /// None once the spool is closing.
    tasks: Option<Sender<Task>>,
    /// Ends when the files are closed.
    ended: oneshot::Receiver<()>,
}

/// What a new producer takes over from the one before.
#[derive(Default)]
pub(crate) struct TakenOver {
    /// The old number of each of its batches, and whether it was damaged, in order.
    pub(crate) batches: Vec<(u64, bool)>,
    /// Requests and drops that it does not take over.
    pub(crate) let_go: u64,
}

// === impl SpoolThread ===

impl SpoolThread {
    /// Opens the spool, and returns what an earlier process left.
    pub(crate) async fn open(
        dir: PathBuf,
        options: Options,
        new_id: ProducerId,
    ) -> Result<(Self, Recovered), ConnectError> {
        let (tasks, receiver) = channel();
        let (opened, answer) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let folder = dir.clone();
        let failed = |source| ConnectError::Spool { dir: dir.clone(), source };
        let thread = std::thread::Builder::new().name("tally-spool".to_owned());
        let spawned = thread.spawn(move || {
            work(&folder, options, new_id, opened, &receiver);
            let _ = end.send(());
        });
        spawned.map_err(|error| failed(error.into()))?;
        let recovered = answer
            .await
            .map_err(|_| failed("the spool's thread is gone".into()))?
            .map_err(|error| failed(error.into()))?;
        Ok((Self { tasks: Some(tasks), ended }, recovered))
    }

    /// Closes the files after all begun tasks.
    pub(crate) async fn close(&mut self) {
        self.tasks = None;
        let _ = (&mut self.ended).await;
    }

    /// Stores a batch, even if the future is dropped; `outcome` then says whether it is stored.
    pub(crate) async fn append(
        &self,
        sequence: u64,
        requests: u64,
        payload: Vec<u8>,
        outcome: Arc<OnceLock<bool>>,
    ) -> Result<(), String> {
        self.call(move |spool| {
            let appended = spool.append(sequence, requests, &payload);
            let _ = outcome.set(appended.is_ok());
            appended
        })
        .await
    }

    /// Every batch up to this one is committed, as heard at this time.
    pub(crate) fn acknowledge(&self, sequence: u64, at_micros: Option<i64>) {
        self.tell(move |spool| {
            spool.set_acknowledged_at(at_micros);
            if let Err(error) = spool.acknowledge(sequence) {
                tracing::warn!(error = %error, "the spool cannot note an acknowledgement");
            }
        });
    }

    /// Becomes another producer with the batches after `keep_after`. Adjacent damaged ones become
    /// one batch, with the payload that `as_dropped` makes of their requests.
    pub(crate) async fn begin_anew(
        &self,
        id: ProducerId,
        keep_after: u64,
        as_dropped: impl Fn(u64) -> Vec<u8> + Send + 'static,
    ) -> Result<TakenOver, String> {
        self.call(move |spool| {
            let mut taken = TakenOver::default();
            spool.start_new_producer(id, &mut |_, stored| {
                let (sequence, requests, payload) = match stored {
                    Stored::Batch { sequence, rows, payload } => (sequence, rows, Some(payload)),
                    Stored::Missing(missing) => (missing.last, missing.rows, None),
                };
                if sequence <= keep_after || requests == 0 {
                    taken.let_go += requests;
                    return None;
                }
                taken.batches.push((sequence, payload.is_none()));
                Some((requests, payload.unwrap_or_else(|| as_dropped(requests))))
            })?;
            Ok(taken)
        })
        .await
    }

    /// Runs a task on the thread, even if the future is dropped.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Spool) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, String> {
        let (done, answer) = oneshot::channel();
        self.tell(move |spool| drop(done.send(task(spool))));
        match answer.await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err("the spool's thread is gone".to_owned()),
        }
    }

    fn tell(&self, task: impl FnOnce(&mut Spool) + Send + 'static) {
        if let Some(tasks) = &self.tasks {
            // Without the thread, the caller gets no answer, which is an error.
            let _ = tasks.send(Box::new(task));
        }
    }
}

fn work(
    dir: &Path,
    options: Options,
    new_id: ProducerId,
    opened: oneshot::Sender<Result<Recovered, Error>>,
    tasks: &Receiver<Task>,
) {
    let mut spool = match Spool::open(dir, options, new_id) {
        Ok((spool, recovered)) => {
            let _ = opened.send(Ok(recovered));
            spool
        }
        Err(error) => {
            let _ = opened.send(Err(error));
            return;
        }
    };
    let mut not_before = None;
    let mut said = None;
    loop {
        let due = spool.sync_due().max(not_before.filter(|_| spool.sync_due().is_some()));
        let wait = due.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
        match tasks.recv_timeout(wait) {
            Ok(task) => task(&mut spool),
            Err(RecvTimeoutError::Timeout) => {
                if due.is_none_or(|at| Instant::now() < at) {
                    continue;
                }
                let Err(error) = spool.sync() else { continue };
                let now = Instant::now();
                // The sync stays due until the disk takes it.
                not_before = Some(now + SYNC_PAUSE);
                if said.is_none_or(|at| now.duration_since(at) >= SYNC_LOG_INTERVAL) {
                    said = Some(now);
                    tracing::error!(error = %error, "the spool cannot be written to the disk");
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if let Err(error) = spool.close() {
        tracing::error!(error = %error, "the spool cannot be closed");
    }
}
