//! What a failed call means.

use std::error::Error as _;

use tally_proto::wire::{REASON_TRAILER, trailer};
use thiserror::Error;
use tonic::{Code, Status};

use super::why;
use crate::output::visible;

/// No Tally server was reached. One may be there later, unlike what is wrong with an address, a file or a key.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Unreachable(pub(super) String);

/// Why a call failed: the server's own words, or why there are none.
pub(crate) fn describe(status: &Status) -> String {
    match status.source() {
        Some(cause) => match why::foreign(cause) {
            Some(foreign) => foreign.to_string(),
            None => match why::innermost(cause) {
                silence if silence == why::SILENCE => "the server does not answer".to_owned(),
                why => format!("the connection broke: {why}"),
            },
        },
        None if status.message().is_empty() => status.code().description().to_owned(),
        None => visible(status.message()).into_owned(),
    }
}

/// Whether a Tally server refused a call for who made it.
pub(super) fn is_refusal(status: &Status) -> bool {
    matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied)
        && trailer(status, REASON_TRAILER).is_some()
}

/// Whether a call that failed may have been done: the answer to us, or the database's answer to the
/// server, was lost.
pub(crate) fn may_be_done(status: &Status) -> bool {
    use tonic::Code::{Cancelled, DeadlineExceeded, Internal, Unavailable, Unknown};
    matches!(status.code(), Cancelled | DeadlineExceeded | Internal | Unavailable | Unknown)
}
