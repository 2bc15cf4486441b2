//! What the mock's database holds, and by which rules it takes what clients send.

use std::collections::{BTreeMap, HashMap};

use tally_producers::{Opening, Refusal, Standing, Step, Terms};
use tally_proto::methods;
use tally_proto::tally::producers::v1 as producers;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::wire::{self, reason};
use tally_runtime::{Clock as _, SystemClock};
use tonic::{Code, Status};

/// More than any test needs.
const TERMS: Terms = Terms { producers_max: 1_000, retention_days: 31 };

#[derive(Default)]
pub(crate) struct Database {
    pub(crate) producers: BTreeMap<Vec<u8>, Stored>,
    /// Requests by method and path.
    pub(crate) counts: BTreeMap<(i32, String), u64>,
    /// Those of `Record` by all that they count under.
    pub(crate) series: HashMap<proto::Series, u64>,
    /// Those of `Record` by their times.
    pub(crate) times: BTreeMap<i64, u64>,
    pub(crate) drops: BTreeMap<i32, u64>,
    /// How many entries each stored batch had.
    pub(crate) batches: Vec<usize>,
    pub(crate) opens: u64,
    /// How many clients are done.
    pub(crate) done: u64,
    /// The most batches that were sent and not answered.
    pub(crate) in_flight: u64,
    /// What the client did wrong.
    pub(crate) wrong: Vec<String>,
    pub(crate) authorization: Option<String>,
}

#[derive(Default, Clone)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) sequence: u64,
    pub(crate) epoch: u64,
    pub(crate) claim: u64,
    pub(crate) is_shared: bool,
    pub(crate) checkpoint: Vec<u8>,
}

// === impl Database ===

impl Database {
    /// Opens a producer by the server's own rules.
    pub(super) fn open(&mut self, open: &producers::Open) -> Result<(), Status> {
        self.opens += 1;
        let standing = self.producers.get(&open.producer_id).map(|stored| Standing {
            epoch: stored.epoch.cast_signed(),
            claim: stored.claim.cast_signed(),
            sequence: stored.sequence.cast_signed(),
            last_seen_micros: 0,
            is_shared: stored.is_shared,
            checkpoint: stored.checkpoint.clone(),
        });
        let opening = Opening::read(open.clone(), TERMS, SystemClock.now()).map_err(|error| {
            self.wrong.push(format!("{error}: {open:?}"));
            refusal(Code::InvalidArgument, reason::INVALID_OPEN)
        })?;
        // Not drawn: a test sees how often it changed.
        let next_epoch = standing.as_ref().map_or(0, |standing| standing.epoch) + 1;
        let opening = Opening { next_epoch, ..opening };
        let epoch = match opening.step(standing.as_ref()) {
            Step::Add => next_epoch,
            Step::GoOn { epoch, .. } => epoch,
            Step::Refuse(Refusal::Forgotten) => {
                return Err(refusal(Code::FailedPrecondition, reason::PRODUCER_FORGOTTEN));
            }
            Step::Refuse(Refusal::TakenOver) => {
                return Err(refusal(Code::FailedPrecondition, reason::PRODUCER_TAKEN_OVER));
            }
            Step::Refuse(_) => return Err(refusal(Code::AlreadyExists, reason::PRODUCER_IN_USE)),
        };
        let (name, is_shared) = (open.name.clone(), open.take_over);
        let new = || Stored { name, is_shared, ..Stored::default() };
        let stored = self.producers.entry(open.producer_id.clone()).or_insert_with(new);
        (stored.epoch, stored.claim) = (epoch.cast_unsigned(), opening.claim().cast_unsigned());
        Ok(())
    }

    /// Takes the last message, which is not a batch.
    pub(super) fn last(&mut self, kind: Option<&Kind>, id: &[u8], sent: u64) -> Result<(), Status> {
        if !matches!(kind, Some(Kind::Done(_))) {
            self.wrong.push("not a batch".to_owned());
            return Err(Status::invalid_argument("not a batch"));
        }
        if self.producers.get(id).map(|one| one.sequence) != Some(sent) {
            self.wrong.push(format!("done, before {sent} is acknowledged"));
        }
        self.done += 1;
        Ok(())
    }

    /// Stores a batch whose series are `names`, unless it is a duplicate.
    pub(super) fn store(
        &mut self,
        (id, claim): (&[u8], u64),
        batch: &proto::Batch,
        names: &[proto::Series],
    ) -> Result<u64, Status> {
        let Some(stored) = self.producers.get_mut(id) else {
            return Err(refusal(Code::FailedPrecondition, reason::PRODUCER_FORGOTTEN));
        };
        if stored.claim != claim && stored.is_shared {
            return Err(refusal(Code::FailedPrecondition, reason::PRODUCER_TAKEN_OVER));
        }
        if stored.claim != claim {
            return Err(refusal(Code::AlreadyExists, reason::PRODUCER_IN_USE));
        }
        if batch.sequence <= stored.sequence {
            return Ok(stored.sequence);
        }
        if batch.sequence > stored.sequence + 1 {
            return Err(refusal(Code::FailedPrecondition, reason::OUT_OF_SEQUENCE));
        }
        stored.sequence = batch.sequence;
        if !batch.checkpoint.is_empty() {
            stored.checkpoint.clone_from(&batch.checkpoint);
        }
        let committed = stored.sequence;
        self.batches.push(batch.number.len());
        let mut time_us = 0;
        for (at, number) in batch.number.iter().enumerate() {
            let requests = u64::from(batch.requests.get(at).copied().unwrap_or(1));
            time_us += batch.time_delta[at];
            *self.times.entry(time_us).or_default() += requests;
            match names.get(*number as usize) {
                Some(name) => {
                    let method = methods::number_of_text(&name.method);
                    *self.counts.entry((method, name.path.clone())).or_default() += requests;
                    *self.series.entry(name.clone()).or_default() += requests;
                }
                None => self.wrong.push(format!("series {number} is not named")),
            }
        }
        for drops in &batch.drops {
            *self.drops.entry(drops.day).or_default() += drops.count;
        }
        Ok(committed)
    }

    /// Notes what a client must not send.
    pub(super) fn check(&mut self, batch: &proto::Batch, limits: &producers::Opened, names: usize) {
        let rows = batch.number.len();
        let counted = rows == batch.count as usize && rows == batch.time_delta.len();
        let empty = rows == 0 && batch.drops.is_empty() && batch.checkpoint.is_empty();
        let bytes = prost::Message::encoded_len(batch);
        let large = rows > limits.batch_rows_max as usize
            || bytes > limits.batch_bytes_max as usize
            || names > limits.series_max as usize
            || batch.drops.len() > 1000
            || batch.checkpoint.len() > wire::CHECKPOINT_BYTES_MAX;
        let possible = 1..=wire::ENTRY_REQUESTS_MAX;
        let is_merged = batch.requests.is_empty()
            || batch.requests.len() == rows
                && batch.requests.iter().all(|requests| possible.contains(requests))
                // It would be in vain.
                && batch.requests.iter().any(|requests| *requests > 1);
        if !counted || empty || large || !is_merged {
            self.wrong.push(format!(
                "batch {} has {rows} rows in {bytes} bytes, {names} series, {} drops, requests {:?}",
                batch.sequence,
                batch.drops.len(),
                batch.requests
            ));
        }
    }
}

/// A status with a reason, as the server sends it.
pub(crate) fn refusal(code: Code, reason: &'static str) -> Status {
    let mut status = Status::new(code, reason.to_lowercase());
    let value = reason.parse().expect("ASCII");
    status.metadata_mut().insert(wire::REASON_TRAILER, value);
    status
}
