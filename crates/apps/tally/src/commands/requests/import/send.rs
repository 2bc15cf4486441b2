//! Sends requests by the exactly-once protocol, and knows which lines are counted.
//!
//! Rows are settled in the order in which they were sent, so one number says up to which line
//! everything is counted. If the server goes away, the sender waits, and sends again what was not
//! acknowledged: it is counted once.

use std::collections::VecDeque;
use std::iter::repeat_n;
use std::pin::pin;
use std::time::Duration;

use tally_client::{CountedFile, Method, Producer, Progress, Row, SeriesKey};
use tally_proto::wire::COUNTED_FILES_MAX;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::counts::LineCounts;
use super::feed::{Chunk, Failure, Fed};
use super::parse::Entry;
use crate::output::{plural, thousands};

/// How many requests may be unsettled: some batches on their way, and some read meanwhile.
pub(crate) const UNSETTLED_MAX: u64 = 200_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) input: usize,
    pub(crate) line: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Acknowledged requests, which are counted unless batches are lost.
    pub(crate) counted: u64,
    /// Requests that the server refused.
    pub(crate) rejected: u64,
    /// Requests of unknown outcome, because the server no longer knew this import.
    pub(crate) in_doubt: u64,
    /// Acknowledged batches that the database lost; `counted` includes their requests.
    pub(crate) batches_lost: u64,
    pub(crate) rejected_why: Option<String>,
    /// Every request up to this line is counted or refused.
    pub(crate) through: Option<Place>,
    /// Fully counted files beyond those that the server remembers.
    pub(crate) not_remembered: u64,
    pub(crate) counts: LineCounts,
    pub(crate) failures: Vec<Failure>,
    pub(crate) stop: Option<Stop>,
}

/// Why not everything was sent.
#[derive(Debug)]
pub(crate) enum Stop {
    Interrupted,
    /// The server accepted nothing for too long, or cannot be used.
    GaveUp {
        why: String,
        /// How many more requests may be counted.
        maybe: u64,
        /// The first line that is not known to be counted.
        next: Option<Place>,
    },
}

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
/// `files` is what the server is to remember of each input, completed from the chunks.
pub(crate) async fn send_all(
    producer: Producer,
    parties: Parties,
    chunks: mpsc::Receiver<Fed>,
    files: Vec<CountedFile>,
    stop: watch::Receiver<bool>,
    patience: Duration,
    news: &mut dyn FnMut(&News),
) -> Outcome {
    let (progress, trouble) = (producer.watch(), producer.watch_trouble());
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
        files,
        refused_here: 0,
        news: News::default(),
        outcome: Outcome::default(),
    };
    sender.run(news).await
}

struct Sender {
    producer: Producer,
    parties: Parties,
    progress: watch::Receiver<Progress>,
    trouble: watch::Receiver<Option<String>>,
    chunks: mpsc::Receiver<Fed>,
    stop: watch::Receiver<bool>,
    patience: Duration,
    /// When something was last counted, or nothing was left to count.
    moved: Instant,
    /// Unsettled chunks, oldest first.
    sent: VecDeque<Sent>,
    /// How many requests the producer has taken.
    given: u64,
    /// Each input, with a fingerprint once all of it was read.
    files: Vec<CountedFile>,
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

enum Next {
    Fed(Option<Fed>),
    Moved,
    Stop,
    Silence,
}

// === impl Sender ===

impl Sender {
    async fn run(mut self, news: &mut dyn FnMut(&News)) -> Outcome {
        let mut open = true;
        while open || !self.sent.is_empty() {
            match self.next(open).await {
                Next::Fed(Some(Fed::Chunk(chunk))) => {
                    if !self.give(chunk).await {
                        return self.give_up(news).await;
                    }
                }
                Next::Fed(Some(Fed::Whole(input, fingerprint))) => {
                    if let Some(file) = self.files.get_mut(input) {
                        file.fingerprint = fingerprint;
                    }
                }
                Next::Fed(Some(Fed::Failed(failure))) => self.outcome.failures.push(failure),
                Next::Fed(None) => open = false,
                Next::Moved => {}
                Next::Stop => self.outcome.stop = Some(Stop::Interrupted),
                Next::Silence => return self.give_up(news).await,
            }
            if self.outcome.stop.is_some() {
                // Waits only for what was sent.
                self.chunks.close();
                open = false;
            }
            self.settle(news);
        }
        let mut files = self.counted_files();
        self.outcome.not_remembered = files.len().saturating_sub(COUNTED_FILES_MAX) as u64;
        files.truncate(COUNTED_FILES_MAX);
        self.producer.remember(files);
        let last = self.producer.close_within(self.patience).await;
        self.outcome.in_doubt = last.in_doubt;
        self.outcome.batches_lost = last.batches_lost;
        self.outcome
    }

    /// The fully counted inputs, once everything is settled.
    fn counted_files(&mut self) -> Vec<CountedFile> {
        let lost = self.progress.borrow().lost() + self.progress.borrow().batches_lost;
        if self.outcome.rejected + lost > 0 {
            return Vec::new();
        }
        let mut files = std::mem::take(&mut self.files);
        files.retain(|file| file.requests > 0 && !file.fingerprint.is_empty());
        files
    }

    /// Cancel-safe.
    async fn next(&mut self, open: bool) -> Next {
        let interrupted = self.outcome.stop.is_some();
        let unsettled = self.given - self.progress.borrow().settled();
        let waits = !self.sent.is_empty();
        tokio::select! {
            biased;
            Ok(_) = self.stop.wait_for(|stop| *stop), if !interrupted => Next::Stop,
            Ok(()) = self.progress.changed() => Next::Moved,
            Ok(()) = self.trouble.changed() => Next::Moved,
            () = sleep_until(self.moved + self.patience), if waits => Next::Silence,
            fed = self.chunks.recv(), if open && unsettled < UNSETTLED_MAX => Next::Fed(fed),
        }
    }

    /// Gives a chunk's requests to the producer, which waits for room; false gives up.
    async fn give(&mut self, mut chunk: Chunk) -> bool {
        let malformed = chunk.counts.malformed;
        self.outcome.counts.add(std::mem::take(&mut chunk.counts));
        if self.sent.is_empty() {
            self.moved = Instant::now();
        }
        let Chunk { input, entries, through, bytes, .. } = chunk;
        let mut rows = Vec::with_capacity(entries.requests());
        let Parties { service, customer } = &self.parties;
        for Entry { method, path, status, micros, times } in entries.iter() {
            let (method, path) = (Method(method), &*path);
            let series =
                self.producer.series(SeriesKey { service, method, path, status, customer });
            rows.extend(repeat_n(Row { series, time_us: micros }, times as usize));
        }
        let (before, lines) = (self.given, entries.lines);
        self.sent.push_back(Sent { input, before, lines, through, bytes });
        let count = rows.len() as u64;
        let mut send = pin!(self.producer.send(rows));
        let mut acknowledged = self.outcome.counted;
        let given = loop {
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
                    return true;
                }
                () = sleep_until(self.moved + self.patience) => return false,
            }
        };
        match given {
            Ok(_) => {
                self.given += count;
                if let Some(file) = self.files.get_mut(input) {
                    file.requests += count;
                    file.malformed += malformed;
                }
            }
            Err(error) => {
                // Only after a clock was set back: the reader leaves out such times.
                self.outcome.rejected_why.get_or_insert_with(|| error.to_string());
                self.refused_here += count;
                self.sent.pop_back();
            }
        }
        true
    }

    /// Notes what is settled.
    fn settle(&mut self, news: &mut dyn FnMut(&News)) {
        let progress = *self.progress.borrow_and_update();
        let settled = progress.settled();
        if progress.acknowledged != self.outcome.counted {
            self.moved = Instant::now();
        }
        self.outcome.counted = progress.acknowledged;
        while let Some(oldest) = self.sent.front() {
            let done = settled.saturating_sub(oldest.before);
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
        self.settle(news);
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

// === impl Outcome ===

impl Outcome {
    /// Which acknowledged batches are missing, in words.
    pub(crate) fn lost(&self) -> Option<String> {
        let are = if self.batches_lost == 1 { "batch is" } else { "batches are" };
        (self.batches_lost > 0).then(|| {
            format!(
                "{} acknowledged {are} missing: the server's database went back to an earlier \
                 state, or is another one; fewer than {} of this run are counted",
                thousands(self.batches_lost),
                plural(self.counted, "request")
            )
        })
    }
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
