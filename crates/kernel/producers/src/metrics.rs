//! What a scrape is told of a domain's streams and producers.

use jiff::Timestamp;
use tally_runtime::metrics::{Counter, Gauge, Metric, Scrape};

use crate::run::Content;
use crate::stream::{Error, Invalid, Streams};

const OPEN: Metric = Metric::gauge(
    "tally_streams_open",
    "Streams that are read, or whose rows are not stored yet, even if their clients are gone.",
);
const FAILED: Metric = Metric::counter(
    "tally_streams_failed_total",
    "Streams that ended before their end, by reason.",
);
const PRODUCERS: Metric = Metric::gauge(
    "tally_producers",
    "Clients that number their batches and that the database knows, counted once a minute; the same for \
     all servers of a database.",
);
const PRODUCERS_MAX: Metric = Metric::gauge(
    "tally_producers_max",
    "How many such clients each namespace of the database may have.",
);

/// Why streams end before their end.
const REASONS: [&str; 10] = [
    "broken_off",
    "database",
    "dismissed",
    "draining",
    "invalid",
    "limit",
    "out_of_sequence",
    "panic",
    "queue_full",
    "refused",
];

/// What happened so far to the streams of one domain.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    open: Gauge,
    failed: [Counter; REASONS.len()],
}

// === impl Streams ===

impl<C: Content> Streams<C> {
    /// Reads a stream of the domain to its end, and counts it meanwhile, and how it ends.
    pub async fn measured<T, R: Invalid>(
        &self,
        reading: impl Future<Output = T>,
        error: impl FnOnce(&T) -> Option<&Error<R>>,
    ) -> T {
        let measured = &self.measured;
        let _open = measured.open.hold();
        let ended = reading.await;
        if let Some(error) = error(&ended) {
            let at = REASONS.binary_search(&error.label());
            measured.failed[at.expect("every label is a reason")].add(1);
        }
        ended
    }

    /// Tells a scrape of the streams, of the queue that they fill, and of the producers.
    pub fn measure(&self, now: Timestamp, scrape: &mut Scrape) {
        let domain = self.producers.domain();
        self.workers.measure(&self.queue, domain, now, scrape);
        scrape.put(OPEN, &[("domain", domain)], self.measured.open.get());
        for (reason, failed) in REASONS.iter().zip(&self.measured.failed) {
            scrape.put(FAILED, &[("domain", domain), ("reason", reason)], failed.get());
        }
        if let Some(clients) = self.producers.counted() {
            scrape.put(PRODUCERS, &[("domain", domain)], clients);
        }
        let max = self.producers.terms().producers_max;
        scrape.put(PRODUCERS_MAX, &[("domain", domain)], max);
    }
}

// === impl Error ===

impl<R: Invalid> Error<R> {
    fn label(&self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::QueueFull => "queue_full",
            Self::ProducerTimeout | Self::Write(_) | Self::Store(_) => "database",
            Self::Broken(_) => "broken_off",
            Self::Dismissed { .. } => "dismissed",
            Self::Refused(_) => "refused",
            Self::OutOfSequence { .. } => "out_of_sequence",
            Self::TooManyBatches { .. } | Self::Unreadable { is_limit: true, .. } => "limit",
            Self::Panicked => "panic",
            Self::Open(_)
            | Self::Batch { .. }
            | Self::Number(_)
            | Self::Unreadable { .. }
            | Self::Unexpected { .. } => "invalid",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reasons_are_in_order() {
        assert!(REASONS.is_sorted());
    }
}
