//! Rolling up, and the housekeeping that goes with it.

use std::sync::Arc;
use std::time::Duration;

use tally_producers::Producers;
use tally_runtime::{Clock, Drain, chain};

use crate::endpoints::Endpoints;
use crate::model::DayRange;
use crate::store::{Result, Store};

/// How often partitions are looked after, beside every roll-up.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The store, the endpoints that it is believed to have, and its producers: what batches are written
/// to, and what is looked after. Clones are the same.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) store: Arc<Store>,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) producers: Producers,
    pub(crate) clock: Arc<dyn Clock>,
}

// === impl House ===

impl House {
    /// Rolls the days up, and then drops partitions that are empty and over. Returns how many rows
    /// it rolled up.
    pub(crate) async fn roll_up(&self, days: DayRange) -> Result<u64> {
        let rows = self.store.roll_up(days).await?;
        tracing::info!(days = %days, rows, "rolled up");
        self.maintain().await;
        Ok(rows)
    }

    /// Looks after the store once an hour until the server stops.
    pub(crate) async fn keep(self, drain: Drain) {
        while drain.pause(MAINTENANCE_INTERVAL).await {
            self.maintain().await;
        }
    }

    /// Looks after the store now.
    pub(crate) async fn maintain(&self) {
        let done = async {
            self.store.maintain(self.clock.now()).await?;
            self.producers.forget_silent().await?;
            if self.endpoints.is_full() {
                // Endpoints that another server tells apart are not `_other` here either.
                let (count_max, path_bytes_max) = self.endpoints.loaded_max();
                self.endpoints.learn(self.store.endpoints(count_max, path_bytes_max).await?.0);
            }
            Ok::<_, tally_store::Error>(())
        };
        if let Err(error) = done.await {
            tracing::warn!(error = chain(&error), "housekeeping failed, will try again");
        }
    }
}
