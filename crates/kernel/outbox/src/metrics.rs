//! What a scrape is told of deliveries.

use tally_runtime::metrics::{Counter, Metric, Scrape};

use crate::Outbox;

const ATTEMPTS: Metric = Metric::counter(
    "tally_webhook_attempts_total",
    "Attempts of this server to deliver an event, by what became of it.",
);

/// What became of the attempts so far.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) delivered: Counter,
    /// There will be another attempt.
    pub(crate) failed: Counter,
    /// It was the last one.
    pub(crate) given_up: Counter,
}

// === impl Outbox ===

impl Outbox {
    /// Tells a scrape.
    pub fn measure(&self, scrape: &mut Scrape) {
        let Measured { delivered, failed, given_up } = &*self.measured;
        for (outcome, attempts) in
            [("delivered", delivered), ("failed", failed), ("given_up", given_up)]
        {
            scrape.put(ATTEMPTS, &[("outcome", outcome)], attempts.get());
        }
    }
}
