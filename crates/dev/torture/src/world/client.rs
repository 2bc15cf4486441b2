//! A client process and its way to the servers.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tally_testkit::{Process, Proxy, Stream, eventually_blocking};

use crate::client::{Kind, READY};

/// How long a process may take to end once it was killed.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Where a client's program is, and where its files go.
pub(crate) struct Files {
    pub(crate) program: PathBuf,
    pub(crate) folder: PathBuf,
}

/// A client, over all of its processes.
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) proxy: Proxy,
    files: Files,
    seed: u64,
    rate: u64,
    process: Mutex<Option<Process>>,
}

// === impl Client ===

impl Client {
    pub(crate) fn new(
        name: String,
        kind: Kind,
        proxy: Proxy,
        files: Files,
        seed: u64,
        rate: u64,
    ) -> Client {
        Client { name, kind, proxy, files, seed, rate, process: Mutex::new(None) }
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.files.folder.join(format!("{}.journal", self.name))
    }

    /// Starts a process, in place of the one before it.
    pub(crate) fn start(&self, stubborn: bool) -> anyhow::Result<()> {
        let mut process = self.lock();
        self.take_log(process.take());
        let mut command = Command::new(&self.files.program);
        command.arg("client").args(["--kind", self.kind.word(), "--name", &self.name]);
        command.arg("--server").arg(format!("http://{}", self.proxy.addr()));
        command.arg("--folder").arg(&self.files.folder).current_dir(&self.files.folder);
        command.args(["--seed", &self.seed.to_string(), "--rate", &self.rate.to_string()]);
        if stubborn {
            command.arg("--stubborn");
        }
        let started = Process::spawn(&command);
        let ready = || started.text(Stream::Stderr).contains(READY) || !started.is_running();
        let is_up = eventually_blocking(END_LIMIT, ready).is_ok() && started.is_running();
        let said = started.text(Stream::Stderr);
        *process = Some(started);
        anyhow::ensure!(is_up, "{} did not start: {said}", self.name);
        Ok(())
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        let process = self.lock().take();
        if let Some(process) = &process {
            process.signal("KILL");
        }
        self.take_log(process);
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

    /// Waits for its end after SIGTERM.
    ///
    /// # Errors
    /// When it does not end, or not with 0; the end of its log says why.
    pub(crate) fn await_end(&self, limit: Duration) -> anyhow::Result<()> {
        let Some(process) = self.lock().take() else { return Ok(()) };
        let ended = eventually_blocking(limit, || !process.is_running());
        let text = process.text(Stream::Stderr);
        let last = text.lines().last().unwrap_or_default().to_owned();
        if ended.is_err() {
            process.signal("KILL");
            self.take_log(Some(process));
            anyhow::bail!("{} did not finish within {limit:?}; it said last: {last}", self.name);
        }
        let output = process.wait(END_LIMIT);
        self.take_log(Some(process));
        anyhow::ensure!(output.status.success(), "{} failed: {last}", self.name);
        Ok(())
    }

    fn take_log(&self, process: Option<Process>) {
        let Some(process) = process else { return };
        let _ = eventually_blocking(END_LIMIT, || !process.is_running());
        let mut log = process.text(Stream::Stderr);
        log.push_str("=== ended\n");
        let path = self.files.folder.join(format!("{}.log", self.name));
        let file = OpenOptions::new().create(true).append(true).open(path);
        // A log is for people; without room for it the run goes on.
        let _ = file.and_then(|mut file| file.write_all(log.as_bytes()));
    }

    fn lock(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
