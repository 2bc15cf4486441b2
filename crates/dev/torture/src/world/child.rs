//! A process that is restarted under one name, and its log.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::Context as _;
use tally_testkit::{Process, Stream, eventually_blocking};

/// How long a process may take to start, or to end after a kill or a drain.
pub(super) const END_LIMIT: Duration = Duration::from_secs(60);

/// A process across its restarts. Its log is a file in the run's folder.
pub(crate) struct Child {
    pub(crate) name: String,
    folder: PathBuf,
    process: Mutex<Option<Process>>,
}

// === impl Child ===

impl Child {
    pub(super) fn new(name: String, folder: PathBuf) -> Child {
        Child { name, folder, process: Mutex::default() }
    }

    /// Starts a process in place of the previous one, and waits until it logs `ready`. The error
    /// has its log.
    pub(super) fn start(&self, command: &mut Command, ready: &str) -> anyhow::Result<()> {
        let mut process = self.lock();
        self.save_log(process.take());
        let started = Process::spawn(command.current_dir(&self.folder));
        let is_ready = || started.text(Stream::Stderr).contains(ready);
        let settled = eventually_blocking(END_LIMIT, || is_ready() || !started.is_running());
        if settled.is_ok() && is_ready() {
            *process = Some(started);
            return Ok(());
        }
        let log = started.text(Stream::Stderr);
        self.save_log(Some(started));
        anyhow::bail!("{} did not start within {END_LIMIT:?}: {}", self.name, log.trim_end())
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        let process = self.lock().take();
        if let Some(process) = &process {
            process.signal("KILL");
        }
        self.save_log(process);
    }

    /// Sends a signal such as TERM, STOP or CONT.
    pub(crate) fn signal(&self, name: &str) {
        if let Some(process) = self.lock().as_ref() {
            process.signal(name);
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.lock().as_ref().is_some_and(Process::is_running)
    }

    /// Whether its log contains `words`.
    pub(crate) fn has_logged(&self, words: &str) -> bool {
        let process = self.lock();
        process.as_ref().is_some_and(|process| process.text(Stream::Stderr).contains(words))
    }

    /// Waits until it ends with 0 after SIGTERM; kills it at the limit.
    pub(crate) fn await_end(&self, limit: Duration) -> anyhow::Result<()> {
        let process = self.lock().take();
        let process = process.with_context(|| format!("{} does not run", self.name))?;
        let ended = eventually_blocking(limit, || !process.is_running());
        let status = ended.map(|()| process.wait(END_LIMIT).status);
        process.signal("KILL");
        let log = process.text(Stream::Stderr);
        self.save_log(Some(process));
        let what = match status {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => status.to_string(),
            Err(_) => format!("not within {limit:?}"),
        };
        let last = log.lines().last().unwrap_or_default();
        anyhow::bail!("{} did not end well: {what}; its last line: {last}", self.name)
    }

    /// Waits for a process that was told to end, and appends its standard error to its log. A
    /// process that does not end is killed when it is dropped.
    fn save_log(&self, process: Option<Process>) {
        let Some(process) = process else { return };
        let ended = eventually_blocking(END_LIMIT, || !process.is_running());
        let mut log = process.text(Stream::Stderr);
        log.push_str(if ended.is_ok() { "=== ended\n" } else { "=== DID NOT END\n" });
        let path = self.folder.join(format!("{}.log", self.name));
        let file = OpenOptions::new().create(true).append(true).open(path);
        // Informative only: without room for it the run continues.
        let _ = file.and_then(|mut file| file.write_all(log.as_bytes()));
    }

    fn lock(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
