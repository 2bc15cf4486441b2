//! The parts of a run: a database, servers, clients, and the network between them.
//!
//! | file | what it owns |
//! |---|---|
//! | `access.rs` | keys and the servers' certificate |
//! | `child.rs` | a process that is restarted |
//! | `client.rs` | a client process |
//! | `server.rs` | a server process |

pub(crate) mod access;
mod child;
pub(crate) mod client;
pub(crate) mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use anyhow::Context as _;
use tally_testkit::{Cluster, Hook, Options, Proxy, Watched, free_port};
use tokio::runtime::Handle;

use crate::arguments::{Backend, Broken, Run};
use crate::client::{Arguments, Kind};
use crate::door::Door;
use crate::lanes::Log;
use crate::schedule::Shape;
use access::Access;
use child::Child;
use client::Client;
use server::Server;

/// The database in the run's private Postgres.
pub(crate) const DATABASE: &str = "postgres";

/// The database file under SQLite.
const SQLITE_FILE: &str = "tally.db";

/// Connections that this Postgres allows: few, so that they can be used up.
pub(crate) const CONNECTIONS_MAX: usize = 40;

/// Everything that runs. Dropped in this order: clients, servers, Postgres, folder.
pub(crate) struct World {
    pub(crate) clients: Vec<Client>,
    pub(crate) servers: Vec<Server>,
    /// The lock serializes threads that kill it. A failover replaces it.
    pub(crate) postgres: Option<Mutex<Cluster>>,
    /// The primary's URL, for those who need not wait until nobody kills or replaces it.
    primary: Mutex<Option<String>>,
    pub(crate) folder: Watched,
    pub(crate) runtime: Handle,
    /// Set while a full disk must stay full.
    pub(crate) roll_ups_paused: AtomicBool,
    pub(crate) shape: Shape,
    pub(crate) access: Access,
    /// Who is told of alarms and recoveries.
    pub(crate) hook: Hook,
    pub(crate) log: Log,
}

/// A copy of a program, because cargo may rebuild the original during the run.
fn copy_program(program: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let name = program.file_name().context("a program has a name")?;
    let copy = folder.join(name);
    fs::hard_link(program, &copy).or_else(|_| fs::copy(program, &copy).map(|_| ()))?;
    Ok(copy)
}

fn start_postgres() -> anyhow::Result<Cluster> {
    let connections = ("max_connections".to_owned(), CONNECTIONS_MAX.to_string());
    // Room for commits that are not written yet.
    let settings = vec![connections, ("wal_buffers".to_owned(), "64MB".to_owned())];
    Ok(Cluster::start(Options { settings, ..Options::default() })?)
}

/// A client, which is not started.
fn client(
    run: &Run,
    name: String,
    kind: Kind,
    proxy: Proxy,
    program: &Path,
    folder: &Path,
) -> Client {
    let process = Child::new(name.clone(), folder.to_owned());
    let arguments = Arguments {
        kind,
        name,
        server: format!("https://{}", proxy.addr()),
        folder: folder.to_owned(),
        seed: run.seed,
        rate: run.rate(),
        stubborn: false,
        counted_twice: run.broken == Some(Broken::CountedTwice),
    };
    Client { arguments, proxy, program: program.to_owned(), process }
}

// === impl World ===

impl World {
    /// Creates the folder and the database. Does not start servers or clients.
    pub(crate) fn build(run: &Run, tally: &Path, runtime: Handle) -> anyhow::Result<World> {
        let folder = Watched::create("tally-torture-")?;
        let path = folder.path().to_owned();
        let tally = copy_program(tally, &path)?;
        let program = copy_program(&std::env::current_exe()?, &path)?;
        let postgres = match run.backend {
            Backend::Postgres => Some(start_postgres()?),
            Backend::Sqlite => None,
        };
        let sqlite = format!("sqlite:{}", path.join(SQLITE_FILE).display());
        let url = postgres.as_ref().map_or_else(|| sqlite.clone(), |cluster| cluster.url(DATABASE));
        let access = Access::new(&tally, &path, &url)?;
        let hook = Hook::start();
        let mut servers = Vec::new();
        // A SQLite file belongs to one server.
        for number in 1..=if postgres.is_some() { 2 } else { 1 } {
            let (database, database_url) = match &postgres {
                Some(cluster) => {
                    let (proxy, url) = runtime.block_on(Proxy::before(&cluster.url(DATABASE)));
                    (Some(proxy), url)
                }
                None => (None, sqlite.clone()),
            };
            let address = format!("127.0.0.1:{}", free_port());
            let process = Child::new(format!("server-{number}"), path.clone());
            let (tally, broken) = (tally.clone(), run.broken);
            let (starts, is_hasty) = (AtomicUsize::new(0), AtomicBool::new(false));
            servers.push(Server {
                address,
                database,
                database_url,
                tally,
                broken,
                hook: hook.url("/"),
                seed: run.seed,
                starts,
                is_hasty,
                process,
            });
        }
        let clients = run.clients().map(|(number, kind)| {
            let server: &Server = &servers[number % servers.len()];
            let proxy = runtime.block_on(Proxy::start(&server.address));
            client(run, kind.name(number), kind, proxy, &program, &path)
        });
        let clients: Vec<Client> = clients.collect();
        let shape = Shape {
            clients: clients.len(),
            servers: servers.len(),
            is_postgres: postgres.is_some(),
            rewinds: run.rewinds(),
        };
        let primary = Mutex::new(postgres.as_ref().map(|cluster| cluster.url(DATABASE)));
        let (postgres, roll_ups_paused) = (postgres.map(Mutex::new), AtomicBool::new(false));
        Ok(World {
            clients,
            servers,
            postgres,
            primary,
            folder,
            runtime,
            roll_ups_paused,
            shape,
            access,
            hook,
            log: Log::new(run.verbose),
        })
    }

    /// The URL of the primary Postgres, which may be away.
    pub(crate) fn primary(&self) -> Option<String> {
        self.primary.lock().expect("no thread panics here").clone()
    }

    /// A server as the harness reaches it, with a key that may do everything in a namespace.
    pub(crate) fn door(&self, server: &Server, namespace: i64) -> Door {
        Door { url: server.url(), ca: self.access.ca(), key: self.access.admin(namespace) }
    }

    /// The database's URL, past all faults of the network.
    pub(crate) fn database_url(&self) -> String {
        self.primary().unwrap_or_else(|| format!("sqlite:{}", self.sqlite_path().display()))
    }

    /// Puts another Postgres in the place of the primary.
    pub(crate) fn replace(&self, primary: &mut Cluster, by: Cluster) {
        *self.primary.lock().expect("no thread panics here") = Some(by.url(DATABASE));
        *primary = by;
    }

    /// Locks the primary Postgres.
    pub(crate) fn postgres(&self) -> Option<MutexGuard<'_, Cluster>> {
        let postgres = self.postgres.as_ref()?;
        Some(postgres.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    pub(crate) fn sqlite_path(&self) -> PathBuf {
        self.file(SQLITE_FILE)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The panic messages in the logs of ended servers and clients.
    pub(crate) fn panics(&self) -> anyhow::Result<Vec<String>> {
        let mut panics = Vec::new();
        for name in self.names() {
            let log = fs::read(self.file(&format!("{name}.log")))?;
            let log = String::from_utf8_lossy(&log);
            let lines = log.lines().filter(|line| line.contains("panicked"));
            panics.extend(lines.map(|line| format!("{name}: {line}")));
        }
        Ok(panics)
    }

    /// The names of servers and clients.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.processes().map(|process| &*process.name)
    }

    fn processes(&self) -> impl Iterator<Item = &Child> {
        let servers = self.servers.iter().map(|server| &server.process);
        servers.chain(self.clients.iter().map(|client| &client.process))
    }

    /// Whether servers that start from now on are hasty.
    pub(crate) fn hurry(&self, is_hasty: bool) {
        self.servers.iter().for_each(|server| server.is_hasty.store(is_hasty, Ordering::SeqCst));
    }

    /// Kills servers and clients. Their logs are written then.
    pub(crate) fn kill(&self) {
        self.processes().for_each(Child::kill);
    }

    /// Keeps the folder with the journals and logs, and prints where it is.
    pub(crate) fn keep(&self, report: &str) {
        self.kill();
        self.folder.keep();
        for program in ["tally", "tally-torture"] {
            let _ = fs::remove_file(self.file(program));
        }
        let log = self.postgres().map(|cluster| cluster.log()).unwrap_or_default();
        // Informative only: without room for them the verdict stands.
        let _ = fs::write(self.file("postgres.log"), log);
        let _ = fs::write(self.file("report.txt"), report);
        println!("journals and logs are in {}", self.folder.path().display());
    }

    /// The links between servers and Postgres.
    pub(crate) fn databases(&self) -> impl Iterator<Item = &Proxy> {
        self.servers.iter().filter_map(|server| server.database.as_ref())
    }

    /// The network's links: those of the clients, then those of the databases.
    pub(crate) fn links(&self) -> Vec<&Proxy> {
        self.clients.iter().map(|client| &client.proxy).chain(self.databases()).collect()
    }
}
