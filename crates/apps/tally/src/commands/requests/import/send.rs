//! Sends requests by the exactly-once protocol, and knows which lines are counted.
//!
//! What becomes of rows is decided in the order in which they were sent, so one number says up to
//! which line everything is counted. If the server goes away, the sender waits, and sends again what
//! was not acknowledged: it is counted once. The rows of a file go with a checkpoint, which the
//! server stores in their transaction. `outcome.rs` has what became of all of it.

mod outcome;

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use tally_client::{Method, Producer, Progress, Refusal, Row, SeriesKey};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

pub(crate) use self::outcome::{Outcome, Place, Stop};
use super::feed::{Chunk, Fed};
use super::parse::Entry;
use super::position::{Checkpoint, Position, State};

/// How many requests may be undecided: some batches on their way, and some read meanwhile.
pub(crate) const UNDECIDED_MAX: u64 = 200_000;

/// Who served all of the requests, and for whom; empty if that is not known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parties {
    pub(crate) service: String,
    pub(crate) customer: String,
}

/// Progress.
#[derive(Debug, Clone, Default)]
pub(crate) struct News {
    pub(crate) counted: u64,
    /// Bytes read for them.
    pub(crate) bytes: u64,
    /// Why nothing moves.
    pub(crate) trouble: Option<String>,
}

/// Sends chunks until they end, `stop` turns true, or the server accepts nothing for `patience`.
/// `checkpoint` is what is stored of the file, if they are of one that the server keeps a position of.
pub(crate) async fn send_all(
    producer: Producer,
    parties: &Parties,
    chunks: mpsc::Receiver<Fed>,
    checkpoint: Option<Checkpoint>,
    stop: watch::Receiver<bool>,
    patience: Duration,
    news: &mut dyn FnMut(&News),
) -> Outcome {
    let (progress, trouble) = (producer.watch(), producer.watch_trouble());
    let reached = checkpoint.as_ref().map(|checkpoint| checkpoint.position).unwrap_or_default();
    let sender = Sender {
        producer,
        parties,
        progress,
        trouble,
        chunks,
        stop,
        patience,
        moved: Instant::now(),
        sent: VecDeque::new(),
        given: 0,
        checkpoint,
        reached,
        refused_here: 0,
        news: News::default(),
        outcome: Outcome::default(),
    };
    sender.run(news).await
}

struct Sender<'a> {
    producer: Producer,
    parties: &'a Parties,
    progress: watch::Receiver<Progress>,
    trouble: watch::Receiver<Option<String>>,
    chunks: mpsc::Receiver<Fed>,
    stop: watch::Receiver<bool>,
    patience: Duration,
    /// When something was last counted, or nothing was left to count.
    moved: Instant,
    /// Undecided chunks, oldest first.
    sent: VecDeque<Sent>,
    /// How many requests the producer has taken.
    given: u64,
    /// The last checkpoint that was sent.
    checkpoint: Option<Checkpoint>,
    /// How far the file was read.
    reached: Position,
    /// How many requests the producer refused.
    refused_here: u64,
    news: News,
    outcome: Outcome,
}

struct Sent {
    input: usize,
    /// How many requests the producer had taken before these.
    before: u64,
    /// The line of each request; none if they were all left out.
    lines: Vec<u64>,
    /// The last line, and how many bytes had been read.
    through: u64,
    bytes: u64,
}

/// What became of some rows.
enum Given {
    Taken,
    /// They do not fit into one batch.
    TooLarge(Vec<Row>),
    /// Nothing more is to be sent.
    Over,
    Late,
}

enum Next {
    Fed(Option<Fed>),
    Moved,
    Stop,
    Silence,
}

// === impl Sender ===

impl Sender<'_> {
    async fn run(mut self, news: &mut dyn FnMut(&News)) -> Outcome {
        let mut open = true;
        while open || !self.sent.is_empty() {
            match self.next(open).await {
                Next::Fed(Some(Fed::Chunk(chunk))) => {
                    if !self.give(*chunk).await {
                        return self.give_up(news).await;
                    }
                }
                Next::Fed(Some(Fed::Failed(failure))) => self.outcome.failures.push(failure),
                Next::Fed(None) => open = false,
                Next::Moved => {}
                Next::Stop => self.outcome.stop = Some(Stop::Interrupted),
                Next::Silence => return self.give_up(news).await,
            }
            self.note_stop();
            if self.outcome.stop.is_some() {
                // Waits only for what was sent.
                self.chunks.close();
                open = false;
            }
            self.note_decided(news);
        }
        if self.outcome.stop.is_none() && self.outcome.failures.is_empty() && !self.finish().await {
            return self.give_up(news).await;
        }
        let last = self.producer.close_within(self.patience).await;
        self.outcome.counted = last.acknowledged;
        self.outcome.batches_lost = last.batches_lost;
        match last.stopped {
            // What is in doubt is for the next process to know.
            Some(stop) => self.outcome.stop = Some(Stop::Stopped(stop)),
            None => self.outcome.in_doubt = last.in_doubt,
        }
        self.outcome
    }

    /// Notes that the producer cannot go on.
    fn note_stop(&mut self) {
        if let Some(stop) = self.progress.borrow().stopped {
            self.outcome.stop = Some(Stop::Stopped(stop));
        }
    }

    /// Stores how far the file is counted, if that is further than its last requests: lines that are
    /// no requests may follow them. False gives up.
    async fn finish(&mut self) -> bool {
        let Some(last) = &self.checkpoint else { return true };
        // Of a file without any request nothing is kept: other flags may find some.
        let is_begun = last.position != Position::default();
        let is_behind = last.position != self.reached || last.state == State::Again;
        if !is_begun || !is_behind {
            return true;
        }
        let last = Checkpoint { position: self.reached, state: State::Once, ..last.clone() };
        self.checkpoint = Some(last);
        self.moved = Instant::now();
        !matches!(self.send(Vec::new(), self.reached).await, Given::Late)
    }

    /// Cancel-safe.
    async fn next(&mut self, open: bool) -> Next {
        let interrupted = self.outcome.stop.is_some();
        let undecided = self.given - self.progress.borrow().settled();
        let waits = !self.sent.is_empty();
        tokio::select! {
            biased;
            Ok(_) = self.stop.wait_for(|stop| *stop), if !interrupted => Next::Stop,
            Ok(()) = self.progress.changed() => Next::Moved,
            Ok(()) = self.trouble.changed() => Next::Moved,
            () = sleep_until(self.moved + self.patience), if waits => Next::Silence,
            fed = self.chunks.recv(), if open && undecided < UNDECIDED_MAX => Next::Fed(fed),
        }
    }

    /// Gives a chunk's requests to the producer, which waits for room; false gives up.
    async fn give(&mut self, mut chunk: Chunk) -> bool {
        self.outcome.counts.add(std::mem::take(&mut chunk.counts));
        if self.sent.is_empty() {
            self.moved = Instant::now();
        }
        let mut rows = Vec::with_capacity(chunk.entries.len());
        let Parties { service, customer } = self.parties;
        for Entry { method, path, status, micros, times } in chunk.entries.iter() {
            let (method, path) = (Method(method), &*path);
            let series =
                self.producer.series(SeriesKey { service, method, path, status, customer });
            // A line may say that it is repeated 0 times.
            if times > 0 {
                rows.push(Row { requests: times, ..Row::one(series, micros) });
            }
        }
        let (mut from, mut most) = (0, rows.len().max(1));
        loop {
            let later = rows.split_off(most.min(rows.len()));
            let (to, is_last) = (from + requests(&rows), later.is_empty());
            let position = if is_last { chunk.end } else { chunk.position(to) };
            let lines = chunk.entries.lines[from..to].to_vec();
            // What was read of the chunk, if no more of it is to come.
            let (through, bytes) = match (is_last, lines.last()) {
                (false, Some(line)) => (*line, self.news.bytes),
                _ => (chunk.through, chunk.bytes),
            };
            let (input, before) = (chunk.input, self.given);
            self.sent.push_back(Sent { input, before, lines, through, bytes });
            if rows.is_empty() {
                break;
            }
            match self.send(rows, position).await {
                Given::Taken => from = to,
                Given::TooLarge(back) => {
                    self.sent.pop_back();
                    most = back.len() / 2;
                    rows = back;
                    rows.extend(later);
                    continue;
                }
                Given::Over => return true,
                Given::Late => return false,
            }
            if is_last {
                break;
            }
            rows = later;
        }
        self.reached = chunk.end;
        true
    }

    /// Gives rows to the producer, and for a file how far it is counted with them.
    async fn send(&mut self, rows: Vec<Row>, position: Position) -> Given {
        let (count, entries) = (requests(&rows) as u64, rows.len());
        let checkpoint =
            self.checkpoint.as_ref().map(|last| Checkpoint { position, ..last.clone() });
        let producer = &mut self.producer;
        let given = {
            let mut send = pin!(async {
                match &checkpoint {
                    Some(checkpoint) => producer.send_batch(rows, checkpoint.write()).await,
                    None => producer.send(rows).await,
                }
            });
            let mut acknowledged = self.outcome.counted;
            loop {
                tokio::select! {
                    biased;
                    given = &mut send => break given,
                    Ok(()) = self.progress.changed() => {
                        let now = self.progress.borrow_and_update().acknowledged;
                        if std::mem::replace(&mut acknowledged, now) != now {
                            self.moved = Instant::now();
                        }
                    }
                    Ok(_) = self.stop.wait_for(|stop| *stop) => {
                        // These were not sent: the next import begins with them.
                        self.sent.pop_back();
                        self.outcome.stop = Some(Stop::Interrupted);
                        return Given::Over;
                    }
                    () = sleep_until(self.moved + self.patience) => return Given::Late,
                }
            }
        };
        let Err(error) = given else {
            self.given += count;
            self.checkpoint = checkpoint;
            return Given::Taken;
        };
        match error.reason {
            Refusal::TooLarge if entries > 1 => return Given::TooLarge(error.rows),
            Refusal::Stopped(stop) => {
                self.sent.pop_back();
                self.outcome.stop = Some(Stop::Stopped(stop));
                return Given::Over;
            }
            _ => {}
        }
        // Only after a clock was set back: the reader leaves out such times.
        self.outcome.rejected_why.get_or_insert_with(|| error.to_string());
        self.refused_here += count;
        self.sent.pop_back();
        Given::Taken
    }

    /// Notes what is decided.
    fn note_decided(&mut self, news: &mut dyn FnMut(&News)) {
        let progress = *self.progress.borrow_and_update();
        let decided = progress.settled();
        if progress.acknowledged != self.outcome.counted {
            self.moved = Instant::now();
        }
        self.outcome.counted = progress.acknowledged;
        while let Some(oldest) = self.sent.front() {
            let done = decided.saturating_sub(oldest.before);
            if done < oldest.lines.len() as u64 {
                if let Some(last) = done.checked_sub(1) {
                    self.outcome.through = oldest.place(last);
                }
                break;
            }
            let place = Place { input: oldest.input, line: oldest.through };
            self.outcome.through = Some(place);
            self.news.bytes = oldest.bytes;
            self.sent.pop_front();
        }
        let trouble = self.trouble.borrow_and_update().clone();
        if progress.rejected > 0 && self.outcome.rejected_why.is_none() {
            self.outcome.rejected_why.clone_from(&trouble);
        }
        self.outcome.rejected = self.refused_here + progress.rejected;
        self.news.counted = progress.acknowledged;
        self.news.trouble = trouble;
        news(&self.news);
    }

    async fn give_up(mut self, news: &mut dyn FnMut(&News)) -> Outcome {
        let why = self.producer.trouble().unwrap_or_else(|| {
            format!("the server acknowledged nothing for {} s", self.patience.as_secs())
        });
        // What is in doubt by now precedes counted requests, so the next import begins after it.
        let before = *self.progress.borrow();
        self.note_decided(news);
        let last = self.producer.close_within(Duration::ZERO).await;
        self.outcome.counted = last.acknowledged;
        self.outcome.batches_lost = last.batches_lost;
        let known = last.acknowledged + last.rejected + before.in_doubt;
        let next = self.sent.iter().find_map(|sent| {
            let at = known.checked_sub(sent.before)?;
            sent.place(at)
        });
        self.outcome.in_doubt = before.in_doubt;
        let maybe = last.in_doubt.saturating_sub(before.in_doubt);
        self.outcome.stop = Some(Stop::GaveUp { why, maybe, next });
        self.outcome
    }
}

fn requests(rows: &[Row]) -> usize {
    rows.iter().map(|row| row.requests as usize).sum()
}

// === impl Sent ===

impl Sent {
    fn place(&self, at: u64) -> Option<Place> {
        let line = *self.lines.get(usize::try_from(at).ok()?)?;
        Some(Place { input: self.input, line })
    }
}

#[cfg(test)]
pub(super) mod tests;
