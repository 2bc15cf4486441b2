//! What a scrape is told of timelines.

use std::sync::{Arc, Mutex, PoisonError};

use tally_runtime::metrics::{Counter, Metric, Scrape};

use crate::ledger::Outcome;
use crate::store::Sums;
use crate::udp::Refusals;

const MESSAGES: Metric = Metric::counter(
    "tally_timelines_messages_total",
    "Messages of events that this server has taken, by what became of them.",
);
const ABANDONED: Metric = Metric::counter(
    "tally_timelines_abandoned_total",
    "Open events that this server has abandoned, because nothing was heard of them.",
);
const CONTEXTS: Metric = Metric::gauge(
    "tally_timelines_contexts",
    "Contexts of the database, counted some seconds ago; the same for all its servers.",
);
const TIMELINES: Metric = Metric::gauge(
    "tally_timelines",
    "Timelines of the database, counted some seconds ago; the same for all its servers.",
);
const EVENTS: Metric = Metric::gauge(
    "tally_timelines_events",
    "Events of the database, by whether they are open, abandoned or neither, counted some seconds ago; the same \
     for all its servers.",
);

/// What was done here, and what the database had when it was asked last.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    stored: Counter,
    repeated: Counter,
    refused: Counter,
    pub(crate) abandoned: Counter,
    pub(crate) refusals: Arc<Refusals>,
    seen: Mutex<Option<Sums>>,
}

// === impl Measured ===

impl Measured {
    /// This became of messages.
    pub(crate) fn took(&self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            let counter = match outcome {
                Outcome::Done(done) if done.is_repeated => &self.repeated,
                Outcome::Done(_) => &self.stored,
                _ => &self.refused,
            };
            counter.add(1);
        }
    }

    /// The database has this.
    pub(crate) fn saw(&self, seen: Sums) {
        // A poisoned lock is fine: no operation leaves it half done.
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }

    /// Tells a scrape.
    pub(crate) fn measure(&self, scrape: &mut Scrape) {
        for (outcome, counter) in
            [("stored", &self.stored), ("repeated", &self.repeated), ("refused", &self.refused)]
        {
            scrape.put(MESSAGES, &[("outcome", outcome)], counter.get());
        }
        scrape.put(ABANDONED, &[], self.abandoned.get());
        self.refusals.measure(scrape);
        let Some(seen) = *self.seen.lock().unwrap_or_else(PoisonError::into_inner) else { return };
        let count = |count: i64| u64::try_from(count).unwrap_or_default();
        scrape.put(CONTEXTS, &[], count(seen.contexts));
        scrape.put(TIMELINES, &[], count(seen.timelines));
        let ended = seen.events - seen.open - seen.abandoned;
        for (state, events) in
            [("open", seen.open), ("abandoned", seen.abandoned), ("ended", ended)]
        {
            scrape.put(EVENTS, &[("state", state)], count(events));
        }
    }
}
