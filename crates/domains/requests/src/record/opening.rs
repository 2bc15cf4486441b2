//! The first message of a `Record` stream, and producers that are of no more use.
//!
//! A producer that has stored nothing costs a row. The server forgets it when its stream ends;
//! housekeeping does if a server died meanwhile. Its client does not notice: it opens it again.

use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use tally_producers::{Leaving, Opening, Standing};
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_runtime::chain;
use tokio::time::timeout;
use tonic::Status;

use crate::counted::{CountedFile, RememberFiles};
use crate::error::Error;
use crate::recorder::Recorder;

// === impl Recorder ===

impl Recorder {
    /// The first message. An error of `None` is a stream that ended without one.
    pub(super) async fn open<S>(&self, stream: &mut S) -> Result<(Opening, Standing), Option<Error>>
    where
        S: Stream<Item = Result<proto::RecordRequest, Status>> + Unpin,
    {
        let first = tokio::select! {
            biased;
            () = self.drain.begun() => return Err(Some(Error::Draining)),
            first = stream.next() => first.ok_or(None)?,
        };
        let opening = match first.map_err(|status| Error::unreadable(1, &status))?.kind {
            Some(Kind::Open(open)) => Opening::read(open, self.producers.terms(), self.clock.now())
                .map_err(Error::Open)?,
            _ => {
                let reason = "the first message must be open".into();
                return Err(Some(Error::Unexpected { position: 1, reason }));
            }
        };
        let opened = timeout(self.opening_wait_max, self.producers.open(&opening))
            .await
            .map_err(|_elapsed| Error::ProducerTimeout)
            .and_then(|opened| opened.map_err(Error::store("register the client")));
        // An idle server learns of a full database by this alone.
        let opened = opened.inspect_err(|error| {
            let error = chain(error);
            tracing::warn!(error, "a producer could not be opened");
            self.workers.failed(&error);
        });
        Ok((opening, opened?.map_err(Error::Refused)?))
    }

    /// Forgets a producer that stands there, unless another process has opened it since.
    pub(super) async fn forget(
        &self,
        leaving: Leaving,
        files: Vec<CountedFile>,
    ) -> Result<(), Error> {
        let then = Arc::new(RememberFiles { producer: leaving.id, files });
        timeout(self.opening_wait_max, self.producers.forget(leaving, then))
            .await
            .map_err(|_elapsed| Error::ProducerTimeout)?
            .map_err(Error::store("forget a producer"))
    }
}
