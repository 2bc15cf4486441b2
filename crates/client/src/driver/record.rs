//! One stream of `Record`.

use std::pin::Pin;
use std::task::{Context, Poll};

use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::codegen::tokio_stream::Stream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use super::{Driver, Ended, HEALTHY_AFTER};
use crate::progress::Connection;
use crate::rows::{self, Limits, Names};

/// Why the server ended a stream.
const REASON_TRAILER: &str = "tally-reason";

/// An open stream.
struct Open {
    messages: mpsc::UnboundedSender<proto::RecordRequest>,
    answers: Streaming<proto::RecordResponse>,
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
enum Verdict {
    Retry,
    Forgotten,
    InUse,
    InvalidBatch,
    Limit,
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
            self.fill(&mut open);
            let in_flight = open.sent - self.ledger.acknowledged();
            if self.is_done() {
                self.finish(open).await;
                return Ended::Done;
            }
            if open.full && in_flight == 0 {
                self.finish(open).await;
                return Ended::Reopen;
            }
            let may_send = in_flight < open.window && !open.full;
            let silent_at = open.silent_since + self.settings.acknowledge_timeout;
            tokio::select! {
                answer = open.answers.message() => {
                    if let Err(ended) = self.answered(&mut open, answer) {
                        return ended;
                    }
                }
                chunk = self.chunks.take(), if may_send && self.wants_chunk() => self.take(chunk),
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

    async fn open(&mut self, channel: Channel) -> Result<Open, Ended> {
        let broken = |status| Ended::Broken { status, healthy: false };
        let (messages, receiver) = mpsc::unbounded_channel();
        let _ = messages.send(proto::RecordRequest { kind: Some(Kind::Open(self.ledger.open())) });
        let request = self.target.request(Messages(receiver));
        let mut client = RequestServiceClient::new(channel);
        let call = async {
            let mut answers = client.record(request).await?.into_inner();
            let first = answers.message().await?;
            Ok((answers, first))
        };
        let answer = match tokio::time::timeout(self.settings.open_timeout, call).await {
            Ok(answer) => answer,
            Err(_) => {
                let limit = self.settings.open_timeout.as_millis();
                Err(Status::deadline_exceeded(format!("no answer to Open within {limit} ms")))
            }
        };
        let (answers, first) = match answer {
            Ok(answer) => answer,
            Err(status) => return Err(self.refused(None, status)),
        };
        let Some(proto::RecordResponse { opened: Some(opened), committed_sequence }) = first else {
            return Err(broken(Status::internal("the first answer is not Opened")));
        };
        match self.ledger.opened(opened.epoch, committed_sequence) {
            Ok(settled) => self.settle(settled),
            Err(breach) => {
                self.breach(breach);
                return Err(broken(Status::aborted("the server has other batches")));
            }
        }
        self.opened_once = true;
        self.connected(Connection::Record);
        let or_ours = |theirs: u32, ours: usize| match theirs {
            0 => ours,
            theirs => ours.min(theirs as usize),
        };
        let now = Instant::now();
        Ok(Open {
            messages,
            answers,
            since: now,
            silent_since: now,
            limits: Limits {
                rows: or_ours(opened.batch_rows_max, self.settings.batch_rows_max),
                bytes: or_ours(opened.batch_bytes_max, usize::MAX),
                endpoints: or_ours(opened.endpoints_max, usize::MAX),
            },
            window: or_ours(opened.batches_in_flight_max, self.settings.batches_in_flight_max)
                as u64,
            names: Names::default(),
            sent: committed_sequence,
            acknowledged: false,
            full: false,
        })
    }

    /// Sends what the window allows: first what is numbered, then what is new.
    fn fill(&mut self, open: &mut Open) {
        loop {
            let acknowledged = self.ledger.acknowledged();
            let in_flight = open.sent - acknowledged;
            let careful = acknowledged < self.careful_until;
            if open.full || in_flight >= if careful { 1 } else { open.window } {
                return;
            }
            if self.ledger.batch(open.sent + 1).is_none() && !self.number(open.limits) {
                return;
            }
            let sequence = open.sent + 1;
            let batch = self.ledger.batch(sequence).expect("it was there or is new");
            let new = open.names.missing(&batch.rows);
            if open.names.len() > 0 && open.names.len() + new > open.limits.endpoints {
                open.full = true;
                return;
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

    /// Numbers a part of what came, if something did.
    fn number(&mut self, limits: Limits) -> bool {
        let drops = self.carry.drops.take_some();
        if self.carry.rows.is_empty() && drops.is_empty() {
            return false;
        }
        let fitting = rows::fitting(&self.carry.rows, &drops, limits, &self.endpoints);
        let rest = self.carry.rows.split_off(fitting.min(self.carry.rows.len()));
        let rows = std::mem::replace(&mut self.carry.rows, rest);
        self.ledger.push(rows, drops);
        true
    }

    fn answered(
        &mut self,
        open: &mut Open,
        answer: Result<Option<proto::RecordResponse>, Status>,
    ) -> Result<(), Ended> {
        let status = match answer {
            Ok(Some(answer)) => {
                let before = self.ledger.acknowledged();
                match self.ledger.committed(answer.committed_sequence) {
                    Ok(settled) => self.settle(settled),
                    Err(breach) => {
                        self.breach(breach);
                        let status = Status::aborted("the server has other batches");
                        return Err(Ended::Broken { status, healthy: false });
                    }
                }
                if self.ledger.acknowledged() > before {
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
        let in_flight = open.map_or(0, |open| open.sent - self.ledger.acknowledged());
        match (verdict(&status), open) {
            (Verdict::Forgotten, _) => {
                self.begin_anew("the server does not know this producer any more");
            }
            (Verdict::InUse, _) => self.begin_anew("another client uses this producer's id"),
            (verdict @ (Verdict::InvalidBatch | Verdict::Limit), Some(open)) if in_flight > 0 => {
                if in_flight > 1 {
                    // Which one it is shows when they are sent one at a time.
                    self.careful_until = open.sent;
                    return Ended::Reopen;
                }
                if verdict == Verdict::InvalidBatch || self.exceeds(open) {
                    self.set_aside(&status);
                    return Ended::Reopen;
                }
            }
            _ => {}
        }
        Ended::Broken { status, healthy }
    }

    /// Whether the first batch that is not acknowledged is larger than this stream allows, as
    /// when a server with larger limits was there before.
    fn exceeds(&self, open: &Open) -> bool {
        let sequence = self.ledger.acknowledged() + 1;
        self.ledger.batch(sequence).is_some_and(|batch| {
            rows::fitting(&batch.rows, &batch.drops, open.limits, &self.endpoints)
                < batch.rows.len()
        })
    }

    fn set_aside(&mut self, status: &Status) {
        let sequence = self.ledger.acknowledged() + 1;
        match self.ledger.set_aside() {
            Some(settled) => {
                self.notices.rejected(sequence, settled.rejected, status);
                self.settle(settled);
            }
            None => self.begin_anew("the server refuses a batch that only tells of drops"),
        }
    }

    /// Half-closes the stream and waits for its end.
    async fn finish(&self, open: Open) {
        let Open { messages, mut answers, .. } = open;
        drop(messages);
        let end = async { while let Ok(Some(_)) = answers.message().await {} };
        // Everything is acknowledged: how the stream ends does not matter.
        let _ = tokio::time::timeout(self.settings.open_timeout, end).await;
    }
}

// === impl Messages ===

impl Stream for Messages {
    type Item = proto::RecordRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

fn verdict(status: &Status) -> Verdict {
    let reason = status.metadata().get(REASON_TRAILER).and_then(|value| value.to_str().ok());
    match (status.code(), reason) {
        (Code::FailedPrecondition, Some("PRODUCER_FORGOTTEN")) => Verdict::Forgotten,
        (Code::AlreadyExists, Some("PRODUCER_IN_USE")) => Verdict::InUse,
        (Code::InvalidArgument, Some("INVALID_BATCH")) => Verdict::InvalidBatch,
        (Code::ResourceExhausted, Some("LIMIT")) => Verdict::Limit,
        _ => Verdict::Retry,
    }
}
