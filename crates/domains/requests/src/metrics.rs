//! What a scrape is told of requests.
//!
//! Counters are of this process, from 0 at its start: what this server has committed. A total of the database
//! would be added up once for each server, and would fall when a backup comes back.
//!
//! | file | what it owns |
//! |---|---|
//! | `busiest.rs` | the busiest endpoints, each with a counter |

mod busiest;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tally_producers::{Content as _, Fate, Parcel};
use tally_runtime::metrics::{Counter, Metric, Scrape};

use self::busiest::Busiest;
use crate::error::{InvalidBatch, InvalidTime};
use crate::model::Day;
use crate::rows::Rows;
use crate::series::KnownSeries;
use crate::store::Advance;

const COMMITTED: Metric =
    Metric::counter("tally_requests_committed_total", "Requests that this server has committed.");
const DROPPED: Metric = Metric::counter(
    "tally_requests_dropped_total",
    "Requests that clients gave up on purpose, as they report with batches that this server has committed.",
);
const REFUSED: Metric = Metric::counter(
    "tally_requests_refused_total",
    "Requests that came and are not counted, by reason; their clients were told.",
);
const SERIES: Metric = Metric::gauge(
    "tally_requests_series",
    "Series that this server tells apart, of the namespace that has most.",
);
const SERIES_MAX: Metric = Metric::gauge(
    "tally_requests_series_max",
    "How many series of each namespace it tells apart; requests of more count as _other.",
);
const FOLD_SECONDS: Metric = Metric::gauge(
    "tally_requests_fold_last_duration_seconds",
    "How long this server's last fold of some requests took.",
);
const ROLLED_UP: Metric = Metric::counter(
    "tally_requests_rolled_up_total",
    "Requests that this server has added to the totals of their months.",
);
const ROLL_UP_SECONDS: Metric = Metric::gauge(
    "tally_requests_roll_up_last_duration_seconds",
    "How long this server's last roll-up took.",
);
const ROLLED_UP_AT: Metric = Metric::gauge(
    "tally_requests_roll_up_last_success_timestamp_seconds",
    "When a day was last rolled up, by any server of the database; absent, if none ever was.",
);
const FIRST_OPEN: Metric = Metric::gauge(
    "tally_requests_first_open_day_timestamp_seconds",
    "The beginning of the first day that is not rolled up; of the present day, if all before it are.",
);

/// Why requests are refused.
const REASONS: [&str; 4] = ["invalid", "limit", "time_ahead", "time_out_of_range"];

/// What happened so far in this server.
#[derive(Debug)]
pub(crate) struct Measured {
    committed: Counter,
    dropped: Counter,
    refused: [Counter; REASONS.len()],
    rolled_up: Counter,
    last: Mutex<Last>,
    busiest: Option<Busiest>,
}

/// What happened last.
#[derive(Debug, Default)]
struct Last {
    fold_took: Duration,
    roll_up_took: Duration,
    /// When the database was asked.
    advance: Option<Advance>,
}

// === impl Measured ===

impl Measured {
    /// From this moment on, with a counter for this many endpoints.
    pub(crate) fn new(endpoints: usize) -> Self {
        Self {
            committed: Counter::default(),
            dropped: Counter::default(),
            refused: Default::default(),
            rolled_up: Counter::default(),
            last: Mutex::default(),
            busiest: (endpoints > 0).then(|| Busiest::new(endpoints)),
        }
    }

    /// A batch is committed, and this became of its parcels.
    pub(crate) fn committed(&self, chunks: &[Parcel<Rows>], fates: &[Fate]) {
        let (mut committed, mut dropped) = (0, 0_u64);
        let mut counting = self.busiest.as_ref().map(Busiest::counting);
        for (parcel, fate) in chunks.iter().zip(fates) {
            let Fate::Stored { known, .. } = *fate else { continue };
            let (rows, given_up) = parcel.new_after(known);
            let requests = rows.days().iter().map(|(_, requests)| requests.unsigned_abs());
            committed += requests.sum::<u64>();
            dropped = dropped.saturating_add(given_up);
            if let Some(counting) = &mut counting {
                rows.iter().for_each(|row| counting.add(row.series, row.requests.unsigned_abs()));
            }
        }
        // Before others may count: then the endpoints add up to it.
        self.committed.add(committed);
        drop(counting);
        self.dropped.add(dropped);
    }

    /// A request is refused for its time.
    pub(crate) fn refused_time(&self, reason: InvalidTime) {
        match reason {
            InvalidTime::Ahead { .. } => self.refused("time_ahead", 1),
            InvalidTime::OutOfRange { .. } => self.refused("time_out_of_range", 1),
        }
    }

    /// A batch of this many requests is refused.
    pub(crate) fn refused_batch(&self, reason: &InvalidBatch, requests: u64) {
        let reason = match reason {
            InvalidBatch::TooManyRows { .. } | InvalidBatch::TooManySeries { .. } => "limit",
            InvalidBatch::TimeAhead { .. } => "time_ahead",
            InvalidBatch::TimeOutOfRange { .. } => "time_out_of_range",
            _ => "invalid",
        };
        self.refused(reason, requests);
    }

    /// What came in one call with so many entries is refused, for mistakes.
    pub(crate) fn refused_entries(&self, entries: usize) {
        self.refused("invalid", entries as u64);
    }

    fn refused(&self, reason: &str, requests: u64) {
        let at = REASONS.iter().position(|one| *one == reason);
        self.refused[at.expect("it is one of them")].add(requests);
    }

    /// Some requests are folded.
    pub(crate) fn folded(&self, took: Duration) {
        self.last().fold_took = took;
    }

    /// Days are rolled up.
    pub(crate) fn rolled_up(&self, requests: u64, took: Duration) {
        self.rolled_up.add(requests);
        self.last().roll_up_took = took;
    }

    /// The database was asked.
    pub(crate) fn note(&self, advance: Advance) {
        self.last().advance = Some(advance);
    }

    /// Tells a scrape.
    pub(crate) fn measure(&self, series: &KnownSeries, now: Timestamp, scrape: &mut Scrape) {
        let committed = match &self.busiest {
            Some(busiest) => busiest.measure(&self.committed, series, scrape),
            None => self.committed.get(),
        };
        scrape.put(COMMITTED, &[], committed);
        scrape.put(DROPPED, &[], self.dropped.get());
        for (reason, refused) in REASONS.iter().zip(&self.refused) {
            scrape.put(REFUSED, &[("reason", reason)], refused.get());
        }
        let (told_apart, max) = series.fullest();
        scrape.put(SERIES, &[], told_apart);
        scrape.put(SERIES_MAX, &[], max);
        scrape.put(ROLLED_UP, &[], self.rolled_up.get());
        let last = self.last();
        scrape.put(FOLD_SECONDS, &[], last.fold_took);
        scrape.put(ROLL_UP_SECONDS, &[], last.roll_up_took);
        let Some(Advance { first_open, rolled_up_at, .. }) = last.advance else { return };
        let today = Day::of(now);
        let first_open = first_open.map_or(today, |first| first.min(today));
        if let Ok(begins) = Timestamp::from_microsecond(first_open.micros().start) {
            scrape.put(FIRST_OPEN, &[], begins);
        }
        if let Some(rolled_up_at) = rolled_up_at {
            scrape.put(ROLLED_UP_AT, &[], rolled_up_at);
        }
    }

    /// A poisoned lock is fine: no operation leaves it half done.
    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tally_producers::{BatchEnd, Run};
    use uuid::Uuid;

    use super::*;

    /// Of a client that sends again what another server, or another stream, has stored.
    #[test]
    fn only_what_is_new_counts() {
        let batch = |rows, dropped| {
            let drops = vec![(Day(20_000), dropped)];
            BatchEnd { rows, drops, checkpoint: None }
        };
        let batches = vec![batch(1, 50), batch(3, 2), batch(3, 4)];
        let (producer, is_shared) = (Uuid::from_u128(1), false);
        let run = Run { producer, epoch: 1, is_shared, first: 5, batches };
        let rows: Rows = [(1, 0), (2, 0), (2, 1)].into_iter().collect();
        let chunks = [rows.clone().of_run(run.clone()), rows.clone().of_run(run), rows.into()];
        for (fate, expected) in [
            (Fate::Stored { committed: 7, known: 0 }, (3 + 3, 56)),
            (Fate::Stored { committed: 7, known: 1 }, (3 + 2, 6)),
            (Fate::Stored { committed: 9, known: 3 }, (3, 0)),
            (Fate::Gap { committed: 3 }, (3, 0)),
        ] {
            let measured = Measured::new(2);
            let fates = [fate, Fate::Gap { committed: 1 }, Fate::Stored { committed: 0, known: 0 }];
            measured.committed(&chunks, &fates);
            let counted = (measured.committed.get(), measured.dropped.get());
            assert_eq!(counted, expected, "{fate:?}");
            // The endpoints add up to it.
            let (known, mut scrape) = (KnownSeries::new(1), Scrape::new());
            measured.measure(&known, Timestamp::UNIX_EPOCH, &mut scrape);
            let text = scrape.finish();
            let others = format!("{{method=\"other\",path=\"other\"}} {}\n", expected.0);
            assert!(text.contains(&others), "{text}");
        }
    }
}
