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
use super::fingerprint::fingerprint;
use super::input::{Input, OpenInput, Unreadable};
use super::lines::Line;
use super::parse::{Context, Malformed, Parser};
use super::paths::{Paths, Seen};

/// How many chunks may wait to be sent; each comes from one read.
const CHUNKS_MAX: usize = 16;

/// How many requests end a chunk early: lines that stand for several can make it large.
const CHUNK_REQUESTS_MAX: usize = 100_000;

pub(crate) struct Job {
    pub(crate) inputs: Vec<Input>,
    pub(crate) parser: Parser,
    pub(crate) paths: Paths,
    /// The first line of the first input that counts, from 1.
    pub(crate) from_line: u64,
    /// Where malformed lines go.
    pub(crate) malformed: Option<File>,
    /// Called with the path that makes it [many](super::paths::MANY_SERIES) series.
    pub(crate) many_series: Box<dyn Fn(&str) + Send>,
    pub(crate) clock: Arc<dyn Clock>,
}

#[derive(Debug)]
pub(crate) enum Fed {
    Chunk(Chunk),
    /// All of an input was read, and it did not change meanwhile; with its fingerprint.
    Whole(usize, Vec<u8>),
    Failed(Failure),
}

/// Some lines of one input, in order.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) input: usize,
    pub(crate) entries: Entries,
    /// The last line, even if it was left out.
    pub(crate) through: u64,
    /// Bytes read of all inputs so far.
    pub(crate) bytes: u64,
    pub(crate) counts: LineCounts,
}

/// An input that could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Open(Unreadable),
    #[error("{input}: cannot be read beyond line {line}")]
    Read { input: Input, line: u64, source: io::Error },
    #[error("malformed lines can no longer be kept")]
    Keep { source: io::Error },
    #[error("{input} has only {lines} lines: --from-line {from_line} leaves out all of it")]
    Short { input: Input, lines: u64, from_line: u64 },
}

/// Starts the thread, which ends when everything is read or the receiver is dropped.
pub(crate) fn start(job: Job) -> io::Result<(mpsc::Receiver<Fed>, JoinHandle<()>)> {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let thread = thread::Builder::new().name("import-reader".to_owned()).spawn(move || {
        let bytes = Arc::default();
        let inputs = job.inputs.clone();
        let mut reader = Reader { job, bytes, seen: Seen::default(), unkept: None, sender };
        for (at, input) in inputs.iter().enumerate() {
            let sent = match reader.read(at, input) {
                Ok(()) => Ok(()),
                Err(Stopped::Failed(failure)) => reader.sender.blocking_send(Fed::Failed(failure)),
                Err(Stopped::NobodyListens) => return,
            };
            if sent.is_err() {
                return;
            }
        }
    })?;
    Ok((receiver, thread))
}

enum Stopped {
    Failed(Failure),
    NobodyListens,
}

struct Reader {
    job: Job,
    bytes: Arc<AtomicU64>,
    seen: Seen,
    /// Why malformed lines are no longer kept, until it is reported.
    unkept: Option<Failure>,
    sender: mpsc::Sender<Fed>,
}

// === impl Reader ===

impl Reader {
    fn read(&mut self, at: usize, input: &Input) -> Result<(), Stopped> {
        let failed = |source| Stopped::Failed(Failure::Open(source));
        let file = input.file().map_err(failed)?;
        // Fingerprints the open file, because another may have its name by now.
        let same_file = file.as_ref().and_then(|file| file.try_clone().ok());
        let known = || fingerprint(same_file.as_ref()?).ok().flatten();
        let before = known();
        let mut lines = input.read(file, Arc::clone(&self.bytes)).map_err(failed)?;
        let from_line = if at == 0 { self.job.from_line } else { 1 };
        let mut context = Context::default();
        let mut read = Ok(true);
        let mut is_torn = false;
        loop {
            // Sends what was read before the next read, which may wait for a slow pipe.
            loop {
                let chunk = self.cut_chunk(&mut lines, &mut context, (at, from_line));
                is_torn |= chunk.counts.torn.is_some();
                let is_full = chunk.entries.requests() >= CHUNK_REQUESTS_MAX;
                if chunk.counts.lines > 0 {
                    self.tell(Fed::Chunk(chunk))?;
                }
                if let Some(failure) = self.unkept.take() {
                    self.tell(Fed::Failed(failure))?;
                }
                if !is_full {
                    break;
                }
            }
            let more = read.map_err(|source| {
                let line = lines.number();
                Stopped::Failed(Failure::Read { input: input.clone(), line, source })
            })?;
            if !more {
                break;
            }
            read = lines.read();
        }
        if lines.number() + 1 < from_line {
            let lines = lines.number();
            return Err(Stopped::Failed(Failure::Short { input: input.clone(), lines, from_line }));
        }
        let is_whole = from_line == 1 && !is_torn;
        match before.filter(|before| is_whole && known().as_ref() == Some(before)) {
            Some(known) => self.tell(Fed::Whole(at, known)),
            None => Ok(()),
        }
    }

    fn tell(&self, fed: Fed) -> Result<(), Stopped> {
        self.sender.blocking_send(fed).map_err(|_closed| Stopped::NobodyListens)
    }

    /// Parses the lines read so far, from `from_line` on.
    fn cut_chunk(
        &mut self,
        lines: &mut OpenInput,
        context: &mut Context,
        (input, from_line): (usize, u64),
    ) -> Chunk {
        let latest = self.job.clock.now().as_microsecond().saturating_add(AHEAD_MICROS_MAX);
        let mut chunk = Chunk { input, ..Chunk::default() };
        let mut number = lines.number();
        while chunk.entries.requests() < CHUNK_REQUESTS_MAX
            && let Some(line) = lines.cut()
        {
            number += 1;
            context.is_torn = matches!(line, Line::Torn(_));
            if number < from_line {
                if let Line::Text(text) = line {
                    self.job.parser.follow(text, context);
                }
                continue;
            }
            chunk.counts.lines += 1;
            let (text, parsed) = match line {
                Line::Text(text) | Line::Torn(text) if text.trim_ascii().is_empty() => {
                    chunk.counts.blank += 1;
                    continue;
                }
                Line::Text(text) | Line::Torn(text) => {
                    (text, self.job.parser.parse(text, context, latest))
                }
                Line::TooLong => (&[][..], Err(Malformed::LineTooLong)),
            };
            match parsed {
                Ok(entry) => match entry.and_then(|entry| self.job.paths.on(entry)) {
                    Some(entry) => chunk.entries.push(&entry, number),
                    None => chunk.counts.left_out += 1,
                },
                Err(why) => {
                    if context.is_torn {
                        chunk.counts.torn = Some((input, number));
                    }
                    self.keep(text);
                    chunk.counts.add_malformed(input, number, why);
                }
            }
        }
        for entry in chunk.entries.iter() {
            if self.seen.makes_many(&entry) {
                (self.job.many_series)(&entry.path);
            }
        }
        chunk.through = number;
        chunk.bytes = self.bytes.load(Ordering::Relaxed);
        chunk
    }

    fn keep(&mut self, line: &[u8]) {
        let Some(file) = &mut self.job.malformed else { return };
        if let Err(source) = file.write_all(&[line, b"\n"].concat()) {
            self.job.malformed = None;
            self.unkept = Some(Failure::Keep { source });
        }
    }
}

#[cfg(test)]
mod tests;
