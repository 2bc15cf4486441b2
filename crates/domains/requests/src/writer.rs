//! Storing a batch with the names that it needs.

use tally_ingest::{Batch, WriteError};
use tally_producers::{Append, Fate, Parcel};
use tally_runtime::{Error, Outcome};

use crate::rollup::House;
use crate::rows::Rows;
use crate::store::Appended;

/// A batch is begun again at most this many times within an attempt because a new connection was
/// made meanwhile.
const STALE_MAX: usize = 32;

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
