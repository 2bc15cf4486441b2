//! `tally timelines`: events that start and end, and their chart.
//!
//! | file | what it owns |
//! |---|---|
//! | `agent.rs` | an agent, and how it hands messages on |
//! | `draw.rs` | a timeline's chart in characters |
//! | `export.rs` | a timeline in the formats that viewers open |
//! | `import.rs`, `import/` | what another product knows of its runs |
//! | `print.rs` | contexts, timelines and events as tables |
//! | `run.rs` | running a command, and telling of it |
//! | `tell.rs` | telling: from flags to a message |
//! | `upto.rs` | the flags of upto-client, and its datagram |

mod agent;
mod draw;
mod export;
mod import;
mod print;
mod run;
mod tell;
mod upto;

pub(crate) use self::upto::with_two_dashes;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use tally_proto::tally::timelines::v1 as proto;
use tally_proto::tally::timelines::v1::timeline_service_client::TimelineServiceClient;
use tally_runtime::{Clock, durations};
use tonic::Status;

use crate::client::{Caller, MESSAGE_BYTES_MAX, ServerArgs, describe, may_be_done};
use crate::output::{self, OutputFormat, say};

/// How many events, timelines and contexts one call lists.
const PAGE: u32 = 1_000;

/// Keep timelines: what a process is up to, and how long its parts take
///
/// A timeline is one run of a process, such as a deployment or a build: events with
/// a start and an end, told by whoever does them, from any host. The kind of process
/// is a context; its newest timeline takes what is told. Nobody passes ids around:
/// context, name and host are enough. `a.b` is a part of `a`.
///
/// Examples:
///   tally timelines new deploy
///   tally timelines start deploy db.migrate
///   tally timelines end deploy db.migrate
///   tally timelines event deploy switched
///   tally timelines run deploy db.migrate -- ./migrate.sh
///   tally timelines list deploy
///   tally timelines show deploy
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TimelinesArgs {
    #[command(flatten)]
    upto: upto::UptoArgs,

    #[command(subcommand)]
    command: TimelinesCommand,
}

#[derive(Debug, Subcommand)]
enum TimelinesCommand {
    #[command(flatten)]
    Tell(tell::TellCommand),
    Run(Box<run::RunArgs>),
    Agent(Box<agent::AgentArgs>),
    List(ListArgs),
    Show(ShowArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Change(ChangeArgs),
}

/// List contexts, or the timelines of one, the last first
#[derive(Debug, Args)]
struct ListArgs {
    /// The kind of process [default: all of them, each with its newest timeline]
    context: Option<String>,

    /// At most this many timelines
    #[arg(long, value_name = "N", default_value = "20")]
    limit: u32,

    /// How to print [default: table on a terminal, csv elsewhere]
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,

    #[command(flatten)]
    server: ServerArgs,
}

/// Draw a timeline as a chart, up to now if something is open
///
/// Bars are what works, dotted ones what waits. `!` marks the critical path: without
/// it, everything would have ended sooner. With --format csv, json or jsonl, the
/// events are listed instead.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
struct ShowArgs {
    /// The kind of process
    context: String,

    /// The timeline: newest, a number, an id, or a label
    #[arg(default_value = "newest")]
    timeline: String,

    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    format: OutputFormat,

    #[command(flatten)]
    server: ServerArgs,
}

/// Say how long a context's timelines are kept, and when its open events are abandoned
///
/// What is left out is as the server's settings say.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
struct ChangeArgs {
    /// The kind of process
    context: String,

    /// For how many days a timeline is kept after it was last heard of; 0 is for ever
    #[arg(long, value_name = "DAYS")]
    retention_days: Option<u32>,

    /// How long after it was last heard of an open event is abandoned, as in 90s, 2h or 7d
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    abandon_after: Option<Duration>,

    #[command(flatten)]
    server: ServerArgs,
}

// === impl ServerArgs ===

impl ServerArgs {
    async fn timelines(&self) -> anyhow::Result<TimelineServiceClient<Caller>> {
        let client = TimelineServiceClient::new(self.connect().await?);
        Ok(client.max_decoding_message_size(MESSAGE_BYTES_MAX))
    }
}

pub(crate) async fn run(args: TimelinesArgs, clock: &dyn Clock) -> anyhow::Result<ExitCode> {
    match args.command {
        TimelinesCommand::Tell(command) => tell::run(command, args.upto, clock).await,
        _ if args.upto.are_any() => Err(anyhow!(
            "--hostname, --autohost, --autoip, --remotehost and --remoteport say how an event is told: they come with \
             new, start, end, event and phase"
        )),
        TimelinesCommand::Run(args) => run::run(*args).await,
        TimelinesCommand::Agent(args) => agent::run(*args).await,
        TimelinesCommand::List(args) => list(args).await,
        TimelinesCommand::Show(args) => show(args).await,
        TimelinesCommand::Export(args) => export::run(args).await,
        TimelinesCommand::Import(args) => import::run(args).await,
        TimelinesCommand::Change(args) => change(args).await,
    }
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let format = OutputFormat::or_usual(args.format);
    let mut client = args.server.timelines().await?;
    let Some(context) = args.context else {
        let mut request = proto::ListContextsRequest { limit: PAGE, ..Default::default() };
        let mut contexts = Vec::new();
        loop {
            let answer = args.server.answer(client.list_contexts(request.clone())).await;
            let answer =
                answer.map_err(|status| failed("list the contexts", &status))?.into_inner();
            contexts.extend(answer.contexts);
            if answer.next.is_empty() {
                break;
            }
            request.after = answer.next;
        }
        output::written(print::contexts(&mut output::stdout(), format, &contexts))?;
        if contexts.is_empty() {
            say("there are no timelines: `tally timelines start CONTEXT NAME` begins one");
        }
        return Ok(ExitCode::SUCCESS);
    };
    let (mut timelines, mut before) = (Vec::new(), 0);
    loop {
        let limit =
            PAGE.min(args.limit.saturating_sub(u32::try_from(timelines.len()).unwrap_or(0)));
        if limit == 0 {
            break;
        }
        let context = context.clone();
        let request = proto::ListTimelinesRequest { context, before, limit };
        let answer = args.server.answer(client.list_timelines(request)).await;
        let answer = answer.map_err(|status| failed("list the timelines", &status))?.into_inner();
        timelines.extend(answer.timelines);
        before = answer.next_before;
        if before == 0 {
            break;
        }
    }
    output::written(print::timelines(&mut output::stdout(), format, &timelines))?;
    Ok(ExitCode::SUCCESS)
}

async fn show(args: ShowArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.server.timelines().await?;
    let what = |status: Status| failed("show the timeline", &status);
    let ShowArgs { context, timeline, format, .. } = args;
    if format == OutputFormat::Table {
        let request = proto::ShowTimelineRequest { context: context.clone(), timeline };
        let shown = args.server.answer(client.show_timeline(request)).await;
        let shown = shown.map_err(what)?.into_inner();
        let canvas = draw::Canvas {
            columns: output::terminal_columns(),
            is_utf8: output::is_utf8() || !output::stdout_is_terminal(),
        };
        output::written(draw::draw(&mut output::stdout(), &context, &shown, &canvas))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut request =
        proto::ListEventsRequest { context, timeline, limit: PAGE, ..Default::default() };
    let mut events = Vec::new();
    loop {
        let answer = args.server.answer(client.list_events(request.clone())).await;
        let answer = answer.map_err(what)?.into_inner();
        events.extend(answer.events);
        if answer.next_after == 0 {
            break;
        }
        // The newest one may be another by now.
        request.timeline = answer.timeline.map(|timeline| timeline.id).unwrap_or_default();
        request.after = answer.next_after;
    }
    output::written(print::events(&mut output::stdout(), format, &events))?;
    Ok(ExitCode::SUCCESS)
}

async fn change(args: ChangeArgs) -> anyhow::Result<ExitCode> {
    let abandon_after = args.abandon_after.map(prost_types::Duration::try_from);
    let request = proto::ConfigureContextRequest {
        context: args.context,
        retention_days: args.retention_days,
        abandon_after: abandon_after.transpose()?,
    };
    let mut client = args.server.timelines().await?;
    let answer = args.server.answer_or_signal(client.configure_context(request)).await?;
    let answer = answer.map_err(|status| failed("change the context", &status))?.into_inner();
    say(format_args!("changed: {}", print::terms(&answer.context.unwrap_or_default())));
    Ok(ExitCode::SUCCESS)
}

fn failed(what: &str, status: &Status) -> anyhow::Error {
    let again = if may_be_done(status) { "; it may be done all the same" } else { "" };
    anyhow!("cannot {what}: {}{again}", describe(status))
}
