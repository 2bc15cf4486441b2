//! What a scrape is told of access.

use tally_runtime::metrics::{Counter, Metric, Scrape};

use crate::Refusal;

const REFUSED: Metric = Metric::counter(
    "tally_access_refused_total",
    "Requests of HTTP and gRPC that were refused for who sent them, by reason.",
);

/// How many requests were refused so far, by reason.
#[derive(Debug, Default)]
pub struct Refusals([Counter; Refusal::REASONS.len()]);

// === impl Refusals ===

impl Refusals {
    /// Counts one.
    pub fn note(&self, refusal: &Refusal) {
        let at = Refusal::REASONS.iter().position(|reason| *reason == refusal.reason());
        self.0[at.expect("every reason is listed")].add(1);
    }

    /// Tells a scrape.
    pub fn measure(&self, scrape: &mut Scrape) {
        for (reason, refused) in Refusal::REASONS.iter().zip(&self.0) {
            scrape.put(REFUSED, &[("reason", &reason.to_ascii_lowercase())], refused.get());
        }
    }
}
