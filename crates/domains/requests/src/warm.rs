//! Reading the latest days into memory when the server starts, so that the first query is fast too.

use std::sync::Arc;

use tally_runtime::{Clock, Drain, chain};
use tokio::sync::Semaphore;

use crate::model::{Day, DayRange};
use crate::store::Store;
use crate::totals::{Filter, Granularity, Query};

/// How many days are read at once: a question of some milliseconds, between those of others.
const STEP_DAYS: i32 = 92;

/// Asks for day after day, from today back to the first, until there is no more room. It is in
/// nobody's way: it takes its turn among the queries, and ends with the first failure.
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
            live: false,
            totals_max: max - read,
        };
        let _place = queries.acquire().await;
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
