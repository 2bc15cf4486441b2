//! `tally import`: sends access logs to a running server, at the server's speed.
//!
//! A thread (`feed`) reads and parses, and passes chunks through a bounded channel to a task
//! (`send`).
//!
//! | file | what it owns |
//! |---|---|
//! | `args.rs` | the flags |
//! | `counted.rs` | files that the server has already counted |
//! | `counts.rs` | counts lines by kind and reason |
//! | `dry_run.rs` | `--dry-run`: what would be counted |
//! | `feed.rs` | the thread that turns files into chunks of requests |
//! | `fingerprint.rs` | identifies a file without reading all of it |
//! | `input.rs` | opens files, and says why one cannot be read |
//! | `lines.rs` | cuts bytes into lines of limited length |
//! | `parse.rs` | a line → an entry: every format |
//! | `paths.rs` | maps paths: `--collapse-ids`, `--rewrite`, `--path-prefix` |
//! | `report.rs` | the lines printed at the end |
//! | `entries.rs` | packed entries on their way from the reader's thread |
//! | `same.rs` | finds the same file twice in one command |
//! | `send.rs` | sends chunks, and knows which lines are counted |

mod args;
mod counted;
mod counts;
mod dry_run;
pub(super) mod entries;
pub(super) mod feed;
mod fingerprint;
mod input;
mod lines;
pub(super) mod parse;
mod paths;
mod report;
mod same;
pub(super) mod send;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tally_runtime::{Clock, Signals, chain};
use tokio::sync::watch;

pub(crate) use self::args::ImportArgs;
use self::counted::{files, without_counted};
use self::dry_run::DryRun;
use self::feed::Job;
use self::input::Input;
use self::parse::Parser;
use self::paths::MANY_SERIES;
use self::same::Double;
use self::send::{News, Outcome, Parties, UNSETTLED_MAX, send_all};
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
    let inputs = if args.again { inputs } else { without_doubles(inputs) };
    let asks = !args.again && !args.dry_run;
    let inputs = if asks { without_counted(&args, inputs).await? } else { inputs };
    if inputs.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let bar = bar(&inputs);
    let job = job(&args, inputs, parser, &bar, clock)?;
    let inputs = job.inputs.clone();
    if args.dry_run {
        return dry_run(&args, job, &bar).await;
    }
    let patience = Duration::from_secs(args.patience);
    let producer = args.server.producer("tally import", patience).await?;
    let begin = Instant::now();
    let (chunks, thread) = feed::start(job).context("cannot start the reader's thread")?;

    let mut signals = Signals::install().context("cannot take over Ctrl-C")?;
    let (stop, stopped) = watch::channel(false);
    let counted = Cell::new(0);
    let waits = Cell::new(false);
    let mut tell = |news: &News| {
        counted.set(news.counted);
        bar.set_position(news.bytes);
        bar.set_message(thousands(news.counted));
        if waits.replace(news.trouble.is_some()) {
            return;
        }
        if let Some(why) = &news.trouble {
            bar.suspend(|| say(format_args!("waiting for the server: {}", visible(why))));
        }
    };
    let files = files(&args, &inputs);
    let parties =
        Parties { service: args.service.clone().unwrap_or_default(), ..Parties::default() };
    let outcome = tokio::select! {
        outcome = send_all(producer, parties, chunks, files, stopped, patience, &mut tell) => outcome,
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
                thousands(UNSETTLED_MAX)
            ));
            return Ok(ExitCode::from(EXIT_INTERRUPTED));
        }
    };
    bar.finish_and_clear();
    // After an early end the thread may wait for input forever; it ends with the process.
    if outcome.stop.is_none() && thread.join().is_err() {
        return Err(anyhow!("the reader's thread panicked; not everything was read"));
    }
    Ok(conclude(&args, &inputs, &outcome, begin.elapsed()))
}

fn job(
    args: &ImportArgs,
    inputs: Vec<Input>,
    parser: Parser,
    bar: &ProgressBar,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Job> {
    let malformed = args.malformed.as_deref().map(|path| keep_in(path, &inputs)).transpose()?;
    let bar = bar.clone();
    Ok(Job {
        inputs,
        parser,
        paths: args.paths.clone(),
        from_line: args.from_line,
        malformed,
        many_series: Box::new(move |path| bar.suspend(|| say(many_series(path)))),
        clock,
    })
}

async fn dry_run(args: &ImportArgs, job: Job, bar: &ProgressBar) -> anyhow::Result<ExitCode> {
    let inputs = job.inputs.clone();
    let begin = Instant::now();
    let (chunks, thread) = feed::start(job).context("cannot start the reader's thread")?;
    let mut counts = DryRun::default();
    let mut tell = |bytes, counted: u64| {
        bar.set_position(bytes);
        bar.set_message(thousands(counted));
    };
    let outcome = counts.take(chunks, &mut tell).await;
    bar.finish_and_clear();
    if thread.join().is_err() {
        return Err(anyhow!("the reader's thread panicked; not everything was read"));
    }
    output::written(counts.print(&mut output::stdout(), OutputFormat::or_usual(None)))?;
    let code = conclude(args, &inputs, &outcome, begin.elapsed());
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

/// Leaves out copies of earlier files.
fn without_doubles(inputs: Vec<Input>) -> Vec<Input> {
    let doubles = same::doubles(&inputs);
    doubles.iter().for_each(say);
    let mut left: Vec<&Double> = doubles.iter().filter(|double| double.is_whole).collect();
    let mut seen = Vec::new();
    for input in inputs {
        // Of a name that occurs twice, the first stays.
        let at = left.iter().position(|double| double.input == input && seen.contains(&double.of));
        match at {
            Some(at) => drop(left.remove(at)),
            None => seen.push(input),
        }
    }
    seen
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
    for line in report.lines(elapsed) {
        say(line);
    }
    let strict = args.strict && outcome.counts.malformed > 0;
    let lost = outcome.rejected + outcome.in_doubt + outcome.batches_lost;
    let failed = outcome.stop.is_some() || !outcome.failures.is_empty() || lost > 0;
    if failed || strict || report.nothing_understood() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
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
