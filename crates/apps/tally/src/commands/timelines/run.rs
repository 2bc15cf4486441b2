//! `tally timelines run`: runs a command, and tells when it starts and how it ended.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use tally_proto::tally::timelines::v1 as proto;

use super::tell::{moment, said};
use super::upto::UptoArgs;
use crate::client::ServerArgs;
use crate::commands::run::{Ended, Run, Teller, parse_patience};

/// Run a command, and tell when it starts and how it ended
///
/// It ends ok if its exit status is 0, otherwise failed, with the status as the attribute
/// exit_status. The exit status is that of the command; 127 if there is no such command,
/// 126 if it cannot be run. SIGTERM, SIGHUP and SIGINT are passed on to it. The command
/// runs even when Tally is away: what could not be told is kept in --spool, and told by
/// the next `tally timelines run` with the same server and key.
///
/// Examples:
///   tally timelines run deploy db.migrate -- ./migrate.sh --all
///   tally timelines run -a build compile --quiet -- make     # with this machine's name
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct RunArgs {
    /// The kind of process
    context: String,

    /// The event: parts with dots between them, as in db.migrate
    name: String,

    /// Where it happens
    #[arg(long = "host", visible_alias = "hostname", short = 'n', value_name = "HOST")]
    host: Option<String>,

    /// It happens on this machine: its name is the host
    #[arg(long = "autohost", short = 'a')]
    is_this_host: bool,

    /// What tells overlapping events of one name and host apart
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    span: String,

    /// The timeline of this label [default: the newest one]
    #[arg(long, value_name = "LABEL", default_value = "", hide_default_value = true)]
    timeline: String,

    /// Where messages are kept that could not be told [default: $XDG_STATE_HOME/tally/timelines]
    #[arg(long, env = "TALLY_TIMELINES_SPOOL", value_name = "FOLDER")]
    spool: Option<PathBuf>,

    /// How long to try to tell the end while the server is away, before it is kept
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = parse_patience)]
    patience: Duration,

    /// Say nothing but errors; the command's output is passed on all the same
    #[arg(long)]
    quiet: bool,

    /// The command, and what it is given
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<std::ffi::OsString>,

    #[command(flatten)]
    server: ServerArgs,
}

/// The messages of a run. They have the times of this machine, by which they are known when they come again.
struct Messages(proto::RecordRequest);

// === impl Messages ===

impl Teller for Messages {
    type Message = proto::RecordRequest;

    fn start(&self, at: Timestamp) -> proto::RecordRequest {
        let kind = proto::Kind::Start.into();
        proto::RecordRequest { kind, time: Some(moment(at)), ..self.0.clone() }
    }

    fn end(&self, ended: Ended) -> proto::RecordRequest {
        let status =
            if ended.is_well() { proto::Status::Unspecified } else { proto::Status::Failed };
        let code = ended.code.map(|code| ("exit_status".to_owned(), code.to_string()));
        proto::RecordRequest {
            kind: proto::Kind::End.into(),
            time: Some(moment(ended.at)),
            status: status.into(),
            attributes: code.into_iter().collect(),
            ..self.0.clone()
        }
    }

    fn said(&self, answer: proto::RecordResponse) -> String {
        said(&self.0.context, answer)
    }
}

pub(super) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let host = UptoArgs::of(args.host, args.is_this_host).host()?;
    let messages = Messages(proto::RecordRequest {
        context: args.context,
        timeline: args.timeline,
        name: args.name,
        host,
        span: args.span,
        ..proto::RecordRequest::default()
    });
    let run = Run {
        server: &args.server,
        spool: args.spool.as_deref(),
        patience: args.patience,
        is_quiet: args.quiet,
        command: &args.command,
    };
    run.run(&messages).await
}
