//! `tally debts run`: runs a command, and pays for it. The command runs even when Tally is away; what could not
//! be told is kept in a file, and told by the next call.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use prost::Message as _;
use tally_debts::durations;
use tally_proto::tally::debts::v1 as proto;
use tally_proto::wire;
use tally_runtime::{Clock as _, SystemClock, backoff, random};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::failed;
use crate::client::{ServerArgs, may_be_done};
use crate::output::{say, visible, warn};

/// How much of the end of the command's output is kept, in bytes.
const OUTPUT_BYTES_MAX: usize = 10_000;
/// How long one attempt may take. The command does not wait longer for its start to be told.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// How many payments are kept that could not be told.
const KEPT_MAX: usize = 1_000;

/// Run a command, and pay a debt for it
///
/// It tells when the command begins and how it ended, with its exit status and the end
/// of its output, and sends heartbeats meanwhile if asked to. The exit status is that of
/// the command. The command runs even when Tally is away: what could not be told is kept
/// in --spool, and told by the next `tally debts run`.
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
    let payment = |kind: proto::PaymentKind| proto::PayRequest {
        debt: args.debt.clone(),
        kind: kind.into(),
        run: run.clone(),
        time: Some(wire::timestamp(SystemClock.now().as_microsecond())),
        ..proto::PayRequest::default()
    };
    let spool = Spool::of(args.spool.as_deref());
    spool.tell_all(&args.server).await;
    // The command does not wait for long.
    let start = payment(proto::PaymentKind::Start);
    let told = timeout(ATTEMPT_MAX, attempt(&args.server, start.clone())).await;
    match told.unwrap_or_else(|_| Err(Failed::Away(anyhow!("the server does not answer")))) {
        Ok(_) => {}
        Err(Failed::Refused(error)) => {
            warn(format_args!("{error:#}; the command runs all the same"));
        }
        Err(Failed::Away(error)) => {
            spool.keep(&start);
            warn(format_args!("{error:#}; the command runs all the same, and it is told later"));
        }
    }
    let began = Instant::now();
    let mut child = match spawn(&args.command) {
        Ok(child) => child,
        Err(error) => {
            let body = format!("the command could not be run: {error:#}").into_bytes();
            tell_end(
                &args,
                &spool,
                proto::PayRequest { body, ..payment(proto::PaymentKind::Fail) },
            )
            .await;
            return Err(error);
        }
    };
    let output = Output::default();
    let (status, ()) = tokio::join!(output.watch(&mut child), async {
        let Some(interval) = args.heartbeat else { return };
        while timeout(interval, output.is_over.notified()).await.is_err() {
            let beat = attempt(&args.server, payment(proto::PaymentKind::Heartbeat));
            // The next one says the same.
            let _ = timeout(ATTEMPT_MAX, beat).await;
        }
    });
    let status = status.context("cannot wait for the command")?;
    let code = code_of(status);
    let kind = if code == 0 { proto::PaymentKind::Success } else { proto::PaymentKind::Fail };
    let end = proto::PayRequest {
        exit_status: Some(code.into()),
        took: prost_types::Duration::try_from(began.elapsed()).ok(),
        body: output.tail(),
        ..payment(kind)
    };
    tell_end(&args, &spool, end).await;
    Ok(ExitCode::from(code))
}

/// Tells how it ended, or keeps it.
async fn tell_end(args: &RunArgs, spool: &Spool, end: proto::PayRequest) {
    match tell(&args.server, end.clone(), args.patience).await {
        Ok(paid) if !args.quiet => {
            let debt = paid.debt.unwrap_or_default();
            say(format_args!("paid: {}", super::print::brief(&debt)));
        }
        Ok(_) => {}
        Err(error) => {
            let kept = spool.keep(&end);
            let then = if kept { "it is told by the next `tally debts run`" } else { "it is lost" };
            warn(format_args!("{error:#}; {then}"));
        }
    }
}

/// Why a payment is not stored.
enum Failed {
    /// It will be refused again.
    Refused(anyhow::Error),
    /// It can be sent again.
    Away(anyhow::Error),
}

async fn attempt(
    server: &ServerArgs,
    request: proto::PayRequest,
) -> Result<proto::PayResponse, Failed> {
    let what = format!("pay {}", visible(&request.debt));
    let mut client = server.debts().await.map_err(Failed::Away)?;
    match client.pay(request).await {
        Ok(paid) => Ok(paid.into_inner()),
        Err(status) if may_be_done(&status) => Err(Failed::Away(failed(&what, &status))),
        Err(status) => Err(Failed::Refused(failed(&what, &status))),
    }
}

/// Pays, and tries again while the server is away. The payment has a run or a key, so it counts once.
pub(super) async fn tell(
    server: &ServerArgs,
    request: proto::PayRequest,
    patience: Duration,
) -> anyhow::Result<proto::PayResponse> {
    let (until, mut attempts) = (Instant::now() + patience, 0);
    loop {
        let told = timeout(ATTEMPT_MAX, attempt(server, request.clone())).await;
        let away = Failed::Away(anyhow!("the server does not answer"));
        match told.unwrap_or(Err(away)) {
            Ok(paid) => return Ok(paid),
            Err(Failed::Refused(error)) => return Err(error),
            Err(Failed::Away(error)) => {
                attempts += 1;
                let pause = backoff::pause(PAUSE_MIN, PAUSE_MAX, attempts, random::number());
                if Instant::now() + pause >= until {
                    return Err(error);
                }
                sleep(pause).await;
            }
        }
    }
}

fn spawn(command: &[std::ffi::OsString]) -> anyhow::Result<Child> {
    let (program, arguments) = command.split_first().context("there is no command")?;
    Command::new(program)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", program.to_string_lossy()))
}

/// As a shell has it: 128 and the number of the signal.
fn code_of(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(u8::MAX);
    }
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// What the command writes: passed on, and its end kept.
#[derive(Default)]
struct Output {
    tail: std::sync::Mutex<VecDeque<u8>>,
    is_over: tokio::sync::Notify,
}

// === impl Output ===

impl Output {
    async fn watch(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (_, _, status) = tokio::join!(
            self.pass_on(stdout, tokio::io::stdout()),
            self.pass_on(stderr, tokio::io::stderr()),
            child.wait(),
        );
        self.is_over.notify_one();
        status
    }

    async fn pass_on(
        &self,
        from: Option<impl AsyncRead + Unpin>,
        mut to: impl AsyncWrite + Unpin,
    ) -> Option<()> {
        let (mut from, mut buffer) = (from?, [0; 8 << 10]);
        loop {
            let count = from.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
            let read = &buffer[..count];
            self.keep(read);
            // Whoever reads it may be gone; the command is not.
            let _ = to.write_all(read).await;
            let _ = to.flush().await;
        }
    }

    fn keep(&self, read: &[u8]) {
        let mut tail = self.tail.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tail.extend(read);
        let beyond = tail.len().saturating_sub(OUTPUT_BYTES_MAX);
        tail.drain(..beyond);
    }

    fn tail(&self) -> Vec<u8> {
        let tail = self.tail.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tail.iter().copied().collect()
    }
}

/// Payments that could not be told, a file each.
struct Spool(Option<PathBuf>);

// === impl Spool ===

impl Spool {
    fn of(given: Option<&Path>) -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let state = || match variable("XDG_STATE_HOME") {
            Some(state) => Some(PathBuf::from(state)),
            None => variable("HOME").map(|home| PathBuf::from(home).join(".local/state")),
        };
        let usual = || state().map(|state| state.join("tally/debts"));
        Self(given.map(Path::to_owned).or_else(usual))
    }

    /// Keeps a payment. False if it cannot be kept.
    fn keep(&self, payment: &proto::PayRequest) -> bool {
        let kept = self.try_keep(payment);
        if let Err(error) = &kept {
            warn(format_args!("a payment cannot be kept: {error:#}"));
        }
        kept.is_ok()
    }

    fn try_keep(&self, payment: &proto::PayRequest) -> anyhow::Result<()> {
        let folder = self.0.as_deref().context("there is no HOME: name a folder by --spool")?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        if self.files().len() >= KEPT_MAX {
            anyhow::bail!("{} has {KEPT_MAX} payments already", folder.display());
        }
        let id = random::id(SystemClock.now());
        let (path, draft) = (folder.join(format!("{id}.pay")), folder.join(format!("{id}.draft")));
        let write = || -> io::Result<()> {
            let mut file = fs::File::create(&draft)?;
            file.write_all(&payment.encode_to_vec())?;
            file.sync_all()?;
            fs::rename(&draft, &path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// The files, the oldest first.
    fn files(&self) -> Vec<PathBuf> {
        let Some(entries) = self.0.as_deref().and_then(|folder| fs::read_dir(folder).ok()) else {
            return Vec::new();
        };
        let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
        let mut files: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|end| end == "pay")).collect();
        files.sort();
        files
    }

    /// Tells what was kept, as far as the server answers.
    async fn tell_all(&self, server: &ServerArgs) {
        for path in self.files() {
            let read = fs::read(&path).ok();
            let payment = read.and_then(|bytes| proto::PayRequest::decode(&*bytes).ok());
            let told = match payment {
                Some(payment) => match timeout(ATTEMPT_MAX, attempt(server, payment)).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(Failed::Refused(error))) => Err(Some(error)),
                    Ok(Err(Failed::Away(_))) | Err(_) => return,
                },
                None => Err(Some(anyhow!("{} is no payment", path.display()))),
            };
            if let Err(Some(error)) = told {
                warn(format_args!("an earlier payment is given up: {error:#}"));
            }
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_told_in_its_order_and_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::of(Some(folder.path()));
        assert_eq!(spool.files(), Vec::<PathBuf>::new());
        for debt in ["a", "b"] {
            let payment = proto::PayRequest { debt: debt.to_owned(), ..Default::default() };
            assert!(spool.keep(&payment));
        }
        let read = |path: &PathBuf| {
            let bytes = fs::read(path).expect("a file");
            proto::PayRequest::decode(&*bytes).expect("a payment").debt
        };
        assert_eq!(spool.files().iter().map(read).collect::<Vec<_>>(), ["a", "b"]);
        assert!(!Spool(None).keep(&proto::PayRequest::default()));
    }

    #[test]
    fn an_interval_is_no_moment() {
        assert!(parse_interval("0s").is_err() && parse_interval("x").is_err());
        assert_eq!(parse_interval("1m"), Ok(Duration::from_secs(60)));
    }
}
