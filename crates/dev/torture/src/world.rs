//! The parts of a run: a database, servers, clients, and the network between them.
//!
//! | file | what it owns |
//! |---|---|
//! | `client.rs` | a client process |
//! | `folder.rs` | the folder of a run |
//! | `server.rs` | a server process |

pub(crate) mod client;
mod folder;
pub(crate) mod server;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::Context as _;
use tally_testkit::{Cluster, Options, Process, Proxy, Stream, eventually_blocking};
use tokio::runtime::Handle;

use crate::arguments::{Backend, Run};
use crate::client::Kind;
use crate::schedule::Shape;
use crate::stop::Stop;
use client::{Client, Files};
use folder::Folder;
use server::{Server, StartOptions};

/// The database in the run's private Postgres.
pub(crate) const DATABASE: &str = "postgres";

/// Connections that this Postgres allows: few, so that they can be used up.
pub(crate) const CONNECTIONS_MAX: usize = 40;

/// How long a process may take to start, or to end after a kill or a drain.
const END_LIMIT: Duration = Duration::from_secs(30);

/// Room for commits that are not written yet.
const WAL_BUFFERS: (&str, &str) = ("wal_buffers", "64MB");

/// Everything that runs. Dropped in this order: clients, servers, Postgres, folder.
pub(crate) struct World {
    pub(crate) clients: Vec<Client>,
    pub(crate) servers: Vec<Server>,
    /// The lock serializes threads that kill it. A failover replaces it.
    pub(crate) postgres: Option<Mutex<Cluster>>,
    pub(crate) folder: Mutex<Folder>,
    pub(crate) runtime: Handle,
    /// Set while a full disk must stay full.
    pub(crate) roll_ups_paused: AtomicBool,
    rewinds: bool,
}

/// A copy of a program, because cargo may rebuild the original during the run.
fn copy_program(program: &Path, folder: &Folder) -> anyhow::Result<PathBuf> {
    let name = program.file_name().context("a program has a name")?;
    let copy = folder.path().join(name);
    fs::hard_link(program, &copy).or_else(|_| fs::copy(program, &copy).map(|_| ()))?;
    Ok(copy)
}

/// Waits for a process that was told to end, and appends its standard error to its log. A process
/// that does not end is killed when it is dropped.
fn save_log(folder: &Path, name: &str, process: Option<Process>) {
    let Some(process) = process else { return };
    let ended = eventually_blocking(END_LIMIT, || !process.is_running());
    let mut log = process.text(Stream::Stderr);
    log.push_str(if ended.is_ok() { "=== ended\n" } else { "=== DID NOT END\n" });
    let file =
        OpenOptions::new().create(true).append(true).open(folder.join(format!("{name}.log")));
    // Informative only: without room for it the run continues.
    let _ = file.and_then(|mut file| file.write_all(log.as_bytes()));
}

// === impl World ===

impl World {
    /// Creates the folder and the database. Does not start servers or clients.
    pub(crate) fn build(run: &Run, tally: &Path, runtime: Handle) -> anyhow::Result<World> {
        let folder = Folder::create()?;
        let path = folder.path().to_owned();
        let tally = copy_program(tally, &folder)?;
        let torture = copy_program(&std::env::current_exe()?, &folder)?;
        let postgres = match run.backend {
            Backend::Postgres => {
                let mut settings = vec![("max_connections", CONNECTIONS_MAX.to_string())];
                if run.rewinds() {
                    settings.push((WAL_BUFFERS.0, WAL_BUFFERS.1.to_owned()));
                }
                let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value));
                let settings = settings.collect();
                Some(Cluster::start(Options { settings, ..Options::default() })?)
            }
            Backend::Sqlite => None,
        };
        let broken = run.broken.map(|broken| broken.fault().to_owned());
        let mut servers = Vec::new();
        for number in 1..=run.backend.servers() {
            let database = match &postgres {
                Some(cluster) => {
                    let (proxy, url) = runtime.block_on(Proxy::before(&cluster.url(DATABASE)));
                    (Some(proxy), url)
                }
                None => (None, format!("sqlite:{}", folder.file("tally.db").display())),
            };
            let name = format!("server-{number}");
            let (tally, path) = (tally.clone(), path.clone());
            servers.push(Server::new(&name, tally, path, database, broken.clone()));
        }
        let mut clients = Vec::new();
        for (number, kind) in run.clients().into_iter().enumerate() {
            let server: &Server = &servers[number % servers.len()];
            let proxy = runtime.block_on(Proxy::start(&server.address));
            let name = format!("{}-{}", kind.word(), number + 1);
            let program = torture.clone();
            let (folder, seed, rate) = (path.clone(), run.seed, run.rate());
            clients.push(Client::new(name, kind, proxy, Files { program, folder }, seed, rate));
        }
        let (folder, roll_ups_paused) = (Mutex::new(folder), AtomicBool::new(false));
        let (postgres, rewinds) = (postgres.map(Mutex::new), run.rewinds());
        Ok(World { clients, servers, postgres, folder, runtime, roll_ups_paused, rewinds })
    }

    pub(crate) fn shape(&self) -> Shape {
        Shape {
            clients: self.clients.len(),
            servers: self.servers.len(),
            is_postgres: self.postgres.is_some(),
            rewinds: self.rewinds,
        }
    }

    /// The first client of this kind.
    pub(crate) fn first(&self, kind: Kind) -> &Client {
        let mut clients = self.clients.iter();
        clients.find(|client| client.kind == kind).expect("every run has one of each kind")
    }

    /// Starts a server, and retries while its database is down, until it listens or the run stops.
    pub(crate) fn bring_up(
        &self,
        server: &Server,
        how: &StartOptions,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        loop {
            match server.start(how) {
                Ok(()) => return Ok(()),
                Err(error) if !stop.pause_ms(200) => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Locks the primary Postgres.
    pub(crate) fn postgres(&self) -> Option<MutexGuard<'_, Cluster>> {
        let postgres = self.postgres.as_ref()?;
        Some(postgres.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// The URL of the database without a proxy.
    pub(crate) fn postgres_url(&self) -> Option<String> {
        self.postgres().map(|cluster| cluster.url(DATABASE))
    }

    pub(crate) fn sqlite_path(&self) -> PathBuf {
        self.file("tally.db")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.lock().expect("no thread panics while it holds the folder").file(name)
    }

    /// The panic messages in the logs of ended servers and clients.
    pub(crate) fn panics(&self) -> anyhow::Result<Vec<String>> {
        let servers = self.servers.iter().map(|server| &server.name);
        let mut panics = Vec::new();
        for name in servers.chain(self.clients.iter().map(|client| &client.name)) {
            let log = fs::read(self.file(&format!("{name}.log")))?;
            let log = String::from_utf8_lossy(&log);
            let lines = log.lines().filter(|line| line.contains("panicked"));
            panics.extend(lines.map(|line| format!("{name}: {line}")));
        }
        Ok(panics)
    }

    /// Keeps the folder with the journals and logs, and prints where it is.
    pub(crate) fn keep(&self, report: &str) {
        // Logs are written when processes end.
        self.clients.iter().for_each(Client::kill);
        self.servers.iter().for_each(Server::kill);
        let mut folder = self.folder.lock().expect("no thread panics while it holds the folder");
        folder.keep();
        for program in ["tally", "tally-torture"] {
            let _ = fs::remove_file(folder.file(program));
        }
        let log = self.postgres().map(|cluster| cluster.log()).unwrap_or_default();
        // Informative only: without room for them the verdict stands.
        let _ = fs::write(folder.file("postgres.log"), log);
        let _ = fs::write(folder.file("report.txt"), report);
        println!("journals and logs are in {}", folder.path().display());
    }

    /// The network's links: those of the clients, then those of the databases.
    pub(crate) fn links(&self) -> Vec<&Proxy> {
        let databases = self.servers.iter().filter_map(|server| server.database.as_ref());
        self.clients.iter().map(|client| &client.proxy).chain(databases).collect()
    }
}
