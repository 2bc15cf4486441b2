//! The first message of a `Record` stream, and producers that are of no more use.
//!
//! A producer that has stored nothing costs a row, so it is forgotten when its stream ends, and by
//! housekeeping when a server died meanwhile. Its client does not notice: it opens it again.

use futures_util::{Stream, StreamExt as _};
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tokio::time::timeout;
use tonic::Status;
use uuid::Uuid;

use super::unreadable;
use crate::error::{Error, InvalidOpen};
use crate::producer::{Leaving, Opening, Standing, draw_epoch};
use crate::recorder::Recorder;

/// How many claims a client may come with.
const CLAIMS_MAX: usize = 64;
/// How long a producer's name may be.
const NAME_BYTES_MAX: usize = 200;
/// A day.
const DAY_SECONDS: i128 = 86_400;

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
        let opening = match first.map_err(|status| unreadable(1, &status))?.kind {
            Some(Kind::Open(open)) => self.opening(open).map_err(Error::Open)?,
            _ => {
                let reason = "the first message must be open";
                return Err(Some(Error::Unexpected { position: 1, reason }));
            }
        };
        let standing = timeout(self.lookup_wait_max, self.store.open_producer(&opening))
            .await
            .map_err(|_elapsed| Error::LookupTimeout)?
            .map_err(Error::store("open a producer"))?
            .map_err(Error::Refused)?;
        Ok((opening, standing))
    }

    fn opening(&self, open: proto::Open) -> Result<Opening, InvalidOpen> {
        let proto::Open { producer_id, epoch, claims, name, acknowledged_sequence } = open;
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
        // The database has no unsigned numbers; the bits stay the same.
        let claims = claims.into_iter().map(u64::cast_signed).collect();
        Ok(Opening {
            id,
            epoch,
            claims,
            name,
            may_be_new: epoch == 0 || (acknowledged_sequence == Some(0) && self.is_young(id)),
            next_epoch: draw_epoch(),
            producers_max: self.producers_max,
        })
    }

    /// Forgets a producer that stands there, unless it was opened by another process since.
    pub(super) async fn forget(&self, id: Uuid, epoch: i64, sequence: i64) -> Result<(), Error> {
        let leaving = Leaving { id, epoch, sequence };
        timeout(self.lookup_wait_max, self.store.forget_producer(&leaving))
            .await
            .map_err(|_elapsed| Error::LookupTimeout)?
            .map_err(Error::store("forget a producer"))
    }

    /// Whether an id is younger than the time for which a producer is remembered, so that a
    /// producer of this id which stored something cannot be forgotten by now.
    fn is_young(&self, id: Uuid) -> bool {
        let Some(drawn) = id.get_timestamp() else { return false };
        let age = i128::from(self.clock.now().as_second()) - i128::from(drawn.to_unix().0);
        // Clocks differ; a request more than a day ahead of the server's is not taken.
        let days = i128::from(self.producer_retention_days) - 1;
        age < days * DAY_SECONDS
    }
}
