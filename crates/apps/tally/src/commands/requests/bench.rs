//! `tally bench`: sends made-up requests to a server, measures how many it acknowledges and after how long,
//! and checks that each is counted once.
//!
//! | file | what it owns |
//! |---|---|
//! | `add.rs` | a stream of calls of `count.v1` |
//! | `args.rs` | the flags |
//! | `meter.rs` | what streams have seen |
//! | `mix.rs` | which series requests are of, and how they look on the wire |
//! | `pace.rs` | when what is sent is due |
//! | `record.rs` | a stream of numbered batches |
//! | `report.rs` | what is printed at the end |
//! | `run.rs` | all streams of a run, from its start to its end |
//! | `session.rs` | one open `Record` stream |
//! | `stream.rs` | what all streams share |
//! | `verify.rs` | whether what was acknowledged is what is counted |

mod add;
mod args;
mod meter;
mod mix;
mod pace;
mod record;
mod report;
mod run;
mod session;
mod stream;
mod verify;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tally_proto::tally::producers::v1::Opened;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_runtime::{Clock, Signals, random};
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::Status;

pub(crate) use self::args::BenchArgs;
use self::args::Via;
use self::mix::{Names, Shape, Work};
use self::report::{Facts, Report};
use self::run::{Part, Run};
use self::session::{Producer, Session};
use self::verify::Totals;
use crate::client::{Caller, describe};
use crate::output::{self, plural, say, thousands};

/// How many requests a batch and a call have at full speed.
const BATCH_ROWS: u64 = 10_000;
const CALL_ROWS: u64 = 100_000;

/// At a rate: how long requests are collected for a batch or a frame of a call, and for a call.
const COLLECT: Duration = Duration::from_millis(5);
const CALL: Duration = Duration::from_millis(100);

/// How many requests a frame of a call has at most.
const FRAME_ROWS: u64 = 1_024;

/// How many calls of a stream wait for their answers.
const CALLS_IN_FLIGHT: usize = 4;

/// How much time is between requests at full speed, in microseconds.
const GAP_AT_FULL_SPEED: f64 = 0.5;

/// Ended by a second Ctrl-C.
const EXIT_INTERRUPTED: u8 = 130;

pub(crate) async fn run(args: BenchArgs, clock: Arc<dyn Clock>) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::install().context("cannot take over Ctrl-C")?;
    let (stop, stopped) = watch::channel(false);
    let bar = bar(args.quiet);
    let report = tokio::select! {
        report = measure(&args, clock, stopped, &bar) => report,
        () = async {
            signals.recv().await;
            let _ = stop.send(true);
            bar.suspend(|| say("stopping: waiting for the server (again to leave at once)"));
            signals.recv().await;
        } => {
            bar.finish_and_clear();
            say("left at once: what was acknowledged is not checked");
            return Ok(ExitCode::from(EXIT_INTERRUPTED));
        }
    };
    bar.finish_and_clear();
    let report = report?;
    let text = match args.json {
        true => report.json().context("cannot write JSON")? + "\n",
        false => report.text(),
    };
    let mut out = output::stdout();
    output::written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))?;
    if report.is_good() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(anyhow!(wrong(&args, &report)))
}

/// Connects, names the series, measures, and checks.
async fn measure(
    args: &BenchArgs,
    clock: Arc<dyn Clock>,
    stopped: watch::Receiver<bool>,
    bar: &ProgressBar,
) -> anyhow::Result<Report> {
    let mut callers = Vec::with_capacity(args.connections);
    for _ in 0..args.connections {
        callers.push(args.server.connect().await?);
    }
    let client = RequestServiceClient::new(args.server.connect().await?);
    let mut totals = Totals::new(client, &args.path_prefix, args.days, args.patience(), &*clock)?;
    bar.set_message("reading the totals");
    let before = totals.count().await?;
    bar.set_message("naming the series");
    let names = mix::names(args.via, args.series, &args.path_prefix);
    let limits = name(&callers[0], &names, &*clock, args.patience()).await?;
    let named = args.series as u64;
    let room = totals.count().await?.saturating_sub(before);
    if room < i64::try_from(named).unwrap_or(i64::MAX) {
        return Err(no_room(args, room));
    }
    let shape = within(args, shape(args), &limits)?;
    let in_flight = in_flight(args, &limits, names.len())?;
    let work = Arc::new(Work::new(args.via, names, args.mix, args.seed, shape));
    let run = Run { args, clock, stopped, bar, callers, work, shape, in_flight };
    // A number of requests begins when nothing is on its way; a duration has its warm-up in front.
    let (mut acknowledged, mut in_doubt) = (named, 0);
    if args.requests.is_some() && !args.warm_up().is_zero() {
        let (warm, _) = run.part(Part::WarmUp).await?;
        let seen = warm.meter.lock();
        (acknowledged, in_doubt) = (acknowledged + seen.ever_acknowledged, seen.in_doubt);
    }
    let (shared, cpu) = run.part(Part::Measured).await?;
    bar.set_message("reading the totals");
    // What was measured is worth a report, even if it cannot be checked.
    let counted = totals.count().await.map(|count| count.saturating_sub(before));
    let seen = shared.meter.lock();
    let facts = Facts {
        shape,
        in_flight,
        resolution_us: limits.resolution_us,
        is_interrupted: *run.stopped.borrow(),
        cpu,
        acknowledged: acknowledged + seen.ever_acknowledged,
        counted: counted.map_err(|error| error.to_string()),
        in_doubt: in_doubt + seen.in_doubt,
    };
    Ok(Report::new(args, &seen, &facts))
}

/// How large batches and calls are, before the server's limits are known.
fn shape(args: &BenchArgs) -> Shape {
    let Some(rate) = args.rate else {
        let gap = GAP_AT_FULL_SPEED;
        return match args.via {
            Via::Record => Shape { rows: args.batch.unwrap_or(BATCH_ROWS), call: 0, gap },
            Via::Add => {
                let call = args.batch.unwrap_or(CALL_ROWS);
                Shape { rows: call.min(FRAME_ROWS), call, gap }
            }
        };
    };
    let each = rate as f64 / args.all_streams() as f64;
    let within = |time: Duration, max: u64| ((each * time.as_secs_f64()) as u64).clamp(1, max);
    let gap = 1e6 / each;
    match args.via {
        Via::Record => {
            let rows = args.batch.unwrap_or(within(COLLECT, BATCH_ROWS));
            Shape { rows, call: 0, gap }
        }
        Via::Add => {
            let call = args.batch.unwrap_or(within(CALL, CALL_ROWS));
            Shape { rows: within(COLLECT, FRAME_ROWS.min(call)), call, gap }
        }
    }
}

/// The same, within the server's limits.
fn within(args: &BenchArgs, shape: Shape, limits: &Opened) -> anyhow::Result<Shape> {
    let max = u64::from(limits.batch_rows_max);
    match (args.via, args.batch) {
        (Via::Record, Some(batch)) if batch > max => Err(anyhow!(
            "--batch {batch}: the server takes at most {} in a batch",
            plural(max, "request")
        )),
        (Via::Record, _) => Ok(Shape { rows: shape.rows.min(max), ..shape }),
        (Via::Add, _) => Ok(shape),
    }
}

/// How many batches or calls of a stream are on their way at most.
fn in_flight(args: &BenchArgs, limits: &Opened, names: usize) -> anyhow::Result<usize> {
    // A stream that is opened again has the names on its way as well.
    let max = (limits.batches_in_flight_max as usize).saturating_sub(names).max(1);
    match (args.via, args.in_flight) {
        (Via::Record, Some(given)) if given > max => Err(anyhow!(
            "--in-flight {given}: the server takes at most {} of a stream, beside those that name \
             the series",
            plural(max as u64, "batch").replace("batchs", "batches")
        )),
        (Via::Record, given) => Ok(given.unwrap_or(max)),
        (Via::Add, given) => Ok(given.unwrap_or(CALLS_IN_FLIGHT)),
    }
}

/// Counts a request of each series, so that all have names before anything is measured, and returns
/// the server's limits.
async fn name(
    caller: &Caller,
    names: &[Names],
    clock: &dyn Clock,
    patience: Duration,
) -> anyhow::Result<Opened> {
    let naming = async {
        let (id, claim) = (random::id(clock.now()), random::number().max(1));
        let mut producer = Producer { id, claim, epoch: 0, acknowledged: 0 };
        let mut session = Session::open(caller.clone(), &mut producer).await?;
        let now = clock.now().as_microsecond();
        for (sequence, names) in (1..).zip(names) {
            session.send(names.batch(sequence, true, now)).await?;
            while session::committed(&mut session.answers).await? < sequence {}
        }
        let limits = session.limits.clone();
        session.done().await;
        Ok::<_, Status>(limits)
    };
    let silent = |_| Status::deadline_exceeded("the server does not answer");
    let named = timeout(patience, naming).await.map_err(silent).and_then(|named| named);
    named.map_err(|status| anyhow!("nothing was measured: {}", describe(&status)))
}

/// Not all series count under their own names.
fn no_room(args: &BenchArgs, room: i64) -> anyhow::Error {
    anyhow!(
        "nothing was measured: of {} the server counts only {} under their own paths, {}0 and so \
         on. Half of its room for series is taken, and the other half is for those that come again \
         and again: give a smaller --series, or a larger --requests-series-max to `tally serve`. \
         Or they were merged or forgotten: give another --path-prefix",
        plural(args.series as u64, "request"),
        thousands(room),
        output::visible(&args.path_prefix),
    )
}

/// Why the exit code is 1.
fn wrong(args: &BenchArgs, report: &Report) -> String {
    let why = output::visible(report.failure.as_deref().unwrap_or_default());
    let (lost, doubled) = match (report.lost, report.doubled) {
        (Some(0), Some(0)) => return format!("a stream gave up: {why}"),
        (Some(lost), Some(doubled)) => (lost, doubled),
        _ => return format!("not checked: {why}"),
    };
    let hint = match doubled {
        0 => String::new(),
        _ => format!(
            "; if something else counts under {}, give --path-prefix",
            output::visible(&args.path_prefix)
        ),
    };
    format!("lost {}, doubled {}{hint}", thousands(lost), thousands(doubled))
}

/// One line on stderr, if that is a terminal.
fn bar(is_quiet: bool) -> ProgressBar {
    if is_quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg}") {
        bar.set_style(style);
    }
    bar
}
