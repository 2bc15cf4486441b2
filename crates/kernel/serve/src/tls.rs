//! TLS on the port: the certificate in force, and how another one takes its place.
//!
//! | file | what it owns |
//! |---|---|
//! | `tls/args.rs` | the settings |
//! | `tls/handshakes.rs` | how many handshakes there are at once |
//! | `tls/pair.rs` | the files, and what TLS makes of them |
//! | `tls/peer.rs` | what is known of a connection's other end |
//! | `tls/reload.rs` | files that change while the server runs |
//! | `tls/stream.rs` | TCP with or without TLS, and those that speak the other one |

mod args;
mod handshakes;
mod pair;
mod peer;
mod reload;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use tally_runtime::Clock;
use tally_runtime::metrics::{Metric, Scrape};
use tokio::sync::Notify;

pub use self::args::{TlsArgs, TlsFiles};
use self::handshakes::Handshakes;
pub use self::pair::Unusable;
use self::pair::{Contents, Pair};
pub use self::peer::Peer;
pub use self::reload::Reload;
pub(crate) use self::stream::{Entrance, Stream};
use crate::Fact;

const EXPIRY: Metric = Metric::gauge(
    "tally_tls_certificate_expiry_timestamp_seconds",
    "When the certificate in force expires.",
);
const RELOAD_FAILURES: Metric = Metric::counter(
    "tally_tls_reload_failures_total",
    "How often the files of the certificate changed to something that cannot be used, so that the old one stayed in force.",
);
const HANDSHAKE_FAILURES: Metric = Metric::counter(
    "tally_tls_handshake_failures_total",
    "Connections that never got through the TLS handshake.",
);

/// How long a client may take for its handshake, from the connection on.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// The certificate in force, and what it takes to replace it.
pub struct Tls {
    files: TlsFiles,
    clock: Arc<dyn Clock>,
    in_force: ArcSwap<Pair>,
    /// What it was read from.
    contents: Contents,
    handshakes: Arc<Handshakes>,
    handshake_max: Duration,
    reload_failures: AtomicU64,
    handshake_failures: AtomicU64,
    /// The files are to be read now.
    asked: Notify,
}

// === impl Tls ===

impl Tls {
    /// Reads the files. An expired certificate is accepted: clients say what is wrong with it.
    ///
    /// # Errors
    /// The file that cannot be used, its setting, and why.
    pub async fn open(files: TlsFiles, clock: Arc<dyn Clock>) -> Result<Self, Unusable> {
        let contents = Contents::read(&files).await?;
        let pair = contents.pair(&files)?;
        Ok(Self {
            files,
            clock,
            in_force: ArcSwap::from_pointee(pair),
            contents,
            handshakes: Arc::default(),
            handshake_max: HANDSHAKE_MAX,
            reload_failures: AtomicU64::new(0),
            handshake_failures: AtomicU64::new(0),
            asked: Notify::new(),
        })
    }

    /// The same with another limit for how long a handshake may take.
    #[must_use]
    pub fn within(self, handshake_max: Duration) -> Self {
        Self { handshake_max, ..self }
    }

    /// When the certificate in force expires.
    pub fn expires_at(&self) -> Timestamp {
        self.in_force.load().expires_at
    }

    /// Has the files read now, instead of within seconds.
    pub fn reload(&self) {
        self.asked.notify_one();
    }

    /// What people are told of it.
    pub(crate) fn facts(&self) -> Vec<Fact> {
        let failures = self.reload_failures.load(Ordering::Relaxed);
        let note = (failures > 0).then_some(
            "the files held what cannot be used at times since the start; the log says why",
        );
        vec![
            Fact::time("certificate_expires_at", Some(self.expires_at())),
            Fact::count("certificate_reload_failures", failures).noted(note),
            Fact::text("client_certificates", self.files.client_certificates()),
        ]
    }

    /// Tells a scrape.
    pub(crate) fn measure(&self, scrape: &mut Scrape) {
        scrape.put(EXPIRY, &[], self.expires_at());
        scrape.put(RELOAD_FAILURES, &[], self.reload_failures.load(Ordering::Relaxed));
        scrape.put(HANDSHAKE_FAILURES, &[], self.handshake_failures.load(Ordering::Relaxed));
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.in_force.load().config)
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}
