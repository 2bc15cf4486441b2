//! What a scrape is told of deliveries.

use tally_runtime::metrics::{Counter, Metric, Scrape};

use crate::Outbox;

const ATTEMPTS: Metric = Metric::counter(
    "tally_webhook_attempts_total",
    "Attempts of this server to deliver an event by webhook, by what became of it.",
);

const MAIL_ATTEMPTS: Metric = Metric::counter(
    "tally_mail_attempts_total",
    "Attempts of this server to deliver an event by e-mail, by what became of it.",
);

/// What became of the attempts so far.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    webhooks: Attempts,
    mail: Attempts,
}

#[derive(Debug, Default)]
pub(crate) struct Attempts {
    pub(crate) delivered: Counter,
    /// There will be another attempt.
    pub(crate) failed: Counter,
    /// It was the last one.
    pub(crate) given_up: Counter,
}

// === impl Measured ===

impl Measured {
    /// Those by webhook, or by mail.
    pub(crate) fn of(&self, is_mail: bool) -> &Attempts {
        if is_mail { &self.mail } else { &self.webhooks }
    }
}

// === impl Outbox ===

impl Outbox {
    /// Tells a scrape.
    pub fn measure(&self, scrape: &mut Scrape) {
        for (metric, is_mail) in [(ATTEMPTS, false), (MAIL_ATTEMPTS, true)] {
            let Attempts { delivered, failed, given_up } = self.measured.of(is_mail);
            for (outcome, attempts) in
                [("delivered", delivered), ("failed", failed), ("given_up", given_up)]
            {
                scrape.put(metric, &[("outcome", outcome)], attempts.get());
            }
        }
    }
}
