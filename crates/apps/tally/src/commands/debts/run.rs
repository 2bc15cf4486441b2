//! `tally debts run`: runs a command, and pays for it. The command runs even when Tally is away; what could not
//! be told is kept in a file, and told by the next call.
//!
//! | file | what it owns |
//! |---|---|
//! | `child.rs` | the command: its output, its signals, its end |
//! | `spool.rs` | what could not be told |

mod child;
mod spool;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use jiff::Timestamp;
use tally_proto::tally::debts::v1 as proto;
use tally_proto::wire;
use tally_runtime::durations;
use tally_runtime::{Clock as _, Signals, SystemClock, random};
use tokio::time::{Instant, timeout};

use self::child::Output;
use self::spool::Spool;
use super::failed;
use crate::client::ServerArgs;
use crate::client::patience::{Failed, once, patiently};
use crate::output::{fail, say, visible, warn};

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

fn parse_patience(text: &str) -> Result<Duration, String> {
    durations::parse(text).map_err(|why| why.to_string())
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    match durations::parse(text) {
        Ok(span) if span.is_zero() => Err("it is at least 1s".to_owned()),
        read => read.map_err(|why| why.to_string()),
    }
}

pub(super) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let run = args.run.clone().unwrap_or_else(|| random::id(SystemClock.now()).to_string());
    let payment = |kind: proto::PaymentKind, at: Timestamp| proto::PayRequest {
        debt: args.debt.clone(),
        kind: kind.into(),
        run: run.clone(),
        time: Some(wire::timestamp(at.as_microsecond())),
        ..proto::PayRequest::default()
    };
    let spool = Spool::of(args.spool.as_deref(), &args.server);
    spool.tell_all(&args.server).await;
    tell_start(&args, &spool, payment(proto::PaymentKind::Start, SystemClock.now())).await;
    // From here on a signal does not end this process before it has told how the command ended.
    let mut signals = Signals::install().context("cannot take over SIGTERM, SIGHUP and SIGINT")?;
    let began = Instant::now();
    let mut child = match child::spawn(&args.command) {
        Ok(child) => child,
        Err(error) => {
            let program = args.command.first().map(|name| name.to_string_lossy());
            let text = format!("cannot run {}: {error}", program.unwrap_or_default());
            fail(visible(&text));
            let fail = payment(proto::PaymentKind::Fail, SystemClock.now());
            let end = proto::PayRequest { body: text.into_bytes(), ..fail };
            tell_end(&args, &spool, end, &mut signals).await;
            return Ok(ExitCode::from(child::code_of_error(&error)));
        }
    };
    let (output, mut ended) = (Output::new(), None);
    let note_end = || ended = Some((SystemClock.now(), began.elapsed()));
    let (status, ()) = tokio::join!(output.watch(&mut child, &mut signals, note_end), async {
        let Some(interval) = args.heartbeat else { return };
        while timeout(interval, output.ended()).await.is_err() {
            let beat = payment(proto::PaymentKind::Heartbeat, SystemClock.now());
            let beat = once(attempt(&args.server, beat));
            // The next one says the same.
            tokio::select! {
                _ = beat => {}
                () = output.ended() => return,
            }
        }
    });
    let code = child::code_of(status.context("cannot wait for the command")?);
    let (at, took) = ended.unwrap_or_else(|| (SystemClock.now(), began.elapsed()));
    let kind = if code == 0 { proto::PaymentKind::Success } else { proto::PaymentKind::Fail };
    let end = proto::PayRequest {
        exit_status: Some(code.into()),
        took: prost_types::Duration::try_from(took).ok(),
        body: output.tail(),
        ..payment(kind, at)
    };
    tell_end(&args, &spool, end, &mut signals).await;
    Ok(ExitCode::from(code))
}

/// Tells that it begins, or keeps it. The command does not wait for long.
async fn tell_start(args: &RunArgs, spool: &Spool, start: proto::PayRequest) {
    match once(attempt(&args.server, start.clone())).await {
        Ok(_) => {}
        Err(Failed::Wrong(error)) => {
            warn(format_args!("{error:#}; the command runs all the same"));
        }
        Err(Failed::Refused(error)) => {
            spool.keep(&start);
            warn(format_args!("{error:#}; the command runs all the same"));
        }
        Err(Failed::Away(error)) => {
            let kept = spool.keep(&start);
            let then = if kept { ", and it is told later" } else { "" };
            warn(format_args!("{error:#}; the command runs all the same{then}"));
        }
    }
}

/// Tells how it ended, or keeps it. A signal ends the attempts.
async fn tell_end(args: &RunArgs, spool: &Spool, end: proto::PayRequest, signals: &mut Signals) {
    let told = tokio::select! {
        told = tell(&args.server, end.clone(), args.patience, args.quiet) => told,
        signal = signals.recv() => {
            Err(Failed::Away(anyhow!("{signal} came before the server's answer")))
        }
    };
    match told {
        Ok(paid) if !args.quiet => {
            say(super::words::paid(&paid));
        }
        Ok(_) => {}
        Err(Failed::Wrong(error)) => warn(format_args!("{error:#}; it is not told")),
        Err(Failed::Refused(error)) => {
            let then = match spool.keep(&end) {
                true => "it is kept for this server and key, and not told before they are accepted",
                false => "it is lost",
            };
            warn(format_args!("{error:#}; {then}"));
        }
        Err(Failed::Away(error)) => {
            let kept = spool.keep(&end);
            let then = if kept { "it is told by the next `tally debts run`" } else { "it is lost" };
            warn(format_args!("{error:#}; {then}"));
        }
    }
}

async fn attempt(
    server: &ServerArgs,
    request: proto::PayRequest,
) -> Result<proto::PayResponse, Failed> {
    let mut client = server.debts().await.map_err(Failed::of_connecting)?;
    let debt = request.debt.clone();
    let paid = client.pay(request).await;
    let why = |status| Failed::of(&status, failed(&format!("pay {}", visible(&debt)), &status));
    paid.map(tonic::Response::into_inner).map_err(why)
}

/// Pays, and tries again while the server is away; unless it is quiet, it says so. The payment has a run or a
/// key, so it counts once.
pub(super) async fn tell(
    server: &ServerArgs,
    request: proto::PayRequest,
    patience: Duration,
    is_quiet: bool,
) -> Result<proto::PayResponse, Failed> {
    patiently(patience, is_quiet, || attempt(server, request.clone())).await
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
