//! What only the app knows of a server, for its health and for scrapes: its version, and whether its database
//! answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tally_runtime::chain;
use tally_runtime::metrics::{Metric, Scrape};
use tally_serve::Domains;
use tally_store::Database;
use tokio::time::timeout;

const BUILD: Metric = Metric::gauge("tally_build_info", "1; the labels say what runs here.");
const UP: Metric = Metric::gauge(
    "tally_database_up",
    "Whether the database answered and took writes, when it was last asked, some seconds ago at most.",
);

/// How long a domain that cannot store waits for the database's own answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// The database, and what it last answered. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Watched {
    database: Database,
    is_up: Arc<AtomicBool>,
}

/// What the database answers. If nobody waits any longer, that is no.
struct Answer<'a> {
    to: &'a AtomicBool,
    is_up: bool,
}

// === impl Watched ===

impl Watched {
    /// It has just been opened.
    pub(crate) fn new(database: &Database) -> Self {
        Self { database: database.clone(), is_up: Arc::new(AtomicBool::new(true)) }
    }

    /// Whether requests can be stored, or why not.
    pub(crate) async fn ready(self, domains: Domains) -> Result<(), String> {
        match domains.ready().await {
            Ok(()) => self.ping().await,
            Err(reason) => {
                let _ = timeout(ANSWER_MAX, self.ping()).await;
                Err(reason)
            }
        }
    }

    /// Tells scrapes.
    pub(crate) fn measure(&self) -> impl Fn(&mut Scrape) + Send + Sync + 'static {
        let watched = self.clone();
        move |scrape| {
            let database = watched.database.dialect().name();
            let version = env!("CARGO_PKG_VERSION");
            scrape.put(BUILD, &[("version", version), ("database", database)], true);
            scrape.put(UP, &[], watched.is_up.load(Ordering::Relaxed));
            watched.database.measure(scrape);
        }
    }

    async fn ping(&self) -> Result<(), String> {
        let mut answer = Answer { to: &self.is_up, is_up: false };
        let answered = self.database.ping().await;
        answer.is_up = answered.is_ok();
        answered.map_err(|error| chain(&error))
    }
}

// === impl Answer ===

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        self.to.store(self.is_up, Ordering::Relaxed);
    }
}
