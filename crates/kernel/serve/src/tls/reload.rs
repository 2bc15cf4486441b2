//! Files of TLS that change while the server runs.
//!
//! Whoever renews a certificate writes the file and then the key, or swaps a symbolic link, as Kubernetes does.
//! So the contents are what counts, and they are used once two looks in a row saw the same. What
//! cannot be used changes nothing: the old pair stays in force, and that is logged once and counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tally_runtime::Drain;

use super::Tls;
use super::pair::{Contents, Unusable};

/// How often the files are read.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Looks at the files, and puts what is new into force.
pub struct Reload {
    tls: Arc<Tls>,
    /// What was in the files when a pair was last made of them, or tried.
    tried: Seen,
    /// What was there at the last look, if it differs.
    new: Option<Seen>,
    /// The pair that was tried is valid from then on.
    valid_from: Option<Timestamp>,
}

type Seen = Result<Contents, Unusable>;

// === impl Tls ===

impl Tls {
    /// Looks at the files every few seconds and when asked, until the drain begins.
    pub(crate) async fn watch(self: Arc<Self>, drain: Drain) {
        let mut reload = Reload::new(Arc::clone(&self));
        while !drain.has_begun() {
            tokio::select! {
                () = drain.begun() => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => reload.look().await,
                () = self.asked.notified() => {
                    tracing::info!("reading the certificate again, as asked");
                    reload.look_now().await;
                }
            }
        }
    }
}

// === impl Reload ===

impl Reload {
    /// Nothing has changed yet.
    #[must_use]
    pub fn new(tls: Arc<Tls>) -> Self {
        let tried = Ok(tls.contents.clone());
        Self { tls, tried, new: None, valid_from: None }
    }

    /// Looks at the files once. What is new must be there again at the next look.
    pub async fn look(&mut self) {
        let seen = Contents::read(&self.tls.files).await;
        if seen == self.tried {
            self.new = None;
            if self.valid_from.is_some_and(|from| from <= self.tls.clock.now()) {
                self.take(seen);
            }
        } else if self.new.as_ref() == Some(&seen) {
            self.take(seen);
        } else {
            self.new = Some(seen);
        }
    }

    /// Looks at the files once, for someone who says that they are complete.
    pub async fn look_now(&mut self) {
        let seen = Contents::read(&self.tls.files).await;
        if seen != self.tried || self.valid_from.is_some() {
            self.take(seen);
        }
    }

    fn take(&mut self, seen: Seen) {
        let (tls, files, now) = (&self.tls, &self.tls.files, self.tls.clock.now());
        let pair = match &seen {
            Ok(contents) => contents.pair(files).and_then(|pair| pair.valid(files, now)),
            Err(unusable) => Err(unusable.clone()),
        };
        self.valid_from = None;
        match pair {
            Ok(pair) => {
                let expires_at = pair.expires_at;
                tls.in_force.store(Arc::new(pair));
                tracing::info!(%expires_at, "another certificate is in force");
            }
            Err(why) => {
                self.valid_from = why.until;
                tls.reload_failures.fetch_add(1, Ordering::Relaxed);
                let expires_at = tls.expires_at();
                tracing::error!(
                    %why, %expires_at, "the new certificate cannot be used: the old one stays in force"
                );
            }
        }
        (self.tried, self.new) = (seen, None);
    }
}
