//! What can go wrong, and what it means to the client.

use tally_producers::stream::{self, Invalid, InvalidDrops};
use tally_proto::wire::reason;
use tally_runtime::Kind;

use crate::model::DayRange;
use crate::totals::PATH_BYTES_FACTOR;

/// How a stream ends before its end.
pub(crate) type Ended = stream::Error<InvalidBatch>;

/// A call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Requests of a stream are not counted, for their times. All others are.
    #[error("request {} of the stream is not counted: {}{}", .0.first, .0.reason, .0.others())]
    Times(WrongTimes),
    /// A date of a call is not acceptable.
    #[error("{field}: {reason}")]
    Date {
        /// The field of the message.
        field: &'static str,
        /// What is wrong with it.
        reason: InvalidDate,
    },
    /// The range is upside down.
    #[error("{end_field} is before {start_field}: {range}")]
    EndBeforeStart {
        /// The field with the later date.
        start_field: &'static str,
        /// The field with the earlier date.
        end_field: &'static str,
        /// Both dates.
        range: DayRange,
    },
    /// Nothing is rolled up there.
    #[error("nothing is rolled up in {0}; roll a day up first, or ask for live totals")]
    NothingRolledUp(DayRange),
    /// The answer would be too large.
    #[error(
        "the answer has more than {max} totals, or paths of more than {factor} times as many bytes: \
         ask for a shorter range, for months instead of days, for a path prefix, or for \
         sums over all endpoints",
        factor = PATH_BYTES_FACTOR
    )]
    TooManyTotals {
        /// The limit.
        max: usize,
    },
    /// The answer would be too large for one message.
    #[error(
        "the answer takes more than {max} bytes: ask for a shorter range, or read it in parts by \
         tally.requests.v1.RequestService/QueryTotals, as tally totals does"
    )]
    AnswerTooLarge {
        /// The limit.
        max: usize,
    },
    /// The roll-up is done; its answer is not to be had.
    #[error("the days are rolled up, but not answered")]
    RolledUp(#[source] Box<Self>),
    /// Too many roll-ups wait for their turn.
    #[error("too many roll-ups are waiting already; they go on without their callers")]
    TooManyRollUps,
    /// A text that no database takes.
    #[error("{0} contains a NUL byte, and no path does")]
    PathNul(&'static str),
    /// Setbacks of no producer.
    #[error("short_id is empty: give the 8 hex digits of a producer, or all")]
    ShortIdEmpty,
    /// The server is being stopped.
    #[error("the server is shutting down; go on with another one, or when it is back")]
    Draining,
    /// A message of an `Add` stream that is too large.
    #[error(
        "request {position} of the stream cannot be read: its message has {bytes} bytes, and may \
         have at most {max}"
    )]
    TooLarge {
        /// From 1.
        position: u64,
        /// How large.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A stream ended before its end.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// The database failed.
    #[error("{step}")]
    Store {
        /// What was being done, in the imperative.
        step: &'static str,
        /// Why it failed.
        source: tally_store::Error,
    },
    /// A part of the server ended before it answered.
    #[error("the server failed while it worked on this call")]
    Panicked,
}

/// Requests of an `Add` stream that are not counted, for their times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongTimes {
    /// The position of the first one, from 1.
    pub first: u64,
    /// What is wrong with that.
    pub reason: InvalidTime,
    /// How many there are.
    pub count: u64,
}

/// Why a request cannot be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTime {
    /// A time that a protobuf Timestamp cannot have.
    #[error(
        "request_timestamp is not between 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999999Z: \
         seconds {seconds}, nanos {nanos}"
    )]
    OutOfRange {
        /// Seconds since 1970-01-01 UTC.
        seconds: i64,
        /// Nanoseconds, which must be 0 to 999,999,999.
        nanos: i32,
    },
    /// A time in the future.
    #[error("request_timestamp is {ahead_seconds} s ahead of the server's clock, more than 24 h")]
    Ahead {
        /// How far.
        ahead_seconds: i64,
    },
}

/// Why a batch cannot be counted. Positions are from 1, within the field that is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBatch {
    /// Neither requests nor drops.
    #[error("count is 0, and there are no drops: nothing to store")]
    Empty,
    /// A list that is longer or shorter than the batch says.
    #[error("{field} has {len} entries, and count is {count}")]
    Length {
        /// The field.
        field: &'static str,
        /// How many entries it has.
        len: usize,
        /// How many it should have.
        count: u32,
    },
    /// Too many requests.
    #[error("count is {count}, and a batch may have at most {max} requests")]
    TooManyRows {
        /// How many.
        count: usize,
        /// The limit.
        max: u32,
    },
    /// Too many endpoints.
    #[error("endpoints: the stream names {count}, and may name at most {max}: open another one")]
    TooManyEndpoints {
        /// How many, those of earlier batches included.
        count: usize,
        /// The limit.
        max: u32,
    },
    /// A number without an endpoint.
    #[error(
        "endpoint, position {position}: number {number}, and the stream has named {named} \
         endpoints, numbered from 0"
    )]
    EndpointNumber {
        /// Which.
        position: usize,
        /// The number.
        number: u32,
        /// How many there are.
        named: usize,
    },
    /// A time that no request can have.
    #[error(
        "time_delta, position {position}: the time is not between 0001-01-01T00:00:00Z and \
         9999-12-31T23:59:59.999999Z"
    )]
    TimeOutOfRange {
        /// Which.
        position: usize,
    },
    /// A time in the future. The batch is acceptable once the clocks agree.
    #[error(
        "time_delta, position {position}: the time is {ahead_seconds} s ahead of the server's \
         clock, more than 24 h: one of the two clocks is wrong"
    )]
    TimeAhead {
        /// Which.
        position: usize,
        /// How far.
        ahead_seconds: i64,
    },
    /// What the client says that it has dropped.
    #[error(transparent)]
    Drops(#[from] InvalidDrops),
}

/// Why a date cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDate {
    /// No date.
    #[error("is missing")]
    Missing,
    /// A date that the calendar does not have.
    #[error(
        "{year:04}-{month:02}-{day:02} is not a date, nor a month with day 0, nor a year with month and day 0"
    )]
    Impossible {
        /// As given.
        year: i32,
        /// As given.
        month: i32,
        /// As given.
        day: i32,
    },
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
    /// What it means to the client.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Times(_)
            | Self::TooLarge { .. }
            | Self::Date { .. }
            | Self::PathNul(_)
            | Self::ShortIdEmpty
            | Self::EndBeforeStart { .. } => Kind::InvalidArgument,
            Self::NothingRolledUp(_) => Kind::NotFound,
            Self::TooManyTotals { .. } | Self::AnswerTooLarge { .. } | Self::TooManyRollUps => {
                Kind::ResourceExhausted
            }
            Self::RolledUp(error) => error.kind(),
            Self::Draining => Kind::Unavailable,
            Self::Ended(error) => error.kind(),
            Self::Store { source, .. } => source.kind(),
            Self::Panicked => Kind::Internal,
        }
    }

    /// What a client can tell apart, beside the code.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::RolledUp(error) => error.reason(),
            Self::TooManyTotals { .. } | Self::AnswerTooLarge { .. } => {
                Some(reason::ANSWER_TOO_LARGE)
            }
            Self::Ended(error) => error.reason(),
            _ => None,
        }
    }

    /// Names what the store was asked for.
    pub(crate) fn store(step: &'static str) -> impl FnOnce(tally_store::Error) -> Self {
        move |source| Self::Store { step, source }
    }
}

// === impl InvalidBatch ===

impl Invalid for InvalidBatch {
    fn kind(&self) -> Kind {
        match self {
            Self::TooManyRows { .. } | Self::TooManyEndpoints { .. } => Kind::ResourceExhausted,
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
