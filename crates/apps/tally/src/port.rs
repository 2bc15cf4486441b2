//! The server's port: inherited, free, or handed over by the server that has it.

use std::path::Path;
use std::time::{Duration, Instant};

use tally_serve::{Error, Listener, Offer, Predecessor, Successor, Work};
use tally_store::{Database, DatabaseUrl};

use crate::app::{LAST_ANSWERS_MAX, open, plain};
use crate::settings::Settings;

/// How much longer than its drain the predecessor may take to exit.
const PREDECESSOR_EXIT_MAX: Duration = Duration::from_secs(5);
/// How long a SQLite file may stay locked after its process closed its sockets, and how often to try.
const LOCK_RELEASE_MAX: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A port, and the server that may still be serving on it.
pub(crate) struct Port {
    pub(crate) listener: Listener,
    work: Work,
    predecessor: Option<Predecessor>,
    /// The parent restarts this process and has its own copy of the socket.
    is_inherited: bool,
}

// === impl Port ===

impl Port {
    /// Takes over a port in use from a Tally server of the same user and database, which goes on
    /// until [`Port::open_database`] or [`Port::replace`].
    pub(crate) async fn get(settings: &Settings) -> Result<Self, Error> {
        let url = &settings.database.url;
        let work = Work { database: name(url), version: settings.version };
        if let Some(listener) = Listener::inherited()? {
            return Ok(Self { listener, work, predecessor: None, is_inherited: true });
        }
        let in_use = match Listener::bind(&settings.listen).await {
            Err(error @ Error::PortInUse { .. }) => error,
            bound => {
                let listener = bound?;
                return Ok(Self { listener, work, predecessor: None, is_inherited: false });
            }
        };
        let Some((listener, predecessor)) = Predecessor::ask(&settings.listen, &work).await? else {
            return Err(in_use);
        };
        let process = predecessor.process();
        tracing::info!(process, "taking the port over from the server that runs there");
        Ok(Self { listener, work, predecessor: Some(predecessor), is_inherited: false })
    }

    /// Opens the database. A SQLite file allows one server at a time, so the predecessor must end
    /// first; its clients wait meanwhile.
    pub(crate) async fn open_database(&mut self, settings: &Settings) -> anyhow::Result<Database> {
        let (url, pool) = (&settings.database.url, settings.database.pool);
        let predecessor = self.predecessor.take_if(|_| matches!(url, DatabaseUrl::Sqlite(_)));
        let Some(mut predecessor) = predecessor else { return open(url, pool).await };
        predecessor.stop().await.map_err(plain)?;
        let drain_max = settings.drain_timeout + LAST_ANSWERS_MAX + PREDECESSOR_EXIT_MAX;
        predecessor.ended(drain_max).await.map_err(plain)?;
        let ended = Instant::now();
        loop {
            match Database::open(url, pool).await {
                Err(error)
                    if tally_store::is_locked(&error) && ended.elapsed() < LOCK_RELEASE_MAX =>
                {
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                opened => return opened.map_err(plain),
            }
        }
    }

    /// Tells the predecessor, if it still runs, to stop.
    pub(crate) async fn replace(&mut self) -> anyhow::Result<()> {
        match self.predecessor.take() {
            Some(mut predecessor) => predecessor.stop().await.map_err(plain),
            None => Ok(()),
        }
    }

    /// Where a successor can ask for the port.
    pub(crate) fn offer(&self) -> Option<Offer> {
        if self.is_inherited {
            return None;
        }
        let offered = Offer::new(&self.listener, self.work.clone());
        offered.inspect_err(|error| tracing::debug!(%error, "this port cannot be handed over")).ok()
    }
}

/// Waits until a successor is ready; forever without an offer.
pub(crate) async fn taken(offer: Option<&Offer>) -> Successor {
    match offer {
        Some(offer) => offer.taken().await,
        None => std::future::pending().await,
    }
}

/// Equal for two servers only if they use the same database.
pub(crate) fn name(url: &DatabaseUrl) -> String {
    let sqlite = match url {
        // An address lacks the parameters, which may name the database.
        DatabaseUrl::Postgres(postgres) => {
            let fingerprint = postgres.fingerprint() & 0xffff_ffff;
            return format!("{} ({fingerprint:08x})", postgres.address());
        }
        DatabaseUrl::Sqlite(sqlite) => sqlite,
    };
    let path = sqlite.path();
    let real = path.canonicalize().or_else(|_| std::path::absolute(path));
    format!("sqlite:{}", real.as_deref().unwrap_or(Path::new(path)).display())
}
