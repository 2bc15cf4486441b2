//! Running a command, and telling a server of it: that it begins, and how it ended. The command runs even when
//! the server is away; what could not be told is kept in a file, and told by the next call.
//!
//! | file | what it owns |
//! |---|---|
//! | `child.rs` | the command: its output, its signals, its end |
//! | `spool.rs` | what could not be told |

mod child;
mod spool;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use tally_runtime::durations;
use tally_runtime::{Clock as _, Signals, SystemClock};
use tokio::time::{Instant, timeout};

use self::child::Output;
use self::spool::Spool;
pub(crate) use self::spool::usual_folder;
use crate::client::ServerArgs;
use crate::client::patience::{Failed, once, patiently};
use crate::output::{fail, say, visible, warn};

/// What can be told, and kept until it is: it has something that tells it when it comes again.
pub(crate) trait Told: prost::Message + Default + Clone {
    /// What people call one.
    const NAME: &'static str;
    /// The folder of those that are kept, and how their names end.
    const FOLDER: &'static str;
    const EXTENSION: &'static str;
    /// The command that tells what was kept.
    const COMMAND: &'static str;
    /// What the server answers.
    type Answer;

    /// One attempt to tell it.
    async fn attempt(self, server: &ServerArgs) -> Result<Self::Answer, Failed>;
}

/// What a command becomes while it runs.
pub(crate) trait Teller {
    type Message: Told;

    /// It begins.
    fn start(&self, at: Timestamp) -> Self::Message;

    /// How often it is told that it goes on, and in what words.
    fn heartbeat(&self, _at: Timestamp) -> Option<(Duration, Self::Message)> {
        None
    }

    /// It has ended.
    fn end(&self, ended: Ended) -> Self::Message;

    /// What is said when the end is told.
    fn said(&self, answer: <Self::Message as Told>::Answer) -> String;
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) at: Timestamp,
    /// How long it took; none if it did not run.
    pub(crate) took: Option<Duration>,
    /// Its exit status; none if it did not run.
    pub(crate) code: Option<u8>,
    /// The end of what it wrote, or why it did not run.
    pub(crate) output: Vec<u8>,
}

/// How to run a command, and whom to tell.
pub(crate) struct Run<'a> {
    pub(crate) server: &'a ServerArgs,
    /// Where is kept what could not be told; none: the usual place.
    pub(crate) spool: Option<&'a Path>,
    /// How long to try to tell the end, before it is kept.
    pub(crate) patience: Duration,
    pub(crate) is_quiet: bool,
    pub(crate) command: &'a [OsString],
}

/// How long to try, as a flag has it.
pub(crate) fn parse_patience(text: &str) -> Result<Duration, String> {
    durations::parse(text).map_err(|why| why.to_string())
}

// === impl Ended ===

impl Ended {
    pub(crate) fn is_well(&self) -> bool {
        self.code == Some(0)
    }
}

// === impl Run ===

impl Run<'_> {
    /// Runs the command, and ends as it does.
    pub(crate) async fn run<T: Teller>(&self, teller: &T) -> anyhow::Result<ExitCode> {
        let spool = Spool::of(self.spool, self.server);
        spool.tell_all(self.server).await;
        self.tell_start(&spool, teller.start(SystemClock.now())).await;
        // From here on a signal does not end this process before it has told how the command ended.
        let mut signals =
            Signals::install().context("cannot take over SIGTERM, SIGHUP and SIGINT")?;
        let began = Instant::now();
        let mut child = match child::spawn(self.command) {
            Ok(child) => child,
            Err(error) => {
                let program = self.command.first().map(|name| name.to_string_lossy());
                let text = format!("cannot run {}: {error}", program.unwrap_or_default());
                fail(visible(&text));
                let (at, output) = (SystemClock.now(), text.into_bytes());
                let ended = Ended { at, took: None, code: None, output };
                self.tell_end(&spool, teller, ended, &mut signals).await;
                return Ok(ExitCode::from(child::code_of_error(&error)));
            }
        };
        let (output, mut ended) = (Output::new(), None);
        let note_end = || ended = Some((SystemClock.now(), began.elapsed()));
        let beating = self.beat(teller, &output);
        let watching = output.watch(&mut child, &mut signals, note_end);
        let (status, ()) = tokio::join!(watching, beating);
        let code = child::code_of(status.context("cannot wait for the command")?);
        let (at, took) = ended.unwrap_or_else(|| (SystemClock.now(), began.elapsed()));
        let ended = Ended { at, took: Some(took), code: Some(code), output: output.tail() };
        self.tell_end(&spool, teller, ended, &mut signals).await;
        Ok(ExitCode::from(code))
    }

    /// Tells that it goes on, until the command has ended.
    async fn beat<T: Teller>(&self, teller: &T, output: &Output) {
        let beat = || teller.heartbeat(SystemClock.now());
        let Some((interval, _)) = beat() else { return };
        while timeout(interval, output.ended()).await.is_err() {
            let Some((_, beat)) = beat() else { return };
            let beat = once(beat.attempt(self.server));
            // The next one says the same.
            tokio::select! {
                _ = beat => {}
                () = output.ended() => return,
            }
        }
    }

    /// Tells that it begins, or keeps it. The command does not wait for long.
    async fn tell_start<M: Told>(&self, spool: &Spool<M>, start: M) {
        match once(start.clone().attempt(self.server)).await {
            Ok(_) => {}
            Err(Failed::Wrong(error)) => {
                warn(format_args!("{error:#}; the command runs all the same"));
            }
            Err(Failed::Refused(error)) => {
                let then = match spool.keep(&start) {
                    true => ", and it is kept for this server and key",
                    false => "",
                };
                warn(format_args!("{error:#}; the command runs all the same{then}"));
            }
            Err(Failed::Away(error)) => {
                let kept = spool.keep(&start);
                let then = if kept { ", and it is told later" } else { "" };
                warn(format_args!("{error:#}; the command runs all the same{then}"));
            }
        }
    }

    /// Tells how it ended, or keeps it. A signal ends the attempts.
    async fn tell_end<T: Teller>(
        &self,
        spool: &Spool<T::Message>,
        teller: &T,
        ended: Ended,
        signals: &mut Signals,
    ) {
        let end = teller.end(ended);
        let told = tokio::select! {
            told = tell(self.server, end.clone(), self.patience, self.is_quiet) => told,
            signal = signals.recv() => {
                Err(Failed::Away(anyhow!("{signal} came before the server's answer")))
            }
        };
        match told {
            Ok(answer) => {
                // What was kept while the server was away: the start, where it came back meanwhile.
                spool.tell_all(self.server).await;
                if !self.is_quiet {
                    say(teller.said(answer));
                }
            }
            Err(Failed::Wrong(error)) => warn(format_args!("{error:#}; it is not told")),
            Err(Failed::Refused(error)) => {
                let then = match spool.keep(&end) {
                    true => {
                        "it is kept for this server and key, and not told before they are accepted"
                    }
                    false => "it is lost",
                };
                warn(format_args!("{error:#}; {then}"));
            }
            Err(Failed::Away(error)) => {
                let next = format!("it is told by the next `{}`", T::Message::COMMAND);
                let then = if spool.keep(&end) { &*next } else { "it is lost" };
                warn(format_args!("{error:#}; {then}"));
            }
        }
    }
}

/// Tells it, and tries again while the server is away; unless it is quiet, it says so.
pub(crate) async fn tell<M: Told>(
    server: &ServerArgs,
    message: M,
    patience: Duration,
    is_quiet: bool,
) -> Result<M::Answer, Failed> {
    patiently(patience, is_quiet, || message.clone().attempt(server)).await
}
