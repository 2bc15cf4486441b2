//! One stream of `Record`.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tally_proto::tally::producers::v1 as producers;

use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_proto::wire::{COMMITTED_TRAILER, REASON_TRAILER, reason};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::codegen::tokio_stream::Stream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use super::deadline::sleep_until;
use super::{Driver, Ended, HEALTHY_AFTER};
use crate::clock;
use crate::producer::CountedFile;
use crate::progress::Connection;
use crate::rows::{self, Limits, Names};

/// How long the end of a stream is waited for on which everything is acknowledged.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// An open stream.
pub(super) struct Open {
    messages: mpsc::UnboundedSender<proto::RecordRequest>,
    answers: Streaming<producers::Acknowledgement>,
    since: Instant,
    /// Since when the server owes an acknowledgement.
    silent_since: Instant,
    limits: Limits,
    window: u64,
    names: Names,
    /// The last batch that was sent on this stream.
    sent: u64,
    /// Something was acknowledged on this stream.
    acknowledged: bool,
    /// It can name no more endpoints: another one is opened when this one's batches are
    /// acknowledged.
    full: bool,
}

/// The messages of a stream. As many wait as the window allows.
struct Messages(mpsc::UnboundedReceiver<proto::RecordRequest>);

/// What an error of the server means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Retry,
    Forgotten,
    InUse,
    InvalidBatch,
    Limit,
    TimeAhead,
}

// === impl Driver ===

impl Driver {
    /// Opens a stream, and uses it until it ends.
    pub(super) async fn record(&mut self, channel: Channel) -> Ended {
        let mut open = match self.open(channel).await {
            Ok(open) => open,
            Err(ended) => return ended,
        };
        loop {
            if let Err(ended) = self.fill(&mut open).await {
                return ended;
            }
            let in_flight = open.sent - self.ledger.acknowledged();
            if self.is_done() {
                // Whoever has a spool comes back as the same producer.
                if !self.custody.is_on() {
                    let files = self.counted_files.get().into_iter().flatten();
                    let done = proto::Done { files: files.map(CountedFile::message).collect() };
                    let done = proto::RecordRequest { kind: Some(Kind::Done(done)) };
                    let _ = open.messages.send(done);
                }
                self.finish(open).await;
                return Ended::Done;
            }
            if open.full && in_flight == 0 {
                self.finish(open).await;
                return Ended::Reopen;
            }
            // A spool takes what the server does not take yet.
            let may_take = (in_flight < open.window && !open.full) || self.custody.is_on();
            let append_at = self.append_at;
            let silent_at = clock::later(open.silent_since, self.settings.acknowledge_timeout);
            tokio::select! {
                answer = open.answers.message() => {
                    if let Err(ended) = self.answered(&mut open, answer) {
                        return ended;
                    }
                }
                chunk = self.chunks.take(), if may_take && self.wants_chunk() => self.take(chunk),
                () = sleep_until(append_at), if append_at.is_some() => self.append_at = None,
                () = tokio::time::sleep_until(silent_at), if in_flight > 0 => {
                    let status = Status::deadline_exceeded(format!(
                        "nothing was acknowledged for {} ms",
                        self.settings.acknowledge_timeout.as_millis(),
                    ));
                    return Ended::Broken { status, healthy: open.acknowledged };
                }
            }
        }
    }

    pub(super) async fn open(&mut self, channel: Channel) -> Result<Open, Ended> {
        let broken = |status| Ended::Broken { status, healthy: false };
        self.keep_claims().await?;
        let (messages, receiver) = mpsc::unbounded_channel();
        let _ = messages.send(proto::RecordRequest { kind: Some(Kind::Open(self.ledger.open())) });
        let request = self.target.request(Messages(receiver));
        let mut client = RequestServiceClient::new(channel);
        let call = async {
            let mut answers = client.record(request).await?.into_inner();
            let first = answers.message().await?;
            Ok((answers, first))
        };
        let limit = self.patience(self.settings.open_timeout);
        let call = tokio::time::timeout(limit, call);
        let answer = match self.meanwhile(call).await {
            None => return Err(Ended::Done),
            Some(Ok(answer)) => answer,
            Some(Err(_)) => {
                let limit = limit.as_millis();
                Err(Status::deadline_exceeded(format!("no answer to Open within {limit} ms")))
            }
        };
        let (answers, first) = match answer {
            Ok(answer) => answer,
            Err(status) => return Err(self.refused(None, self.target.unanswered(status))),
        };
        let Some(producers::Acknowledgement { opened: Some(opened), committed_sequence }) = first
        else {
            return Err(broken(Status::internal("the first answer is not Opened")));
        };
        match self.ledger.opened(opened.epoch, committed_sequence) {
            Ok(settled) => self.settle(settled),
            Err(breach) => return Err(Self::breach(breach)),
        }
        self.heard();
        // From here on the earlier claims may be forgotten, and not before.
        self.keep_claims().await?;
        self.opened_once = true;
        self.connected(Connection::Record);
        let or_ours = |theirs: u32, ours: usize| match theirs {
            0 => ours,
            theirs => ours.min(theirs as usize),
        };
        self.limits = Limits {
            rows: or_ours(opened.batch_rows_max, self.settings.batch_rows_max),
            bytes: or_ours(opened.batch_bytes_max, usize::MAX),
            endpoints: or_ours(opened.endpoints_max, usize::MAX),
        };
        self.ledger.begin_stream();
        let now = Instant::now();
        Ok(Open {
            messages,
            answers,
            since: now,
            silent_since: now,
            limits: self.limits,
            window: or_ours(opened.batches_in_flight_max, self.settings.batches_in_flight_max)
                as u64,
            names: Names::new(or_ours(opened.path_bytes_max, usize::MAX)),
            sent: committed_sequence,
            acknowledged: false,
            full: false,
        })
    }

    /// Has the epoch and the claims on the disk, where they have changed.
    async fn keep_claims(&mut self) -> Result<(), Ended> {
        let custody = (self.ledger.epoch, self.ledger.claims.clone());
        if self.custody.is_on() && self.kept.as_ref() != Some(&custody) {
            if let Err(error) = self.custody.set(custody.0, custody.1.clone()).await {
                self.notices.spool(&error);
                return Err(Ended::Broken { status: Status::data_loss(error), healthy: false });
            }
            self.kept = Some(custody);
        }
        Ok(())
    }

    /// The server has said what it has.
    fn heard(&mut self) {
        let sequence = self.ledger.acknowledged();
        self.ledger.acknowledged_at = (sequence > 0).then(|| self.settings.clock.micros());
        self.custody.acknowledge(sequence, self.ledger.acknowledged_at);
    }

    /// Sends what the window allows: first what is numbered, then what is new.
    async fn fill(&mut self, open: &mut Open) -> Result<(), Ended> {
        while self.custody.is_on() && self.number().await {}
        loop {
            let acknowledged = self.ledger.acknowledged();
            let in_flight = open.sent - acknowledged;
            let careful = acknowledged < self.careful_until;
            if open.full || in_flight >= if careful { 1 } else { open.window } {
                return Ok(());
            }
            if self.ledger.batch(open.sent + 1).is_none() && !self.number().await {
                return Ok(());
            }
            let sequence = open.sent + 1;
            let mut batch = self.ledger.batch(sequence).expect("it was there or is new");
            let mut loaded = None;
            if batch.stored {
                let now = self.settings.clock.micros();
                let content = self.custody.read(sequence, &self.endpoints, now).await;
                let content = content.map_err(|error| {
                    self.notices.spool(&error);
                    Ended::Broken { status: Status::data_loss(error), healthy: false }
                })?;
                batch = if content.damaged {
                    let settled = self.ledger.load(sequence, content);
                    self.settle(settled);
                    self.ledger.batch(sequence).expect("it was there")
                } else {
                    loaded.insert(batch.with(content.rows, content.drops))
                };
            }
            let new = open.names.missing(&batch.rows);
            if open.names.len() > 0 && open.names.len() + new > open.limits.endpoints {
                open.full = true;
                return Ok(());
            }
            let names = &mut open.names;
            let message =
                rows::message(sequence, &batch.rows, &batch.drops, names, &self.endpoints);
            self.ledger.sending(sequence);
            if in_flight == 0 {
                open.silent_since = Instant::now();
            }
            open.sent = sequence;
            // When nobody takes it any more, the stream's answers say why.
            let _ = open.messages.send(proto::RecordRequest { kind: Some(Kind::Batch(message)) });
        }
    }

    fn answered(
        &mut self,
        open: &mut Open,
        answer: Result<Option<producers::Acknowledgement>, Status>,
    ) -> Result<(), Ended> {
        let status = match answer {
            Ok(Some(answer)) => {
                let before = self.ledger.acknowledged();
                match self.ledger.committed(answer.committed_sequence) {
                    Ok(settled) => self.settle(settled),
                    Err(breach) => return Err(Self::breach(breach)),
                }
                if self.ledger.acknowledged() > before {
                    self.heard();
                    // An earlier stream's batches may be committed after this one was opened.
                    open.sent = open.sent.max(self.ledger.acknowledged());
                    open.acknowledged = true;
                    open.silent_since = Instant::now();
                }
                return Ok(());
            }
            Ok(None) => Status::unavailable("the server ended the stream"),
            Err(status) => status,
        };
        Err(self.refused(Some(open), status))
    }

    /// The server has ended the stream, or has not opened it.
    fn refused(&mut self, open: Option<&Open>, status: Status) -> Ended {
        let healthy =
            open.is_some_and(|open| open.acknowledged || open.since.elapsed() >= HEALTHY_AFTER);
        if open.is_some()
            && let Some(committed) = committed(&status)
        {
            match self.ledger.concluded(committed) {
                Ok(settled) => self.settle(settled),
                Err(breach) => return Self::breach(breach),
            }
            self.heard();
        }
        let acknowledged = self.ledger.acknowledged();
        let in_flight = open.map_or(0, |open| open.sent.saturating_sub(acknowledged));
        match (verdict(&status), open) {
            // It had stored nothing, and may begin again. Whether it may, Open says.
            (Verdict::Forgotten, Some(_)) if self.ledger.acknowledged() == 0 => {}
            (Verdict::Forgotten, _) => {
                let why = "the server does not know this producer any more".to_owned();
                let missing = self.ledger.missing_if_forgotten(self.settings.clock.micros());
                return Ended::Anew { why, lost: false, missing };
            }
            (Verdict::InUse, _) => {
                let why = "another client uses this producer's id".to_owned();
                return Ended::Anew { why, lost: false, missing: 0 };
            }
            (
                verdict @ (Verdict::InvalidBatch | Verdict::Limit | Verdict::TimeAhead),
                Some(open),
            ) if in_flight > 0 => {
                if in_flight > 1 {
                    // Which one it is shows when they are sent one at a time.
                    self.careful_until = open.sent;
                    return Ended::Reopen;
                }
                return Ended::Refused { status, verdict };
            }
            _ => {}
        }
        Ended::Broken { status, healthy }
    }

    /// Half-closes the stream and waits for its end.
    async fn finish(&self, open: Open) {
        let Open { messages, mut answers, .. } = open;
        drop(messages);
        let end = async { while let Ok(Some(_)) = answers.message().await {} };
        // Everything is acknowledged: how the stream ends does not matter.
        let limit = self.settings.open_timeout.min(FINISH_TIMEOUT);
        let _ = tokio::time::timeout(limit, end).await;
    }
}

// === impl Messages ===

impl Stream for Messages {
    type Item = proto::RecordRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

pub(super) fn verdict(status: &Status) -> Verdict {
    match (status.code(), trailer(status, REASON_TRAILER)) {
        (Code::FailedPrecondition, Some(reason::PRODUCER_FORGOTTEN)) => Verdict::Forgotten,
        (Code::AlreadyExists, Some(reason::PRODUCER_IN_USE)) => Verdict::InUse,
        (Code::InvalidArgument, Some(reason::INVALID_BATCH)) => Verdict::InvalidBatch,
        (Code::ResourceExhausted, Some(reason::LIMIT)) => Verdict::Limit,
        (Code::Unavailable, Some(reason::TIME_AHEAD)) => Verdict::TimeAhead,
        _ => Verdict::Retry,
    }
}

fn committed(status: &Status) -> Option<u64> {
    trailer(status, COMMITTED_TRAILER)?.parse().ok()
}

fn trailer<'a>(status: &'a Status, name: &str) -> Option<&'a str> {
    status.metadata().get(name)?.to_str().ok()
}
