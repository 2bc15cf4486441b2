//! The thread that turns files into chunks of requests.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use tally_proto::wire::AHEAD_MICROS_MAX;
use tally_runtime::Clock;
use tokio::sync::mpsc;

use super::counts::LineCounts;
use super::entries::Entries;
use super::input::{Input, OpenInput, Unreadable};
use super::lines::Line;
use super::parse::{Context, Entry, Malformed, Parser};
use super::paths::{Paths, Seen};
use super::position::{Checkpoint, Position, Tail};
use super::text::Differs;

/// How many chunks may wait to be sent; each comes from one read.
const CHUNKS_MAX: usize = 16;

/// How many requests end a chunk early: lines that stand for several can make it large. It should fit
/// into a batch.
const CHUNK_REQUESTS_MAX: usize = 20_000;

/// Begins a line that names columns.
const COLUMNS: &[u8] = b"#Fields:";

/// Reads inputs, one after another.
pub(crate) struct Reader {
    pub(crate) parser: Parser,
    pub(crate) paths: Paths,
    /// Where malformed lines go.
    pub(crate) malformed: Option<File>,
    /// Called with the path that makes it [many](super::paths::MANY_SERIES) series.
    pub(crate) many_series: Box<dyn Fn(&str) + Send>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Bytes read of all inputs so far, as stored.
    pub(crate) bytes: Arc<AtomicU64>,
    pub(crate) seen: Seen,
    /// Why malformed lines are no longer kept, until it is reported.
    pub(crate) unkept: Option<Failure>,
}

/// An input to read.
pub(crate) struct Job {
    pub(crate) at: usize,
    pub(crate) input: Input,
    /// Its lines, from `begin` on.
    pub(crate) lines: OpenInput,
    pub(crate) begin: Position,
    pub(crate) context: Context,
    /// The first line that counts, from 1.
    pub(crate) from_line: u64,
    pub(crate) ending: Ending,
}

/// What a last line without an end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Still being written: it is left for later.
    Later,
    /// As it should be.
    Complete,
    /// Still being written if it is malformed.
    Unknown,
}

#[derive(Debug)]
pub(crate) enum Fed {
    Chunk(Box<Chunk>),
    Failed(Failure),
}

/// Some lines of one input, in order.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) input: usize,
    pub(crate) entries: Entries,
    /// The last line, even if it was left out.
    pub(crate) through: u64,
    /// Where the lines begin, and how far the text is read with them.
    pub(crate) begin: Position,
    pub(crate) end: Position,
    /// Bytes read of all inputs so far.
    pub(crate) bytes: u64,
    pub(crate) counts: LineCounts,
}

/// An input that could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Open(#[from] Unreadable),
    #[error("{input}: {why:#}")]
    Begin { input: Input, why: anyhow::Error },
    #[error(
        "{input} begins like a text of which {known}, but {differs}; nothing of it was counted now, and \
         --again counts all of it"
    )]
    Differs { input: Input, known: Box<Checkpoint>, differs: Differs },
    #[error("{input}: its position on the server was not stored by this version of tally")]
    Unknown { input: Input },
    #[error("{input}: cannot be read beyond line {line}")]
    Read { input: Input, line: u64, source: io::Error },
    #[error("malformed lines can no longer be kept")]
    Keep { source: io::Error },
    #[error("{input} has only {lines} lines: --from-line {from_line} leaves out all of it")]
    Short { input: Input, lines: u64, from_line: u64 },
}

enum Stopped {
    Failed(Failure),
    NobodyListens,
}

/// What is being read.
struct Course {
    job: Job,
    /// Where the next chunk begins.
    position: Position,
    sender: mpsc::Sender<Fed>,
}

// === impl Reader ===

impl Reader {
    /// Starts a thread, which ends when the input is read or the receiver is dropped.
    pub(crate) fn start(mut self, job: Job) -> io::Result<(mpsc::Receiver<Fed>, JoinHandle<Self>)> {
        let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
        let thread = thread::Builder::new().name("import-reader".to_owned()).spawn(move || {
            let mut course = Course { position: job.begin, job, sender };
            if let Err(Stopped::Failed(failure)) = self.read(&mut course) {
                let _ = course.sender.blocking_send(Fed::Failed(failure));
            }
            self
        })?;
        Ok((receiver, thread))
    }

    fn read(&mut self, course: &mut Course) -> Result<(), Stopped> {
        let mut read = Ok(true);
        loop {
            // Sends what was read before the next read, which may wait for a slow pipe.
            loop {
                let (chunk, is_all) = self.cut_chunk(course);
                if chunk.counts.lines > 0 || chunk.counts.torn.is_some() {
                    course.tell(Fed::Chunk(Box::new(chunk)))?;
                }
                if let Some(failure) = self.unkept.take() {
                    course.tell(Fed::Failed(failure))?;
                }
                if is_all {
                    break;
                }
            }
            let Job { input, lines, from_line, .. } = &mut course.job;
            let more = read.map_err(|source| {
                let (input, line) = (input.clone(), lines.number());
                Stopped::Failed(Failure::Read { input, line, source })
            })?;
            if !more {
                let (input, lines, from_line) = (input.clone(), lines.number(), *from_line);
                let is_short = lines + 1 < from_line;
                let short = || Stopped::Failed(Failure::Short { input, lines, from_line });
                return if is_short { Err(short()) } else { Ok(()) };
            }
            read = lines.read();
        }
    }

    /// Parses the lines read so far; false if there are more than one chunk takes.
    fn cut_chunk(&mut self, course: &mut Course) -> (Chunk, bool) {
        let Course { job, position, .. } = course;
        let Job { at, ref mut lines, ref mut context, from_line, ending, .. } = *job;
        let latest = self.clock.now().as_microsecond().saturating_add(AHEAD_MICROS_MAX);
        let mut chunk = Chunk { input: at, begin: *position, ..Chunk::default() };
        let (mut is_all, mut is_before_torn) = (true, false);
        loop {
            position.offset = lines.offset();
            position.lines = lines.number();
            if chunk.entries.requests() >= CHUNK_REQUESTS_MAX {
                is_all = false;
                break;
            }
            let Some(line) = lines.cut() else { break };
            let within = std::mem::take(&mut position.within);
            let number = position.lines + 1;
            context.is_torn = matches!(line, Line::Torn(_));
            if context.is_torn && ending == Ending::Later {
                chunk.counts.torn = Some((at, number));
                position.within = within;
                is_before_torn = true;
                break;
            }
            let names_columns = matches!(line, Line::Text(text) if text.starts_with(COLUMNS));
            if names_columns {
                position.fields_at = Some(position.offset);
            }
            if number < from_line {
                if let Line::Text(text) = line {
                    self.parser.follow(text, context);
                }
                chunk.begin.fields_at = position.fields_at;
                continue;
            }
            let complains = context.is_torn && ending == Ending::Unknown;
            let torn = complains.then_some((at, number));
            let entry = self.read_line(line, number, context, &mut chunk, (latest, torn));
            if let Some(mut entry) = entry {
                // The others are counted already.
                entry.times = entry.times.saturating_sub(within);
                chunk.entries.push(&entry, number, position.offset);
            }
            // The columns are the same for all of a chunk.
            if names_columns {
                (position.offset, position.lines) = (lines.offset(), lines.number());
                is_all = false;
                break;
            }
        }
        let tail = lines.tail();
        if !tail.is_empty() && !is_before_torn {
            position.tail = Tail::of(tail, position.offset);
        }
        for entry in chunk.entries.iter() {
            if self.seen.makes_many(&entry) {
                (self.many_series)(&entry.path);
            }
        }
        chunk.through = position.lines;
        chunk.end = *position;
        chunk.bytes = self.bytes.load(Ordering::Relaxed);
        (chunk, is_all)
    }

    /// Reads a line as an entry, or counts why it is none.
    #[inline]
    fn read_line<'a>(
        &mut self,
        line: Line<'a>,
        number: u64,
        context: &mut Context,
        chunk: &mut Chunk,
        (latest, torn): (i64, Option<(usize, u64)>),
    ) -> Option<Entry<'a>> {
        chunk.counts.lines += 1;
        let (text, parsed) = match line {
            Line::Text(text) | Line::Torn(text) if text.trim_ascii().is_empty() => {
                chunk.counts.blank += 1;
                return None;
            }
            Line::Text(text) | Line::Torn(text) => (text, self.parser.parse(text, context, latest)),
            Line::TooLong => (&[][..], Err(Malformed::LineTooLong)),
        };
        match parsed {
            Ok(entry) => {
                let entry = entry.and_then(|entry| self.paths.on(entry));
                chunk.counts.left_out += u64::from(entry.is_none());
                entry
            }
            Err(why) => {
                chunk.counts.torn = torn.or(chunk.counts.torn);
                keep(&mut self.malformed, &mut self.unkept, text);
                chunk.counts.add_malformed(chunk.input, number, why);
                None
            }
        }
    }
}

// === impl Course ===

impl Course {
    fn tell(&self, fed: Fed) -> Result<(), Stopped> {
        self.sender.blocking_send(fed).map_err(|_closed| Stopped::NobodyListens)
    }
}

// === impl Chunk ===

impl Chunk {
    /// Where to go on if this many of the requests are counted.
    pub(crate) fn position(&self, requests: usize) -> Position {
        let Some((offset, line, within)) = self.entries.place(requests) else { return self.end };
        // The tail stays where it is, before the chunk.
        let before = if offset == self.begin.offset { self.begin.within } else { 0 };
        Position { offset, lines: line - 1, within: before + within, ..self.begin }
    }
}

/// Writes a malformed line to its file, if there is one.
fn keep(file: &mut Option<File>, unkept: &mut Option<Failure>, line: &[u8]) {
    let Some(open) = file else { return };
    if let Err(source) = open.write_all(&[line, b"\n"].concat()) {
        *file = None;
        *unkept = Some(Failure::Keep { source });
    }
}

#[cfg(test)]
mod tests;
