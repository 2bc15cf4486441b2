//! What a producer has numbered and its outcome: the client's rules of the protocol, without I/O.

use std::collections::VecDeque;

use tally_proto::tally::producers::v1 as producers;
use tally_proto::wire::{CLAIMS_MAX, timestamp};

use crate::random::{self, ProducerId};
use crate::rows::{self, Requests, Row};
use crate::spool::Recovered;

/// How long a server remembers a silent producer at least: a day, in microseconds.
const RETENTION_MIN_US: i64 = 24 * 60 * 60 * 1_000_000;

#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) id: ProducerId,
    pub(crate) lease: Lease,
    /// Whether this process takes the producer over from the one that has it.
    pub(crate) takes_over: bool,
    name: String,
    /// Every batch up to this one is committed.
    acknowledged: u64,
    /// When that was heard, in microseconds since 1970-01-01 UTC.
    acknowledged_at: Option<i64>,
    /// The batches after that one, in order.
    pending: VecDeque<Batch>,
    /// The last batch that was ever sent under this id.
    sent: u64,
    /// The last batch that may be committed unacknowledged, and the same of earlier streams.
    doubtful: u64,
    doubtful_before: u64,
}

/// How the server recognizes a producer's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) epoch: u64,
    /// The last one is this process's own.
    pub(crate) claims: Vec<u64>,
}

/// A numbered batch. It keeps its number, and its content unless the server refuses it.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// How many requests of this process it has.
    count: u64,
    /// None: the spool has it.
    pub(crate) requests: Option<Requests>,
    /// The server refused all rows; the drops report them.
    set_aside: bool,
}

/// Requests that have come to an end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) acknowledged: u64,
    pub(crate) rejected: u64,
    pub(crate) in_doubt: u64,
    pub(crate) dropped: u64,
    /// Left to the next process.
    pub(crate) spooled: u64,
    pub(crate) drops_reported: u64,
}

/// The server's answer contradicts what this client did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Breach {
    #[error(
        "the server has batches up to {committed}, and only {sent} were sent: another client uses \
         this producer's id"
    )]
    Foreign { committed: u64, sent: u64 },
    /// The server lost batches that it had acknowledged.
    #[error(
        "the server's database has batches up to {committed}, and had acknowledged those up to \
         {acknowledged}"
    )]
    Lost { committed: u64, acknowledged: u64 },
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn new(id: ProducerId, name: String) -> Self {
        Self {
            id,
            lease: Lease::new(),
            takes_over: false,
            name,
            acknowledged: 0,
            acknowledged_at: None,
            pending: VecDeque::new(),
            sent: 0,
            doubtful: 0,
            doubtful_before: 0,
        }
    }

    pub(crate) fn open(&self) -> producers::Open {
        producers::Open {
            producer_id: self.id.to_vec(),
            epoch: self.lease.epoch,
            claims: self.lease.claims.clone(),
            name: self.name.clone(),
            acknowledged_sequence: Some(self.acknowledged),
            acknowledged_at: self.acknowledged_at.map(timestamp),
            take_over: self.takes_over,
        }
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        self.acknowledged + self.pending.len() as u64 + 1
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Takes over the producer that an earlier process left in a spool.
    pub(crate) fn go_on(&mut self, left: &Recovered) {
        self.id = left.producer_id;
        // This leaves room for this process's own claim.
        let from = left.claims.len().saturating_sub(CLAIMS_MAX - 1);
        self.lease.claims.splice(..0, left.claims[from..].iter().copied());
        self.lease.epoch = left.epoch;
        (self.acknowledged, self.acknowledged_at) = (left.acknowledged, left.acknowledged_at);
        for _ in left.acknowledged + 1..left.next_sequence {
            self.pending.push_back(Batch { count: 0, requests: None, set_aside: false });
        }
        // That process may have sent all of them.
        self.sent = left.next_sequence - 1;
        self.doubtful = self.sent;
    }

    /// Numbers a batch of new requests, which are in memory or in the spool.
    pub(crate) fn push(&mut self, count: u64, requests: Option<Requests>) -> u64 {
        self.pending.push_back(Batch { count, requests, set_aside: false });
        self.next_sequence() - 1
    }

    /// Keeps a batch read from the spool in memory. The requests of a damaged one are lost.
    pub(crate) fn load(&mut self, sequence: u64, requests: Requests, damaged: bool) -> Settled {
        let mut settled = Settled::default();
        if let Some(batch) = self.at(sequence).and_then(|at| self.pending.get_mut(at)) {
            batch.requests = Some(requests);
            if damaged {
                settled.dropped = std::mem::take(&mut batch.count);
            }
        }
        settled
    }

    /// The spool has only these batches after `after`; damaged ones only report their loss.
    pub(crate) fn keep_only(&mut self, after: u64, kept: &[(u64, bool)]) -> Settled {
        let mut settled = Settled::default();
        let mut sequence = self.acknowledged;
        self.pending.retain_mut(|batch| {
            sequence += 1;
            if sequence <= after {
                return true;
            }
            let at = kept.binary_search_by_key(&sequence, |(sequence, _)| *sequence);
            let damaged = at.map(|at| kept[at].1);
            if damaged != Ok(false) {
                settled.dropped += std::mem::take(&mut batch.count);
                batch.requests = None;
            }
            damaged.is_ok()
        });
        settled
    }

    /// The last batch that may be committed.
    pub(crate) fn doubtful(&self) -> u64 {
        self.doubtful.max(self.acknowledged)
    }

    pub(crate) fn begin_stream(&mut self) {
        self.doubtful_before = self.doubtful;
    }

    /// The server ended the stream: it will commit no batch of this stream after `committed`.
    pub(crate) fn concluded(&mut self, committed: u64) -> Result<Settled, Breach> {
        let settled = self.committed(committed)?;
        self.doubtful = self.doubtful_before;
        Ok(settled)
    }

    /// Notes when the server said what it has.
    pub(crate) fn heard(&mut self, now_micros: i64) -> Option<i64> {
        self.acknowledged_at = (self.acknowledged > 0).then_some(now_micros);
        self.acknowledged_at
    }

    /// How many acknowledged batches are missing from a server that does not know this producer:
    /// none after a silence that lets servers forget it.
    pub(crate) fn missing_if_forgotten(&self, now_micros: i64) -> u64 {
        let heard = self.acknowledged_at.is_some_and(|at| now_micros - at < RETENTION_MIN_US);
        if heard { self.acknowledged } else { 0 }
    }

    /// Only acknowledged batches are committed, and no sent one will be.
    pub(crate) fn nothing_in_doubt(&mut self) {
        self.doubtful = self.acknowledged;
    }

    pub(crate) fn batch(&self, sequence: u64) -> Option<&Batch> {
        self.pending.get(self.at(sequence)?)
    }

    fn at(&self, sequence: u64) -> Option<usize> {
        usize::try_from(sequence.checked_sub(self.acknowledged + 1)?).ok()
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn sending(&mut self, sequence: u64) {
        self.sent = self.sent.max(sequence);
        self.doubtful = self.doubtful.max(sequence);
    }

    pub(crate) fn opened(&mut self, epoch: u64, committed: u64) -> Result<Settled, Breach> {
        if self.takes_over && self.lease.epoch == 0 {
            // These are the batches of the processes before this one, which has numbered none.
            (self.acknowledged, self.sent) = (committed, committed);
        }
        if committed < self.acknowledged {
            return Err(Breach::Lost { committed, acknowledged: self.acknowledged });
        }
        let settled = self.committed(committed)?;
        self.lease.epoch = epoch;
        self.lease.claims.drain(..self.lease.claims.len() - 1);
        Ok(settled)
    }

    /// The server has committed every batch up to this one.
    pub(crate) fn committed(&mut self, committed: u64) -> Result<Settled, Breach> {
        if committed > self.sent.max(self.acknowledged) {
            return Err(Breach::Foreign { committed, sent: self.sent });
        }
        let mut settled = Settled::default();
        while self.acknowledged < committed {
            let batch = self.pending.pop_front().expect("what was sent is kept");
            self.acknowledged += 1;
            settled.acknowledged += batch.count;
            let drops = batch.requests.map(|requests| requests.drops.total());
            settled.drops_reported += drops.unwrap_or(0);
        }
        Ok(settled)
    }

    /// Whether the first pending batch has requests later than this.
    pub(crate) fn has_later(&self, micros: i64) -> bool {
        let first = self.pending.front().and_then(|batch| batch.requests.as_ref());
        first.is_some_and(|it| it.rows.iter().any(|row| row.time_us > micros))
    }

    /// The server refuses the first pending batch. It keeps its number and reports the requests
    /// later than `micros` as dropped. None: there is no batch, or it has no requests left.
    pub(crate) fn set_aside(&mut self, micros: i64) -> Option<Settled> {
        let batch = self.pending.front_mut().filter(|batch| !batch.set_aside)?;
        let requests = batch.requests.as_mut()?;
        let (aside, kept): (Vec<_>, _) =
            std::mem::take(&mut requests.rows).into_iter().partition(|row| row.time_us > micros);
        requests.drops.add_rows(&aside);
        requests.drops.bound();
        batch.set_aside = kept.is_empty();
        requests.rows = kept;
        let rejected = batch.count.min(rows::total(&aside));
        batch.count -= rejected;
        Some(Settled { rejected, ..Settled::default() })
    }

    /// Becomes a new producer because the server forgot this one or another client uses its id.
    /// What was sent is in doubt and let go; the rest is numbered anew.
    pub(crate) fn begin_anew(&mut self, id: ProducerId) -> Settled {
        let mut settled = Settled::default();
        while self.acknowledged < self.doubtful {
            let Some(batch) = self.pending.pop_front() else { break };
            self.acknowledged += 1;
            settled.in_doubt += batch.count;
        }
        self.number_anew(id);
        settled
    }

    /// Becomes a new producer because the server's database went back in time.
    pub(crate) fn number_anew(&mut self, id: ProducerId) {
        self.id = id;
        self.lease = Lease::new();
        (self.acknowledged, self.acknowledged_at, self.sent) = (0, None, 0);
        (self.doubtful, self.doubtful_before) = (0, 0);
    }

    /// The rows of the batches that are not committed and never will be.
    pub(crate) fn unsent(&self) -> Vec<Row> {
        let sent = usize::try_from(self.doubtful() - self.acknowledged).unwrap_or(usize::MAX);
        let unsent = self.pending.iter().skip(sent).filter_map(|batch| batch.requests.as_ref());
        unsent.flat_map(|requests| &requests.rows).copied().collect()
    }

    /// Gives everything up. Returns how many requests are in doubt, and how many were never sent.
    pub(crate) fn give_up(&mut self) -> (u64, u64) {
        let sent = usize::try_from(self.doubtful() - self.acknowledged).unwrap_or(usize::MAX);
        let sent = sent.min(self.pending.len());
        let in_doubt = self.pending.drain(..sent).map(|batch| batch.count).sum();
        (in_doubt, self.pending.drain(..).map(|batch| batch.count).sum())
    }
}

// === impl Lease ===

impl Lease {
    fn new() -> Self {
        Self { epoch: 0, claims: vec![random::claim()] }
    }
}

#[cfg(test)]
mod tests;
