//! Reading the latest days into memory when the server starts, so that the first query is fast too.

use std::sync::Arc;
use std::time::Duration;

use tally_runtime::{Clock, Drain, chain};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::model::{Day, DayRange};
use crate::service::QUERIES_MAX;
use crate::store::Store;
use crate::totals::{Filter, Granularity, Query};

/// How many days are read at once: a question of some milliseconds, between those of others.
const STEP_DAYS: i32 = 92;

/// How often to check whether running queries have finished.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Asks for day after day, from today back to the first, until there is no more room. It is in
/// nobody's way: it works while no query does, and ends with the first failure.
pub(crate) async fn warm(
    store: Arc<dyn Store>,
    queries: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
    drain: Drain,
) {
    tokio::select! {
        () = drain.begun() => {}
        totals = ask(&*store, &queries, Day::of(clock.now())) => {
            tracing::debug!(totals, "read the latest days into memory");
        }
    }
}

/// Every place among the queries. Waiting for them in line would hold up those who come later.
async fn all_places(queries: &Semaphore) -> SemaphorePermit<'_> {
    loop {
        if let Ok(places) = queries.try_acquire_many(QUERIES_MAX as u32) {
            return places;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Returns how many totals were read.
async fn ask(store: &dyn Store, queries: &Semaphore, today: Day) -> usize {
    let (max, mut read) = (store.kept_totals_max(), 0);
    let (mut last, mut step) = (today, STEP_DAYS);
    while read < max && last > Day::MIN {
        let first = last.plus(1 - step).max(Day::MIN);
        let query = Query {
            days: DayRange { first, last },
            granularity: Granularity::Day,
            filter: Filter::default(),
            sum: false,
            live: false,
            totals_max: max - read,
            limit: None,
        };
        let _places = all_places(queries).await;
        match store.totals(&query).await {
            Ok(Ok(totals)) => {
                let found: usize = totals.periods.iter().map(|period| period.counts.len()).sum();
                read += found;
                // Years without requests are passed quickly.
                step = if found == 0 { step * 2 } else { STEP_DAYS };
            }
            Ok(Err(_too_many)) => break,
            Err(error) => {
                tracing::debug!(error = chain(&error), "cannot read the latest days into memory");
                break;
            }
        }
        last = first.plus(-1);
    }
    read
}
