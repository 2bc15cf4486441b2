//! The connection's target, time limits and pauses.

use std::time::Duration;

use super::accounts::Accounts;
use super::batches::Batches;
use crate::random;
use crate::settings::Settings;
use crate::transport::Target;

/// The longest wait for a server or a retry while closing.
const CLOSING_PAUSE_MAX: Duration = Duration::from_secs(1);

/// The longest pause after a refused batch: later ones may be good.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(1);

pub(super) struct Link {
    pub(super) target: Target,
    pub(super) settings: Settings,
    pub(super) closing: bool,
    /// The server has opened this client before, so it speaks the protocol.
    pub(super) opened_once: bool,
    /// Failed attempts since the last success.
    pub(super) failures: u32,
}

// === impl Link ===

impl Link {
    pub(super) fn new(target: Target, settings: Settings) -> Self {
        Self { target, settings, closing: false, opened_once: false, failures: 0 }
    }

    /// The limit for a server's answer: shorter on closing, if requests are safe in the spool.
    pub(super) fn patience(&self, limit: Duration, batches: &Batches) -> Duration {
        if self.closing && batches.has_spool() { limit.min(CLOSING_PAUSE_MAX) } else { limit }
    }

    pub(super) fn pause(&mut self) -> Duration {
        let max = self.settings.backoff_max;
        let max = if self.closing { max.min(CLOSING_PAUSE_MAX) } else { max };
        let pause = self.backoff(self.failures, max);
        self.failures += 1;
        pause
    }

    /// The pause after a refused batch, from the second in a row.
    pub(super) fn refused_pause(&self, accounts: &mut Accounts) -> Option<Duration> {
        let doublings = accounts.refusals.checked_sub(1);
        accounts.refusals += 1;
        let max = self.settings.backoff_max.min(REFUSED_PAUSE_MAX);
        Some(self.backoff(doublings?, max))
    }

    fn backoff(&self, doublings: u32, max: Duration) -> Duration {
        let pause = self.settings.backoff_min.saturating_mul(1 << doublings.min(16));
        random::jitter(pause.min(max))
    }
}
