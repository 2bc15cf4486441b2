//! What a run consists of: a database, servers, clients, and the network between them.
//!
//! | file | what it owns |
//! |---|---|
//! | `client.rs` | a client process |
//! | `folder.rs` | the folder of a run |
//! | `server.rs` | a server process |

pub(crate) mod client;
mod folder;
pub(crate) mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard};

use anyhow::Context as _;
use tally_testkit::{Cluster, Options, Proxy};
use tokio::runtime::Handle;

use crate::arguments::{Backend, Run};
use crate::client::Kind;
use crate::schedule::Shape;
use crate::stop::Stop;
use client::{Client, Files};
use folder::Folder;
use server::{How, Server};

/// The database of the run, in its private Postgres.
pub(crate) const DATABASE: &str = "postgres";

/// How many connections that Postgres takes; few, so that they can be used up.
pub(crate) const CONNECTIONS_MAX: usize = 40;

/// Room for commits that nobody has written yet.
const WAL_BUFFERS: (&str, &str) = ("wal_buffers", "64MB");

/// Everything that runs. Dropped in this order: clients, servers, Postgres, folder.
pub(crate) struct World {
    pub(crate) clients: Vec<Client>,
    pub(crate) servers: Vec<Server>,
    /// Held by whoever kills it: one after the other. Another one takes its place in a failover.
    pub(crate) postgres: Option<Mutex<Cluster>>,
    pub(crate) folder: Mutex<Folder>,
    pub(crate) runtime: Handle,
    /// Nobody rolls up, so that a full disk stays full.
    pub(crate) rows_stay: AtomicBool,
    goes_back: bool,
}

/// A program that stays what it is for the time of the run.
fn keep_program(program: &Path, folder: &Folder) -> anyhow::Result<PathBuf> {
    let name = program.file_name().context("a program has a name")?;
    let kept = folder.path().join(name);
    fs::hard_link(program, &kept).or_else(|_| fs::copy(program, &kept).map(|_| ()))?;
    Ok(kept)
}

// === impl World ===

impl World {
    /// Makes the folder and the database. Starts no server and no client yet.
    pub(crate) fn build(run: &Run, tally: &Path, runtime: Handle) -> anyhow::Result<World> {
        let folder = Folder::create()?;
        let path = folder.path().to_owned();
        // Copies: cargo may build others in their place while we run.
        let tally = keep_program(tally, &folder)?;
        let torture = keep_program(&std::env::current_exe()?, &folder)?;
        let postgres = match run.backend {
            Backend::Postgres => {
                let mut settings = vec![("max_connections", CONNECTIONS_MAX.to_string())];
                if run.goes_back() {
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
        let (folder, rows_stay) = (Mutex::new(folder), AtomicBool::new(false));
        let (postgres, goes_back) = (postgres.map(Mutex::new), run.goes_back());
        Ok(World { clients, servers, postgres, folder, runtime, rows_stay, goes_back })
    }

    pub(crate) fn shape(&self) -> Shape {
        Shape {
            clients: self.clients.len(),
            servers: self.servers.len(),
            is_postgres: self.postgres.is_some(),
            goes_back: self.goes_back,
        }
    }

    /// The client of this kind that was made first.
    pub(crate) fn first(&self, kind: Kind) -> &Client {
        let mut clients = self.clients.iter();
        clients.find(|client| client.kind == kind).expect("every run has one of each kind")
    }

    /// Starts a server, and again if its database is away, until it listens or the run stops.
    pub(crate) fn keep_up(&self, server: &Server, how: &How, stop: &Stop) -> anyhow::Result<()> {
        loop {
            match server.start(how) {
                Ok(()) => return Ok(()),
                Err(error) if !stop.pause_ms(200) => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// The Postgres that is the primary, for as long as the value lives.
    pub(crate) fn postgres(&self) -> Option<MutexGuard<'_, Cluster>> {
        let postgres = self.postgres.as_ref()?;
        Some(postgres.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// The URL of the database, without a proxy before it.
    pub(crate) fn postgres_url(&self) -> Option<String> {
        self.postgres().map(|cluster| cluster.url(DATABASE))
    }

    pub(crate) fn sqlite_path(&self) -> PathBuf {
        self.file("tally.db")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.lock().expect("no thread panics while it holds the folder").file(name)
    }

    /// The lines in which servers and clients that have ended said that they panicked.
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

    /// Leaves the folder with the journals and logs, and says where.
    pub(crate) fn keep(&self, report: &str) {
        // What still runs writes its log when it ends.
        self.clients.iter().for_each(Client::kill);
        self.servers.iter().for_each(Server::kill);
        let mut folder = self.folder.lock().expect("no thread panics while it holds the folder");
        folder.keep();
        for program in ["tally", "tally-torture"] {
            let _ = fs::remove_file(folder.file(program));
        }
        let log = self.postgres().map(|cluster| cluster.log()).unwrap_or_default();
        // For people; without room for it the verdict stands.
        let _ = fs::write(folder.file("postgres.log"), log);
        let _ = fs::write(folder.file("report.txt"), report);
        println!("journals and logs are in {}", folder.path().display());
    }

    /// The network's links, with what a person calls them.
    pub(crate) fn links(&self) -> Vec<(String, &Proxy)> {
        let clients = self.clients.iter().map(|client| (client.name.clone(), &client.proxy));
        let databases = self.servers.iter().filter_map(|server| {
            let proxy = server.database.as_ref()?;
            Some((format!("{}-database", server.name), proxy))
        });
        clients.chain(databases).collect()
    }
}
