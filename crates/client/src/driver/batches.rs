//! Numbering, setting aside, beginning anew, and asking at the end: what happens to batches besides
//! being sent.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use super::record::Verdict;
use super::{Driver, Ended, SPOOL_PAUSE};
use crate::ledger::Breach;
use crate::{random, rows};

/// How long a server is asked at the end what became of the batches that it has not acknowledged.
const CONCLUDE_TIMEOUT: Duration = Duration::from_secs(1);

// === impl Driver ===

impl Driver {
    /// Numbers a part of what came, and keeps it in the spool. False: there is nothing, or no
    /// room.
    pub(super) async fn number(&mut self) -> bool {
        let drops = self.carry.drops.clone().take_some();
        if (self.carry.rows.is_empty() && drops.is_empty()) || self.append_at.is_some() {
            return false;
        }
        let fitting = rows::fitting(&self.carry.rows, &drops, self.limits, &self.endpoints);
        let fitting = fitting.min(self.carry.rows.len());
        let kept = self.custody.is_on();
        if kept {
            let outcome = Arc::new(OnceLock::new());
            self.appending = (fitting as u64, Arc::clone(&outcome));
            let rows = &self.carry.rows[..fitting];
            let sequence = self.ledger.next_sequence();
            let appended =
                self.custody.append(sequence, rows, &drops, &self.endpoints, outcome).await;
            self.appending = Default::default();
            if let Err(error) = appended {
                self.notices.spool(&error);
                self.append_at = Some(Instant::now() + SPOOL_PAUSE);
                return false;
            }
        }
        self.carry.drops.take_some();
        let rest = self.carry.rows.split_off(fitting);
        let rows = std::mem::replace(&mut self.carry.rows, rest);
        // What cannot be sent soon need not stay in memory.
        let stays = !kept || self.ledger.pending() < self.settings.batches_in_flight_max;
        self.ledger.push(rows, drops, stays);
        true
    }

    /// The server refuses the first batch that is not acknowledged. False: nothing has changed,
    /// and it is to be sent again.
    pub(super) async fn set_aside(&mut self, status: &Status, verdict: Verdict) -> bool {
        let sequence = self.ledger.acknowledged() + 1;
        if self.ledger.batch(sequence).is_some_and(|batch| batch.stored) {
            let now = self.settings.clock.micros();
            match self.custody.read(sequence, &self.endpoints, now).await {
                Ok(content) => {
                    let settled = self.ledger.load(sequence, content);
                    self.settle(settled);
                }
                Err(error) => {
                    self.notices.spool(&error);
                    return false;
                }
            }
        }
        if verdict == Verdict::Limit && !self.is_large(sequence) {
            return false;
        }
        // A time that is ahead by this machine's clock too was not told by a clock that is right:
        // those behind it do not wait for that day. Otherwise the clocks disagree, and until a
        // person has set one of them, nothing is lost.
        let latest = match verdict {
            Verdict::TimeAhead => self.settings.clock.latest_micros(),
            _ => i64::MIN,
        };
        if verdict == Verdict::TimeAhead && !self.ledger.has_later(latest) {
            return false;
        }
        match self.ledger.set_aside(latest) {
            Some(settled) => {
                self.notices.rejected(sequence, settled.rejected, status);
                self.settle(settled);
            }
            None => {
                let why = "the server refuses a batch that only tells of drops";
                self.begin_anew(why, false, 0).await;
                return false;
            }
        }
        true
    }

    /// Whether a batch is larger than the server allows, as when one with larger limits was
    /// there before.
    fn is_large(&self, sequence: u64) -> bool {
        self.ledger.batch(sequence).is_some_and(|batch| {
            rows::fitting(&batch.rows, &batch.drops, self.limits, &self.endpoints)
                < batch.rows.len()
        })
    }

    /// Goes on as a new producer, since this one's batches can no longer be told apart.
    pub(super) async fn begin_anew(&mut self, why: &str, lost: bool, missing: u64) {
        let id = random::producer_id(self.settings.clock.micros());
        let keep_after = if lost { self.ledger.acknowledged() } else { self.ledger.doubtful() };
        let mut let_go = 0;
        if self.custody.is_on() {
            let now = self.settings.clock.micros();
            self.letting_go = !lost;
            let kept = self.custody.begin_anew(id, keep_after, now).await;
            self.letting_go = false;
            match kept {
                Ok(kept) => {
                    let settled = self.ledger.keep_only(keep_after, &kept.batches);
                    self.settle(settled);
                    let_go = kept.let_go;
                }
                // The server refuses the old one again, and this is tried again.
                Err(error) => return self.notices.spool(&error),
            }
        }
        self.kept = None;
        self.careful_until = 0;
        self.recovered = None;
        if missing > 0 {
            self.progress.send_modify(|progress| progress.batches_lost += missing);
        }
        if lost {
            self.notices.database_lost(why, missing);
            self.ledger.number_anew(id);
        } else {
            let settled = self.ledger.begin_anew(id);
            // Those that an earlier process has left are in none of this one's sums.
            self.notices.new_producer(why, settled.in_doubt.max(let_go), missing);
            self.settle(settled);
        }
    }

    /// Asks the server which of the batches that were sent are committed. It opens the producer with
    /// another claim: whatever is still on its way with the one before is refused from then on.
    pub(super) async fn conclude(&mut self) {
        if self.custody.is_on() || self.ledger.doubtful() == self.ledger.acknowledged() {
            return;
        }
        let asked = async {
            let Ok(channel) = self.target.connect(CONCLUDE_TIMEOUT).await else { return };
            self.ledger.claims.push(random::claim());
            if self.open(channel).await.is_ok() {
                self.ledger.nothing_in_doubt();
            }
        };
        let _ = tokio::time::timeout(CONCLUDE_TIMEOUT, asked).await;
    }

    /// What a breach means.
    pub(super) fn breach(breach: Breach) -> Ended {
        match breach {
            Breach::Foreign { committed, sent } => Ended::Anew {
                why: format!(
                    "the server has batches up to {committed}, and only {sent} were sent: \
                     another client uses this producer's id"
                ),
                lost: false,
                missing: 0,
            },
            Breach::Lost { committed, acknowledged } => Ended::Anew {
                why: format!(
                    "the server's database has batches up to {committed}, and had acknowledged \
                     those up to {acknowledged}"
                ),
                lost: true,
                missing: acknowledged - committed,
            },
        }
    }
}
