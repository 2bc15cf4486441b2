//! `tally debts run`: runs a command, and pays for it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use tally_proto::tally::debts::v1 as proto;
use tally_proto::wire;
use tally_runtime::{Clock as _, SystemClock, durations, random};

use super::failed;
use crate::client::ServerArgs;
use crate::client::patience::Failed;
use crate::commands::run::{Ended, Run, Teller, Told, parse_patience};
use crate::output::visible;

/// Run a command, and pay a debt for it
///
/// It tells when the command begins and how it ended, with its exit status and the end
/// of its output, and sends heartbeats meanwhile if asked to. The exit status is that of
/// the command; 127 if there is no such command, 126 if it cannot be run. SIGTERM, SIGHUP
/// and SIGINT are passed on to it. The command runs even when Tally is away: what could
/// not be told is kept in --spool, and told by the next `tally debts run` with the same
/// server and key.
///
/// Examples:
///   tally debts run backup -- /usr/local/bin/backup.sh --all
///   tally debts run import --heartbeat 1m -- ./import
///   0 3 * * *  tally debts run backup --quiet -- backup.sh     # in a crontab
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct RunArgs {
    /// The debt's slug, number or id
    debt: String,

    /// Which run this is; without one, it is drawn
    #[arg(long = "run-id", value_name = "ID")]
    run: Option<String>,

    /// Say that the run goes on, at this interval
    #[arg(long, value_name = "TIME", value_parser = parse_interval)]
    heartbeat: Option<Duration>,

    /// Where payments are kept that could not be told [default: $XDG_STATE_HOME/tally/debts]
    #[arg(long, env = "TALLY_DEBTS_SPOOL", value_name = "FOLDER")]
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

fn parse_interval(text: &str) -> Result<Duration, String> {
    match durations::parse(text) {
        Ok(span) if span.is_zero() => Err("it is at least 1s".to_owned()),
        read => read.map_err(|why| why.to_string()),
    }
}

impl Told for proto::PayRequest {
    const NAME: &'static str = "payment";
    const FOLDER: &'static str = "debts";
    const EXTENSION: &'static str = "pay";
    const COMMAND: &'static str = "tally debts run";
    type Answer = proto::PayResponse;

    async fn attempt(self, server: &ServerArgs) -> Result<proto::PayResponse, Failed> {
        let mut client = server.debts().await.map_err(Failed::of_connecting)?;
        let debt = self.debt.clone();
        let paid = client.pay(self).await;
        let why = |status| Failed::of(&status, failed(&format!("pay {}", visible(&debt)), &status));
        paid.map(tonic::Response::into_inner).map_err(why)
    }
}

/// The payments of a run.
struct Payments {
    debt: String,
    run: String,
    heartbeat: Option<Duration>,
}

// === impl Payments ===

impl Payments {
    fn payment(&self, kind: proto::PaymentKind, at: Timestamp) -> proto::PayRequest {
        proto::PayRequest {
            debt: self.debt.clone(),
            kind: kind.into(),
            run: self.run.clone(),
            time: Some(wire::timestamp(at.as_microsecond())),
            ..proto::PayRequest::default()
        }
    }
}

impl Teller for Payments {
    type Message = proto::PayRequest;

    fn start(&self, at: Timestamp) -> proto::PayRequest {
        self.payment(proto::PaymentKind::Start, at)
    }

    fn heartbeat(&self, at: Timestamp) -> Option<(Duration, proto::PayRequest)> {
        Some((self.heartbeat?, self.payment(proto::PaymentKind::Heartbeat, at)))
    }

    fn end(&self, ended: Ended) -> proto::PayRequest {
        let is_well = ended.is_well();
        let kind = if is_well { proto::PaymentKind::Success } else { proto::PaymentKind::Fail };
        proto::PayRequest {
            exit_status: ended.code.map(u32::from),
            took: ended.took.and_then(|took| prost_types::Duration::try_from(took).ok()),
            body: ended.output,
            ..self.payment(kind, ended.at)
        }
    }

    fn said(&self, answer: proto::PayResponse) -> String {
        super::words::paid(&answer)
    }
}

pub(super) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let run = args.run.unwrap_or_else(|| random::id(SystemClock.now()).to_string());
    let payments = Payments { debt: args.debt, run, heartbeat: args.heartbeat };
    let run = Run {
        server: &args.server,
        spool: args.spool.as_deref(),
        patience: args.patience,
        is_quiet: args.quiet,
        command: &args.command,
    };
    run.run(&payments).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_no_moment() {
        assert!(parse_interval("0s").is_err() && parse_interval("x").is_err());
        assert_eq!(parse_interval("1m"), Ok(Duration::from_secs(60)));
    }
}
