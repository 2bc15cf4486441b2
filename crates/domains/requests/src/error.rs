//! What can go wrong, and what it means to the client.

use std::borrow::Cow;

use tally_ingest::Failure;
use tally_producers::{InvalidOpen, Refusal};
use tally_proto::wire::reason;
use tally_runtime::Kind;
use tonic::{Code, Status};

use crate::batch::InvalidBatch;
use crate::model::DayRange;
use crate::totals::PATH_BYTES_FACTOR;

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
    /// The queue stayed full.
    #[error("the server's queue is full because the database is not keeping up; try again later")]
    QueueFull,
    /// Too many roll-ups wait for their turn.
    #[error("too many roll-ups are waiting already; they go on without their callers")]
    TooManyRollUps,
    /// A producer could not be opened or forgotten in time.
    #[error("the database does not answer; try again later")]
    ProducerTimeout,
    /// A text that no database takes.
    #[error("{0} contains a NUL byte, and no path does")]
    PathNul(&'static str),
    /// Setbacks of no producer.
    #[error("short_id is empty: give the 8 hex digits of a producer, or all")]
    ShortIdEmpty,
    /// The server is being stopped.
    #[error("the server is shutting down; go on with another one, or when it is back")]
    Draining,
    /// The client broke the stream off.
    #[error("the stream broke off: {0}")]
    Broken(String),
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
        reason: Cow<'static, str>,
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
            | Self::Open(_)
            | Self::Unexpected { .. }
            | Self::EndBeforeStart { .. } => Kind::InvalidArgument,
            Self::NothingRolledUp(_) => Kind::NotFound,
            Self::TooManyTotals { .. }
            | Self::AnswerTooLarge { .. }
            | Self::TooManyRollUps
            | Self::TooManyBatches { .. } => Kind::ResourceExhausted,
            Self::RolledUp(error) => error.kind(),
            Self::Batch { reason, .. } if reason.is_limit() => Kind::ResourceExhausted,
            // It will be acceptable, once the clock that is wrong is right.
            Self::Batch { reason: InvalidBatch::TimeAhead { .. }, .. } => Kind::Unavailable,
            Self::Unreadable { is_limit: true, .. } => Kind::ResourceExhausted,
            Self::Batch { .. } | Self::Unreadable { .. } => Kind::InvalidArgument,
            Self::OutOfSequence { .. } => Kind::FailedPrecondition,
            Self::Refused(refusal) => match refusal {
                Refusal::InUse | Refusal::OtherDomain { .. } => Kind::AlreadyExists,
                Refusal::Forgotten => Kind::FailedPrecondition,
                Refusal::TooMany { .. } => Kind::ResourceExhausted,
            },
            Self::QueueFull | Self::ProducerTimeout | Self::Draining | Self::Broken(_) => {
                Kind::Unavailable
            }
            Self::Write(failure) => failure.kind,
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
            Self::OutOfSequence { .. } => Some(reason::OUT_OF_SEQUENCE),
            Self::Refused(Refusal::Forgotten) => Some(reason::PRODUCER_FORGOTTEN),
            Self::Refused(Refusal::InUse | Refusal::OtherDomain { .. }) => {
                Some(reason::PRODUCER_IN_USE)
            }
            Self::Refused(Refusal::TooMany { .. }) => Some(reason::TOO_MANY_PRODUCERS),
            Self::Open(_) => Some(reason::INVALID_OPEN),
            Self::Unexpected { .. } => Some(reason::INVALID_MESSAGE),
            Self::TooManyBatches { .. } => Some(reason::TOO_MANY_BATCHES),
            Self::Batch { reason: InvalidBatch::TimeAhead { .. }, .. } => Some(reason::TIME_AHEAD),
            Self::Batch { .. } | Self::Unreadable { .. } => {
                let is_limit = self.kind() == Kind::ResourceExhausted;
                Some(if is_limit { reason::LIMIT } else { reason::INVALID_BATCH })
            }
            _ => None,
        }
    }

    /// Why a `Record` stream ended without its end.
    pub(crate) fn unreadable(position: u64, status: &Status) -> Self {
        let reason = status.message().to_owned();
        match status.code() {
            // tonic's codes for a message that is too large or malformed.
            Code::OutOfRange => Self::Unreadable { position, reason, is_limit: true },
            Code::Internal if reason.contains("decode") => {
                Self::Unreadable { position, reason, is_limit: false }
            }
            _ => Self::Broken(reason),
        }
    }

    /// Whether rows may have been stored all the same.
    pub(crate) fn is_indeterminate(&self) -> bool {
        match self {
            Self::Write(failure) => failure.stored.is_none(),
            Self::Panicked => true,
            _ => false,
        }
    }

    /// Names what the store was asked for.
    pub(crate) fn store(step: &'static str) -> impl FnOnce(tally_store::Error) -> Self {
        move |source| Self::Store { step, source }
    }
}
