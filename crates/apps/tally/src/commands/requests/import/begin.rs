//! Finds out where to begin with an input: at the position that the server keeps of its text.
//!
//! | text | its position is kept by |
//! |---|---|
//! | of at least [`HEAD_BYTES`](super::identity::HEAD_BYTES) | the producer that is named by these |
//! | shorter | the producer that is named by its first line with a time |
//!
//! The first import that finds a text long moves its position: it first notes with the producer of the
//! short one that the text is long by now, and then goes on with the other producer. If the text is short
//! again later, it was truncated.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tally_client::{Producer, Progress, Refusal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::ImportArgs;
use super::feed::{Ending, Failure, Job};
use super::identity::{Id, Identity};
use super::input::{Input, OpenInput};
use super::parse::{Context, Parser};
use super::position::{Checkpoint, Position, State};
use super::send::Stop;
use super::text::{Differs, Text};
use crate::output::{say, visible};

const NAME_CHARS_MAX: usize = 100;

/// Where positions are kept.
pub(super) struct Positions<'a> {
    pub(super) args: &'a ImportArgs,
    pub(super) parser: &'a Parser,
    /// When this import began, in seconds since 1970.
    pub(super) now: i64,
    pub(super) patience: Duration,
    pub(super) stop: watch::Receiver<bool>,
}

/// An input that is ready to be read.
pub(super) struct Begun {
    pub(super) job: Job,
    pub(super) producer: Producer,
    /// What is stored of the text, as the next checkpoint changes it. `None` if it has no position.
    pub(super) checkpoint: Option<Checkpoint>,
    /// What was counted before.
    pub(super) known: Option<Checkpoint>,
}

/// Why there is nothing to read.
pub(super) enum NotBegun {
    /// It has no complete line yet. `is_torn`: there is a beginning of one.
    NoLine {
        is_torn: bool,
    },
    Failed(Failure),
    Stopped(Stop),
}

/// Positions of texts that a dry run has read.
#[derive(Default)]
pub(super) struct Memory(HashMap<Id, Position>);

/// A producer, and what it keeps.
struct Opened {
    producer: Producer,
    checkpoint: Option<Checkpoint>,
}

// === impl Positions ===

impl Positions<'_> {
    /// Opens an input, and its producer.
    pub(super) async fn begin(
        &self,
        at: usize,
        input: &Input,
        bytes: &Arc<AtomicU64>,
    ) -> Result<Begun, NotBegun> {
        let from_line = if at == 0 { self.args.from_line } else { 1 };
        let job = |lines, begin, context, ending| {
            let input = input.clone();
            Job { at, input, lines, begin, context, from_line, ending }
        };
        let Some(text) =
            Text::open(input, Arc::clone(bytes)).map_err(|why| NotBegun::of(input, why))?
        else {
            let producer = self.args.server.new_producer("tally import", None).await;
            let producer = producer.map_err(|why| NotBegun::of(input, why))?;
            let lines = input.open(Arc::clone(bytes)).map_err(|why| NotBegun::of(input, why))?;
            let job = job(lines, Position::default(), Context::default(), Ending::Unknown);
            return Ok(Begun { job, producer, checkpoint: None, known: None });
        };
        let name: String = input.to_string().chars().take(NAME_CHARS_MAX).collect();
        let Some(Opened { producer, checkpoint: known }) =
            self.open_for(&text, input, &name).await?
        else {
            return Err(NotBegun::NoLine { is_torn: text.is_torn() });
        };
        let again = self.args.again;
        let anew = Checkpoint {
            state: if again { State::Again } else { State::Once },
            ..Checkpoint::default()
        };
        let goes_on = known.clone().filter(|known| !again || known.state == State::Again);
        let (lines, begun) = match goes_on {
            None => (text.lines().map_err(|why| NotBegun::of(input, why))?, anew),
            Some(known) => match self
                .go_on(&text, &known)
                .map_err(|why| NotBegun::of(input, why))?
            {
                Ok(lines) => (lines, known),
                Err(_) if again => (text.lines().map_err(|why| NotBegun::of(input, why))?, anew),
                Err(differs) => {
                    let (input, known) = (input.clone(), Box::new(known));
                    return Err(NotBegun::Failed(Failure::Differs { input, known, differs }));
                }
            },
        };
        let mut context = Context::default();
        if let Some(at) = begun.position.fields_at
            && let Some(line) = text.line_at(at).map_err(|why| NotBegun::of(input, why))?
        {
            self.parser.follow(&line, &mut context);
        }
        let job = job(lines, begun.position, context, text.ending());
        let checkpoint = Some(Checkpoint { at: self.now, name, ..begun });
        Ok(Begun { job, producer, checkpoint, known })
    }

    /// The lines of a text that were not counted before.
    fn go_on(&self, text: &Text, known: &Checkpoint) -> anyhow::Result<Result<OpenInput, Differs>> {
        match known.state {
            State::Moved => Ok(Err(Differs::Shorter)),
            State::Once | State::Again => text.lines_from(&known.position),
        }
    }

    /// Opens the producer that keeps the position of a text. `None` if it has no complete line yet.
    async fn open_for(
        &self,
        text: &Text,
        input: &Input,
        name: &str,
    ) -> Result<Option<Opened>, NotBegun> {
        Ok(match text.identity().map_err(|why| NotBegun::of(input, why))? {
            Identity { long: None, short: None } => None,
            Identity { long: None, short: Some(short) } => {
                Some(self.open(short, input, name).await?)
            }
            Identity { long: Some(long), short } => {
                let opened = self.open(long, input, name).await?;
                match short.filter(|_| opened.checkpoint.is_none()) {
                    None => Some(opened),
                    Some(short) => {
                        let checkpoint = self.moved(short, text, input, name).await?;
                        Some(Opened { checkpoint, ..opened })
                    }
                }
            }
        })
    }

    /// Opens a producer, and takes it over from another import.
    async fn open(&self, id: Id, input: &Input, name: &str) -> Result<Opened, NotBegun> {
        let name = format!("tally import {name}");
        let producer = self
            .args
            .server
            .new_producer(&name, Some(id))
            .await
            .map_err(|why| NotBegun::of(input, why))?;
        let mut stop = self.stop.clone();
        let mut trouble = producer.watch_trouble();
        let until = Instant::now() + self.patience;
        let mut is_silent = self.args.quiet;
        let opened = loop {
            tokio::select! {
                biased;
                opened = producer.opened() => break opened,
                Ok(_) = stop.wait_for(|stop| *stop) => {
                    return Err(NotBegun::Stopped(Stop::Interrupted));
                }
                Ok(()) = trouble.changed() => {
                    let why = trouble.borrow_and_update().clone();
                    if let Some(why) = why.filter(|_| !std::mem::replace(&mut is_silent, true)) {
                        say(format_args!("waiting for the server: {}", visible(&why)));
                    }
                }
                () = sleep_until(until) => return Err(NotBegun::Stopped(self.give_up(&producer))),
            }
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(Refusal::Stopped(stop)) => return Err(NotBegun::Stopped(Stop::Stopped(stop))),
            Err(refusal) => return Err(NotBegun::of(input, refusal)),
        };
        let checkpoint = match opened.checkpoint() {
            [] => None,
            stored => match Checkpoint::read(stored) {
                Some(checkpoint) => Some(checkpoint),
                None => return Err(NotBegun::Failed(Failure::Unknown { input: input.clone() })),
            },
        };
        Ok(Opened { producer, checkpoint })
    }

    /// Takes over the position that a long text had when it was short, if it had one.
    async fn moved(
        &self,
        short: Id,
        text: &Text,
        input: &Input,
        name: &str,
    ) -> Result<Option<Checkpoint>, NotBegun> {
        let Opened { mut producer, checkpoint } = self.open(short, input, name).await?;
        let is_moved = checkpoint.as_ref().is_some_and(|known| known.state == State::Moved);
        let known = checkpoint.filter(|known| known.position != Position::default());
        if let Some(known) = &known
            && text.lines_from(&known.position).map_err(|why| NotBegun::of(input, why))?.is_err()
        {
            if !is_moved && !self.args.quiet {
                say(format_args!(
                    "{input} begins with the same line as another text, of which {known}, and is \
                     counted as a text of its own"
                ));
            }
            return Ok(None);
        }
        if !is_moved {
            let new =
                || Checkpoint { at: self.now, name: name.to_owned(), ..Checkpoint::default() };
            let moved = Checkpoint { state: State::Moved, ..known.clone().unwrap_or_else(new) };
            let sent = producer.send_batch(Vec::new(), moved.write()).await;
            let given_up = self.give_up(&producer);
            let closing = producer.close_within(2 * self.patience);
            match (sent, timeout(self.patience, closing).await) {
                (_, Ok(Progress { stopped: Some(stop), .. })) => {
                    return Err(NotBegun::Stopped(Stop::Stopped(stop)));
                }
                (Ok(_), Ok(_)) => {}
                _ => return Err(NotBegun::Stopped(given_up)),
            }
        }
        Ok(known.map(|known| Checkpoint { state: State::Once, ..known }))
    }

    fn give_up(&self, producer: &Producer) -> Stop {
        let why = producer.trouble().unwrap_or_else(|| {
            format!("the server did not answer within {} s", self.patience.as_secs())
        });
        Stop::GaveUp { why, maybe: 0, next: None }
    }
}

// === impl NotBegun ===

impl NotBegun {
    fn of(input: &Input, why: impl Into<anyhow::Error>) -> Self {
        Self::Failed(failed(input, why))
    }
}

// === impl Memory ===

impl Memory {
    /// Opens an input, without its lines that an earlier input had.
    pub(super) fn begin(
        &self,
        input: &Input,
        bytes: &Arc<AtomicU64>,
    ) -> anyhow::Result<(OpenInput, Position, Vec<Id>, Ending)> {
        let Some(text) = Text::open(input, Arc::clone(bytes))? else {
            let lines = input.open(Arc::clone(bytes))?;
            return Ok((lines, Position::default(), Vec::new(), Ending::Unknown));
        };
        let Identity { long, short } = text.identity()?;
        let ids: Vec<Id> = long.into_iter().chain(short).collect();
        let mut known = ids.iter().filter_map(|id| self.0.get(id)).copied();
        let (lines, position) = match known.next() {
            Some(position) => match text.lines_from(&position)? {
                Ok(lines) => (lines, position),
                Err(_) => (text.lines()?, Position::default()),
            },
            None => (text.lines()?, Position::default()),
        };
        Ok((lines, position, ids, text.ending()))
    }

    pub(super) fn keep(&mut self, ids: Vec<Id>, position: Position) {
        self.0.extend(ids.into_iter().map(|id| (id, position)));
    }
}

/// An input cannot be begun.
pub(super) fn failed(input: &Input, why: impl Into<anyhow::Error>) -> Failure {
    match why.into().downcast() {
        Ok(unreadable) => Failure::Open(unreadable),
        Err(why) => Failure::Begin { input: input.clone(), why },
    }
}
