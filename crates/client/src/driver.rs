//! The task that sends: connects, keeps one stream open, and goes on after every break.

mod add;
mod batches;
pub(crate) mod custody;
mod deadline;
mod notices;
mod record;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::endpoints::Endpoints;
use crate::handoff::Taker;
use crate::ledger::{Ledger, Settled};
use crate::measure;
use crate::producer::CountedFile;
use crate::progress::{Connection, Progress};
use crate::random;
use crate::rows::{Chunk, Limits, Row};
use crate::settings::Settings;
use crate::transport::Target;
use custody::{Custody, Found};
use deadline::{begins, expired, sleep_until};
use notices::Notices;
use record::Verdict;

/// How large a batch may be before a server has said so, in bytes.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// How long to wait before the spool is tried again, when it is full.
const SPOOL_PAUSE: Duration = Duration::from_secs(1);

/// How long to wait at most before the next attempt to connect, once the time to close runs.
const CLOSING_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long to wait at most after a batch was refused: those behind it may be good.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(1);

/// A stream that lasted this long counts as healthy, however it ended.
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
    /// How many rows came.
    came: u64,
    ledger: Ledger,
    /// Where batches are kept before they are sent.
    custody: Custody,
    /// The first and the last batch that an earlier process has left there, until both are
    /// acknowledged.
    recovered: Option<(u64, u64)>,
    /// How many rows are just being written there, and whether they were.
    appending: (u64, Arc<OnceLock<bool>>),
    /// What was sent is just being taken out of there.
    letting_go: bool,
    /// The time to close runs.
    closing: bool,
    /// When the spool is tried again, after it was full.
    append_at: Option<Instant>,
    /// The epoch and the claims that are kept there.
    kept: Option<(u64, Vec<u64>)>,
    /// How large a batch may be, as far as is known.
    limits: Limits,
    /// The server has opened this client before, so it knows the protocol.
    opened_once: bool,
    /// Up to this batch, one is sent at a time, to find the one that the server refuses.
    careful_until: u64,
    /// How many batches were refused since requests were last acknowledged.
    refusals: u32,
    /// What an `Add` stream carries at the moment.
    adding: Arc<[Row]>,
    /// What its end tells the server to remember.
    pub(crate) counted_files: Arc<OnceLock<Vec<CountedFile>>>,
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
    /// Go on as a new producer, after a pause.
    Anew {
        why: String,
        /// The server's database went back in time: it has none of the batches that are here.
        lost: bool,
        /// How many batches that it had acknowledged it has no more.
        missing: u64,
    },
    /// The server refuses the first batch that is not acknowledged.
    Refused {
        status: Status,
        /// Why.
        verdict: Verdict,
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
        trouble: watch::Sender<Option<String>>,
        (custody, found): (Custody, Option<Found>),
    ) -> Self {
        let mut ledger = Ledger::new(settings.short_name(), settings.clock.micros());
        let mut recovered = None;
        if let Some(found) = found {
            ledger.go_on(found);
            let (first, last) = (ledger.acknowledged() + 1, ledger.next_sequence() - 1);
            recovered = (first <= last).then_some((first, last));
        }
        let limits = Limits {
            rows: settings.batch_rows_max,
            bytes: BATCH_BYTES_MAX,
            endpoints: settings.endpoints_max.max(2),
        };
        let notices = Notices::new(target.url.clone(), settings.name.clone(), trouble);
        Self {
            settings,
            target,
            endpoints,
            chunks,
            ended: false,
            carry: Chunk::default(),
            came: 0,
            ledger,
            custody,
            recovered,
            appending: Default::default(),
            letting_go: false,
            closing: false,
            append_at: None,
            kept: None,
            limits,
            opened_once: false,
            careful_until: 0,
            refusals: 0,
            adding: Arc::default(),
            counted_files: Arc::default(),
            progress,
            notices,
        }
    }

    /// Sends until everything is settled and nothing more comes, or the time is over.
    pub(crate) async fn run(mut self, mut deadline: watch::Receiver<Option<Instant>>) {
        let closing = deadline.clone();
        tokio::select! {
            () = self.work(closing) => {}
            () = expired(&mut deadline) => {}
        }
        self.conclude().await;
        self.custody.close().await;
    }

    async fn work(&mut self, mut closing: watch::Receiver<Option<Instant>>) {
        let mut failures = 0;
        while !self.is_done() {
            self.closing = closing.borrow_and_update().is_some();
            let ended = self.connect().await;
            self.set_connection(Connection::Away);
            let failed = match ended {
                Ended::Done => return,
                Ended::Reopen => continue,
                Ended::Refused { status, verdict } => {
                    if self.set_aside(&status, verdict).await {
                        self.pause_after_refusal().await;
                        continue;
                    }
                    self.notices.away(&status);
                    true
                }
                Ended::Anew { why, lost, missing } => {
                    self.begin_anew(&why, lost, missing).await;
                    false
                }
                Ended::Broken { status, healthy } => {
                    if healthy {
                        failures = 0;
                    }
                    self.notices.away(&status);
                    !healthy
                }
            };
            if failed && self.closing && self.is_safe() {
                return;
            }
            let (min, max) = (self.settings.backoff_min, self.settings.backoff_max);
            let max = if self.closing { max.min(CLOSING_PAUSE_MAX) } else { max };
            let pause = random::jitter(min.saturating_mul(1 << failures.min(16)).min(max));
            failures += 1;
            let waits = !self.closing;
            let closes = async {
                tokio::select! {
                    () = tokio::time::sleep(pause) => false,
                    () = begins(&mut closing), if waits => true,
                }
            };
            if self.meanwhile(closes).await == Some(true) {
                failures = 0;
            }
        }
    }

    /// Whether everything is where the next process finds it.
    fn is_safe(&self) -> bool {
        self.custody.is_on() && self.ended && self.carry.is_empty()
    }

    /// How long to wait for a server that usually may take this long: one that is silent does not
    /// hold up the end of a process whose requests are safe.
    fn patience(&self, limit: Duration) -> Duration {
        if self.closing && self.custody.is_on() { limit.min(CLOSING_PAUSE_MAX) } else { limit }
    }

    /// A server that refuses one batch after the other is not asked as fast as they come.
    async fn pause_after_refusal(&mut self) {
        let doublings = self.refusals.min(16);
        self.refusals += 1;
        if doublings > 0 {
            let pause = self.settings.backoff_min.saturating_mul(1 << (doublings - 1));
            let pause = pause.min(self.settings.backoff_max).min(REFUSED_PAUSE_MAX);
            self.meanwhile(tokio::time::sleep(random::jitter(pause))).await;
        }
    }

    /// Waits for this, but not when there turns out to be nothing left to do. What comes
    /// meanwhile is kept in the spool.
    async fn meanwhile<T>(&mut self, waited_for: impl Future<Output = T>) -> Option<T> {
        let mut waited_for = std::pin::pin!(waited_for);
        loop {
            let append_at = self.append_at;
            tokio::select! {
                done = &mut waited_for => return Some(done),
                chunk = self.chunks.take(), if self.wants_chunk() => self.take(chunk),
                () = sleep_until(append_at), if append_at.is_some() => self.append_at = None,
            }
            while self.custody.is_on() && self.number().await {}
            if self.is_done() {
                return None;
            }
        }
    }

    /// One connection, from beginning to end.
    async fn connect(&mut self) -> Ended {
        let limit = self.patience(self.settings.connect_timeout);
        let target = self.target.clone();
        let channel = match self.meanwhile(target.connect(limit)).await {
            Some(Ok(channel)) => channel,
            Some(Err(status)) => return Ended::Broken { status, healthy: false },
            None => return Ended::Done,
        };
        let ended = self.record(channel.clone()).await;
        match ended {
            Ended::Broken { status, .. } if status.code() == Code::Unimplemented => {
                if self.settings.fallback
                    && !self.opened_once
                    && self.ledger.pending() == 0
                    && !self.custody.is_on()
                {
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
        !self.ended && self.carry.is_empty()
    }

    fn take(&mut self, chunk: Option<Chunk>) {
        match chunk {
            Some(chunk) => {
                self.came += chunk.rows.len() as u64;
                self.carry = chunk;
                self.measure();
            }
            None => self.ended = true,
        }
    }

    fn is_done(&self) -> bool {
        self.ended && self.carry.is_empty() && self.ledger.pending() == 0
    }

    fn settle(&mut self, settled: Settled) {
        if settled.acknowledged > 0 {
            self.refusals = 0;
            self.notices.well();
        }
        if let Some((first, last)) = self.recovered
            && self.ledger.acknowledged() >= last
        {
            self.recovered = None;
            self.notices.recovered(last - first + 1);
        }
        if settled != Settled::default() {
            self.progress.send_modify(|progress| {
                progress.acknowledged += settled.acknowledged;
                progress.rejected += settled.rejected;
                progress.in_doubt += settled.in_doubt;
                progress.dropped += settled.dropped;
                progress.drops_reported += settled.drops_reported;
            });
            measure::settled(&self.settings.name, settled);
            self.measure();
        }
    }

    /// How many rows wait here, or are on their way.
    fn measure(&self) {
        let unsettled = self.came.saturating_sub(self.progress.borrow().settled());
        measure::unsettled(&self.settings.name, unsettled);
    }

    fn set_connection(&self, connection: Connection) {
        self.progress.send_if_modified(|progress| {
            std::mem::replace(&mut progress.connection, connection) != connection
        });
        measure::connection(&self.settings.name, connection);
    }

    fn connected(&mut self, connection: Connection) {
        self.set_connection(connection);
        self.notices.back(connection);
        if self.ledger.pending() == 0 {
            self.notices.well();
        }
    }
}

impl Drop for Driver {
    /// Also when the runtime goes away under it.
    fn drop(&mut self) {
        let (mut settled, mut dropped) = self.ledger.give_up();
        let mut spooled = 0;
        if self.custody.is_on() {
            // The next process goes on with them.
            spooled = std::mem::take(&mut dropped);
            if !self.letting_go {
                spooled += std::mem::take(&mut settled.in_doubt);
            }
        }
        settled.in_doubt += self.adding.len() as u64;
        dropped += self.carry.rows.len() as u64 - self.appending.0;
        match self.appending.1.get() {
            Some(true) => spooled += self.appending.0,
            Some(false) => dropped += self.appending.0,
            // The runtime went away meanwhile.
            None => settled.in_doubt += self.appending.0,
        }
        if let Some(chunk) = self.chunks.close() {
            dropped += chunk.rows.len() as u64;
        }
        settled.dropped += dropped;
        self.settle(settled);
        self.notices.given_up(settled.in_doubt, dropped);
        measure::connection(&self.settings.name, Connection::Closed);
        measure::unsettled(&self.settings.name, 0);
        self.progress.send_modify(|progress| {
            progress.spooled += spooled;
            progress.connection = Connection::Closed;
            progress.finished = true;
        });
    }
}
