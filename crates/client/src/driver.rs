//! The task that sends: takes requests from a source and keeps one stream open.

mod accounts;
mod add;
mod batches;
mod handle;
mod link;
mod notices;
mod record;
mod spool_thread;

use std::convert::Infallible;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::error::ConnectError;
use crate::ledger::Breach;
use crate::producer::{Opened, Stop};
use crate::progress::Connection;
use crate::random;
use crate::rows::{self, Requests, Row};
use crate::series::Table;
use crate::settings::Settings;
use crate::transport::Target;
use accounts::Accounts;
use batches::Batches;
pub(crate) use handle::DriverHandle;
use link::Link;
use record::{Reason, Stream};

/// How long to ask the server at the end about unacknowledged batches.
const CONCLUDE_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) trait Source: Send + 'static {
    /// Waits for the next requests; None at the end. Dropping the future loses nothing.
    fn take(&mut self) -> impl Future<Output = Option<Requests>> + Send;

    /// The server keeps times only this exactly: a source may merge requests by it.
    fn set_resolution(&mut self, _resolution_us: u64) {}

    /// Takes no more and drops what waits. Returns how many requests the source does not report.
    fn close(&mut self) -> u64;

    /// Reports what the source has done while the driver works.
    fn report(&self) -> impl Future<Output = Infallible> + Send + 'static {
        std::future::pending()
    }
}

struct Driver<S: Source> {
    source: S,
    /// Nothing more will come from the source.
    ended: bool,
    link: Link,
    batches: Batches,
    accounts: Accounts,
    /// No process will go on with a producer that was taken over.
    done: Arc<AtomicBool>,
    /// What the first answer said, and the limits of the latest.
    opened: watch::Sender<Option<Opened>>,
    /// Rows that are left when the producer stops.
    unsent: Arc<Mutex<Vec<Row>>>,
}

enum Ended {
    /// Nothing is left to do.
    Done,
    /// Open again at once.
    Reopen,
    /// Open again after a pause.
    Broken {
        status: Status,
        /// The connection worked before.
        healthy: bool,
    },
    /// Go on as a new producer, after a pause.
    Anew(Anew),
    /// The server refuses the first batch that is not acknowledged.
    Refused { status: Status, reason: Reason },
}

/// Why this producer cannot go on.
struct Anew {
    why: String,
    /// What this is to a producer that does not go on as a new one.
    stop: Stop,
    /// The server's database went back in time and has none of the pending batches.
    lost: bool,
    /// How many acknowledged batches are missing there.
    missing: u64,
}

/// Starts the driver with the source that `connect` makes, and returns the handle from `connect`.
pub(crate) async fn start<S: Source, H>(
    settings: Settings,
    connect: impl FnOnce(DriverHandle, Arc<Table>) -> (S, H),
) -> Result<H, ConnectError> {
    let target = Target::new(&settings.address)?;
    let runtime = tokio::runtime::Handle::try_current().map_err(|_| ConnectError::NoRuntime)?;
    let table = Arc::new(Table::new(settings.series_max));
    let batches = Batches::open(&settings, Arc::clone(&table)).await?;
    let (done, unsent) = (Arc::default(), Arc::default());
    let (opened, opens) = watch::channel(None);
    let (accounts, progress, trouble) = Accounts::new(&settings);
    let (deadline, deadlines) = watch::channel(None);
    let handle = DriverHandle {
        progress,
        trouble,
        deadline,
        done: Arc::clone(&done),
        opened: opens,
        unsent: Arc::clone(&unsent),
    };
    let (source, kept) = connect(handle, table);
    let link = Link::new(target, settings);
    let ended = false;
    let driver = Driver { source, ended, link, batches, accounts, done, opened, unsent };
    runtime.spawn(driver.run(deadlines));
    Ok(kept)
}

// === impl Driver ===

impl<S: Source> Driver<S> {
    /// Sends until everything is settled and the source ends, or the deadline passes.
    async fn run(mut self, mut deadline: watch::Receiver<Option<Instant>>) {
        let closing = deadline.clone();
        let reports = self.source.report();
        tokio::select! {
            () = self.work(closing) => {}
            () = expired(&mut deadline) => {}
            never = reports => match never {},
        }
        self.conclude().await;
        self.batches.close().await;
    }

    async fn work(&mut self, mut closing: watch::Receiver<Option<Instant>>) {
        while !self.is_done() {
            self.link.closing = closing.borrow_and_update().is_some();
            let ended = self.connect().await;
            self.accounts.connection(Connection::Away);
            let failed = match ended {
                Ended::Done => return,
                Ended::Reopen => continue,
                Ended::Refused { status, reason } => {
                    match self.batches.set_aside(&status, reason, &mut self.accounts).await {
                        Ok(true) => {
                            if let Some(pause) = self.link.refused_pause(&mut self.accounts) {
                                tracing::debug!(
                                    ?pause,
                                    "another batch was refused: the next waits"
                                );
                                self.meanwhile(tokio::time::sleep(pause)).await;
                            }
                            continue;
                        }
                        Ok(false) => {}
                        Err(anew) if self.batches.ledger.takes_over => return self.stop(&anew),
                        Err(anew) => self.batches.begin_anew(anew, &mut self.accounts).await,
                    }
                    self.accounts.notices.away(&status);
                    true
                }
                Ended::Anew(anew) if self.batches.ledger.takes_over => return self.stop(&anew),
                Ended::Anew(anew) => {
                    self.batches.begin_anew(anew, &mut self.accounts).await;
                    false
                }
                Ended::Broken { status, healthy } => {
                    if healthy {
                        self.link.failures = 0;
                    }
                    self.accounts.notices.away(&status);
                    !healthy
                }
            };
            // The next process finds everything in the spool.
            let is_safe = self.batches.has_spool() && self.ended && self.batches.carry.is_empty();
            if failed && self.link.closing && is_safe {
                return;
            }
            let pause = self.link.pause();
            let changes = tokio::time::timeout(pause, changes(&mut closing));
            if let Some(Ok(())) = self.meanwhile(changes).await {
                // The client is closing: retry at once.
                self.link.failures = 0;
            }
        }
    }

    /// Does not go on as a new producer: only what reads the checkpoint knows what is counted.
    fn stop(&mut self, anew: &Anew) {
        let unsent = self.batches.unsent();
        self.accounts.stopped(anew.stop, if anew.lost { anew.missing } else { 0 });
        self.accounts.notices.stopped(&anew.why, rows::total(&unsent));
        *self.unsent.lock().unwrap_or_else(PoisonError::into_inner) = unsent;
    }

    /// Waits for a future unless everything is done. Meanwhile, requests go to the spool.
    async fn meanwhile<T>(&mut self, waited_for: impl Future<Output = T>) -> Option<T> {
        let mut waited_for = std::pin::pin!(waited_for);
        loop {
            let append_at = self.batches.append_at();
            tokio::select! {
                done = &mut waited_for => return Some(done),
                taken = self.source.take(), if self.wants_more() => self.take(taken),
                () = sleep_until(append_at), if append_at.is_some() => {}
            }
            self.batches.store(&mut self.accounts).await;
            if self.is_done() {
                return None;
            }
        }
    }

    async fn connect(&mut self) -> Ended {
        let limit = self.link.patience(self.link.settings.connect_timeout, &self.batches);
        let target = self.link.target.clone();
        let channel = match self.meanwhile(target.connect(limit)).await {
            Some(Ok(channel)) => channel,
            Some(Err(status)) => return Ended::Broken { status, healthy: false },
            None => return Ended::Done,
        };
        let ended = match Stream::open(self, channel.clone()).await {
            Ok(stream) => stream.run(self).await,
            Err(ended) => ended,
        };
        match ended {
            Ended::Broken { status, .. } if status.code() == Code::Unimplemented => {
                // The server may speak only `count.v1`.
                let is_new = !self.link.opened_once && self.batches.ledger.pending() == 0;
                // Neither a spool nor a checkpoint is exact without numbers.
                let is_exact = self.batches.has_spool() || self.batches.ledger.takes_over;
                if self.link.settings.fallback && is_new && !is_exact {
                    return add::run(self, channel).await;
                }
                Ended::Broken { status, healthy: false }
            }
            ended => ended,
        }
    }

    /// Takes only what can be numbered at once: until then, a request can still be dropped.
    fn wants_more(&self) -> bool {
        !self.ended && self.batches.carry.is_empty()
    }

    fn take(&mut self, taken: Option<Requests>) {
        match taken {
            Some(requests) => {
                self.accounts.took(rows::total(&requests.rows));
                self.batches.carry = requests;
            }
            None => self.ended = true,
        }
    }

    fn is_done(&self) -> bool {
        self.ended && self.batches.is_empty()
    }

    fn connected(&mut self, connection: Connection) {
        self.accounts.connection(connection);
        self.accounts.notices.back(connection);
        if self.batches.ledger.pending() == 0 {
            self.accounts.notices.note(None);
        }
    }

    /// Asks the server which of the sent batches are committed. Opening with another claim makes
    /// the server refuse batches of the previous one that are still on their way.
    async fn conclude(&mut self) {
        if self.batches.has_spool()
            || self.accounts.is_stopped()
            || self.batches.ledger.doubtful() == self.batches.ledger.acknowledged()
        {
            return;
        }
        let asked = async {
            let Ok(channel) = self.link.target.connect(CONCLUDE_TIMEOUT).await else { return };
            self.batches.ledger.lease.claims.push(random::claim());
            if Stream::open(self, channel).await.is_ok() {
                self.batches.ledger.nothing_in_doubt();
            }
        };
        let _ = tokio::time::timeout(CONCLUDE_TIMEOUT, asked).await;
    }
}

impl<S: Source> Drop for Driver<S> {
    /// The task ends here, even if its runtime shuts down first.
    fn drop(&mut self) {
        let mut left = self.batches.give_up();
        left.dropped += self.source.close();
        self.accounts.close(left);
    }
}

// === impl Ended ===

impl From<Breach> for Ended {
    fn from(breach: Breach) -> Self {
        let (stop, lost, missing) = match breach {
            Breach::Foreign { .. } => (Stop::InUse, false, 0),
            Breach::Lost { committed, acknowledged } => {
                (Stop::WentBack, true, acknowledged - committed)
            }
        };
        Self::Anew(Anew { why: breach.to_string(), stop, lost, missing })
    }
}

/// Waits until the deadline is set or changed.
async fn changes(deadline: &mut watch::Receiver<Option<Instant>>) {
    // The handle that could set one may be dropped.
    if deadline.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits until a deadline passes.
async fn expired(deadline: &mut watch::Receiver<Option<Instant>>) {
    loop {
        let at = *deadline.borrow_and_update();
        tokio::select! {
            () = sleep_until(at) => return,
            changed = deadline.changed() => if changed.is_err() {
                // No handle can change it any more.
                return sleep_until(at).await;
            },
        }
    }
}

/// Waits until this time, or for ever without one.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
