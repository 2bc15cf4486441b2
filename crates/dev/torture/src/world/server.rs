//! A `tally serve` process, restarted on the same port.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tally_testkit::{Process, Proxy, Stream, eventually_blocking, free_port};

use super::{END_LIMIT, save_log};

/// How long a server may take to listen or to fail.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Faults of one start.
#[derive(Clone, Debug, Default)]
pub(crate) struct StartOptions {
    /// A fault of `tally_runtime::faults`.
    pub(crate) fault: Option<String>,
    /// The maximum size of the SQLite file.
    pub(crate) size_bytes_max: Option<u64>,
}

/// A server and its way to the database.
pub(crate) struct Server {
    pub(crate) name: String,
    /// Its address, such as `127.0.0.1:1234`.
    pub(crate) address: String,
    /// The proxy to Postgres.
    pub(crate) database: Option<Proxy>,
    tally: PathBuf,
    folder: PathBuf,
    database_url: String,
    /// Faults of every start, from `--broken`.
    broken: Option<String>,
    process: Mutex<Option<Process>>,
}

// === impl Server ===

impl Server {
    pub(crate) fn new(
        name: &str,
        tally: PathBuf,
        folder: PathBuf,
        database: (Option<Proxy>, String),
        broken: Option<String>,
    ) -> Server {
        let address = format!("127.0.0.1:{}", free_port());
        let (database, database_url) = database;
        let (name, process) = (name.to_owned(), Mutex::new(None));
        Server { name, address, database, tally, folder, database_url, broken, process }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// It ended instead, as it may while its database is down; the error has its log.
    pub(crate) fn start(&self, how: &StartOptions) -> anyhow::Result<()> {
        let mut process = self.lock();
        save_log(&self.folder, &self.name, process.take());
        let started = Process::spawn(&self.command(how));
        let listens = eventually_blocking(START_LIMIT, || {
            let log = started.text(Stream::Stderr);
            if log.contains("listens on http://") {
                return Some(Ok(()));
            }
            (!started.is_running()).then_some(Err(log))
        });
        match listens {
            Ok(Ok(())) => {
                *process = Some(started);
                Ok(())
            }
            Ok(Err(log)) => {
                save_log(&self.folder, &self.name, Some(started));
                anyhow::bail!("{} did not start: {}", self.name, log.trim_end())
            }
            Err(_) => {
                save_log(&self.folder, &self.name, Some(started));
                anyhow::bail!("{} did not start within {START_LIMIT:?}", self.name)
            }
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        let process = self.lock().take();
        if let Some(process) = &process {
            process.signal("KILL");
        }
        save_log(&self.folder, &self.name, process);
    }

    /// Sends SIGTERM, waits for the end, and returns the exit code if it ran.
    pub(crate) fn terminate(&self) -> Option<i32> {
        let process = self.lock().take()?;
        process.signal("TERM");
        let ended = eventually_blocking(END_LIMIT, || !process.is_running()).is_ok();
        let code = ended.then(|| process.wait(END_LIMIT).status.code()).flatten();
        save_log(&self.folder, &self.name, Some(process));
        code
    }

    /// Sends a signal such as STOP or CONT.
    pub(crate) fn signal(&self, name: &str) {
        if let Some(process) = self.lock().as_ref() {
            process.signal(name);
        }
    }

    /// Waits until its log contains `words`.
    ///
    /// # Errors
    /// The words do not appear in time.
    pub(crate) fn await_log(&self, words: &str) -> anyhow::Result<()> {
        eventually_blocking(END_LIMIT, || self.has_logged(words))
            .map_err(|_| anyhow::anyhow!("{} did not log {words:?} in time", self.name))
    }

    /// Whether its log contains `words`.
    pub(crate) fn has_logged(&self, words: &str) -> bool {
        let process = self.lock();
        process.as_ref().is_some_and(|process| process.text(Stream::Stderr).contains(words))
    }

    fn command(&self, how: &StartOptions) -> Command {
        let mut command = Command::new(&self.tally);
        let url = match how.size_bytes_max {
            Some(size) => format!("{}?size_bytes_max={size}", self.database_url),
            None => self.database_url.clone(),
        };
        command.current_dir(&self.folder);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let of_tally = ["LISTEN_ADDR", "DB_URL", "MIGRATION_DRIVER"].contains(&&*name);
            if of_tally || name.starts_with("TALLY_") || name.starts_with("PG") {
                command.env_remove(&*name);
            }
        }
        command.args(["serve", "--listen", &self.address, "--database-url", &url]);
        // Short waits, so that some writes give up.
        command.args(["--requests-write-wait-ms", "800", "--requests-queue-wait-ms", "1500"]);
        command.args(["--drain-timeout-ms", "4000"]);
        let faults: Vec<&str> =
            [&self.broken, &how.fault].into_iter().flatten().map(String::as_str).collect();
        command.env("TALLY_FAULT", faults.join(","));
        command
    }

    fn lock(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
