//! What can go wrong, and what it means to the client.

use tally_ingest::Failure;
use tally_runtime::Kind;

use crate::batch::InvalidBatch;
use crate::model::DayRange;
use crate::producer::Refusal;

/// A call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request of a stream is not acceptable. What came before it stays counted.
    #[error("request {position} of the stream: {reason}")]
    Request {
        /// From 1.
        position: u64,
        /// What is wrong with it.
        reason: InvalidRequest,
    },
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
        "the answer has more than {max} totals: ask for a shorter range, for months instead of \
         days, or for a path prefix"
    )]
    TooManyTotals {
        /// The limit.
        max: usize,
    },
    /// The queue stayed full.
    #[error("the server's queue is full, since the database does not keep up; try again later")]
    QueueFull,
    /// Too many roll-ups wait for their turn.
    #[error("too many roll-ups are waiting already; they go on without their callers")]
    TooManyRollUps,
    /// The database did not answer for a new endpoint.
    #[error("the database does not answer; try again later")]
    LookupTimeout,
    /// A text that no database takes.
    #[error("path_prefix contains a NUL byte, and no path does")]
    PathPrefixNul,
    /// The server is being stopped.
    #[error("the server is shutting down; go on with another one, or when it is back")]
    Draining,
    /// The client broke the stream off.
    #[error("the stream broke off: {0}")]
    Broken(String),
    /// A message of the stream is not the one that was promised.
    #[error("request {position} of the stream cannot be read: {reason}")]
    Undecodable {
        /// From 1.
        position: u64,
        /// Why not.
        reason: String,
    },
    /// Rows of the stream were not stored.
    #[error("the database did not take the requests")]
    Write(#[source] Failure),
    /// The database failed.
    #[error("{step}")]
    Store {
        /// What was being done, in the imperative.
        step: &'static str,
        /// Why it failed.
        source: tally_store::Error,
    },
    /// The message that opens a producer is not acceptable.
    #[error("open: {0}")]
    Open(InvalidOpen),
    /// A producer could not be opened, or may not go on.
    #[error("{0}")]
    Refused(Refusal),
    /// A batch is not acceptable. Those before it stay counted.
    #[error("batch {sequence}: {reason}")]
    Batch {
        /// Its number.
        sequence: u64,
        /// What is wrong with it.
        reason: InvalidBatch,
    },
    /// A batch that is neither known nor the next one.
    #[error("batch {sequence} is out of sequence: the next one is {next}")]
    OutOfSequence {
        /// Its number.
        sequence: u64,
        /// The number that it should have.
        next: i64,
    },
    /// More batches than the client was allowed.
    #[error("batch {sequence}: more than {max} batches are sent and not yet acknowledged")]
    TooManyBatches {
        /// Its number.
        sequence: u64,
        /// The limit.
        max: u32,
    },
    /// A message of a `Record` stream that is too large or malformed.
    #[error("message {position} of the stream cannot be read: {reason}")]
    Unreadable {
        /// From 1.
        position: u64,
        /// Why not.
        reason: String,
        /// Whether it is too large.
        is_limit: bool,
    },
    /// A message that has no place there.
    #[error("message {position} of the stream: {reason}")]
    Unexpected {
        /// From 1.
        position: u64,
        /// What was expected.
        reason: &'static str,
    },
    /// A part of the server ended before it answered.
    #[error("the server failed while it worked on this call")]
    Panicked,
}

/// Why a request cannot be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// No path.
    #[error("path is empty")]
    PathEmpty,
    /// A path that is too long.
    #[error("path has {bytes} bytes, and at most {max} are allowed")]
    PathTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A path that databases do not take.
    #[error("path contains a NUL byte")]
    PathNul,
    /// No time.
    #[error("request_timestamp is missing")]
    TimestampMissing,
    /// A time that a protobuf Timestamp cannot have.
    #[error(
        "request_timestamp is not between 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999999Z: \
         seconds {seconds}, nanos {nanos}"
    )]
    TimestampOutOfRange {
        /// Seconds since 1970-01-01 UTC.
        seconds: i64,
        /// Nanoseconds, which must be 0 to 999,999,999.
        nanos: i32,
    },
    /// A time in the future.
    #[error("request_timestamp is {ahead_seconds} s ahead of the server's clock, more than 24 h")]
    TimestampAhead {
        /// How far.
        ahead_seconds: i64,
    },
}

/// Why a producer cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOpen {
    /// Not a UUID.
    #[error("producer_id has {0} bytes, and a UUID has 16")]
    IdLength(usize),
    /// The UUID of nobody.
    #[error("producer_id is the nil UUID")]
    IdNil,
    /// An epoch that no producer has.
    #[error("epoch is beyond 2^63-1")]
    Epoch,
    /// A batch that no producer has.
    #[error("acknowledged_sequence is beyond 2^63-1")]
    Acknowledged,
    /// None, or too many.
    #[error("claims has {0} entries, and 1 to 64 are allowed")]
    Claims(usize),
    /// Not a claim.
    #[error("claims, position {0}: 0 is not a claim")]
    ClaimZero(usize),
    /// A long name.
    #[error("name has {0} bytes, and at most 200 are allowed")]
    NameTooLong(usize),
    /// A name that no database takes.
    #[error("name contains a NUL byte")]
    NameNul,
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

// === impl Error ===

impl Error {
    /// What it means to the client.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Request { .. }
            | Self::Undecodable { .. }
            | Self::Date { .. }
            | Self::PathPrefixNul
            | Self::Open(_)
            | Self::Unexpected { .. }
            | Self::EndBeforeStart { .. } => Kind::InvalidArgument,
            Self::NothingRolledUp(_) => Kind::NotFound,
            Self::TooManyTotals { .. } | Self::TooManyRollUps | Self::TooManyBatches { .. } => {
                Kind::ResourceExhausted
            }
            Self::Batch { reason, .. } if reason.is_limit() => Kind::ResourceExhausted,
            Self::Unreadable { is_limit: true, .. } => Kind::ResourceExhausted,
            Self::Batch { .. } | Self::Unreadable { .. } => Kind::InvalidArgument,
            Self::OutOfSequence { .. } => Kind::FailedPrecondition,
            Self::Refused(refusal) => match refusal {
                Refusal::InUse => Kind::AlreadyExists,
                Refusal::Forgotten => Kind::FailedPrecondition,
                Refusal::TooMany { .. } => Kind::ResourceExhausted,
            },
            Self::QueueFull | Self::LookupTimeout | Self::Draining | Self::Broken(_) => {
                Kind::Unavailable
            }
            Self::Write(failure) => failure.kind,
            Self::Store { source, .. } => source.kind(),
            Self::Panicked => Kind::Internal,
        }
    }

    /// What a client of `Record` can tell apart, beside the code.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::OutOfSequence { .. } => Some("OUT_OF_SEQUENCE"),
            Self::Refused(Refusal::Forgotten) => Some("PRODUCER_FORGOTTEN"),
            Self::Refused(Refusal::InUse) => Some("PRODUCER_IN_USE"),
            Self::Refused(Refusal::TooMany { .. }) => Some("TOO_MANY_PRODUCERS"),
            Self::Open(_) => Some("INVALID_OPEN"),
            Self::Unexpected { .. } => Some("INVALID_MESSAGE"),
            Self::TooManyBatches { .. } => Some("TOO_MANY_BATCHES"),
            Self::Batch { .. } | Self::Unreadable { .. } => {
                let is_limit = self.kind() == Kind::ResourceExhausted;
                Some(if is_limit { "LIMIT" } else { "INVALID_BATCH" })
            }
            _ => None,
        }
    }

    /// Names what the store was asked for.
    pub(crate) fn store(step: &'static str) -> impl FnOnce(tally_store::Error) -> Self {
        move |source| Self::Store { step, source }
    }
}
