//! A producer's batches in a spool, on a thread of its own: files block.
//!
//! Without a folder for it, nothing is kept.

pub(crate) use kept::Custody;

use crate::random::ProducerId;
use crate::rows::{Drops, Row};

/// The producer that a spool goes on with.
pub(crate) struct Found {
    pub(crate) id: ProducerId,
    pub(crate) epoch: u64,
    pub(crate) claims: Vec<u64>,
    pub(crate) acknowledged: u64,
    pub(crate) acknowledged_at: Option<i64>,
    pub(crate) next_sequence: u64,
}

/// A batch that was read back.
pub(crate) struct Content {
    pub(crate) rows: Vec<Row>,
    pub(crate) drops: Drops,
    /// Its requests are lost, and `drops` tells of them.
    pub(crate) damaged: bool,
}

/// What a new producer has of the one before.
#[derive(Default)]
pub(crate) struct Kept {
    /// The number that each of its batches had, and whether that one was damaged, in order.
    pub(crate) batches: Vec<(u64, bool)>,
    /// How many requests and drops it does not have.
    pub(crate) let_go: u64,
}

/// Batches in files.
mod kept {
    use std::path::PathBuf;
    use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
    use std::sync::{Arc, OnceLock};
    use std::time::{Duration, Instant};

    use prost::Message as _;
    use tally_proto::tally::producers::v1 as producers;
    use tally_proto::tally::requests::v1 as proto;
    use tally_proto::wire::CLAIMS_MAX;
    use tokio::sync::oneshot;

    use super::{Content, Found, Kept};
    use crate::endpoints::Endpoints;
    use crate::error::ConnectError;
    use crate::random::ProducerId;
    use crate::rows::{self, Drops, Names, Row};
    use crate::settings::Settings;
    use crate::spool::{Error, Options, Recovered, Spool, Stored};
    use crate::{Method, clock};

    /// What the thread waits for at most, when nothing is to be done.
    const IDLE: Duration = Duration::from_secs(3600);

    /// How long it waits before it tries again what the disk has refused.
    const SYNC_PAUSE: Duration = Duration::from_secs(1);

    /// Log a failing disk at most this often.
    const SYNC_LOG_INTERVAL: Duration = Duration::from_secs(60);

    type Task = Box<dyn FnOnce(&mut Spool) + Send>;

    /// The spool, if there is one.
    pub(crate) struct Custody(Option<Thread>);

    /// The thread that has the files.
    struct Thread {
        /// None: nothing more is to be done.
        tasks: Option<Sender<Task>>,
        /// Ends when the files are closed.
        ended: oneshot::Receiver<()>,
    }

    // === impl Custody ===

    impl Custody {
        pub(crate) async fn open(
            settings: &Settings,
            new_id: ProducerId,
        ) -> Result<(Self, Option<Found>), ConnectError> {
            let Some((dir, options)) = settings.spool.clone() else {
                return Ok((Self(None), None));
            };
            let (tasks, receiver) = channel();
            let (opened, answer) = oneshot::channel();
            let (end, ended) = oneshot::channel();
            let folder = dir.clone();
            let failed = |source| ConnectError::Spool { dir: dir.clone(), source };
            std::thread::Builder::new()
                .name("tally-spool".to_owned())
                .spawn(move || {
                    work(&folder, options, new_id, opened, &receiver);
                    let _ = end.send(());
                })
                .map_err(|error| failed(error.into()))?;
            let recovered = answer
                .await
                .map_err(|_| failed("the spool's thread is gone".into()))?
                .map_err(|error| failed(error.into()))?;
            for finding in &recovered.findings {
                tracing::error!(finding = %finding, "the spool was damaged");
            }
            let pending = recovered.next_sequence - recovered.acknowledged - 1;
            if pending > 0 {
                let (producer, folder) = (&settings.name, dir.display());
                tracing::info!(
                    producer,
                    %folder,
                    batches = pending,
                    "going on with the batches that an earlier process left in the spool"
                );
            }
            let mut claims = recovered.claims;
            // The process's own claim is added to them.
            claims.drain(..claims.len().saturating_sub(CLAIMS_MAX - 1));
            let found = Found {
                id: recovered.producer_id,
                epoch: recovered.epoch,
                claims,
                acknowledged: recovered.acknowledged,
                acknowledged_at: recovered.acknowledged_at,
                next_sequence: recovered.next_sequence,
            };
            Ok((Self(Some(Thread { tasks: Some(tasks), ended })), Some(found)))
        }

        pub(crate) fn is_on(&self) -> bool {
            self.0.is_some()
        }

        /// Closes the files, once everything is done that was begun. Nothing more is kept then.
        pub(crate) async fn close(&mut self) {
            if let Some(thread) = &mut self.0 {
                thread.tasks = None;
                let _ = (&mut thread.ended).await;
            }
        }

        /// Keeps a batch. Once it is begun, it is done, also when the future is dropped; the outcome
        /// says whether it is kept.
        pub(crate) async fn append(
            &self,
            sequence: u64,
            rows: &[Row],
            drops: &Drops,
            endpoints: &Endpoints,
            outcome: Arc<OnceLock<bool>>,
        ) -> Result<(), String> {
            let count = rows.len() as u64 + drops.total();
            let payload = payload(rows, drops, endpoints);
            self.call(move |spool| {
                let appended = spool.append(sequence, count, &payload);
                let _ = outcome.set(appended.is_ok());
                appended
            })
            .await
        }

        /// Reads a batch back. One that is damaged tells its requests as dropped.
        pub(crate) async fn read(
            &self,
            sequence: u64,
            endpoints: &Endpoints,
            now_micros: i64,
        ) -> Result<Content, String> {
            let stored = self.call(move |spool| spool.read(sequence)).await?;
            let rows = match stored {
                Stored::Batch { rows, payload, .. } => match decode(&payload, endpoints) {
                    Some((rows, drops)) => return Ok(Content { rows, drops, damaged: false }),
                    None => rows,
                },
                // Each batch of a hole has a number, and must tell something.
                Stored::Missing(missing) if sequence > missing.first => 1,
                Stored::Missing(missing) => {
                    missing.rows.saturating_sub(missing.last - missing.first)
                }
            };
            tracing::error!(sequence, rows, "a batch in the spool is damaged: told as dropped");
            let mut drops = Drops::default();
            drops.add(clock::day(now_micros), rows.max(1));
            Ok(Content { rows: Vec::new(), drops, damaged: true })
        }

        /// Every batch up to this one is committed, as was heard at this time.
        pub(crate) fn acknowledge(&self, sequence: u64, at_micros: Option<i64>) {
            self.tell(move |spool| {
                spool.set_acknowledged_at(at_micros);
                if let Err(error) = spool.acknowledge(sequence) {
                    tracing::warn!(error = %error, "the spool cannot note an acknowledgement");
                }
            });
        }

        /// Keeps what the producer shows when it opens.
        pub(crate) async fn set(&self, epoch: u64, claims: Vec<u64>) -> Result<(), String> {
            self.call(move |spool| spool.set_lease(epoch, &claims)).await
        }

        /// Becomes another producer, which has the batches after `keep_after`, in order. Of those
        /// that are damaged side by side it has one, which tells their requests as dropped.
        pub(crate) async fn begin_anew(
            &self,
            id: ProducerId,
            keep_after: u64,
            now_micros: i64,
        ) -> Result<Kept, String> {
            let today = clock::day(now_micros);
            self.call(move |spool| {
                let mut kept = Kept::default();
                spool.start_new_producer(id, &mut |_, stored| {
                    let (sequence, rows, payload) = match stored {
                        Stored::Batch { sequence, rows, payload } => {
                            (sequence, rows, Some(payload))
                        }
                        Stored::Missing(missing) => (missing.last, missing.rows, None),
                    };
                    if sequence <= keep_after || rows == 0 {
                        kept.let_go += rows;
                        return None;
                    }
                    kept.batches.push((sequence, payload.is_none()));
                    Some((rows, payload.unwrap_or_else(|| told_as_dropped(today, rows))))
                })?;
                Ok(kept)
            })
            .await
        }

        async fn call<T: Send + 'static>(
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
            if let Some(Thread { tasks: Some(tasks), .. }) = &self.0 {
                // A thread that is gone answers nothing, which is seen there.
                let _ = tasks.send(Box::new(task));
            }
        }
    }

    fn work(
        dir: &PathBuf,
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
                    // What is overdue stays so.
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

    /// A batch that names all of its endpoints.
    fn payload(rows: &[Row], drops: &Drops, endpoints: &Endpoints) -> Vec<u8> {
        rows::message(0, rows, drops, &mut Names::default(), endpoints).encode_to_vec()
    }

    /// A batch that tells of drops, and of nothing else.
    fn told_as_dropped(day: i32, count: u64) -> Vec<u8> {
        let drops = vec![producers::Drops { day, count }];
        proto::Batch { drops, ..proto::Batch::default() }.encode_to_vec()
    }

    fn decode(payload: &[u8], endpoints: &Endpoints) -> Option<(Vec<Row>, Drops)> {
        let batch = proto::Batch::decode(payload).ok()?;
        let named = |name: &proto::Endpoint| endpoints.endpoint(Method(name.method), &name.path);
        let names: Vec<_> = batch.endpoints.iter().map(named).collect();
        if batch.endpoint.len() != batch.time_delta.len() {
            return None;
        }
        let mut time_us = 0_i64;
        let row = |(number, delta): (&u32, &i64)| {
            time_us = time_us.checked_add(*delta)?;
            Some(Row { endpoint: *names.get(*number as usize)?, time_us })
        };
        let rows: Option<Vec<Row>> =
            batch.endpoint.iter().zip(&batch.time_delta).map(row).collect();
        let mut drops = Drops::default();
        batch.drops.iter().for_each(|told| drops.add(told.day, told.count));
        let rows = rows?;
        (!rows.is_empty() || !drops.is_empty()).then_some((rows, drops))
    }
}
