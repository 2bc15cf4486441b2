//! A stream of numbered batches. When the server refuses one, it opens again, and goes on after the last
//! one that is committed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use tally_runtime::random;
use tokio::time::timeout;
use tonic::Status;

use super::pace::{Next, Turn};
use super::session::{Producer, Session, committed};
use super::stream::{Patience, Shared};
use crate::client::Caller;

/// A stream and its producer.
pub(super) struct Recorder {
    shared: Arc<Shared>,
    caller: Caller,
    turn: Turn,
    /// Which of the run's streams this is.
    stream: usize,
    producer: Producer,
    /// The number of the next batch.
    next: u64,
    unacknowledged: VecDeque<Sent>,
    patience: Patience,
}

/// A batch that is on its way: enough to send it again.
struct Sent {
    sequence: u64,
    /// The first batches name the series.
    names: Option<usize>,
    rows: u64,
    micros: i64,
    /// When it should have been sent.
    due: Instant,
}

// === impl Recorder ===

impl Recorder {
    pub(super) fn new(shared: Arc<Shared>, caller: Caller, turn: Turn, stream: usize) -> Self {
        let id = random::id(shared.clock.now());
        let claim = random::number().max(1);
        let producer = Producer { id, claim, epoch: 0, acknowledged: 0 };
        let patience = Patience::new(shared.patience);
        let unacknowledged = VecDeque::new();
        Self { shared, caller, turn, stream, producer, next: 1, unacknowledged, patience }
    }

    /// Sends until its turn is over and all is acknowledged, or until it gives up.
    pub(super) async fn run(mut self) {
        while let Err(status) = self.session().await {
            self.shared.meter.refused(&status);
            if let Err(why) = self.patience.pause(&status).await {
                self.shared.meter.failed(why);
                let rows = self.unacknowledged.iter().map(|sent| sent.rows).sum();
                self.shared.meter.in_doubt(rows);
                break;
            }
        }
        self.shared.meter.unsent(self.turn.unsent());
    }

    /// Opens the producer, and sends what is not committed and then what is due.
    async fn session(&mut self) -> Result<(), Status> {
        let opening = Session::open(self.caller.clone(), &mut self.producer);
        let opened = timeout(self.shared.patience, opening).await;
        let silent = |_| Status::deadline_exceeded("the server does not answer");
        let mut session = opened.map_err(silent)??;
        self.take(session.committed)?;
        if self.next == 1 {
            self.begin();
        }
        for message in self.messages_again(session.committed) {
            tokio::select! {
                sent = session.send(message) => sent?,
                ended = self.patience.end(None) => return Err(ended),
            }
        }
        self.go(&mut session).await?;
        let _ = timeout(self.shared.patience, session.done()).await;
        Ok(())
    }

    /// The first batches name the series.
    fn begin(&mut self) {
        let (micros, due) = (self.shared.micros(self.stream, 0), Instant::now());
        for place in 0..self.shared.work.names.len() {
            let (names, sequence) = (Some(place), self.next);
            self.unacknowledged.push_back(Sent { sequence, names, rows: 1, micros, due });
            self.next += 1;
        }
    }

    /// What a new stream begins with: the names, and the batches that are not committed. Names that
    /// are committed, or never were in batches of their own, travel in duplicates of committed ones.
    fn messages_again(&self, committed: u64) -> impl Iterator<Item = bytes::Bytes> {
        let names = &self.shared.work.names;
        let micros = self.shared.micros(self.stream, 0);
        let duplicates = committed.min(names.len() as u64);
        let first = committed - duplicates + 1;
        let again = (first..).zip(&names[..duplicates as usize]);
        let again = again.map(move |(sequence, names)| names.batch(sequence, false, micros));
        again.chain(self.unacknowledged.iter().map(|sent| self.message(sent)))
    }

    fn message(&self, sent: &Sent) -> bytes::Bytes {
        let Sent { sequence, names, rows, micros, .. } = sent;
        match names {
            Some(place) => self.shared.work.names[*place].batch(*sequence, false, *micros),
            None => self.shared.work.batch(*sequence, self.drawn(*sequence), *rows, *micros),
        }
    }

    /// Which of the requests that were drawn a batch has: streams begin at different ones.
    fn drawn(&self, sequence: u64) -> u64 {
        sequence + self.stream as u64 * 7_919
    }

    /// Sends what is due until the turn is over and all is acknowledged.
    async fn go(&mut self, session: &mut Session) -> Result<(), Status> {
        let mut is_over = false;
        let mut can_send = true;
        while !is_over || !self.unacknowledged.is_empty() {
            let is_waiting = !self.unacknowledged.is_empty();
            let may_send =
                !is_over && can_send && self.unacknowledged.len() < self.shared.in_flight;
            tokio::select! {
                biased;
                committed = committed(&mut session.answers) => {
                    self.take(committed?)?;
                    continue;
                }
                next = self.turn.next(&session.sender), if may_send => match next {
                    Next::Send(due, room) => {
                        let (sequence, rows) = (self.next, self.turn.rows());
                        let micros = self.shared.micros(self.stream, sequence);
                        let drawn = self.drawn(sequence);
                        room.send(self.shared.work.batch(sequence, drawn, rows, micros));
                        if !is_waiting {
                            self.patience.renew(Instant::now());
                        }
                        let sent = Sent { sequence, names: None, rows, micros, due };
                        self.unacknowledged.push_back(sent);
                        self.next += 1;
                        self.turn.sent(rows);
                        self.shared.meter.sent(rows);
                    }
                    Next::Over => is_over = true,
                    // The next answer says why.
                    Next::Ended => can_send = false,
                },
                ended = self.patience.end(None), if is_waiting => return Err(ended),
            }
        }
        Ok(())
    }

    /// Notes that every batch up to this one is committed.
    fn take(&mut self, committed: u64) -> Result<(), Status> {
        if committed < self.producer.acknowledged {
            return Err(Status::data_loss("acknowledged batches are missing from the database"));
        }
        let now = Instant::now();
        while self.unacknowledged.front().is_some_and(|sent| sent.sequence <= committed) {
            let Some(sent) = self.unacknowledged.pop_front() else { break };
            self.patience.renew(now);
            match sent.names {
                Some(_) => self.shared.meter.named(sent.rows),
                None => self.shared.meter.acknowledged(sent.rows, sent.due, now),
            }
        }
        self.producer.acknowledged = committed;
        Ok(())
    }
}
