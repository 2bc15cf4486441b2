//! One stream of `Record`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tally_proto::tally::producers::v1 as producers;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_proto::wire::{self, COMMITTED_TRAILER, REASON_TRAILER, reason};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::codegen::tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use super::{Anew, Driver, Ended, Source, sleep_until};
use crate::clock;
use crate::producer::{Opened, Stop};
use crate::progress::Connection;
use crate::rows::{self, BatchLimits, Names};

/// A stream that lasted this long counts as healthy, however it ended.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// How long to wait for the end of a stream after its last acknowledgement.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Stream {
    messages: mpsc::UnboundedSender<proto::RecordRequest>,
    answers: Streaming<producers::Acknowledgement>,
    since: Instant,
    /// Since when an acknowledgement is due.
    silent_since: Instant,
    /// How many batches may be in flight.
    window: u64,
    names: Names,
    /// The last batch that was sent on this stream.
    sent: u64,
    /// Something was acknowledged on this stream.
    acknowledged: bool,
    /// No more series can be named: open another stream once all batches are acknowledged.
    full: bool,
}

/// Why the server ended a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// No special treatment.
    Other,
    Forgotten,
    InUse,
    TakenOver,
    InvalidBatch,
    Limit,
    TimeAhead,
}

// === impl Stream ===

impl Stream {
    pub(super) async fn open<S: Source>(
        driver: &mut Driver<S>,
        channel: Channel,
    ) -> Result<Self, Ended> {
        let broken = |status| Ended::Broken { status, healthy: false };
        driver.batches.store_lease(&mut driver.accounts).await.map_err(broken)?;
        let (messages, receiver) = mpsc::unbounded_channel();
        let open = driver.batches.ledger.open();
        let _ = messages.send(proto::RecordRequest { kind: Some(Kind::Open(open)) });
        let request = driver.link.target.request(UnboundedReceiverStream::new(receiver));
        let mut client = RequestServiceClient::new(channel);
        let call = async {
            let mut answers = client.record(request).await?.into_inner();
            let first = answers.message().await?;
            Ok((answers, first))
        };
        let limit = driver.link.patience(driver.link.settings.open_timeout, &driver.batches);
        let late = || {
            let limit = limit.as_millis();
            Status::deadline_exceeded(format!("no answer to Open within {limit} ms"))
        };
        let answer = match driver.meanwhile(tokio::time::timeout(limit, call)).await {
            None => return Err(Ended::Done),
            Some(answer) => answer.map_err(|_| late()).flatten(),
        };
        let (answers, first) = match answer {
            Ok(answer) => answer,
            Err(status) => {
                let status = driver.link.target.unanswered(status);
                return Err(match anew(driver, Reason::of(&status)) {
                    Some(anew) => Ended::Anew(anew),
                    None => broken(status),
                });
            }
        };
        let Some(producers::Acknowledgement { opened: Some(opened), committed_sequence }) = first
        else {
            return Err(broken(Status::internal("the first answer is not Opened")));
        };
        let batches = &mut driver.batches;
        let settled = batches.ledger.opened(opened.epoch, committed_sequence)?;
        batches.settle(settled, &mut driver.accounts);
        batches.heard();
        // Only now may the earlier claims be forgotten.
        batches.store_lease(&mut driver.accounts).await.map_err(broken)?;
        batches.ledger.begin_stream();
        driver.link.opened_once = true;
        driver.source.set_resolution(opened.resolution_us);
        driver.connected(Connection::Record);
        let stream = Self::new(driver, messages, answers, &opened);
        driver.opened.send_modify(|known| {
            let limits = driver.batches.limits;
            match known {
                Some(known) => known.limits = limits,
                None => *known = Some(Opened::new(opened.checkpoint, committed_sequence, limits)),
            }
        });
        Ok(stream)
    }

    /// Applies the limits of the server and of this client.
    fn new<S: Source>(
        driver: &mut Driver<S>,
        messages: mpsc::UnboundedSender<proto::RecordRequest>,
        answers: Streaming<producers::Acknowledgement>,
        opened: &producers::Opened,
    ) -> Self {
        let or_ours = |theirs: u32, ours: usize| match theirs {
            0 => ours,
            theirs => ours.min(theirs as usize),
        };
        let settings = &driver.link.settings;
        driver.batches.limits = BatchLimits {
            rows: or_ours(opened.batch_rows_max, settings.batch_rows_max),
            bytes: or_ours(opened.batch_bytes_max, usize::MAX),
            series: or_ours(opened.series_max, usize::MAX),
        };
        let window = or_ours(opened.batches_in_flight_max, settings.batches_in_flight_max);
        let now = Instant::now();
        Self {
            messages,
            answers,
            since: now,
            silent_since: now,
            window: window as u64,
            names: Names::new(or_ours(opened.path_bytes_max, usize::MAX)),
            sent: driver.batches.ledger.acknowledged(),
            acknowledged: false,
            full: false,
        }
    }

    pub(super) async fn run<S: Source>(mut self, driver: &mut Driver<S>) -> Ended {
        loop {
            if let Err(ended) = self.fill(driver).await {
                return ended;
            }
            let in_flight = self.sent - driver.batches.ledger.acknowledged();
            let is_done = driver.is_done();
            if is_done || self.full && in_flight == 0 {
                // The next process continues as the same producer, if there can be one.
                let is_left =
                    driver.batches.ledger.takes_over && !driver.done.load(Ordering::Relaxed);
                if is_done && !is_left && !driver.batches.has_spool() {
                    self.send(Kind::Done(proto::Done {}));
                }
                self.finish(driver.link.settings.open_timeout).await;
                return if is_done { Ended::Done } else { Ended::Reopen };
            }
            // The spool takes requests even if the server does not.
            let may_take = (in_flight < self.window && !self.full) || driver.batches.has_spool();
            let append_at = driver.batches.append_at();
            let limit = driver.link.settings.acknowledge_timeout;
            let silent_at = clock::later(self.silent_since, limit);
            tokio::select! {
                answer = self.answers.message() => {
                    if let Err(ended) = self.answered(driver, answer) {
                        return ended;
                    }
                }
                taken = driver.source.take(), if may_take && driver.wants_more() => {
                    driver.take(taken);
                }
                () = sleep_until(append_at), if append_at.is_some() => {}
                () = tokio::time::sleep_until(silent_at), if in_flight > 0 => {
                    let limit = limit.as_millis();
                    let why = format!("nothing was acknowledged for {limit} ms");
                    let status = Status::deadline_exceeded(why);
                    return Ended::Broken { status, healthy: self.acknowledged };
                }
            }
        }
    }

    fn send(&self, kind: Kind) {
        // If the stream has ended, its answers say why.
        let _ = self.messages.send(proto::RecordRequest { kind: Some(kind) });
    }

    /// Sends what the window allows: numbered batches first, then new ones.
    async fn fill<S: Source>(&mut self, driver: &mut Driver<S>) -> Result<(), Ended> {
        let Driver { batches, accounts, .. } = driver;
        batches.store(accounts).await;
        loop {
            let acknowledged = batches.ledger.acknowledged();
            let in_flight = self.sent - acknowledged;
            let careful = acknowledged < batches.careful_until;
            if self.full || in_flight >= if careful { 1 } else { self.window } {
                return Ok(());
            }
            let sequence = self.sent + 1;
            if batches.ledger.batch(sequence).is_none() && !batches.number(accounts).await {
                return Ok(());
            }
            let broken = |status| Ended::Broken { status, healthy: false };
            let loaded = batches.load(sequence, accounts).await.map_err(broken)?;
            let held = batches.ledger.batch(sequence).and_then(|batch| batch.requests.as_ref());
            let requests = loaded.as_ref().or(held).expect("it is in memory or was loaded");
            let named = self.names.len();
            let new = self.names.missing(&requests.rows);
            if named > 0 && named + new > batches.limits.series {
                self.full = true;
                return Ok(());
            }
            let (names, table) = (&mut self.names, &batches.table);
            let mut message =
                rows::message(sequence, &requests.rows, &requests.drops, names, table);
            message.checkpoint.clone_from(&requests.checkpoint);
            batches.ledger.sending(sequence);
            if in_flight == 0 {
                self.silent_since = Instant::now();
            }
            self.sent = sequence;
            self.send(Kind::Batch(message));
        }
    }

    fn answered<S: Source>(
        &mut self,
        driver: &mut Driver<S>,
        answer: Result<Option<producers::Acknowledgement>, Status>,
    ) -> Result<(), Ended> {
        let batches = &mut driver.batches;
        let status = match answer {
            Ok(Some(answer)) => {
                let before = batches.ledger.acknowledged();
                let settled = batches.ledger.committed(answer.committed_sequence)?;
                batches.settle(settled, &mut driver.accounts);
                let acknowledged = batches.ledger.acknowledged();
                if acknowledged > before {
                    batches.heard();
                    // An earlier stream's batches may be committed after this one was opened.
                    self.sent = self.sent.max(acknowledged);
                    self.acknowledged = true;
                    self.silent_since = Instant::now();
                }
                return Ok(());
            }
            Ok(None) => Status::unavailable("the server ended the stream"),
            Err(status) => status,
        };
        let healthy = self.acknowledged || self.since.elapsed() >= HEALTHY_AFTER;
        if let Some(committed) = wire::number(&status, COMMITTED_TRAILER) {
            let settled = batches.ledger.concluded(committed)?;
            batches.settle(settled, &mut driver.accounts);
            batches.heard();
        }
        let acknowledged = batches.ledger.acknowledged();
        let in_flight = self.sent.saturating_sub(acknowledged);
        let reason = Reason::of(&status);
        // The next Open decides about a forgotten producer: it may begin again if it has stored nothing,
        // and else tells the server what was acknowledged, which then notes that this is missing.
        if reason == Reason::InUse
            && let Some(anew) = anew(driver, reason)
        {
            return Err(Ended::Anew(anew));
        }
        let refuses = matches!(reason, Reason::InvalidBatch | Reason::Limit | Reason::TimeAhead);
        if refuses && in_flight > 1 {
            // Sending one at a time shows which one is refused.
            driver.batches.careful_until = self.sent;
            return Err(Ended::Reopen);
        }
        Err(match refuses && in_flight == 1 {
            true => Ended::Refused { status, reason },
            false => Ended::Broken { status, healthy },
        })
    }

    /// Half-closes the stream and waits for its end.
    async fn finish(self, open_timeout: Duration) {
        let Self { messages, mut answers, .. } = self;
        drop(messages);
        let end = async { while let Ok(Some(_)) = answers.message().await {} };
        // Everything is acknowledged, so the way the stream ends does not matter.
        let _ = tokio::time::timeout(open_timeout.min(FINISH_TIMEOUT), end).await;
    }
}

/// Whether and why the driver must go on as a new producer.
fn anew<S: Source>(driver: &Driver<S>, reason: Reason) -> Option<Anew> {
    let ledger = &driver.batches.ledger;
    let (why, stop, missing) = match reason {
        Reason::Forgotten => {
            let missing = ledger.missing_if_forgotten(driver.batches.clock.micros());
            ("the server does not know this producer any more", Stop::Forgotten, missing)
        }
        Reason::InUse => ("another client uses this producer's id", Stop::InUse, 0),
        Reason::TakenOver => ("another process has taken this producer over", Stop::TakenOver, 0),
        _ => return None,
    };
    Some(Anew { why: why.to_owned(), stop, lost: false, missing })
}

// === impl Reason ===

impl Reason {
    pub(super) fn of(status: &Status) -> Self {
        match (status.code(), wire::trailer(status, REASON_TRAILER)) {
            (Code::FailedPrecondition, Some(reason::PRODUCER_FORGOTTEN)) => Self::Forgotten,
            (Code::AlreadyExists, Some(reason::PRODUCER_IN_USE)) => Self::InUse,
            (Code::FailedPrecondition, Some(reason::PRODUCER_TAKEN_OVER)) => Self::TakenOver,
            (Code::InvalidArgument, Some(reason::INVALID_BATCH)) => Self::InvalidBatch,
            (Code::ResourceExhausted, Some(reason::LIMIT)) => Self::Limit,
            (Code::Unavailable, Some(reason::TIME_AHEAD)) => Self::TimeAhead,
            _ => Self::Other,
        }
    }
}
