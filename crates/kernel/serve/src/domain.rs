//! What a domain gives to an app, and an app to a domain: neither knows more of the other.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tally_producers::Terms;
use tally_runtime::config::Problems;
use tally_runtime::{Clock, Drain, Tasks};
use tally_store::{Database, Migrations};

use crate::Doors;

/// A domain: all that an app needs to offer it. A server is made from a list of them.
#[derive(Debug, Clone, Copy)]
pub struct Domain {
    /// What `--domains` calls it. Its settings are `--<name>-…` and `TALLY_<NAME>_…`.
    pub name: &'static str,
    /// Its tables.
    pub migrations: Migrations,
    /// What a new user can do: a few words, and the command for it.
    pub hints: &'static [(&'static str, &'static str)],
    /// Adds the domain's settings to a command. Derived ones are marked `#[group(skip)]`, because
    /// clap names a group by its type, and every domain may have a type of that name.
    pub arguments: fn(clap::Command) -> clap::Command,
    /// Reads the settings, and notes every mistake. Gives nothing only if it has noted one.
    pub check: fn(&clap::ArgMatches, Terms, &mut Problems) -> Option<Box<dyn Configured>>,
}

/// The database connections that a domain uses at the same time, at most.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Connections that store what a caller waits for.
    pub writers: usize,
    /// Connections for everything else.
    pub others: usize,
    /// The longest that one attempt to store may take.
    pub write_max: Duration,
}

/// What a domain stands on.
pub struct Parts {
    /// The database, with the domain's tables.
    pub database: Database,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Begins when the server stops.
    pub drain: Drain,
    /// For background tasks. They end by themselves once the drain begins, and are waited for
    /// after [`Running::finished`].
    pub tasks: Tasks,
}

/// A domain whose settings are right.
#[async_trait]
pub trait Configured: Send + Sync {
    /// Which connections it needs.
    fn connections(&self) -> Connections;

    /// Starts it.
    ///
    /// # Errors
    /// When the database fails.
    async fn start(
        self: Box<Self>,
        parts: Parts,
    ) -> Result<(Arc<dyn Running>, Doors), tally_store::Error>;
}

/// A domain that runs.
#[async_trait]
pub trait Running: Send + Sync {
    /// Whether it can store what is sent.
    ///
    /// # Errors
    /// Why not, in one line.
    async fn ready(&self) -> Result<(), String>;

    /// How many rows are neither stored nor given up.
    fn queued_rows(&self) -> usize;

    /// Waits, once the drain has begun, until everything that was taken is stored and answered.
    async fn finished(&self);
}

/// A domain that was started, and what it was started with.
pub struct Started {
    /// The domain itself.
    pub running: Arc<dyn Running>,
    /// How it is reached.
    pub doors: Doors,
    /// Its background tasks.
    pub tasks: Tasks,
}

/// The domains that a server runs, as one. Clones are the same domains.
#[derive(Clone)]
pub struct Domains(Arc<[Draining]>);

/// A domain, with the tasks that end before it and after it.
pub(crate) struct Draining {
    pub(crate) sockets: Tasks,
    pub(crate) running: Arc<dyn Running>,
    pub(crate) tasks: Tasks,
}

// === impl Connections ===

impl Connections {
    /// What both need together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            writers: self.writers + other.writers,
            others: self.others + other.others,
            write_max: self.write_max.max(other.write_max),
        }
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> usize {
        self.writers + self.others
    }
}

// === impl Domains ===

impl Domains {
    pub(crate) fn new(domains: Vec<Draining>) -> Self {
        Self(domains.into())
    }

    /// Whether all of them can store what is sent.
    ///
    /// # Errors
    /// Why the first one that cannot does not, in one line.
    pub async fn ready(&self) -> Result<(), String> {
        for domain in self.0.iter() {
            domain.running.ready().await?;
        }
        Ok(())
    }

    /// How many rows are neither stored nor given up.
    #[must_use]
    pub fn queued_rows(&self) -> usize {
        self.0.iter().map(|domain| domain.running.queued_rows()).sum()
    }

    /// Waits, once the drain has begun, until everything that was taken is stored and answered.
    pub async fn finished(&self) {
        join_all(self.0.iter().map(Draining::finished)).await;
    }
}

// === impl Draining ===

impl Draining {
    /// The sockets first: they bring what the domain stores. The background tasks last: the
    /// domain may need them until it is done.
    async fn finished(&self) {
        self.sockets.close();
        self.sockets.finished().await;
        self.running.finished().await;
        self.tasks.close();
        self.tasks.finished().await;
    }
}
