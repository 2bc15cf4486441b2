//! The first message of a `Record` stream, and producers that are of no more use.
//!
//! A producer that has stored nothing costs a row, so it is forgotten when its stream ends, and by
//! housekeeping when a server died meanwhile. Its client does not notice: it opens it again.

use futures_util::{Stream, StreamExt as _};
use tally_proto::tally::producers::v1 as producers;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::wire;
use tally_runtime::chain;
use tokio::time::timeout;
use tonic::Status;
use uuid::Uuid;

use crate::error::{Error, InvalidOpen};
use crate::producer::{Leaving, Opening, Standing, draw_epoch};
use crate::recorder::Recorder;
use crate::setback::Told;

/// How many claims a client may come with.
const CLAIMS_MAX: usize = 64;
/// How long a producer's name may be.
const NAME_BYTES_MAX: usize = 200;
/// A day.
const DAY_SECONDS: i64 = 86_400;

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
            Some(Kind::Open(open)) => self.opening(open).map_err(Error::Open)?,
            _ => {
                let reason = "the first message must be open".into();
                return Err(Some(Error::Unexpected { position: 1, reason }));
            }
        };
        let opened = timeout(self.opening_wait_max, self.store.open_producer(&opening))
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

    fn opening(&self, open: producers::Open) -> Result<Opening, InvalidOpen> {
        let producers::Open {
            producer_id,
            epoch,
            claims,
            name,
            acknowledged_sequence,
            acknowledged_at,
        } = open;
        let id =
            Uuid::from_slice(&producer_id).map_err(|_| InvalidOpen::IdLength(producer_id.len()))?;
        if id.is_nil() {
            return Err(InvalidOpen::IdNil);
        }
        let epoch = i64::try_from(epoch).map_err(|_| InvalidOpen::Epoch)?;
        if !(1..=CLAIMS_MAX).contains(&claims.len()) {
            return Err(InvalidOpen::Claims(claims.len()));
        }
        if let Some(at) = claims.iter().position(|claim| *claim == 0) {
            return Err(InvalidOpen::ClaimZero(at + 1));
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(InvalidOpen::NameTooLong(name.len()));
        }
        if name.contains('\0') {
            return Err(InvalidOpen::NameNul);
        }
        let acknowledged = acknowledged_sequence.map(i64::try_from).transpose();
        let acknowledged = acknowledged.map_err(|_| InvalidOpen::Acknowledged)?;
        // The database has no unsigned numbers; the bits stay the same.
        let claims = claims.into_iter().map(u64::cast_signed).collect();
        Ok(Opening {
            id,
            epoch,
            claims,
            name,
            may_be_new: epoch == 0 || (acknowledged == Some(0) && self.is_young(id)),
            told: acknowledged
                .filter(|sequence| *sequence > 0)
                .map(|sequence| self.told(sequence, acknowledged_at)),
            next_epoch: draw_epoch(),
            producers_max: self.producers_max,
        })
    }

    /// Forgets a producer that stands there, unless it was opened by another process since.
    pub(super) async fn forget(&self, leaving: Leaving) -> Result<(), Error> {
        timeout(self.opening_wait_max, self.store.forget_producer(&leaving))
            .await
            .map_err(|_elapsed| Error::ProducerTimeout)?
            .map_err(Error::store("forget a producer"))
    }

    fn told(&self, sequence: i64, at: Option<prost_types::Timestamp>) -> Told {
        Told {
            sequence,
            at_micros: at.and_then(wire::micros),
            is_recent: at.is_some_and(|at| self.is_recent(at.seconds)),
            now_micros: self.clock.now().as_microsecond(),
        }
    }

    /// Whether an id is so young that a producer of this id which stored something cannot be
    /// forgotten by now.
    fn is_young(&self, id: Uuid) -> bool {
        // Other versions say when they were drawn in other ways, or not at all.
        let drawn = id.get_timestamp().filter(|_| id.get_version_num() == 7);
        let drawn = drawn.and_then(|drawn| i64::try_from(drawn.to_unix().0).ok());
        drawn.is_some_and(|seconds| self.is_recent(seconds))
    }

    /// Whether a producer that stored something then is still remembered.
    fn is_recent(&self, seconds: i64) -> bool {
        let age = self.clock.now().as_second().saturating_sub(seconds);
        // Clocks differ, by a day at most; what is further ahead would be recent for ever.
        (-DAY_SECONDS..(i64::from(self.producer_retention_days) - 1) * DAY_SECONDS).contains(&age)
    }
}
