//! `tally import`: sends access logs to a running server, at the server's speed.
//!
//! A thread (`feed`) reads and parses, and passes chunks through a bounded channel to a task
//! (`send`).
//!
//! | file | what it owns |
//! |---|---|
//! | `args.rs` | the flags |
//! | `begin.rs` | where to begin with an input: the server keeps a position of its text |
//! | `counts.rs` | counts lines by kind and reason |
//! | `dry_run.rs` | `--dry-run`: what would be counted |
//! | `entries.rs` | packed entries on their way from the reader's thread |
//! | `feed.rs` | the thread that turns an input into chunks of requests |
//! | `identity.rs` | identifies a text by what it begins with |
//! | `input.rs` | opens inputs, and says why one cannot be read |
//! | `lines.rs` | cuts bytes into lines of limited length |
//! | `parse.rs` | a line → an entry: every format |
//! | `paths.rs` | maps paths: `--collapse-ids`, `--rewrite`, `--path-prefix` |
//! | `position.rs` | how far a text is counted: the checkpoint of each batch |
//! | `report.rs` | the lines printed at the end |
//! | `send.rs` | sends chunks, and knows which lines are counted |
//! | `text.rs` | a file that can be read from any place of its decompressed text |

mod args;
mod begin;
mod counts;
mod dry_run;
pub(super) mod entries;
pub(super) mod feed;
mod identity;
mod input;
mod lines;
pub(super) mod parse;
mod paths;
mod position;
mod report;
pub(super) mod send;
mod text;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tally_runtime::{Clock, Signals, chain};
use tokio::sync::watch;

pub(crate) use self::args::ImportArgs;
use self::begin::{Begun, Memory, NotBegun, Positions};
use self::dry_run::DryRun;
use self::feed::{Job, Reader};
use self::input::Input;
use self::parse::{Context, Parser};
use self::paths::{MANY_SERIES, Seen};
use self::position::{Checkpoint, Position};
use self::send::{News, Outcome, Parties, Place, UNDECIDED_MAX, send_all};
use crate::output::{self, OutputFormat, plural, say, thousands, visible, wrong_usage};

const BAR_TICK: Duration = Duration::from_millis(200);

/// Ended by Ctrl-C.
const EXIT_INTERRUPTED: u8 = 130;

pub(crate) async fn run(args: ImportArgs, clock: Arc<dyn Clock>) -> anyhow::Result<ExitCode> {
    let (inputs, parser) = match inputs(&args.files).and_then(|inputs| Ok((inputs, args.parser()?)))
    {
        Ok(good) => good,
        Err(reason) => return Ok(wrong_usage(reason)),
    };
    let unreadable: Vec<_> = inputs.iter().filter_map(|input| input.check().err()).collect();
    unreadable.iter().for_each(|error| say(format_args!("error: {}", chain(error))));
    if !unreadable.is_empty() {
        return Err(anyhow!("nothing was sent"));
    }
    let bar = if args.quiet { ProgressBar::hidden() } else { bar(&inputs) };
    let reader = reader(&args, &inputs, parser.clone(), &bar, Arc::clone(&clock))?;
    if args.dry_run {
        return dry_run(&args, &inputs, reader, &bar).await;
    }
    let patience = Duration::from_secs(args.patience);
    args.server.reach(patience).await?;
    let begin = Instant::now();
    let mut signals = Signals::install().context("cannot take over Ctrl-C")?;
    let (stop, stopped) = watch::channel(false);
    let counted = Cell::new(0);
    let now = clock.now().as_second();
    let positions = Positions { args: &args, parser: &parser, now, patience, stop: stopped };
    let import = Import { positions, inputs: &inputs, bar: &bar, counted: &counted };
    let outcome = tokio::select! {
        outcome = import.all(reader) => outcome?,
        () = async {
            signals.recv().await;
            bar.suspend(|| say("stopping; waiting for the server (again to leave at once)"));
            let _ = stop.send(true);
            signals.recv().await;
        } => {
            bar.finish_and_clear();
            say(format_args!(
                "left at once; {} requests are counted, and up to {} more may be",
                thousands(counted.get()),
                thousands(UNDECIDED_MAX)
            ));
            return Ok(ExitCode::from(EXIT_INTERRUPTED));
        }
    };
    bar.finish_and_clear();
    Ok(conclude(&args, &inputs, &outcome, begin.elapsed()))
}

/// Imports inputs, one after another.
struct Import<'a> {
    positions: Positions<'a>,
    inputs: &'a [Input],
    bar: &'a ProgressBar,
    /// How many requests are counted.
    counted: &'a Cell<u64>,
}

// === impl Import ===

impl Import<'_> {
    async fn all(&self, mut reader: Reader) -> anyhow::Result<Outcome> {
        let mut all = Outcome::default();
        for (at, input) in self.inputs.iter().enumerate() {
            let begun = match self.positions.begin(at, input, &reader.bytes).await {
                Ok(begun) => begun,
                Err(NotBegun::NoLine { is_torn }) => {
                    all.counts.torn = is_torn.then_some((at, 1)).or(all.counts.torn);
                    continue;
                }
                Err(NotBegun::Failed(failure)) => {
                    all.failures.push(failure);
                    continue;
                }
                Err(NotBegun::Stopped(stop)) => {
                    all.stop = Some(stop.before(Place { input: at, line: 1 }));
                    break;
                }
            };
            let known = begun.known.clone();
            let has_position = begun.checkpoint.is_some();
            let reads_on = begun.job.begin != Position::default();
            let (mut outcome, thread) = self.one(begun, reader).await?;
            let lines = outcome.counts.lines;
            let is_over = outcome.stop.is_some();
            // Nothing is stored of a text of which nothing was counted.
            let is_stored = has_position && !is_over && (reads_on || outcome.counted > 0);
            outcome.reads_on = reads_on;
            outcome.passes_malformed = is_stored && outcome.counts.malformed > 0;
            all.add(outcome);
            // After an early end the thread may wait for input forever; it ends with the process.
            if is_over {
                break;
            }
            let panicked = |_| anyhow!("the reader's thread panicked; not everything was read");
            reader = thread.join().map_err(panicked)?;
            if let Some(known) = known.filter(|_| !self.positions.args.quiet) {
                self.bar.suspend(|| say(self.before(input, &known, lines)));
            }
        }
        Ok(all)
    }

    async fn one(
        &self,
        begun: Begun,
        reader: Reader,
    ) -> anyhow::Result<(Outcome, JoinHandle<Reader>)> {
        let Begun { job, producer, checkpoint, .. } = begun;
        let (chunks, thread) = reader.start(job).context("cannot start the reader's thread")?;
        let Positions { args, patience, stop, .. } = &self.positions;
        let service = args.service.clone().unwrap_or_default();
        let parties = Parties { service, ..Parties::default() };
        let before = self.counted.get();
        let waits = Cell::new(false);
        let mut tell = |news: &News| {
            self.counted.set(before + news.counted);
            self.bar.set_position(news.bytes);
            self.bar.set_message(thousands(before + news.counted));
            if waits.replace(news.trouble.is_some()) {
                return;
            }
            if let Some(why) = news.trouble.as_ref().filter(|_| !args.quiet) {
                self.bar.suspend(|| say(format_args!("waiting for the server: {}", visible(why))));
            }
        };
        let (stop, patience) = (stop.clone(), *patience);
        let outcome =
            send_all(producer, &parties, chunks, checkpoint, stop, patience, &mut tell).await;
        Ok((outcome, thread))
    }

    /// How far an earlier import has read, and how many lines this one has.
    fn before(&self, input: &Input, known: &Checkpoint, lines: u64) -> String {
        let are = if lines == 1 { "is" } else { "are" };
        let lines = thousands(lines);
        match self.positions.args.again {
            true => format!("{input}: {known}; {lines} {are} counted again"),
            false => format!("{input}: {known}; {lines} {are} new"),
        }
    }
}

fn reader(
    args: &ImportArgs,
    inputs: &[Input],
    parser: Parser,
    bar: &ProgressBar,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Reader> {
    let malformed = args.malformed.as_deref().map(|path| keep_in(path, inputs)).transpose()?;
    let (bar, quiet) = (bar.clone(), args.quiet);
    Ok(Reader {
        parser,
        paths: args.paths.clone(),
        malformed,
        many_series: Box::new(move |path| {
            if !quiet {
                bar.suspend(|| say(many_series(path)));
            }
        }),
        clock,
        bytes: Arc::default(),
        seen: Seen::default(),
        unkept: None,
    })
}

async fn dry_run(
    args: &ImportArgs,
    inputs: &[Input],
    mut reader: Reader,
    bar: &ProgressBar,
) -> anyhow::Result<ExitCode> {
    let begin = Instant::now();
    let (mut counts, mut memory, mut all) =
        (DryRun::default(), Memory::default(), Outcome::default());
    let mut tell = |bytes, counted: u64| {
        bar.set_position(bytes);
        bar.set_message(thousands(counted));
    };
    for (at, input) in inputs.iter().enumerate() {
        let (lines, begin, ids, ending) = match memory.begin(input, &reader.bytes) {
            Ok(begun) => begun,
            Err(error) => {
                all.failures.push(begin::failed(input, error));
                continue;
            }
        };
        let from_line = if at == 0 { args.from_line } else { 1 };
        let (input, context) = (input.clone(), Context::default());
        let job = Job { at, input, lines, begin, context, from_line, ending };
        let (chunks, thread) = reader.start(job).context("cannot start the reader's thread")?;
        let end = counts.take(chunks, &mut all, &mut tell).await;
        let panicked = |_| anyhow!("the reader's thread panicked; not everything was read");
        reader = thread.join().map_err(panicked)?;
        if !args.again {
            memory.keep(ids, end);
        }
    }
    bar.finish_and_clear();
    output::written(counts.print(&mut output::stdout(), OutputFormat::or_usual(None)))?;
    let code = conclude(args, inputs, &all, begin.elapsed());
    say(format_args!(
        "{} would be counted; nothing was sent",
        plural(counts.endpoints as u64, "endpoint")
    ));
    Ok(code)
}

/// The file for malformed lines, which must not be an input.
fn keep_in(path: &Path, inputs: &[Input]) -> anyhow::Result<File> {
    let file = File::options().append(true).create(true).open(path);
    let file =
        file.with_context(|| format!("cannot write malformed lines to {}", path.display()))?;
    let kept = path.canonicalize()?;
    let is_read = |input: &Input| match input {
        Input::Stdin => false,
        Input::File(path) => path.canonicalize().is_ok_and(|path| path == kept),
    };
    if inputs.iter().any(is_read) {
        return Err(anyhow!("{} is an input, and cannot take the malformed lines", path.display()));
    }
    Ok(file)
}

fn many_series(path: &str) -> String {
    let many = thousands(MANY_SERIES);
    format!(
        "warning: about {many} different series (method, path and status) so far, the last one is \
         of {}; by default a server tells 100,000 apart and counts the rest under _other. --dry-run shows them; --collapse-ids, \
         --rewrite and --path-prefix make them fewer",
        visible(path)
    )
}

/// Prints the report, and returns whether the import succeeded.
fn conclude(args: &ImportArgs, inputs: &[Input], outcome: &Outcome, elapsed: Duration) -> ExitCode {
    let report = report::Report { args, inputs, outcome };
    let strict = args.strict && outcome.counts.malformed > 0;
    let lost = outcome.rejected + outcome.in_doubt + outcome.batches_lost;
    let failed = outcome.stop.is_some() || !outcome.failures.is_empty() || lost > 0;
    let failed = failed || strict || report.nothing_understood();
    if failed || !args.quiet {
        report.lines(elapsed).into_iter().for_each(say);
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn inputs(files: &[PathBuf]) -> Result<Vec<Input>, String> {
    if files.is_empty() {
        if io::stdin().is_terminal() {
            return Err("name a file to import, or pipe one in: `zcat … | tally import`".to_owned());
        }
        return Ok(vec![Input::Stdin]);
    }
    let input = |path: &PathBuf| match path.as_os_str().as_encoded_bytes() {
        b"-" => Input::Stdin,
        _ => Input::File(path.clone()),
    };
    let inputs: Vec<_> = files.iter().map(input).collect();
    if inputs.iter().filter(|input| **input == Input::Stdin).count() > 1 {
        return Err("stdin, `-`, can be read only once".to_owned());
    }
    Ok(inputs)
}

/// A bar over the bytes of all files, or a spinner if a size is unknown; it draws on stderr, and only
/// on a terminal.
fn bar(inputs: &[Input]) -> ProgressBar {
    let bytes = inputs.iter().map(Input::bytes).sum::<Option<u64>>();
    let template = match bytes {
        Some(_) => "{wide_bar} {bytes}/{total_bytes}  {msg} counted  {eta} left",
        None => "{spinner} {bytes}  {msg} counted  {elapsed}",
    };
    let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message("0");
    if !bar.is_hidden() {
        bar.enable_steady_tick(BAR_TICK);
    }
    bar
}
