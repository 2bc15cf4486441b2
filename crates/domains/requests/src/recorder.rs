//! What all streams share, and one `Add` stream: decode, validate, push, acknowledge.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use tally_ingest::{Queue, Receipt};
use tally_proto::count::v1::AddRequest;
use tally_runtime::{Clock, Drain};
use tokio::time::timeout;
use tonic::Status;

use crate::batch::RecordLimits;
use crate::endpoints::Endpoints;
use crate::error::Error;
use crate::model::{Endpoint, EndpointId, Rows, RowsBuilder};
use crate::store::Store;
use crate::validate::{self, Rules};

/// How many requests of one stream travel together at most.
const CHUNK_ROWS_MAX: usize = 1_024;

/// What all streams share.
pub(crate) struct Recorder {
    pub(crate) endpoints: Endpoints,
    pub(crate) queue: Queue<Rows>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) drain: Drain,
    pub(crate) path_bytes_max: usize,
    /// How long a stream waits for the ids of new endpoints.
    pub(crate) lookup_wait_max: Duration,
    /// What a `Record` stream may bring.
    pub(crate) record: RecordLimits,
    pub(crate) producers_max: i64,
    pub(crate) producer_retention_days: u32,
    pub(crate) store: Arc<dyn Store>,
}

/// How a stream ended: how many requests are stored, and the error, if it was one.
#[derive(Debug)]
pub(crate) struct Ending {
    /// How many requests from the beginning are stored and none after them, if that is known.
    pub(crate) stored: Option<u64>,
    pub(crate) error: Option<Error>,
}

/// Requests of one stream that are not in the queue yet.
#[derive(Debug, Default)]
struct Chunk {
    rows: RowsBuilder,
    len: usize,
    /// Requests whose endpoint has no id yet.
    unknown: Vec<(Endpoint, i64)>,
}

// === impl Recorder ===

impl Recorder {
    /// Takes a stream in. Whatever ends it, what came before is stored before this returns.
    pub(crate) async fn record<S>(&self, stream: S) -> Ending
    where
        S: Stream<Item = Result<AddRequest, Status>> + Unpin,
    {
        let receipt = Receipt::new();
        let error = self.read(stream, &receipt).await.err();
        match (receipt.settled().await, error) {
            (Ok(stored), error) => Ending { stored: Some(stored), error },
            (Err(failure), _) => {
                Ending { stored: failure.stored, error: Some(Error::Write(failure)) }
            }
        }
    }

    /// Pushes everything that the stream brings. No timer: a chunk is pushed when it is full,
    /// or when nothing more is there at this moment.
    async fn read<S>(&self, mut stream: S, receipt: &Receipt) -> Result<(), Error>
    where
        S: Stream<Item = Result<AddRequest, Status>> + Unpin,
    {
        let mut chunk = Chunk::default();
        let mut position = 0_u64;
        let ending = loop {
            let next = if chunk.len == 0 {
                if receipt.has_failed() {
                    // The stream cannot succeed any more: settling it will say why.
                    break Ok(());
                }
                tokio::select! {
                    biased;
                    () = self.drain.begun() => break Err(Error::Draining),
                    next = stream.next() => next,
                }
            } else if let Some(next) = stream.next().now_or_never() {
                next
            } else {
                self.push(&mut chunk, receipt).await?;
                continue;
            };
            let request = match next {
                Some(Ok(request)) => request,
                Some(Err(status)) => break Err(broken(position + 1, &status)),
                None => break Ok(()),
            };
            position += 1;
            if let Err(reason) = self.take(request, &mut chunk) {
                break Err(Error::Request { position, reason });
            }
            if chunk.len >= CHUNK_ROWS_MAX {
                self.push(&mut chunk, receipt).await?;
            }
        };
        self.push(&mut chunk, receipt).await?;
        ending
    }

    fn take(
        &self,
        request: AddRequest,
        chunk: &mut Chunk,
    ) -> Result<(), crate::error::InvalidRequest> {
        let micros = validate::request(&request, self.rules())?;
        match self.endpoints.get(request.method, &request.path) {
            Some(endpoint) => chunk.rows.push(endpoint, micros),
            None => chunk.unknown.push((Endpoint::new(request.method, request.path), micros)),
        }
        chunk.len += 1;
        Ok(())
    }

    /// Puts a chunk into the queue. Once it is there, it is stored or the receipt says why not.
    async fn push(&self, chunk: &mut Chunk, receipt: &Receipt) -> Result<(), Error> {
        if chunk.len == 0 {
            return Ok(());
        }
        let Chunk { mut rows, unknown, .. } = std::mem::take(chunk);
        if !unknown.is_empty() {
            let (endpoints, times): (Vec<_>, Vec<_>) = unknown.into_iter().unzip();
            let ids = self.resolve(&endpoints).await?;
            ids.into_iter().zip(times).for_each(|(id, micros)| rows.push(id, micros));
        }
        self.queue.push(rows.finish(), receipt).await.map_err(|_full| self.no_room())
    }

    /// What requests are held against at this moment.
    pub(crate) fn rules(&self) -> Rules {
        let now_micros = self.clock.now().as_microsecond();
        Rules { path_bytes_max: self.path_bytes_max, now_micros }
    }

    /// The ids of endpoints that may be new.
    pub(crate) async fn resolve(&self, endpoints: &[Endpoint]) -> Result<Vec<EndpointId>, Error> {
        timeout(self.lookup_wait_max, self.endpoints.resolve(endpoints))
            .await
            .map_err(|_elapsed| Error::LookupTimeout)?
            .map_err(Error::store("look an endpoint up"))
    }

    /// Why the queue took nothing.
    pub(crate) fn no_room(&self) -> Error {
        if self.drain.has_begun() { Error::Draining } else { Error::QueueFull }
    }
}

/// Why a stream ended without its end.
fn broken(position: u64, status: &Status) -> Error {
    let reason = status.message().to_owned();
    match status.code() {
        // tonic's codes for a message that is malformed or too large.
        tonic::Code::Internal if reason.contains("decode") => {
            Error::Undecodable { position, reason }
        }
        tonic::Code::OutOfRange => Error::Undecodable { position, reason },
        _ => Error::Broken(reason),
    }
}
