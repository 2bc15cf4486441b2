//! The thread that turns files into chunks of requests.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use tally_proto::count::v1::AddRequest;
use tally_proto::wire::{self, AHEAD_MICROS_MAX};
use tally_runtime::Clock;
use tokio::sync::mpsc;

use super::input::{Input, OpenInput, Unreadable};
use super::lines::Line;
use super::{Malformed, Parser, Record};

/// How many chunks may wait to be sent. Each is what one read gave.
const CHUNKS_MAX: usize = 16;

/// How many malformed lines are remembered.
pub(crate) const EXAMPLES_MAX: usize = 5;

/// What is to be read, and how.
pub(crate) struct Job {
    pub(crate) inputs: Vec<Input>,
    pub(crate) parser: Parser,
    /// The first line of the first input that counts, from 1.
    pub(crate) from_line: u64,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What the thread has to say.
#[derive(Debug)]
pub(crate) enum Fed {
    Chunk(Chunk),
    Failed(Failure),
}

/// Some lines of one input, in order.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// Which of the inputs.
    pub(crate) input: usize,
    pub(crate) requests: Vec<AddRequest>,
    /// The line of each request.
    pub(crate) lines: Vec<u64>,
    /// The last line that is in this chunk or was left out of it.
    pub(crate) through: u64,
    /// How many bytes of all inputs had been read.
    pub(crate) bytes: u64,
    pub(crate) counts: LineCounts,
}

/// How many lines were what.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LineCounts {
    pub(crate) lines: u64,
    pub(crate) blank: u64,
    pub(crate) malformed: u64,
    /// The first malformed lines: input, line, reason.
    pub(crate) examples: Vec<(usize, u64, Malformed)>,
}

/// An input that could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Open(Unreadable),
    #[error("{input}: cannot be read beyond line {line}")]
    Read { input: Input, line: u64, source: io::Error },
    #[error("{input} has only {lines} lines: --from-line {from_line} leaves out all of it")]
    Short { input: Input, lines: u64, from_line: u64 },
}

/// Starts the thread. It ends when everything is read or the receiver is dropped.
pub(crate) fn start(job: Job) -> io::Result<(mpsc::Receiver<Fed>, JoinHandle<()>)> {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let thread = thread::Builder::new().name("import-reader".to_owned()).spawn(move || {
        let bytes = Arc::new(AtomicU64::new(0));
        for at in 0..job.inputs.len() {
            let sent = match read_input(&job, at, &bytes, &sender) {
                Ok(()) => Ok(()),
                Err(Stopped::Failed(failure)) => sender.blocking_send(Fed::Failed(failure)),
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

fn read_input(
    job: &Job,
    at: usize,
    bytes: &Arc<AtomicU64>,
    sender: &mpsc::Sender<Fed>,
) -> Result<(), Stopped> {
    let input = &job.inputs[at];
    let mut lines =
        input.open(Arc::clone(bytes)).map_err(|source| Stopped::Failed(Failure::Open(source)))?;
    let from_line = if at == 0 { job.from_line } else { 1 };
    let mut read = Ok(true);
    loop {
        // What was read is sent before the next read, which may wait for a slow pipe.
        let latest = job.clock.now().as_microsecond().saturating_add(AHEAD_MICROS_MAX);
        let mut chunk = cut_chunk(&mut lines, &job.parser, latest, (at, from_line));
        chunk.bytes = bytes.load(Ordering::Relaxed);
        if chunk.counts.lines > 0 && sender.blocking_send(Fed::Chunk(chunk)).is_err() {
            return Err(Stopped::NobodyListens);
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
    Ok(())
}

/// Parses every line that has been read, from line `from_line` on.
fn cut_chunk(
    lines: &mut OpenInput,
    parser: &Parser,
    latest: i64,
    (input, from_line): (usize, u64),
) -> Chunk {
    let mut chunk = Chunk { input, ..Chunk::default() };
    let mut number = lines.number();
    while let Some(line) = lines.cut() {
        number += 1;
        if number < from_line {
            continue;
        }
        chunk.counts.lines += 1;
        let parsed = match line {
            Line::Text(text) if text.trim_ascii().is_empty() => {
                chunk.counts.blank += 1;
                continue;
            }
            Line::Text(text) => parser.parse(text, latest),
            Line::TooLong => Err(Malformed::LineTooLong),
        };
        match parsed {
            Ok(record) => {
                chunk.requests.push(request(record));
                chunk.lines.push(number);
            }
            Err(reason) => chunk.counts.add_malformed(input, number, reason),
        }
    }
    chunk.through = number;
    chunk
}

fn request(record: Record<'_>) -> AddRequest {
    AddRequest {
        method: record.method,
        path: record.path.into_owned(),
        request_timestamp: Some(wire::timestamp(record.micros)),
    }
}

// === impl LineCounts ===

impl LineCounts {
    fn add_malformed(&mut self, input: usize, line: u64, reason: Malformed) {
        self.malformed += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push((input, line, reason));
        }
    }

    /// Adds the counts of later lines.
    pub(crate) fn add(&mut self, later: Self) {
        self.lines += later.lines;
        self.blank += later.blank;
        self.malformed += later.malformed;
        self.examples.extend(later.examples);
        self.examples.truncate(EXAMPLES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use jiff::Timestamp;
    use tally_runtime::ManualClock;

    use super::*;
    use crate::import::LogFormat;
    use crate::import::json::JsonFields;

    fn job(inputs: Vec<Input>, from_line: u64) -> Job {
        let now = Timestamp::from_second(1_431_900_000).expect("a time");
        let parser =
            Parser { format: LogFormat::Auto, fields: JsonFields::default(), keep_query: false };
        Job { inputs, parser, from_line, clock: Arc::new(ManualClock::new(now)) }
    }

    fn line(path: &str) -> String {
        format!("h - - [17/May/2015:10:05:03 +0000] \"GET {path} HTTP/1.1\" 200 1\n")
    }

    fn run(job: Job) -> (Vec<(usize, String, u64)>, LineCounts, Vec<Failure>) {
        let (mut receiver, thread) = start(job).expect("starts");
        let (mut requests, mut counts, mut failures) = (vec![], LineCounts::default(), vec![]);
        while let Some(fed) = receiver.blocking_recv() {
            match fed {
                Fed::Chunk(chunk) => {
                    assert_eq!(chunk.requests.len(), chunk.lines.len());
                    let paths = chunk.requests.into_iter().map(|request| request.path);
                    let lines = paths.zip(chunk.lines);
                    requests.extend(lines.map(|(path, line)| (chunk.input, path, line)));
                    counts.add(chunk.counts);
                }
                Fed::Failed(failure) => failures.push(failure),
            }
        }
        thread.join().expect("no panic");
        (requests, counts, failures)
    }

    #[test]
    fn lines_are_counted_for_what_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let ahead = line("/late").replace("2015", "2016");
        fs::write(&one, [&line("/a"), "junk\n", "  \r\n", &line("/b?c"), &ahead].concat())
            .expect("written");
        fs::write(&two, line("/c").trim_end()).expect("written");
        let inputs = vec![Input::File(one), Input::File(two)];
        let (requests, counts, failures) = run(job(inputs.clone(), 1));
        let of = |input, path: &str, line| (input, path.to_owned(), line);
        assert_eq!(requests, [of(0, "/a", 1), of(0, "/b", 4), of(1, "/c", 1)]);
        assert_eq!((counts.lines, counts.blank, counts.malformed), (6, 1, 2));
        assert_eq!(counts.examples, [(0, 2, Malformed::NoTime), (0, 5, Malformed::Future)]);
        assert!(failures.is_empty());

        let (requests, counts, _) = run(job(inputs.clone(), 3));
        assert_eq!(requests, [of(0, "/b", 4), of(1, "/c", 1)]);
        assert_eq!(counts.lines, 4);
        assert!(run(job(inputs.clone(), 6)).2.is_empty());
        let (_, _, failures) = run(job(inputs, 7));
        assert!(matches!(failures[..], [Failure::Short { lines: 5, .. }]), "{failures:?}");
    }

    #[test]
    fn what_came_before_damage_counts() {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for number in 0..20_000 {
            encoder.write_all(line(&format!("/{number}")).as_bytes()).expect("compressed");
        }
        let bytes = encoder.finish().expect("compressed");
        let folder = tempfile::tempdir().expect("a folder");
        let (torn, next) = (folder.path().join("torn.gz"), folder.path().join("next"));
        fs::write(&torn, &bytes[..bytes.len() / 2]).expect("written");
        fs::write(&next, line("/next")).expect("written");
        let (requests, counts, failures) = run(job(vec![Input::File(torn), Input::File(next)], 1));
        assert!(requests.len() > 1_000, "{}", requests.len());
        assert_eq!(requests.last(), Some(&(1, "/next".to_owned(), 1)));
        assert_eq!(counts.malformed, 0);
        assert!(matches!(failures[..], [Failure::Read { line: 1_000.., .. }]), "{failures:?}");
    }
}
