//! What a producer has numbered and what became of it. No input and no output: every rule of
//! the protocol that a client must keep is here.

use std::collections::VecDeque;

use tally_proto::tally::producers::v1 as producers;

use tally_proto::wire::timestamp;

use crate::driver::custody::{Content, Found};
use crate::random::{self, ProducerId};
use crate::rows::{Drops, Row};

/// For how long every server remembers a silent producer at least: a day, in microseconds.
const RETENTION_MIN_US: i64 = 24 * 60 * 60 * 1_000_000;

/// A producer as its client sees it.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) id: ProducerId,
    pub(crate) epoch: u64,
    /// The last one is this process's own.
    pub(crate) claims: Vec<u64>,
    pub(crate) name: String,
    /// Every batch up to this one is committed.
    acknowledged: u64,
    /// When that was heard, in microseconds since 1970-01-01 UTC.
    pub(crate) acknowledged_at: Option<i64>,
    /// The batches after that one, in order.
    pending: VecDeque<Batch>,
    /// The last batch that was ever sent under this id.
    sent: u64,
    /// The last one that may be committed although it is not acknowledged, and the last such one
    /// of those that were sent on earlier streams.
    doubtful: u64,
    doubtful_before: u64,
}

/// Rows that are numbered. They keep their number and never change, unless the server has
/// refused them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batch {
    pub(crate) sequence: u64,
    /// How many requests of this process it has.
    count: u64,
    /// The content is in the spool, and not here.
    pub(crate) stored: bool,
    pub(crate) rows: Vec<Row>,
    pub(crate) drops: Drops,
    /// The server has refused the rows, and `drops` tells of them.
    pub(crate) set_aside: bool,
}

/// What has come to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) acknowledged: u64,
    pub(crate) rejected: u64,
    pub(crate) in_doubt: u64,
    /// Lost with a part of the spool.
    pub(crate) dropped: u64,
    pub(crate) drops_reported: u64,
}

/// The server's answer does not fit to what this client has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breach {
    /// The server has batches that this client never sent: someone else uses the id.
    Foreign { committed: u64, sent: u64 },
    /// The server has lost batches that it had acknowledged.
    Lost { committed: u64, acknowledged: u64 },
}

// === impl Ledger ===

impl Ledger {
    /// A new producer.
    pub(crate) fn new(name: String, now_micros: i64) -> Self {
        Self {
            id: random::producer_id(now_micros),
            epoch: 0,
            claims: vec![random::claim()],
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
            epoch: self.epoch,
            claims: self.claims.clone(),
            name: self.name.clone(),
            acknowledged_sequence: Some(self.acknowledged),
            acknowledged_at: self.acknowledged_at.map(timestamp),
        }
    }

    /// The number of the next batch.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.acknowledged + self.pending.len() as u64 + 1
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Takes over a producer that an earlier process has left in a spool.
    pub(crate) fn go_on(&mut self, found: Found) {
        let own = self.claims.pop().expect("a process has a claim");
        (self.id, self.epoch, self.claims) = (found.id, found.epoch, found.claims);
        self.claims.push(own);
        (self.acknowledged, self.acknowledged_at) = (found.acknowledged, found.acknowledged_at);
        for sequence in found.acknowledged + 1..found.next_sequence {
            self.pending.push_back(Batch { sequence, stored: true, ..Batch::default() });
        }
        // That process may have sent all of them.
        self.sent = found.next_sequence - 1;
        self.doubtful = self.sent;
    }

    /// Numbers what is new. Its content stays here, unless it is in a spool.
    pub(crate) fn push(&mut self, rows: Vec<Row>, drops: Drops, stays: bool) -> u64 {
        let (sequence, count) = (self.next_sequence(), rows.len() as u64);
        let batch = Batch { sequence, count, ..Batch::default() };
        self.pending.push_back(match stays {
            true => Batch { rows, drops, ..batch },
            false => Batch { stored: true, ..batch },
        });
        sequence
    }

    /// The content of a batch was read from the spool, and stays here from now on. When it is
    /// damaged, its requests are lost.
    pub(crate) fn load(&mut self, sequence: u64, content: Content) -> Settled {
        let mut settled = Settled::default();
        if let Some(batch) = self.pending.iter_mut().find(|batch| batch.sequence == sequence) {
            *batch = batch.with(content.rows, content.drops);
            if content.damaged {
                settled.dropped = std::mem::take(&mut batch.count);
            }
        }
        settled
    }

    /// The spool has no more than these of the batches after `after`, and of the damaged ones
    /// it has but what tells of them.
    pub(crate) fn keep_only(&mut self, after: u64, kept: &[(u64, bool)]) -> Settled {
        let mut settled = Settled::default();
        self.pending.retain_mut(|batch| {
            if batch.sequence <= after {
                return true;
            }
            let at = kept.binary_search_by_key(&batch.sequence, |(sequence, _)| *sequence);
            let damaged = at.map(|at| kept[at].1);
            if damaged != Ok(false) {
                settled.dropped += std::mem::take(&mut batch.count);
                (batch.rows, batch.drops) = (Vec::new(), Drops::default());
                batch.stored = true;
            }
            damaged.is_ok()
        });
        settled
    }

    /// The last batch that may be committed.
    pub(crate) fn doubtful(&self) -> u64 {
        self.doubtful.max(self.acknowledged)
    }

    /// A stream begins.
    pub(crate) fn begin_stream(&mut self) {
        self.doubtful_before = self.doubtful;
    }

    /// The server has ended the stream: every batch up to this one is committed, and none after it
    /// that was sent on this stream will be.
    pub(crate) fn concluded(&mut self, committed: u64) -> Result<Settled, Breach> {
        let settled = self.committed(committed)?;
        self.doubtful = self.doubtful_before;
        Ok(settled)
    }

    /// How many acknowledged batches are missing where this producer is not known any more. None,
    /// if it was silent long enough for a server to have forgotten it in good order.
    pub(crate) fn missing_if_forgotten(&self, now_micros: i64) -> u64 {
        let heard = self.acknowledged_at.is_some_and(|at| now_micros - at < RETENTION_MIN_US);
        if heard { self.acknowledged } else { 0 }
    }

    /// No batch is committed that is not acknowledged, and none that was sent will be.
    pub(crate) fn nothing_in_doubt(&mut self) {
        self.doubtful = self.acknowledged;
    }

    /// A batch that is not acknowledged.
    pub(crate) fn batch(&self, sequence: u64) -> Option<&Batch> {
        let at = sequence.checked_sub(self.acknowledged + 1)?;
        self.pending.get(usize::try_from(at).ok()?)
    }

    /// How many batches are not acknowledged.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// A batch is about to be sent.
    pub(crate) fn sending(&mut self, sequence: u64) {
        self.sent = self.sent.max(sequence);
        self.doubtful = self.doubtful.max(sequence);
    }

    /// The server has opened the producer.
    pub(crate) fn opened(&mut self, epoch: u64, committed: u64) -> Result<Settled, Breach> {
        if committed < self.acknowledged {
            return Err(Breach::Lost { committed, acknowledged: self.acknowledged });
        }
        let settled = self.committed(committed)?;
        self.epoch = epoch;
        self.claims.drain(..self.claims.len() - 1);
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
            settled.drops_reported += batch.drops.total();
        }
        Ok(settled)
    }

    /// Whether the first batch that is not acknowledged has requests that are later than this.
    pub(crate) fn has_later(&self, micros: i64) -> bool {
        self.pending.front().is_some_and(|batch| batch.rows.iter().any(|row| row.time_us > micros))
    }

    /// The server refuses the first batch that is not acknowledged, for what it contains. Its
    /// number goes to a batch that tells as dropped those of its requests that are later than
    /// `micros`. None: there are none, or there is no batch.
    pub(crate) fn set_aside(&mut self, micros: i64) -> Option<Settled> {
        let batch = self.pending.front_mut().filter(|batch| !batch.set_aside)?;
        let rows = std::mem::take(&mut batch.rows);
        let (aside, kept): (Vec<_>, _) = rows.into_iter().partition(|row| row.time_us > micros);
        batch.drops.add_rows(&aside);
        batch.drops.bound();
        batch.set_aside = kept.is_empty();
        batch.rows = kept;
        let rejected = batch.count.min(aside.len() as u64);
        batch.count -= rejected;
        Some(Settled { rejected, ..Settled::default() })
    }

    /// Becomes a new producer, after the server forgot this one or someone else uses its id.
    /// What was sent is in doubt, and is let go; what was not is numbered anew.
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

    /// Becomes a new producer, after the server's database went back in time: it has none of
    /// the batches that are still here.
    pub(crate) fn number_anew(&mut self, id: ProducerId) {
        self.id = id;
        self.claims = vec![random::claim()];
        (self.epoch, self.acknowledged, self.sent) = (0, 0, 0);
        (self.doubtful, self.doubtful_before) = (0, 0);
        self.acknowledged_at = None;
        for (sequence, batch) in (1..).zip(&mut self.pending) {
            batch.sequence = sequence;
        }
    }

    /// Gives everything up: what was sent is in doubt. Returns that, and how many rows were
    /// never sent.
    pub(crate) fn give_up(&mut self) -> (Settled, u64) {
        let mut settled = Settled::default();
        let mut unsent = 0;
        for batch in self.pending.drain(..) {
            if batch.sequence <= self.doubtful {
                settled.in_doubt += batch.count;
            } else {
                unsent += batch.count;
            }
        }
        (settled, unsent)
    }
}

// === impl Batch ===

impl Batch {
    /// The same batch with its content.
    pub(crate) fn with(&self, rows: Vec<Row>, drops: Drops) -> Self {
        let Self { sequence, count, set_aside, .. } = *self;
        Self { sequence, count, stored: false, rows, drops, set_aside }
    }
}

#[cfg(test)]
mod tests;
