//! The messages of `Record`, which are read in place.

use bytes::Buf as _;
use tally_proto::tally::requests::v1::RecordRequest;
use tonic::codec::{DecodeBuf, Decoder};
use tonic::{Request, Status, Streaming};

use super::add::MESSAGE_BYTES_MAX;
use super::unread;
use crate::batch::{self, RecordLimits};

/// Takes the messages of a call out of its body.
struct InPlace;

/// The messages of a call.
pub(super) fn messages(
    mut request: Request<Streaming<RecordRequest>>,
    limits: &RecordLimits,
) -> Streaming<batch::Request> {
    let max = (limits.batch_bytes_max as usize).max(MESSAGE_BYTES_MAX);
    Streaming::new_request(InPlace, unread::body(&mut request), None, Some(max))
}

// === impl InPlace ===

impl Decoder for InPlace {
    type Item = batch::Request;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<batch::Request>, Status> {
        let bytes = message.copy_to_bytes(message.remaining());
        // In the words of tonic's own decoder.
        batch::Request::read(bytes).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
