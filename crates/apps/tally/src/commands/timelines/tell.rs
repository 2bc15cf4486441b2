//! Telling: from flags to a message.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use tally_proto::tally::timelines::v1 as proto;
use tally_runtime::Clock;

use super::upto::UptoArgs;
use super::{failed, print};
use crate::client::ServerArgs;
use crate::client::patience::Failed;
use crate::commands::run;
use crate::output::{say, visible};

/// How long a message is tried while the server is away.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Subcommand)]
pub(super) enum TellCommand {
    New(Box<NewArgs>),
    Start(Box<StartArgs>),
    End(Box<EndArgs>),
    Event(Box<EventArgs>),
    Phase(Box<PhaseArgs>),
}

/// Begin a new timeline of a context
///
/// What is open stays in the old one, and its end finds it there.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, visible_alias = "n")]
pub(super) struct NewArgs {
    /// The kind of process
    context: String,

    /// What to call it; the same again begins none
    #[arg(long, value_name = "LABEL", default_value = "", hide_default_value = true)]
    timeline: String,

    #[command(flatten)]
    upto: UptoArgs,

    #[command(flatten)]
    server: ServerArgs,
}

/// What is told of an event, and where.
#[derive(Debug, Args)]
struct Told {
    /// The kind of process
    context: String,

    /// The event: parts with dots between them, as in db.migrate
    name: String,

    #[command(flatten)]
    upto: UptoArgs,

    /// What tells overlapping events of one name and host apart
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    span: String,

    /// The timeline of this label [default: the newest one, or where the event began]
    #[arg(long, value_name = "LABEL", default_value = "", hide_default_value = true)]
    timeline: String,

    /// When it was, as in 2030-01-31T12:00:00.25Z [default: now]
    #[arg(long, value_name = "TIME")]
    time: Option<Timestamp>,

    /// Under the same key it is stored once
    #[arg(
        long = "idempotency-key",
        value_name = "KEY",
        default_value = "",
        hide_default_value = true
    )]
    idempotency_key: String,

    #[command(flatten)]
    server: ServerArgs,
}

/// An event starts
///
/// A second start of a name and host is a further attempt.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, visible_alias = "s")]
pub(super) struct StartArgs {
    #[command(flatten)]
    told: Told,

    /// It waits first, until `tally timelines phase … working`
    #[arg(long)]
    waiting: bool,

    #[command(flatten)]
    attributes: Attributes,
}

/// An event ends
///
/// The newest attempt that is open, in the timeline where it began.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, visible_alias = "e")]
pub(super) struct EndArgs {
    #[command(flatten)]
    told: Told,

    /// How it ended
    #[arg(long, value_enum, default_value = "ok")]
    status: Outcome,

    #[command(flatten)]
    attributes: Attributes,
}

/// Something happened at one moment
#[derive(Debug, Args)]
#[command(visible_alias = "v")]
pub(super) struct EventArgs {
    #[command(flatten)]
    told: Told,

    /// How it went
    #[arg(long, value_enum, default_value = "ok")]
    status: Outcome,

    #[command(flatten)]
    attributes: Attributes,
}

/// An open event waits, or works, from now on
#[derive(Debug, Args)]
pub(super) struct PhaseArgs {
    #[command(flatten)]
    told: Told,

    /// What it does
    #[arg(value_enum)]
    phase: Phase,
}

#[derive(Debug, Args)]
struct Attributes {
    /// Anything else, as in --attribute ref=a1b2c3; up to 20 times
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = read_attribute)]
    attributes: Vec<(String, String)>,
}

/// How an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Outcome {
    /// Well
    Ok,
    /// It could not be done
    Failed,
    /// It was not to be done
    Skipped,
}

/// What an open event does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// It waits for something else
    Waiting,
    /// It goes on
    Working,
}

// === impl Outcome ===

impl Outcome {
    fn number(self) -> i32 {
        let status = match self {
            Self::Ok => proto::Status::Unspecified,
            Self::Failed => proto::Status::Failed,
            Self::Skipped => proto::Status::Skipped,
        };
        status.into()
    }
}

// === impl Phase ===

impl Phase {
    fn number(self) -> i32 {
        let phase = match self {
            Self::Waiting => proto::Phase::Waiting,
            Self::Working => proto::Phase::Working,
        };
        phase.into()
    }
}

// === impl Attributes ===

impl Attributes {
    fn read(self) -> HashMap<String, String> {
        self.attributes.into_iter().collect()
    }
}

// === impl Told ===

impl Told {
    /// The message, with the time that it is now, so that it is known when it is sent again.
    fn message(&self, kind: proto::Kind, clock: &dyn Clock) -> proto::RecordRequest {
        proto::RecordRequest {
            kind: kind.into(),
            context: self.context.clone(),
            timeline: self.timeline.clone(),
            name: self.name.clone(),
            span: self.span.clone(),
            time: Some(moment(self.time.unwrap_or_else(|| clock.now()))),
            idempotency_key: self.idempotency_key.clone(),
            ..proto::RecordRequest::default()
        }
    }

    fn with(self, message: proto::RecordRequest) -> (UptoArgs, ServerArgs, proto::RecordRequest) {
        (self.upto, self.server, message)
    }
}

pub(super) async fn run(
    command: TellCommand,
    before: UptoArgs,
    clock: &dyn Clock,
) -> anyhow::Result<ExitCode> {
    let (after, server, mut request) = message(command, clock);
    let upto = before.and(after);
    request.host = upto.host()?;
    match upto.address() {
        Some(to) => upto.send(&to, &request).await,
        None => tell(&server, request).await,
    }
}

/// What is told, how, and to whom.
fn message(
    command: TellCommand,
    clock: &dyn Clock,
) -> (UptoArgs, ServerArgs, proto::RecordRequest) {
    match command {
        TellCommand::New(args) => {
            let request = proto::RecordRequest {
                kind: proto::Kind::New.into(),
                context: args.context,
                timeline: args.timeline,
                time: Some(moment(clock.now())),
                ..proto::RecordRequest::default()
            };
            (args.upto, args.server, request)
        }
        TellCommand::Start(args) => {
            let message = args.told.message(proto::Kind::Start, clock);
            let phase = if args.waiting { Phase::Waiting.number() } else { 0 };
            let attributes = args.attributes.read();
            args.told.with(proto::RecordRequest { phase, attributes, ..message })
        }
        TellCommand::End(args) => {
            let message = args.told.message(proto::Kind::End, clock);
            let (status, attributes) = (args.status.number(), args.attributes.read());
            args.told.with(proto::RecordRequest { status, attributes, ..message })
        }
        TellCommand::Event(args) => {
            let message = args.told.message(proto::Kind::Point, clock);
            let (status, attributes) = (args.status.number(), args.attributes.read());
            args.told.with(proto::RecordRequest { status, attributes, ..message })
        }
        TellCommand::Phase(args) => {
            let message = args.told.message(proto::Kind::Phase, clock);
            let phase = args.phase.number();
            args.told.with(proto::RecordRequest { phase, ..message })
        }
    }
}

impl run::Told for proto::RecordRequest {
    const NAME: &'static str = "message";
    const FOLDER: &'static str = "timelines";
    const EXTENSION: &'static str = "message";
    const COMMAND: &'static str = "tally timelines run";
    type Answer = proto::RecordResponse;

    async fn attempt(self, server: &ServerArgs) -> Result<proto::RecordResponse, Failed> {
        let what = format!("tell {}", visible(&self.context));
        let mut client = server.timelines().await.map_err(Failed::of_connecting)?;
        let recorded = client.record(self).await;
        let why = |status| Failed::of(&status, failed(&what, &status));
        recorded.map(tonic::Response::into_inner).map_err(why)
    }
}

/// Tells it, and tries again while the server is away.
async fn tell(server: &ServerArgs, request: proto::RecordRequest) -> anyhow::Result<ExitCode> {
    let context = request.context.clone();
    let recorded = run::tell(server, request, PATIENCE, false).await;
    say(said(&context, recorded.map_err(Failed::into_error)?));
    Ok(ExitCode::SUCCESS)
}

/// What is said of an answer.
pub(super) fn said(context: &str, recorded: proto::RecordResponse) -> String {
    let timeline = recorded.timeline.unwrap_or_default();
    let told = if recorded.is_repeated { "was told already" } else { "told" };
    format!("{told}: {}, {}", visible(context), print::brief(&timeline))
}

pub(super) fn moment(time: Timestamp) -> prost_types::Timestamp {
    let since = time.duration_since(Timestamp::UNIX_EPOCH);
    // Before 1970 both are negative, and a message has nanoseconds forward.
    let (seconds, nanos) = (since.as_secs(), since.subsec_nanos());
    match nanos {
        ..0 => prost_types::Timestamp { seconds: seconds - 1, nanos: nanos + 1_000_000_000 },
        _ => prost_types::Timestamp { seconds, nanos },
    }
}

fn read_attribute(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
