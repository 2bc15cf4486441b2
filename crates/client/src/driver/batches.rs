//! The driver's batches: unnumbered, numbered, and in the spool.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tally_proto::wire::BATCH_BYTES_MAX;
use tokio::time::Instant;
use tonic::Status;

use super::Anew;
use super::accounts::Accounts;
use super::record::Reason;
use super::spool_thread::SpoolThread;
use crate::clock::{self, AnyClock};
use crate::error::ConnectError;
use crate::ledger::{Lease, Ledger, Settled};
use crate::producer::Stop;
use crate::random;
use crate::rows::{self, BatchLimits, Requests, Row};
use crate::series::Table;
use crate::settings::Settings;
use crate::spool::Stored;

/// How long to wait before retrying a full spool.
const SPOOL_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Batches {
    /// Taken, but not numbered yet.
    pub(super) carry: Requests,
    pub(super) ledger: Ledger,
    spool: Option<Store>,
    under_way: UnderWay,
    /// How large a batch may be, as far as known.
    pub(super) limits: BatchLimits,
    /// Send one batch at a time up to this one, to find the one that the server refuses.
    pub(super) careful_until: u64,
    /// How many batches stay in memory besides the spool.
    in_memory_max: usize,
    pub(super) table: Arc<Table>,
    pub(super) clock: AnyClock,
}

/// The spool, which stores each batch before it is sent.
struct Store {
    thread: SpoolThread,
    lease: Option<Lease>,
    /// When to retry the spool after it was full.
    append_at: Option<Instant>,
    /// The last of the batches that an earlier process left, and their number, until settled.
    left: Option<(u64, u64)>,
}

/// Requests whose fate is undecided while this runs.
enum UnderWay {
    Nothing,
    /// Writing the first of `carry` to the spool; the outcome says whether they are there.
    Appending(u64, Arc<OnceLock<bool>>),
    /// Removing sent batches from the spool.
    LettingGo,
    /// Sending the first of `carry` by `Add`.
    Adding(u64),
}

// === impl Batches ===

impl Batches {
    pub(super) async fn open(settings: &Settings, table: Arc<Table>) -> Result<Self, ConnectError> {
        let clock = settings.clock.clone();
        let id = settings.take_over.unwrap_or_else(|| random::producer_id(clock.micros()));
        let mut ledger = Ledger::new(id, settings.short_name());
        ledger.takes_over = settings.take_over.is_some();
        let mut spool = None;
        if let Some((dir, options)) = settings.spool.clone() {
            let (thread, recovered) = SpoolThread::open(dir.clone(), options, id).await?;
            for finding in &recovered.findings {
                tracing::error!(finding = %finding, "the spool was damaged");
            }
            ledger.go_on(&recovered);
            let batches = ledger.pending() as u64;
            if batches > 0 {
                tracing::info!(
                    producer = settings.name,
                    folder = %dir.display(),
                    batches,
                    "continuing with the batches that an earlier process left in the spool"
                );
            }
            let left = (batches > 0).then_some((recovered.next_sequence - 1, batches));
            spool = Some(Store { thread, lease: None, append_at: None, left });
        }
        let limits = BatchLimits {
            rows: settings.batch_rows_max,
            bytes: BATCH_BYTES_MAX as usize,
            series: settings.series_max.max(1),
        };
        Ok(Self {
            carry: Requests::default(),
            ledger,
            spool,
            under_way: UnderWay::Nothing,
            limits,
            careful_until: 0,
            in_memory_max: settings.batches_in_flight_max,
            table,
            clock,
        })
    }

    pub(super) fn has_spool(&self) -> bool {
        self.spool.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.carry.is_empty() && self.ledger.pending() == 0
    }

    pub(super) fn append_at(&self) -> Option<Instant> {
        self.spool.as_ref()?.append_at
    }

    /// Stores what was taken in the spool, if there is one.
    pub(super) async fn store(&mut self, accounts: &mut Accounts) {
        while self.has_spool() && self.number(accounts).await {}
    }

    /// Numbers a batch of what was taken, and stores it in the spool. False: nothing, or no room.
    pub(super) async fn number(&mut self, accounts: &mut Accounts) -> bool {
        if self.carry.is_empty() || self.append_at().is_some_and(|at| at > Instant::now()) {
            return false;
        }
        let drops = self.carry.drops.clone().take_some();
        let rows = &self.carry.rows;
        let fitting = match &*self.carry.checkpoint {
            [] => rows::fitting(rows, &drops, self.limits, &self.table).min(rows.len()),
            // Otherwise a crash could come between the first rows and the checkpoint.
            _ => rows.len(),
        };
        let count = rows::total(&rows[..fitting]);
        if let Some(spool) = &mut self.spool {
            spool.append_at = None;
            let outcome = Arc::new(OnceLock::new());
            self.under_way = UnderWay::Appending(count, Arc::clone(&outcome));
            let requests = count + drops.total();
            let payload = rows::payload(&rows[..fitting], &drops, &self.table);
            let sequence = self.ledger.next_sequence();
            let appended = spool.thread.append(sequence, requests, payload, outcome).await;
            self.under_way = UnderWay::Nothing;
            if let Err(error) = appended {
                accounts.notices.spool(&error);
                spool.append_at = Some(Instant::now() + SPOOL_PAUSE);
                return false;
            }
        }
        self.carry.drops.take_some();
        let rest = self.carry.rows.split_off(fitting);
        let rows = std::mem::replace(&mut self.carry.rows, rest);
        let checkpoint = std::mem::take(&mut self.carry.checkpoint);
        // Batches that are sent later stay in the spool only.
        let stays = !self.has_spool() || self.ledger.pending() < self.in_memory_max;
        self.ledger.push(count, stays.then_some(Requests { rows, drops, checkpoint }));
        true
    }

    /// Reads a batch from the spool. None: it is in the ledger.
    pub(super) async fn load(
        &mut self,
        sequence: u64,
        accounts: &mut Accounts,
    ) -> Result<Option<Requests>, Status> {
        let Some(Store { thread, .. }) = &self.spool else { return Ok(None) };
        if self.ledger.batch(sequence).is_none_or(|batch| batch.requests.is_some()) {
            return Ok(None);
        }
        let stored = thread.call(move |spool| spool.read(sequence)).await;
        let count = match stored.map_err(|error| accounts.notices.spool(&error))? {
            Stored::Batch { rows, payload, .. } => match Requests::decode(&payload, &self.table) {
                Some(requests) => return Ok(Some(requests)),
                None => rows,
            },
            // Each batch of a hole has a number, so it must report something.
            Stored::Missing(missing) if sequence > missing.first => 1,
            Stored::Missing(missing) => missing.rows.saturating_sub(missing.last - missing.first),
        };
        tracing::error!(sequence, count, "a batch in the spool is damaged: reported as dropped");
        let today = clock::day(self.clock.micros());
        let requests = Requests::dropped(today, count.max(1));
        let settled = self.ledger.load(sequence, requests, true);
        self.settle(settled, accounts);
        Ok(None)
    }

    /// Stores a changed lease.
    pub(super) async fn store_lease(&mut self, accounts: &mut Accounts) -> Result<(), Status> {
        let Some(spool) = &mut self.spool else { return Ok(()) };
        let lease = self.ledger.lease.clone();
        if spool.lease.as_ref() != Some(&lease) {
            let Lease { epoch, claims } = lease.clone();
            let stored = spool.thread.call(move |spool| spool.set_lease(epoch, &claims)).await;
            stored.map_err(|error| accounts.notices.spool(&error))?;
            spool.lease = Some(lease);
        }
        Ok(())
    }

    pub(super) fn heard(&mut self) {
        let at = self.ledger.heard(self.clock.micros());
        if let Some(spool) = &self.spool {
            spool.thread.acknowledge(self.ledger.acknowledged(), at);
        }
    }

    pub(super) fn settle(&mut self, settled: Settled, accounts: &mut Accounts) {
        accounts.settle(settled);
        let left = self.spool.as_mut().map(|spool| &mut spool.left);
        if let Some(left) = left
            && let Some((_, batches)) = left.take_if(|left| self.ledger.acknowledged() >= left.0)
        {
            accounts.notices.recovered(batches);
        }
    }

    /// The server refuses the first pending batch. False: send it again, unchanged.
    pub(super) async fn set_aside(
        &mut self,
        status: &Status,
        reason: Reason,
        accounts: &mut Accounts,
    ) -> Result<bool, Anew> {
        let sequence = self.ledger.acknowledged() + 1;
        match self.load(sequence, accounts).await {
            Ok(Some(requests)) => {
                self.ledger.load(sequence, requests, false);
            }
            Ok(None) => {}
            Err(_) => return Ok(false),
        }
        // A time ahead of this machine's clock too is wrong: later batches do not wait for it. If
        // only the server's clock is behind, nothing is lost until a person sets one of them.
        let latest = match reason {
            Reason::TimeAhead => self.clock.latest_micros(),
            _ => i64::MIN,
        };
        if reason == Reason::TimeAhead && !self.ledger.has_later(latest)
            || reason == Reason::Limit && !self.is_large(sequence)
        {
            return Ok(false);
        }
        let settled = self.ledger.set_aside(latest).ok_or_else(|| Anew {
            why: "the server refuses a batch that only reports drops".to_owned(),
            stop: Stop::Refused,
            lost: false,
            missing: 0,
        })?;
        accounts.notices.rejected(sequence, settled.rejected, status);
        self.settle(settled, accounts);
        Ok(true)
    }

    /// Whether a batch exceeds this server's limits because the server before had larger ones.
    fn is_large(&self, sequence: u64) -> bool {
        let requests = self.ledger.batch(sequence).and_then(|batch| batch.requests.as_ref());
        requests.is_some_and(|Requests { rows, drops, .. }| {
            rows::fitting(rows, drops, self.limits, &self.table) < rows.len()
        })
    }

    /// Goes on as a new producer because this one's batches can no longer be told apart.
    pub(super) async fn begin_anew(&mut self, anew: Anew, accounts: &mut Accounts) {
        let Anew { why, lost, missing, .. } = anew;
        let now = self.clock.micros();
        let id = random::producer_id(now);
        let keep_after = if lost { self.ledger.acknowledged() } else { self.ledger.doubtful() };
        let mut let_go = 0;
        if let Some(spool) = &mut self.spool {
            if !lost {
                self.under_way = UnderWay::LettingGo;
            }
            let table = Arc::clone(&self.table);
            let as_dropped = move |count| {
                let Requests { rows, drops, .. } = Requests::dropped(clock::day(now), count);
                rows::payload(&rows, &drops, &table)
            };
            let taken_over = spool.thread.begin_anew(id, keep_after, as_dropped).await;
            self.under_way = UnderWay::Nothing;
            match taken_over {
                Ok(taken_over) => {
                    (spool.lease, spool.left) = (None, None);
                    let_go = taken_over.let_go;
                    accounts.settle(self.ledger.keep_only(keep_after, &taken_over.batches));
                }
                // The server will refuse the old producer again, which retries this.
                Err(error) => {
                    accounts.notices.spool(&error);
                    return;
                }
            }
        }
        self.careful_until = 0;
        accounts.lost(missing);
        let mut settled = Settled::default();
        if lost {
            self.ledger.number_anew(id);
        } else {
            settled = self.ledger.begin_anew(id);
        }
        // This process's sums do not include an earlier one's batches.
        accounts.notices.new_producer(&why, lost, settled.in_doubt.max(let_go), missing);
        accounts.settle(settled);
    }

    /// The first requests to send by `Add`, at most this many: the last row may have more of them.
    pub(super) fn adding(&mut self, requests_max: u64) -> Vec<Row> {
        let mut room = requests_max;
        let row = |row: &Row| {
            let requests = row.requests.min(u32::try_from(room).unwrap_or(u32::MAX));
            room -= u64::from(requests);
            (requests > 0).then_some(Row { requests, ..*row })
        };
        let rows: Vec<_> = self.carry.rows.iter().map_while(row).collect();
        self.under_way = UnderWay::Adding(rows::total(&rows));
        rows
    }

    /// This many of them are settled, from the first; the others are still to be sent.
    pub(super) fn added(&mut self, mut requests: u64) {
        self.under_way = UnderWay::Nothing;
        let mut rows = 0;
        for row in &mut self.carry.rows {
            let settled = row.requests.min(u32::try_from(requests).unwrap_or(u32::MAX));
            requests -= u64::from(settled);
            row.requests -= settled;
            if row.requests > 0 {
                break;
            }
            rows += 1;
        }
        self.carry.rows.drain(..rows);
    }

    /// The rows that are certainly not counted, in order. They stay what they are here.
    pub(super) fn unsent(&self) -> Vec<Row> {
        let mut unsent = self.ledger.unsent();
        unsent.extend(&self.carry.rows);
        unsent
    }

    /// Gives everything up, and returns its outcome.
    pub(super) fn give_up(&mut self) -> Settled {
        let (in_doubt, unsent) = self.ledger.give_up();
        let mut left = Settled::default();
        // The next process finds what is in the spool, unless it is just being removed.
        let stays = self.has_spool() && !matches!(self.under_way, UnderWay::LettingGo);
        *if stays { &mut left.spooled } else { &mut left.in_doubt } += in_doubt;
        *if self.has_spool() { &mut left.spooled } else { &mut left.dropped } += unsent;
        let (count, end) = match &self.under_way {
            UnderWay::Nothing | UnderWay::LettingGo => (0, &mut left.dropped),
            UnderWay::Adding(count) => (*count, &mut left.in_doubt),
            UnderWay::Appending(count, outcome) => {
                let end = match outcome.get() {
                    Some(true) => &mut left.spooled,
                    Some(false) => &mut left.dropped,
                    // The runtime shut down meanwhile.
                    None => &mut left.in_doubt,
                };
                (*count, end)
            }
        };
        *end += count;
        left.dropped += rows::total(&self.carry.rows) - count;
        left
    }

    pub(super) async fn close(&mut self) {
        if let Some(spool) = &mut self.spool {
            spool.thread.close().await;
        }
    }
}
