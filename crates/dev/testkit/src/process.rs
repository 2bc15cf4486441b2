//! Child processes that always end with us, and whose output can be waited for.

use std::ffi::OsString;
use std::io::{PipeWriter, Write};
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group};

use crate::output::{Record, Stream};

/// Starts a watchdog, then becomes the program with the same process id. The watchdog kills the
/// process group when the pipe on standard input ends, which happens when the parent ends. `$1` is
/// the file for the program's standard input.
const WATCHED: &str = "\
exec 3<&0
(read -r _ <&3 || kill -s KILL -- -$$) >/dev/null 2>&1 &
input=$1; shift
exec \"$@\" <\"$input\" 3<&-";

/// The same with a listening socket on standard input, passed to the program as systemd does
/// (`sd_listen_fds(3)`). The watchdog's pipe is on standard output.
const WATCHED_WITH_SOCKET: &str = "\
exec 3<&0 4<&1 >/dev/null
(read -r _ <&4 || kill -s KILL -- -$$) >/dev/null 2>&1 3<&- &
input=$1; shift
LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\" <\"$input\" 4<&-";

/// A user and group to run a child as. Needs root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The numeric user id.
    pub uid: u32,
    /// The numeric group id.
    pub gid: u32,
}

/// How to spawn a child.
#[derive(Clone, Debug, Default)]
pub struct Spawn {
    /// Run it as this user.
    pub user: Option<User>,
    /// The file for standard input; /dev/null if unset.
    pub stdin: Option<PathBuf>,
    /// Share our own outputs and capture nothing.
    pub inherit_output: bool,
    /// A listening socket to pass as systemd does. Standard output is then not captured.
    pub socket: Option<Arc<TcpListener>>,
}

/// A child's exit status and output. Invalid UTF-8 becomes U+FFFD.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit status.
    pub status: ExitStatus,
    /// Everything it wrote to standard output.
    pub stdout: String,
    /// Everything it wrote to standard error.
    pub stderr: String,
}

/// A running child process in its own process group.
///
/// It is killed together with its own children when this is dropped and when our process ends, even
/// by SIGKILL.
pub struct Process {
    name: String,
    pid: Pid,
    record: Arc<Record>,
    reaper: Option<JoinHandle<()>>,
    /// The pipe that the watchdog reads. Only its end matters.
    _watchdog: PipeWriter,
}

// === impl User ===

impl User {
    /// The unprivileged user, `nobody` on most systems (65534).
    pub const NOBODY: User = User { uid: 65_534, gid: 65_534 };
}

// === impl Process ===

impl Process {
    /// Starts the program with the command's arguments, folder and environment.
    ///
    /// Standard input is /dev/null, and both outputs are captured. The command's own streams, user
    /// and `env_clear` are ignored.
    #[track_caller]
    pub fn spawn(command: &Command) -> Process {
        Process::spawn_with(command, &Spawn::default())
    }

    /// As [`Process::spawn`], with options.
    #[track_caller]
    pub fn spawn_with(command: &Command, how: &Spawn) -> Process {
        let name = command.get_program().to_string_lossy().into_owned();
        let input = how.stdin.clone().map_or_else(|| "/dev/null".into(), OsString::from);
        let mut shell = Command::new("sh");
        let script = if how.socket.is_some() { WATCHED_WITH_SOCKET } else { WATCHED };
        shell.args(["-c", script, "sh"]).arg(input);
        shell.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(key, value),
                None => shell.env_remove(key),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            shell.current_dir(folder);
        }
        if let Some(user) = how.user {
            shell.uid(user.uid).gid(user.gid);
        }
        shell.process_group(0);
        let output = || if how.inherit_output { Stdio::inherit() } else { Stdio::piped() };
        let (watched, watchdog) = std::io::pipe().expect("a pipe");
        match &how.socket {
            None => shell.stdin(watched).stdout(output()),
            Some(socket) => {
                let socket = socket.as_fd().try_clone_to_owned().expect("a copy of the socket");
                shell.stdin(socket).stdout(watched)
            }
        };
        shell.stderr(output());
        let mut child =
            shell.spawn().unwrap_or_else(|error| panic!("cannot start {name} with sh: {error}"));

        let record = Arc::new(Record::default());
        record.capture(Stream::Stdout, child.stdout.take());
        record.capture(Stream::Stderr, child.stderr.take());
        // It holds the pipe's other end and the socket.
        drop(shell);
        let pid = Pid::from_child(&child);
        let of_reaper = Arc::clone(&record);
        let reaper = std::thread::spawn(move || {
            // Wait first, then reap under the lock, so that no signal reaches a reused id.
            let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) =
                rustix::process::waitid(WaitId::Pid(pid), ended)
            {}
            let mut state = of_reaper.lock();
            state.status = Some(child.wait().expect("our child is reaped here only"));
            drop(state);
            of_reaper.changed.notify_all();
        });
        Process { name, pid, record, reaper: Some(reaper), _watchdog: watchdog }
    }

    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The first line of the stream that contains `pattern`; waits for it until the limit or until
    /// the stream ends.
    #[track_caller]
    pub fn wait_for_line(&self, stream: Stream, pattern: &str, limit: Duration) -> String {
        let found = self.record.wait(limit, |state| match state.find(stream, pattern) {
            Some(line) => Some(Some(line)),
            None => state.ended(stream).then_some(None),
        });
        let reason = match found {
            Some(Some(line)) => return line,
            Some(None) => "it closed the stream".to_owned(),
            None => format!("not within {limit:?}"),
        };
        panic!(
            "{} wrote no line with {pattern:?} to {stream:?}: {reason}\n{}",
            self.name,
            self.record.lock().describe()
        );
    }

    /// Everything written to the stream so far.
    pub fn text(&self, stream: Stream) -> String {
        self.record.lock().text(stream)
    }

    /// Sends a signal: `HUP`, `INT`, `KILL`, `TERM`, `STOP` or `CONT`.
    /// A process that has already ended gets none.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let signal = match name {
            "HUP" => Signal::HUP,
            "INT" => Signal::INT,
            "KILL" => Signal::KILL,
            "TERM" => Signal::TERM,
            "STOP" => Signal::STOP,
            "CONT" => Signal::CONT,
            other => panic!("unknown signal {other:?}"),
        };
        let state = self.record.lock();
        if state.status.is_none() {
            kill_process(self.pid, signal)
                .unwrap_or_else(|error| panic!("cannot send {name} to {}: {error}", self.name));
        }
    }

    /// Whether the process is still running.
    pub fn is_running(&self) -> bool {
        self.record.lock().status.is_none()
    }

    /// Waits until the process has ended and both outputs are closed.
    #[track_caller]
    pub fn wait(&self, limit: Duration) -> Output {
        let output = self.record.wait(limit, |state| {
            let complete = state.ended(Stream::Stdout) && state.ended(Stream::Stderr);
            let status = state.status.filter(|_| complete)?;
            let (stdout, stderr) = (state.text(Stream::Stdout), state.text(Stream::Stderr));
            Some(Output { status, stdout, stderr })
        });
        output.unwrap_or_else(|| {
            panic!("{} did not end within {limit:?}\n{}", self.name, self.record.lock().describe())
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog is in the group, so the group's id cannot be reused yet.
        let _ = kill_process_group(self.pid, Signal::KILL);
        if let Some(reaper) = self.reaper.take() {
            let _ = reaper.join();
        }
    }
}

/// Runs the program with these bytes as standard input and waits until it ends.
#[track_caller]
pub fn run(command: &Command, stdin: &[u8], limit: Duration) -> Output {
    run_with(command, stdin, limit, None)
}

/// As [`run`], as another user.
#[track_caller]
pub fn run_with(command: &Command, stdin: &[u8], limit: Duration, user: Option<User>) -> Output {
    let mut input = tempfile::NamedTempFile::new().expect("a temporary file for the input");
    input.write_all(stdin).expect("room for the input in the temporary folder");
    if let Some(user) = user {
        std::os::unix::fs::chown(input.path(), Some(user.uid), Some(user.gid))
            .expect("only root runs a child as another user");
    }
    let stdin = Some(input.path().to_path_buf());
    let how = Spawn { user, stdin, ..Spawn::default() };
    Process::spawn_with(command, &how).wait(limit)
}
