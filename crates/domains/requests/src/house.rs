//! Storing batches with the names that they need, rolling up, and housekeeping.

use std::sync::Arc;
use std::time::Duration;

use tally_ingest::{Batch, WriteError};
use tally_producers::{Append, Fate, Parcel, Producers};
use tally_runtime::{Clock, Drain, Error, Outcome, chain};

use crate::endpoints::Endpoints;
use crate::model::DayRange;
use crate::rows::Rows;
use crate::store::{Appended, Result, Store};

/// How often an attempt starts over because a new connection was made meanwhile.
const STALE_MAX: usize = 32;

/// How often housekeeping runs, besides after every roll-up.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The store, the endpoints that it is believed to have, and its producers: batches go in here, and
/// housekeeping looks after it. Clones share everything.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) store: Arc<Store>,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) producers: Producers,
    pub(crate) clock: Arc<dyn Clock>,
}

// === impl House ===

impl House {
    /// Rolls up the days and keeps house. Returns how many rows were rolled up.
    pub(crate) async fn roll_up(&self, days: DayRange) -> Result<u64> {
        let rows = self.store.roll_up(days).await?;
        tracing::info!(days = %days, rows, "rolled up");
        self.maintain().await;
        Ok(rows)
    }

    /// Keeps house once an hour until the server stops.
    pub(crate) async fn keep(self, drain: Drain) {
        while drain.pause(MAINTENANCE_INTERVAL).await {
            self.maintain().await;
        }
    }

    /// Keeps house now. A failure is logged.
    pub(crate) async fn maintain(&self) {
        let done = async {
            self.store.maintain(self.clock.now()).await?;
            self.producers.forget_silent().await?;
            if self.endpoints.is_full() {
                // An endpoint that another server distinguishes is not `_other` here either.
                let (count_max, path_bytes_max) = self.endpoints.loaded_max();
                self.endpoints.learn(self.store.endpoints(count_max, path_bytes_max).await?.0);
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = done.await {
            tracing::warn!(error = chain(&error), "housekeeping failed, will try again");
        }
    }
}

impl Append for House {
    type Content = Rows;

    async fn append(&self, batch: &Batch<'_, Parcel<Rows>>) -> Result<Vec<Fate>, WriteError> {
        for _ in 0..STALE_MAX {
            let names = self.endpoints.names_of(batch.chunks, self.store.state());
            match self.store.append(batch, &names).await {
                Ok(Appended::Stored { fates, moved }) => {
                    self.endpoints.confirm(&names, moved);
                    return Ok(fates);
                }
                Ok(Appended::Stale) => {}
                Err(error) => {
                    if matches!(error, WriteError::OutOfSequence { .. }) {
                        self.endpoints.doubt();
                    }
                    return Err(error);
                }
            }
        }
        let step = "store a batch: the database's connections do not last";
        Err(Error::transient(step, Outcome::Determinate).into())
    }
}
