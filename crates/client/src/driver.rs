//! The task that sends: connects, keeps one stream open, and goes on after every break.

mod add;
mod notices;
mod record;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::endpoints::Endpoints;
use crate::handoff::Taker;
use crate::ledger::{Breach, Ledger, Settled};
use crate::progress::{Connection, Progress};
use crate::random;
use crate::rows::{Chunk, Row};
use crate::settings::Settings;
use crate::transport::Target;
use notices::Notices;

/// A stream that lived so long was well, whatever ended it.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// What the task owns. When it is dropped, whatever the reason, the accounts are closed.
pub(crate) struct Driver {
    pub(crate) settings: Settings,
    target: Target,
    endpoints: Arc<Endpoints>,
    chunks: Taker,
    /// Nothing more will come from `chunks`.
    ended: bool,
    /// What came and is not numbered yet.
    carry: Chunk,
    ledger: Ledger,
    /// The server has opened this client before, so it knows the protocol.
    opened_once: bool,
    /// Up to this batch, one is sent at a time, to find the one that the server refuses.
    careful_until: u64,
    /// What an `Add` stream carries at the moment.
    adding: Arc<[Row]>,
    progress: watch::Sender<Progress>,
    notices: Notices,
}

/// How a connection ended.
enum Ended {
    /// Nothing is left to do.
    Done,
    /// Open again at once.
    Reopen,
    /// Open again after a pause.
    Broken {
        status: Status,
        /// It had worked.
        healthy: bool,
    },
}

// === impl Driver ===

impl Driver {
    pub(crate) fn new(
        settings: Settings,
        target: Target,
        endpoints: Arc<Endpoints>,
        chunks: Taker,
        progress: watch::Sender<Progress>,
        trouble: Arc<Mutex<Option<String>>>,
    ) -> Self {
        let ledger = Ledger::new(settings.short_name(), settings.clock.micros());
        let notices = Notices::new(target.url.clone(), settings.name.clone(), trouble);
        Self {
            settings,
            target,
            endpoints,
            chunks,
            ended: false,
            carry: Chunk::default(),
            ledger,
            opened_once: false,
            careful_until: 0,
            adding: Arc::default(),
            progress,
            notices,
        }
    }

    /// Sends until everything is settled and nothing more comes, or the time is over.
    pub(crate) async fn run(mut self, mut deadline: watch::Receiver<Option<Instant>>) {
        tokio::select! {
            () = self.work() => {}
            () = expired(&mut deadline) => {}
        }
    }

    async fn work(&mut self) {
        let mut failures = 0;
        while !self.is_done() {
            let ended = self.connect().await;
            self.progress.send_if_modified(|progress| {
                std::mem::replace(&mut progress.connection, Connection::Away) != Connection::Away
            });
            match ended {
                Ended::Done => return,
                Ended::Reopen => {}
                Ended::Broken { status, healthy } => {
                    if healthy {
                        failures = 0;
                    }
                    self.notices.away(&status);
                    let (min, max) = (self.settings.backoff_min, self.settings.backoff_max);
                    let pause = min.saturating_mul(1 << failures.min(16)).min(max);
                    failures += 1;
                    self.pause(random::jitter(pause)).await;
                }
            }
        }
    }

    /// Waits, but not when there turns out to be nothing left to do.
    async fn pause(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                chunk = self.chunks.take(), if self.wants_chunk() => self.take(chunk),
            }
            if self.is_done() {
                return;
            }
        }
    }

    /// One connection, from beginning to end.
    async fn connect(&mut self) -> Ended {
        let channel = match self.target.connect(self.settings.connect_timeout).await {
            Ok(channel) => channel,
            Err(status) => return Ended::Broken { status, healthy: false },
        };
        let ended = self.record(channel.clone()).await;
        match ended {
            Ended::Broken { status, .. } if status.code() == Code::Unimplemented => {
                if self.settings.fallback && !self.opened_once && self.ledger.pending() == 0 {
                    self.add(channel).await
                } else {
                    Ended::Broken { status, healthy: false }
                }
            }
            ended => ended,
        }
    }

    /// Whether something may be taken over: only what can be numbered at once is, since what is
    /// not taken over can still be dropped.
    fn wants_chunk(&self) -> bool {
        !self.ended && self.carry.rows.is_empty() && self.carry.drops.is_empty()
    }

    fn take(&mut self, chunk: Option<Chunk>) {
        match chunk {
            Some(chunk) => self.carry = chunk,
            None => self.ended = true,
        }
    }

    fn is_done(&self) -> bool {
        self.ended
            && self.carry.rows.is_empty()
            && self.carry.drops.is_empty()
            && self.ledger.pending() == 0
    }

    fn settle(&mut self, settled: Settled) {
        if settled != Settled::default() {
            self.progress.send_modify(|progress| {
                progress.acknowledged += settled.acknowledged;
                progress.rejected += settled.rejected;
                progress.in_doubt += settled.in_doubt;
                progress.drops_reported += settled.drops_reported;
            });
            crate::measure::settled(&self.settings.name, settled);
        }
    }

    fn connected(&mut self, connection: Connection) {
        self.progress.send_if_modified(|progress| {
            std::mem::replace(&mut progress.connection, connection) != connection
        });
        self.notices.back(connection);
    }

    /// Goes on as a new producer, since this one's batches can no longer be told apart.
    fn begin_anew(&mut self, why: &str) {
        let settled = self.ledger.begin_anew(self.settings.clock.micros());
        self.careful_until = 0;
        self.notices.new_producer(why, settled.in_doubt);
        self.settle(settled);
    }

    fn breach(&mut self, breach: Breach) {
        match breach {
            Breach::Foreign { committed, sent } => self.begin_anew(&format!(
                "the server has batches up to {committed}, and only {sent} were sent: another \
                 client uses this producer's id"
            )),
            Breach::Lost { committed, acknowledged } => {
                self.notices.database_lost(committed, acknowledged);
                self.careful_until = 0;
                self.ledger.number_anew(self.settings.clock.micros());
            }
        }
    }
}

impl Drop for Driver {
    /// Also when the runtime goes away under it.
    fn drop(&mut self) {
        let (mut settled, mut dropped) = self.ledger.give_up();
        settled.in_doubt += self.adding.len() as u64;
        dropped += self.carry.rows.len() as u64;
        if let Some(chunk) = self.chunks.close() {
            dropped += chunk.rows.len() as u64;
        }
        self.settle(settled);
        self.notices.given_up(settled.in_doubt, dropped);
        self.progress.send_modify(|progress| {
            progress.dropped += dropped;
            progress.connection = Connection::Away;
            progress.finished = true;
        });
    }
}

/// Waits until a deadline is set and over.
pub(crate) async fn expired(deadline: &mut watch::Receiver<Option<Instant>>) {
    loop {
        let at = *deadline.borrow_and_update();
        tokio::select! {
            () = sleep_until(at) => return,
            changed = deadline.changed() => if changed.is_err() {
                // Whoever could set another one is gone.
                return sleep_until(at).await;
            },
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
