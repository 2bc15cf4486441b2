//! What can go wrong, and what it means to the client.

use std::borrow::Cow;
use std::sync::Arc;

use tally_producers::stream::{self, CheckpointTooLong, Invalid, InvalidDrops};
use tally_proto::wire::{ENTRY_REQUESTS_MAX, STATUS_MAX, reason};
use tally_runtime::Kind;

/// How a stream ends before its end.
pub(crate) type Ended = stream::Error<InvalidBatch>;

/// A call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Requests of a stream are not counted, for their times. All others are.
    #[error("request {} of the stream is not counted: {}{}", .0.first, .0.reason, .0.others())]
    Times(WrongTimes),
    /// The server does not do it, for the reason that the text gives.
    #[error("{1}")]
    Refused(Kind, Cow<'static, str>),
    #[error("{0}")]
    AnswerTooLarge(String),
    /// The roll-up is done, but its answer cannot be given.
    #[error("the days are rolled up, but not answered")]
    RolledUp(#[source] Box<Self>),
    #[error(transparent)]
    Ended(#[from] Ended),
    /// So it ended for all that have waited for it.
    #[error(transparent)]
    Joined(Arc<Self>),
}

/// Requests of an `Add` stream that are not counted, for their times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WrongTimes {
    /// The position of the first one, from 1.
    pub(crate) first: u64,
    /// What is wrong with the first one.
    pub(crate) reason: InvalidTime,
    pub(crate) count: u64,
}

/// Why a request cannot be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidTime {
    #[error(
        "request_timestamp is not between 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999999Z: \
         seconds {seconds}, nanos {nanos}"
    )]
    OutOfRange { seconds: i64, nanos: i32 },
    #[error("request_timestamp is {ahead_seconds} s ahead of the server's clock, more than 24 h")]
    Ahead { ahead_seconds: i64 },
}

/// Why a batch cannot be counted. Positions are from 1, within the field that is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidBatch {
    #[error("count is 0, and there are no drops and no checkpoint: nothing to store")]
    Empty,
    #[error("{field} has {len} entries, and count is {count}")]
    Length { field: &'static str, len: usize, count: u32 },
    #[error("count is {count}, and a batch may have at most {max} entries")]
    TooManyRows { count: usize, max: u32 },
    /// The count includes the series of earlier batches.
    #[error("series: the stream names {count}, and may name at most {max}: open another one")]
    TooManySeries { count: usize, max: u32 },
    #[error("{field}, position {position}: it is not a varint of up to 64 bits")]
    Varint { field: &'static str, position: usize },
    #[error(
        "requests, position {position}: {requests}, and an entry may stand for 1 to {ENTRY_REQUESTS_MAX}"
    )]
    Requests { position: usize, requests: u32 },
    #[error("series, position {position}: status is {status}, and may be at most {STATUS_MAX}")]
    Status { position: usize, status: u32 },
    #[error(
        "number, position {position}: number {number}, and the stream has named {named} series, \
         numbered from 0"
    )]
    SeriesNumber { position: usize, number: u32, named: usize },
    #[error(
        "time_delta, position {position}: the time is not between 0001-01-01T00:00:00Z and \
         9999-12-31T23:59:59.999999Z"
    )]
    TimeOutOfRange { position: usize },
    /// The batch is acceptable once the clocks agree.
    #[error(
        "time_delta, position {position}: the time is {ahead_seconds} s ahead of the server's \
         clock, more than 24 h: one of the two clocks is wrong"
    )]
    TimeAhead { position: usize, ahead_seconds: i64 },
    #[error(transparent)]
    Drops(#[from] InvalidDrops),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointTooLong),
}

// === impl WrongTimes ===

impl WrongTimes {
    fn others(&self) -> String {
        match self.count - 1 {
            0 => String::new(),
            1 => "; nor is 1 other one, for its time".to_owned(),
            others => format!("; nor are {others} other ones, for their times"),
        }
    }
}

// === impl Error ===

impl Error {
    pub(crate) fn invalid(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused(Kind::InvalidArgument, text.into())
    }

    /// Names what the store was asked for. What is [`refused`] there stays as it is.
    pub(crate) fn store(step: &'static str) -> impl FnOnce(tally_store::Error) -> Self {
        move |source| match source.find() {
            Some(Self::Refused(kind, text)) => Self::Refused(*kind, text.clone()),
            _ => Ended::Store(source.within(step)).into(),
        }
    }

    /// What it means to the client.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Times(_) => Kind::InvalidArgument,
            Self::Refused(kind, _) => *kind,
            Self::AnswerTooLarge(_) => Kind::ResourceExhausted,
            Self::RolledUp(error) => error.kind(),
            Self::Joined(error) => error.kind(),
            Self::Ended(error) => error.kind(),
        }
    }

    /// What a client can tell apart, beside the code.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Times(_) | Self::Refused(..) => None,
            Self::AnswerTooLarge(_) => Some(reason::ANSWER_TOO_LARGE),
            Self::RolledUp(error) => error.reason(),
            Self::Joined(error) => error.reason(),
            Self::Ended(error) => error.reason(),
        }
    }
}

// === impl InvalidBatch ===

impl Invalid for InvalidBatch {
    fn kind(&self) -> Kind {
        match self {
            Self::TooManyRows { .. } | Self::TooManySeries { .. } => Kind::ResourceExhausted,
            // It will be acceptable, once the clock that is wrong is right.
            Self::TimeAhead { .. } => Kind::Unavailable,
            _ => Kind::InvalidArgument,
        }
    }

    fn reason(&self) -> &'static str {
        match self.kind() {
            Kind::ResourceExhausted => reason::LIMIT,
            Kind::Unavailable => reason::TIME_AHEAD,
            _ => reason::INVALID_BATCH,
        }
    }
}

/// What the domain does not do, in terms of the store, which finds out while it does this step.
pub(crate) fn refused(step: &'static str) -> impl FnOnce(Error) -> tally_store::Error {
    move |refused| tally_store::Error::permanent(step, refused.kind()).because(refused)
}

#[cfg(test)]
mod tests {
    use tally_runtime::chain;

    use super::*;

    #[test]
    fn what_is_refused_in_a_store_stays_as_it_is() {
        let text = "requests: there are none";
        let refusal = Error::Refused(Kind::NotFound, text.into());
        let error = Error::store("correct a total")(refused("read totals")(refusal).within("try"));
        assert_eq!((error.kind(), chain(&error)), (Kind::NotFound, text.to_owned()));
        let failed = tally_store::Error::permanent("read totals", Kind::Internal);
        let error = Error::store("correct a total")(failed);
        assert_eq!(chain(&error), "correct a total: read totals");
    }
}
