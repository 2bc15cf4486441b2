//! A client process and its way to the servers.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tally_testkit::{Process, Proxy, Stream, eventually_blocking};

use super::{END_LIMIT, save_log};
use crate::client::{Kind, READY};

/// A client's program, and the folder for its files.
pub(crate) struct Files {
    pub(crate) program: PathBuf,
    pub(crate) folder: PathBuf,
}

/// A client across all its processes.
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

    /// Starts a process in place of the previous one.
    pub(crate) fn start(&self, stubborn: bool) -> anyhow::Result<()> {
        let mut process = self.lock();
        save_log(&self.files.folder, &self.name, process.take());
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
        save_log(&self.files.folder, &self.name, process);
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

    /// Waits until it ends after SIGTERM; kills it at the limit.
    ///
    /// # Errors
    /// It does not end in time, or not with 0; the end of its log says why.
    pub(crate) fn await_end(&self, limit: Duration) -> anyhow::Result<()> {
        let Some(process) = self.lock().take() else { return Ok(()) };
        let ended = eventually_blocking(limit, || !process.is_running());
        let text = process.text(Stream::Stderr);
        let last = text.lines().last().unwrap_or_default().to_owned();
        if ended.is_err() {
            process.signal("KILL");
            save_log(&self.files.folder, &self.name, Some(process));
            anyhow::bail!("{} did not finish within {limit:?}; its last line: {last}", self.name);
        }
        let output = process.wait(END_LIMIT);
        save_log(&self.files.folder, &self.name, Some(process));
        anyhow::ensure!(output.status.success(), "{} failed: {last}", self.name);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
