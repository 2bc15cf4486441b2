//! What a domain and an app know of each other.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tally_outbox::{Counter, Outbox};
use tally_producers::Terms;
use tally_runtime::config::Problems;
use tally_runtime::metrics::Scrape;
use tally_runtime::{Chore, Clock, Drain, Tasks};
use tally_store::{Database, Migrations};

use crate::udp::Received;
use crate::{Doors, Fact};

/// A domain: all that an app needs to offer it.
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
    /// Reads the settings and notes every mistake. Gives nothing only after a mistake.
    pub check: fn(&clap::ArgMatches, Terms, &mut Problems) -> Option<Box<dyn Configured>>,
}

/// How many database connections a domain uses at the same time, at most.
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
    /// For background tasks, which end by themselves once the drain begins. The app waits for them
    /// after [`Running::finished`].
    pub tasks: Tasks,
    /// Where events for other programs go. The app delivers them.
    pub outbox: Outbox,
}

/// A domain whose settings are right.
#[async_trait]
pub trait Configured: Send + Sync {
    /// Which connections it needs.
    fn connections(&self) -> Connections;

    /// Starts it.
    async fn start(
        self: Box<Self>,
        parts: Parts,
    ) -> Result<(Arc<dyn Running>, Doors), tally_store::Error>;
}

/// A domain that runs.
#[async_trait]
pub trait Running: Send + Sync {
    /// Whether it can store what is sent; if not, why, in one line.
    async fn ready(&self) -> Result<(), String>;

    /// How many rows are neither stored nor lost.
    fn queued_rows(&self) -> usize;

    /// Tells a scrape what it knows, without waiting for anything.
    fn measure(&self, _scrape: &mut Scrape) {}

    /// What it has to do again and again by itself: the same ones each time. One that is overdue is a reason
    /// not to be ready.
    fn chores(&self) -> Vec<Chore> {
        Vec::new()
    }

    /// What counts requests of other domains, if this one does.
    fn counter(&self) -> Option<Arc<dyn Counter>> {
        None
    }

    /// What it knows of itself without asking anyone, besides its chores.
    fn facts(&self) -> Vec<Fact> {
        Vec::new()
    }

    /// What the database knows of it.
    async fn stored_facts(&self) -> Result<Vec<Fact>, tally_store::Error> {
        Ok(Vec::new())
    }

    /// Waits, once the drain has begun, until everything is stored and answered.
    async fn finished(&self);
}

/// A domain that was started, and what it was started with.
pub struct Started {
    /// What `--domains` calls it.
    pub name: &'static str,
    /// The domain itself.
    pub running: Arc<dyn Running>,
    /// How it is reached.
    pub doors: Doors,
    /// Its background tasks.
    pub tasks: Tasks,
}

/// The domains that a server runs, as one. Clones are the same domains.
#[derive(Clone)]
pub struct Domains(pub(crate) Arc<[Draining]>);

/// A domain, with the tasks that end before it and after it.
pub(crate) struct Draining {
    pub(crate) name: &'static str,
    pub(crate) sockets: Tasks,
    /// What these have had.
    pub(crate) received: Vec<Arc<Received>>,
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
    pub fn total(&self) -> usize {
        self.writers + self.others
    }
}

// === impl Domains ===

impl Domains {
    /// As [`Running::ready`]: why the first one that cannot store does not.
    pub async fn ready(&self) -> Result<(), String> {
        for domain in self.0.iter() {
            domain.running.ready().await?;
        }
        Ok(())
    }

    /// As [`Running::queued_rows`], in all.
    pub fn queued_rows(&self) -> usize {
        self.0.iter().map(|domain| domain.running.queued_rows()).sum()
    }

    /// What is overdue first, if something is: in words for strangers, and why, for the log.
    pub(crate) fn overdue(&self) -> Option<(String, Option<String>)> {
        self.0.iter().find_map(|domain| {
            let chores = domain.running.chores();
            let of = |chore: &Chore| Some((chore.overdue()?, chore.failed()));
            let (overdue, failed) = chores.iter().find_map(of)?;
            Some((format!("{}: {overdue}", domain.name), failed))
        })
    }

    /// As [`Running::measure`], for all.
    pub(crate) fn measure(&self, scrape: &mut Scrape) {
        for domain in self.0.iter() {
            domain.running.measure(scrape);
            domain.received.iter().for_each(|one| one.measure(domain.name, scrape));
            domain.running.chores().iter().for_each(|chore| chore.measure(domain.name, scrape));
        }
    }

    /// As [`Running::finished`], for all.
    pub async fn finished(&self) {
        join_all(self.0.iter().map(Draining::finished)).await;
    }
}

// === impl Draining ===

impl Draining {
    /// The sockets first, because they bring what the domain stores; the background tasks last,
    /// because the domain may need them until it is done.
    async fn finished(&self) {
        self.sockets.finished().await;
        self.running.finished().await;
        self.tasks.finished().await;
    }
}
