//! A private Postgres server for tests, which can be stopped, killed and restarted.
//!
//! | file | what it owns |
//! |---|---|
//! | `failover.rs` | a standby server, and settings changed at run time |

mod failover;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::binaries::{INSTALL_HINT, bin_dir};
use crate::eventually::eventually_blocking;
use crate::folder::Folder;
use crate::port::free_port;
use crate::tls::Tls;

/// The superuser of every cluster.
const USER: &str = "tally";

/// Its password. Not a secret: the server listens on 127.0.0.1 and has only test data.
const PASSWORD: &str = "tally-test";

/// How long a server may take to start or stop on a busy machine with slow disks. An idle one takes
/// a tenth of a second.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How many ports to try, because another process may take one before the server does.
const PORT_TRIES: usize = 5;

/// How many lines of the server's log an error shows.
const LOG_LINES_MAX: usize = 30;

/// Options of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Settings of postgresql.conf, as in `("max_connections", "20")`.
    pub settings: Vec<(String, String)>,
    /// Lines to put first in pg_hba.conf, as in `hostnossl all all 127.0.0.1/32 reject`.
    pub hba: Vec<String>,
    /// Also serve TLS with this certificate.
    pub tls: Option<Tls>,
    /// Keep the data in memory if there is room: for a server on which each test creates a database and
    /// drops it, because some file systems take long to create a file after many were removed. If
    /// `TMPDIR` is set, the data is there.
    pub in_memory: bool,
}

/// Why a server is not available.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No `initdb` and `postgres` were found.
    #[error("{INSTALL_HINT}")]
    NotInstalled,
    /// The cluster's folder could not be created or written.
    #[error("cannot prepare the folder of a temporary Postgres")]
    Folder(#[source] io::Error),
    /// A program could not be run.
    #[error("cannot run {program}")]
    Run {
        /// The program's path.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program such as `initdb` failed.
    #[error("{program} failed:\n{output}")]
    Program {
        /// The program's path.
        program: PathBuf,
        /// Its output.
        output: String,
    },
    /// The server did not start, or did not stop.
    #[error("postgres {what}:\n{log}")]
    Server {
        /// What went wrong.
        what: String,
        /// The end of its log.
        log: String,
    },
}

/// A private Postgres server, removed with this value or when our process ends.
///
/// It listens on a TCP port of 127.0.0.1, where a role needs its password (scram-sha-256), and on a
/// socket in [`Cluster::socket_dir`], where it does not. For speed `fsync` is off, so commits
/// survive a kill of the server but not a crash of the machine. If Postgres is built with ICU, the
/// default collation is English, so that queries that silently rely on byte order fail in tests.
pub struct Cluster {
    bin: PathBuf,
    port: u16,
    options: Options,
    server: Mutex<Option<Child>>,
    // Last: the watchdog stops the server when this is dropped.
    folder: Folder,
}

// === impl Cluster ===

impl Cluster {
    /// Creates a database cluster and starts its server. Takes about a second.
    pub fn start(options: Options) -> Result<Cluster, Error> {
        let bin = bin_dir().ok_or(Error::NotInstalled)?;
        let folder = Folder::create(options.in_memory).map_err(Error::Folder)?;
        let mut cluster = Cluster { bin, port: 0, options, server: Mutex::new(None), folder };
        cluster.initdb()?;
        cluster.configure().map_err(Error::Folder)?;
        cluster.launch_on_a_port()?;
        Ok(cluster)
    }

    /// The URL of a database over TCP, with the superuser's name and password.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// The TCP port on 127.0.0.1, the same across restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the server's Unix socket.
    pub fn socket_dir(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the Postgres programs.
    pub fn bin_dir(&self) -> &Path {
        &self.bin
    }

    /// The certificate file of the authority to trust, with TLS.
    pub fn ca_path(&self) -> Option<PathBuf> {
        self.options.tls.as_ref().map(|_| self.folder.path().join("ca.crt"))
    }

    /// The server's log.
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The process id of the server, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.lock().as_ref().map(Child::id)
    }

    /// Stops the server as an administrator would; its connections end with 57P01.
    pub fn stop(&self) -> Result<(), Error> {
        let mut server = self.lock();
        let Some(child) = server.as_mut() else { return Ok(()) };
        kill_process(Pid::from_child(child), Signal::INT)
            .map_err(|error| self.failed(format!("cannot be stopped: {error}")))?;
        eventually_blocking(START_LIMIT, || exited(child))
            .map_err(|_| self.failed(format!("did not stop within {START_LIMIT:?}")))?;
        *server = None;
        self.folder.forget_process();
        Ok(())
    }

    /// Kills the postmaster with SIGKILL. The server's other processes notice and end.
    pub fn kill9(&self) {
        let mut server = self.lock();
        if let Some(mut child) = server.take() {
            let _ = child.kill();
            let _ = child.wait();
            self.folder.forget_process();
        }
    }

    /// Stops the server if it runs, and starts it with the same port and data.
    pub fn restart(&self) -> Result<(), Error> {
        self.stop()?;
        // After `kill9` the last processes may still hold the shared memory for a moment.
        let mut launched = Ok(());
        let _ = eventually_blocking(START_LIMIT, || {
            launched = self.launch();
            launched.is_ok()
        });
        launched
    }

    fn initdb(&self) -> Result<(), Error> {
        let password = self.folder.path().join("password");
        self.folder.write_private(&password, PASSWORD).map_err(Error::Folder)?;
        let with_language = ["--locale-provider=icu", "--icu-locale=en-US", "--locale=C"];
        // Before Postgres 15, or without ICU, only the plain form works.
        self.run_initdb(&password, &with_language)
            .or_else(|_| self.run_initdb(&password, &["--locale=C"]))
    }

    fn run_initdb(&self, password: &Path, locale: &[&str]) -> Result<(), Error> {
        let data = self.folder.data();
        self.run("initdb", |initdb| {
            initdb.arg("-D").arg(data).arg("--pwfile").arg(password);
            initdb.args(["-U", USER, "-E", "UTF8", "--no-sync", "--no-instructions"]);
            initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256"]).args(locale);
        })
    }

    /// Runs a program with these arguments to its end.
    fn run(&self, program: &str, arguments: impl FnOnce(&mut Command)) -> Result<(), Error> {
        let program = self.bin.join(program);
        let mut command = self.folder.command(&program);
        arguments(&mut command);
        let failed = |source| Error::Run { program: program.clone(), source };
        let output = command.output().map_err(failed)?;
        self.folder.forget_process();
        if output.status.success() {
            return Ok(());
        }
        let text = [output.stdout, output.stderr].concat();
        Err(Error::Program { program, output: String::from_utf8_lossy(&text).into_owned() })
    }

    /// Writes the certificates and pg_hba.conf.
    fn configure(&self) -> io::Result<()> {
        let data = self.folder.data();
        if let Some(tls) = &self.options.tls {
            self.folder.write_private(&data.join("server.crt"), &tls.certificate_pem)?;
            self.folder.write_private(&data.join("server.key"), &tls.key_pem)?;
            self.folder.write_private(&self.folder.path().join("ca.crt"), &tls.ca_pem)?;
        }
        if !self.options.hba.is_empty() {
            let path = data.join("pg_hba.conf");
            let rest = fs::read_to_string(&path)?;
            let lines = self.options.hba.join("\n");
            self.folder.write_private(&path, &format!("{lines}\n{rest}"))?;
        }
        Ok(())
    }

    /// Starts the server on a free port.
    fn launch_on_a_port(&mut self) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            self.port = free_port();
            tries += 1;
            match self.launch() {
                Err(error) if tries < PORT_TRIES && port_taken(&error) => {}
                done => return done,
            }
        }
    }

    /// Starts the server and waits until it accepts connections.
    fn launch(&self) -> Result<(), Error> {
        let logged = self.log().len();
        let mut child = self.spawn()?;
        let ready = self.folder.data().join("postmaster.pid");
        let outcome = eventually_blocking(START_LIMIT, || {
            if let Some(status) = exited(&mut child) {
                return Some(Err(status));
            }
            is_ready(&ready, child.id()).then_some(Ok(()))
        });
        let what = match outcome {
            Ok(Ok(())) => {
                *self.lock() = Some(child);
                return Ok(());
            }
            Ok(Err(status)) => format!("did not start ({status})"),
            Err(_) => format!("was not ready within {START_LIMIT:?}"),
        };
        let _ = child.kill();
        let _ = child.wait();
        self.folder.forget_process();
        let log = self.log();
        Err(Error::Server { what, log: tail(log.get(logged..).unwrap_or(&log)) })
    }

    fn spawn(&self) -> Result<Child, Error> {
        let program = self.bin.join("postgres");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .map_err(Error::Folder)?;
        let mut command = self.folder.command(&program);
        command.arg("-D").arg(self.folder.data()).arg("-k").arg(self.folder.path());
        command.args(["-p", &self.port.to_string()]);
        setting(&mut command, "listen_addresses", "127.0.0.1");
        setting(&mut command, "max_connections", "200");
        // Keep synchronous_commit on: without it a killed server loses commits.
        setting(&mut command, "fsync", "off");
        setting(&mut command, "full_page_writes", "off");
        if self.options.tls.is_some() {
            setting(&mut command, "ssl", "on");
        }
        for (name, value) in &self.options.settings {
            setting(&mut command, name, value);
        }
        let also_log = log.try_clone().map_err(Error::Folder)?;
        command.stdout(Stdio::from(log)).stderr(Stdio::from(also_log));
        command.spawn().map_err(|source| Error::Run { program, source })
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn failed(&self, what: String) -> Error {
        Error::Server { what, log: tail(&self.log()) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.server.lock().expect("no thread panics while it holds the server")
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Immediately and without a checkpoint, because the watchdog removes the data.
        if let Some(mut child) = self.lock().take() {
            let _ = kill_process(Pid::from_child(&child), Signal::QUIT);
            if eventually_blocking(START_LIMIT, || exited(&mut child)).is_err() {
                let _ = child.kill();
                let _ = child.wait();
            }
            self.folder.forget_process();
        }
    }
}

fn setting(command: &mut Command, name: &str, value: &str) {
    command.arg("-c").arg(format!("{name}={value}"));
}

/// The child's exit status, if it has ended.
fn exited(child: &mut Child) -> Option<ExitStatus> {
    child.try_wait().ok().flatten()
}

/// Whether the server's lock file says that it accepts connections, as `pg_ctl -w` checks it. Line
/// 1 is the process id, line 8 the state.
fn is_ready(lock_file: &Path, pid: u32) -> bool {
    let text = fs::read_to_string(lock_file).unwrap_or_default();
    let mut lines = text.lines();
    lines.next() == Some(pid.to_string().as_str())
        && lines.nth(6).is_some_and(|state| state.trim() == "ready")
}

fn port_taken(error: &Error) -> bool {
    matches!(error, Error::Server { log, .. } if log.contains("could not bind"))
}

/// The last lines of a log.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_MAX)..].join("\n")
}
