//! Rolling up, and the housekeeping that goes with it.

use std::sync::Arc;
use std::time::Duration;

use tally_producers::Producers;
use tally_runtime::{Clock, Drain};

use crate::endpoints::Endpoints;
use crate::error::Error;
use crate::model::DayRange;
use crate::store::Store;

/// How often partitions are looked after, beside every roll-up.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Rolls the days up, and then drops what is empty and over.
pub(crate) async fn roll_up(
    store: &dyn Store,
    endpoints: &Endpoints,
    clock: &dyn Clock,
    days: DayRange,
    producers: &Producers,
) -> Result<u64, Error> {
    let rows = store.roll_up(days).await.map_err(Error::store("roll up"))?;
    tracing::info!(days = %days, rows, "rolled up");
    maintain(store, endpoints, clock, producers).await;
    Ok(rows)
}

/// Looks after the store until the server stops.
pub(crate) async fn keep_house(
    store: Arc<dyn Store>,
    endpoints: Arc<Endpoints>,
    clock: Arc<dyn Clock>,
    producers: Producers,
    drain: Drain,
) {
    loop {
        maintain(&*store, &endpoints, &*clock, &producers).await;
        tokio::select! {
            () = drain.begun() => return,
            () = tokio::time::sleep(MAINTENANCE_INTERVAL) => {}
        }
    }
}

async fn maintain(
    store: &dyn Store,
    endpoints: &Endpoints,
    clock: &dyn Clock,
    producers: &Producers,
) {
    let done = async {
        store.maintain(clock.now()).await?;
        producers.forget_silent().await?;
        if endpoints.is_full() {
            // What another server tells apart is not `_other` here either.
            let (count_max, path_bytes_max) = endpoints.loaded_max();
            endpoints.learn(store.endpoints(count_max, path_bytes_max).await?.0);
        }
        Ok::<_, tally_store::Error>(())
    };
    if let Err(error) = done.await {
        tracing::warn!(error = tally_runtime::chain(&error), "housekeeping failed, will try again");
    }
}
