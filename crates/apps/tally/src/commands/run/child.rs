//! The command: what it writes, the signals that are meant for it, and how it ended.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tally_runtime::Signals;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::sleep;

/// How much of the end of the command's output is kept, in bytes.
const OUTPUT_BYTES_MAX: usize = 10_000;
/// What the command has started, and left behind, may have its output open for ever. After the command's end this
/// much is read at most, the largest that a pipe holds, and nothing after such a silence.
const LEFT_BYTES_MAX: usize = 1 << 20;
const LEFT_SILENCE_MAX: Duration = Duration::from_secs(1);

/// What a shell ends with if a command is not there, or cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;

pub(super) fn spawn(command: &[OsString]) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::NotFound)?;
    Command::new(program).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// What `tally` ends with if the command does not run.
pub(super) fn code_of_error(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUN }
}

/// As a shell has it: 128 and the number of the signal.
pub(super) fn code_of(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(u8::MAX);
    }
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// What the command writes: passed on, and its end kept.
pub(super) struct Output {
    tail: Mutex<VecDeque<u8>>,
    has_ended: watch::Sender<bool>,
}

// === impl Output ===

impl Output {
    pub(super) fn new() -> Self {
        Self { tail: Mutex::default(), has_ended: watch::Sender::new(false) }
    }

    /// Passes the output on, and signals to the command, until it has ended. `ended` is called then.
    pub(super) async fn watch(
        &self,
        child: &mut Child,
        signals: &mut Signals,
        ended: impl FnOnce(),
    ) -> io::Result<ExitStatus> {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let waiting = async {
            let status = loop {
                tokio::select! {
                    status = child.wait() => break status,
                    signal = signals.recv() => pass_signal(child, signal),
                }
            };
            ended();
            self.has_ended.send_replace(true);
            status
        };
        let (_, _, status) = tokio::join!(
            self.pass_on(stdout, tokio::io::stdout()),
            self.pass_on(stderr, tokio::io::stderr()),
            waiting,
        );
        status
    }

    /// Waits for the end of the command.
    pub(super) async fn ended(&self) {
        let _ = self.has_ended.subscribe().wait_for(|has_ended| *has_ended).await;
    }

    async fn pass_on(
        &self,
        from: Option<impl AsyncRead + Unpin>,
        mut to: impl AsyncWrite + Unpin,
    ) -> Option<()> {
        let (mut from, mut buffer, mut left) = (from?, [0; 8 << 10], LEFT_BYTES_MAX);
        loop {
            let silence = async {
                self.ended().await;
                sleep(LEFT_SILENCE_MAX).await;
            };
            let count = tokio::select! {
                read = from.read(&mut buffer) => read.ok().filter(|count| *count > 0)?,
                () = silence => return None,
            };
            let read = &buffer[..count];
            self.keep(read);
            // Whoever reads it may be gone; the command is not.
            let _ = to.write_all(read).await;
            let _ = to.flush().await;
            if *self.has_ended.borrow() {
                left = left.checked_sub(count)?;
            }
        }
    }

    fn keep(&self, read: &[u8]) {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend(read);
        let beyond = tail.len().saturating_sub(OUTPUT_BYTES_MAX);
        tail.drain(..beyond);
    }

    pub(super) fn tail(&self) -> Vec<u8> {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.iter().copied().collect()
    }
}

/// The terminal sends its own Ctrl-C to the command as well. What is meant for `tally` alone is passed on.
fn pass_signal(child: &Child, signal: &str) {
    if signal == "SIGINT" && (io::stdin().is_terminal() || io::stderr().is_terminal()) {
        return;
    }
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process};
        let signal = match signal {
            "SIGINT" => Signal::INT,
            "SIGHUP" => Signal::HUP,
            _ => Signal::TERM,
        };
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended meanwhile.
            let _ = kill_process(pid, signal);
        }
    }
    #[cfg(not(unix))]
    let _ = child;
}
