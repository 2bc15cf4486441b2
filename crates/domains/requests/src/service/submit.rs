//! Counting what comes in one call.

use std::sync::Arc;

use tally_ingest::{Receipt, Rows as _};
use tally_producers::Fate;
use tally_runtime::Kind;

use super::Service;
use crate::error::{Ended, Error};
use crate::submission::Submission;

/// The memory of a call that waits to be stored. The queue counts it, because no connection limits
/// cancelled calls, which wait as well.
const CALL_BYTES: usize = 4 << 10;

impl Service {
    /// Stores all entries of a submission, or none, and returns after the commit. Those that are stored
    /// already under their key are not stored again. It goes on if its caller goes away. `held` is dropped
    /// when the rows are in the queue, which counts their memory from then on.
    ///
    /// # Errors
    /// [`Ended::Write`] says whether they may be stored all the same.
    pub(crate) async fn submit(
        &self,
        submission: Submission,
        held: impl Send + 'static,
    ) -> Result<(), Error> {
        let streams = Arc::clone(&self.streams);
        let storing = async move {
            let Submission { parcel, requests, .. } = submission;
            let receipt = Receipt::new();
            let room = streams.queue.reserve(parcel.rows(), parcel.bytes() + CALL_BYTES).await;
            let queue = &streams.queue;
            let pushed =
                room.and_then(|room| queue.push_into(room, parcel, requests, &receipt).ok());
            drop(held);
            pushed.ok_or_else(|| Error::from(streams.no_room()))?;
            receipt.settled().await.map_err(|failure| Error::from(Ended::Write(failure)))?;
            match receipt.outcome() {
                Some(Fate::Stored { .. }) => Ok(()),
                Some(Fate::OtherContent) => Err(Error::Refused(
                    Kind::Contradiction,
                    "Idempotency-Key: something else was counted under it, and nothing of this: \
                     whatever is new needs a new one"
                        .into(),
                )),
                Some(Fate::Locked) => Err(Error::Refused(
                    Kind::FailedPrecondition,
                    "Idempotency-Key: what came first under it is still being stored, and nothing of \
                     this is: send it again later"
                        .into(),
                )),
                _ => Err(Ended::Panicked.into()),
            }
        };
        let stored = self.to_its_end("submission", storing).await;
        stored.unwrap_or_else(|| Err(Ended::Panicked.into()))
    }
}
