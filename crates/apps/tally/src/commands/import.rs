//! `tally import`: access logs into a running server.

mod report;

use std::cell::Cell;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tally_runtime::{Clock, Signals, chain};
use tokio::sync::watch;

use crate::client::ServerArgs;
use crate::import::feed::{self, Job};
use crate::import::input::Input;
use crate::import::json::JsonFields;
use crate::import::send::{News, Outcome, UNSETTLED_MAX, send_all};
use crate::import::{LogFormat, Parser};
use crate::output::{say, thousands, visible, wrong_usage};

/// How often the bar moves without news.
const BAR_TICK: Duration = Duration::from_millis(200);

/// The exit code of a program that Ctrl-C ended.
const EXIT_INTERRUPTED: u8 = 130;

/// Count the requests of access logs
///
/// Reads Common and Combined Log Format and JSON lines, plain or compressed with gzip, and
/// sends them to a running server. Query strings are cut off; times are converted to UTC.
///
/// Examples:
///   tally import access.log access.log.1.gz
///   zstdcat access.log.zst | tally import -
///   tally import --format json --path-field route --time-field at app.log
///
/// JSON fields: nginx's (request_method, request_uri, uri, request, msec, time_iso8601,
/// time_local), Caddy's (request.method, request.uri, ts) and plain ones (method, path, url,
/// time, timestamp, @timestamp, ts) are found without being named.
///
/// A time is RFC 3339 or as in the Common Log Format, or a number: with up to 11 digits
/// before the point it is seconds since 1970, with 12 to 14 milliseconds, with 15 to 17
/// microseconds, with 18 to 20 nanoseconds.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ImportArgs {
    /// Files to read, `-` for stdin [default: stdin, unless it is a terminal]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// How lines are written
    #[arg(long, value_enum, default_value_t = LogFormat::Auto)]
    format: LogFormat,

    /// The JSON field of the method; a dot goes into a nested object
    #[arg(long, value_name = "NAME")]
    method_field: Option<String>,

    /// The JSON field of the path or URL
    #[arg(long, value_name = "NAME")]
    path_field: Option<String>,

    /// The JSON field of the time
    #[arg(long, value_name = "NAME")]
    time_field: Option<String>,

    /// Count /a?b and /a?c as different paths
    #[arg(long)]
    keep_query: bool,

    /// Leave out the lines of the first file before this one, to go on after an interruption
    #[arg(long, value_name = "LINE", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..))]
    from_line: u64,

    /// Exit with 1 when a line was malformed; the others are counted all the same
    #[arg(long)]
    strict: bool,

    /// How long a server that takes nothing is waited for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    patience: u64,

    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: ImportArgs, clock: Arc<dyn Clock>) -> anyhow::Result<ExitCode> {
    let inputs = match inputs(&args.files) {
        Ok(inputs) => inputs,
        Err(reason) => return Ok(wrong_usage(reason)),
    };
    let mut unreadable = 0;
    for error in inputs.iter().filter_map(|input| input.check().err()) {
        say(format_args!("error: {}", chain(&error)));
        unreadable += 1;
    }
    if unreadable > 0 {
        return Err(anyhow!("nothing was sent"));
    }
    let producer = args.server.producer("tally import").await?;
    let fields = JsonFields::new(
        args.method_field.as_deref(),
        args.path_field.as_deref(),
        args.time_field.as_deref(),
    );
    let parser = Parser { format: args.format, fields, keep_query: args.keep_query };
    let job = Job { inputs: inputs.clone(), parser, from_line: args.from_line, clock };
    let bar = bar(&inputs);
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
    let patience = Duration::from_secs(args.patience);
    let outcome = tokio::select! {
        outcome = send_all(producer, chunks, stopped, patience, &mut tell) => outcome,
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
    // After an early end the thread may wait for input for ever; it ends with the process.
    if outcome.stop.is_none() && thread.join().is_err() {
        return Err(anyhow!("the reader's thread panicked; not everything was read"));
    }
    Ok(conclude(&args, &inputs, &outcome, begin.elapsed()))
}

/// Says how it went, and whether that is a success.
fn conclude(args: &ImportArgs, inputs: &[Input], outcome: &Outcome, elapsed: Duration) -> ExitCode {
    let report = report::Report { args, inputs, outcome };
    for line in report.lines(elapsed) {
        say(line);
    }
    let strict = args.strict && outcome.counts.malformed > 0;
    let lost = outcome.rejected + outcome.in_doubt;
    let failed = outcome.stop.is_some() || !outcome.failures.is_empty() || lost > 0;
    if failed || strict || report.nothing_understood() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn inputs(files: &[PathBuf]) -> Result<Vec<Input>, &'static str> {
    if files.is_empty() {
        if io::stdin().is_terminal() {
            return Err("name a file to import, or pipe one in: `zcat … | tally import`");
        }
        return Ok(vec![Input::Stdin]);
    }
    let input = |path: &PathBuf| match path.as_os_str().as_encoded_bytes() {
        b"-" => Input::Stdin,
        _ => Input::File(path.clone()),
    };
    let inputs: Vec<_> = files.iter().map(input).collect();
    if inputs.iter().filter(|input| **input == Input::Stdin).count() > 1 {
        return Err("stdin, `-`, can be read only once");
    }
    Ok(inputs)
}

/// A bar over the bytes of all files, or a spinner when a size is not known. It draws on
/// stderr, and only if that is a terminal.
fn bar(inputs: &[Input]) -> ProgressBar {
    let bytes = inputs.iter().map(Input::bytes).sum::<Option<u64>>();
    let template = match bytes {
        Some(_) => "{bar:32} {bytes}/{total_bytes}  {msg} counted  {eta} left",
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
