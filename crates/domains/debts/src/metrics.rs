//! What a scrape is told of debts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tally_runtime::Namespace;
use tally_runtime::metrics::{Counter, Metric, Scrape};

use crate::model::KeptFlip;
use crate::state::Status;

const FLIPS: Metric = Metric::counter(
    "tally_debts_flips_total",
    "Alarms and recoveries of debts that this server has committed.",
);
const SWEEP: Metric = Metric::gauge(
    "tally_debts_sweep_last_duration_seconds",
    "How long this server's last sweep took; 0, if there was none.",
);

const DEBTS: Metric = Metric::gauge(
    "tally_debts",
    "Debts of the database, by status, counted some seconds ago; the same for all its servers.",
);
const PAYMENTS: Metric =
    Metric::gauge("tally_debts_payments", "How often the debts that there are were paid, in all.");
const DOWN: Metric =
    Metric::gauge("tally_debt_down", "Whether a debt is down; only with --debts-metrics-max.");
const PAUSED: Metric =
    Metric::gauge("tally_debt_paused", "Whether a debt is paused; only with --debts-metrics-max.");
const SINCE: Metric = Metric::gauge(
    "tally_debt_status_since_timestamp_seconds",
    "Since when a debt is what it is, so of one that is down, since when it is overdue; only with \
     --debts-metrics-max.",
);
const PAID_AT: Metric = Metric::gauge(
    "tally_debt_last_payment_timestamp_seconds",
    "When a debt was paid last; when it was added, if it never was; only with --debts-metrics-max.",
);
const OF_DEBT: Metric = Metric::counter(
    "tally_debt_payments_total",
    "Payments of a debt, by whatever server; only with --debts-metrics-max.",
);

/// What the database has of debts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Of each status that there is, how many debts, and how often they were paid.
    pub(crate) sums: Vec<(Status, u64, u64)>,
    /// As many as may be told.
    pub(crate) debts: Vec<SeenDebt>,
}

/// A debt as a scrape is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenDebt {
    pub(crate) namespace: Namespace,
    pub(crate) slug: String,
    pub(crate) status: Status,
    pub(crate) since: Timestamp,
    pub(crate) paid: Option<Timestamp>,
    pub(crate) created: Timestamp,
    pub(crate) payments: u64,
}

/// What was done here, and what the database had when it was asked last.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    alarms: Counter,
    recoveries: Counter,
    /// In microseconds.
    swept: AtomicU64,
    seen: Mutex<Option<Seen>>,
}

// === impl Measured ===

impl Measured {
    /// These are committed.
    pub(crate) fn flipped(&self, flips: &[KeptFlip]) {
        for flip in flips {
            let counter = if flip.is_alarm() { &self.alarms } else { &self.recoveries };
            counter.add(1);
        }
    }

    /// A sweep took so long.
    pub(crate) fn swept(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.swept.store(micros, Ordering::Relaxed);
    }

    /// The database has this.
    pub(crate) fn saw(&self, seen: Seen) {
        *self.lock() = Some(seen);
    }

    /// A poisoned lock is fine: no operation leaves it half done.
    fn lock(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a scrape.
    pub(crate) fn measure(&self, scrape: &mut Scrape) {
        scrape.put(FLIPS, &[("kind", "alarm")], self.alarms.get());
        scrape.put(FLIPS, &[("kind", "recovery")], self.recoveries.get());
        scrape.put(SWEEP, &[], Duration::from_micros(self.swept.load(Ordering::Relaxed)));
        if let Some(seen) = &*self.lock() {
            seen.measure(scrape);
        }
    }
}

// === impl Seen ===

impl Seen {
    fn measure(&self, scrape: &mut Scrape) {
        for (status, name) in [
            (Status::New, "new"),
            (Status::Up, "up"),
            (Status::Down, "down"),
            (Status::Paused, "paused"),
        ] {
            let debts = self.sums.iter().find(|(of, ..)| *of == status).map_or(0, |sum| sum.1);
            scrape.put(DEBTS, &[("status", name)], debts);
        }
        scrape.put(PAYMENTS, &[], self.sums.iter().map(|sum| sum.2).sum::<u64>());
        for debt in &self.debts {
            let namespace = debt.namespace.0.to_string();
            let labels = [("debt", &*debt.slug), ("namespace", &*namespace)];
            scrape.put(DOWN, &labels, debt.status == Status::Down);
            scrape.put(PAUSED, &labels, debt.status == Status::Paused);
            scrape.put(SINCE, &labels, debt.since);
            scrape.put(PAID_AT, &labels, debt.paid.unwrap_or(debt.created));
            scrape.put(OF_DEBT, &labels, debt.payments);
        }
    }
}
