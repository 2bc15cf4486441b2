//! How a stream ends before its end, and what it means to the client.

use std::borrow::Cow;

use tally_ingest::Failure;
use tally_proto::wire::{REASON_TRAILER, reason, trailer};
use tally_runtime::Kind;
use tonic::{Code, Status};

use crate::lease::Refusal;
use crate::open::InvalidOpen;

/// Why a domain cannot store a batch.
pub trait Invalid: std::error::Error + Send + Sync + 'static {
    /// What it means to the client.
    fn kind(&self) -> Kind;
    /// What the client can tell apart, beside the code.
    fn reason(&self) -> &'static str;
}

/// A stream ended before its end. What came before is stored.
#[derive(Debug, thiserror::Error)]
pub enum Error<R: Invalid> {
    /// The server is being stopped.
    #[error("the server is shutting down; go on with another one, or when it is back")]
    Draining,
    /// The queue stayed full.
    #[error("the server's queue is full because the database is not keeping up; try again later")]
    QueueFull,
    /// A producer could not be opened or forgotten in time.
    #[error("the database does not answer; try again later")]
    ProducerTimeout,
    /// The client broke the stream off.
    #[error("the stream broke off: {0}")]
    Broken(String),
    /// The client's key is not accepted any more.
    #[error("the stream ends here: {words}")]
    Dismissed {
        /// In the words of who refuses it.
        words: String,
        /// What the client can tell apart.
        reason: Option<&'static str>,
    },
    /// Rows of the stream were not stored.
    #[error("the database did not take the rows")]
    Write(#[source] Failure),
    /// The database failed.
    #[error(transparent)]
    Store(tally_runtime::Error),
    /// The message that opens a producer is not acceptable.
    #[error("open: {0}")]
    Open(InvalidOpen),
    /// A producer could not be opened, or may not go on.
    #[error("{0}")]
    Refused(Refusal),
    /// A batch is not acceptable.
    #[error("batch {sequence}: {reason}")]
    Batch {
        /// Its number.
        sequence: u64,
        /// What is wrong with it.
        reason: R,
    },
    /// A number that no batch has.
    #[error("batch {0}: {words}", words = numbering(*.0))]
    Number(u64),
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
    /// A message that is too large or malformed.
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
    /// The task that read the stream ended before it.
    #[error("the server failed while it worked on this call")]
    Panicked,
}

fn numbering(number: u64) -> &'static str {
    match number {
        0 => "sequence is 0, and batches are numbered from 1",
        _ => "sequence is beyond 2^63-1",
    }
}

// === impl Error ===

impl<R: Invalid> Error<R> {
    /// What it means to the client.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Open(_)
            | Self::Unexpected { .. }
            | Self::Number(_)
            | Self::Unreadable { is_limit: false, .. } => Kind::InvalidArgument,
            Self::TooManyBatches { .. } | Self::Unreadable { is_limit: true, .. } => {
                Kind::ResourceExhausted
            }
            Self::OutOfSequence { .. } => Kind::FailedPrecondition,
            Self::Dismissed { .. } => Kind::Unauthenticated,
            Self::Refused(refusal) => refusal.kind(),
            Self::QueueFull | Self::ProducerTimeout | Self::Draining | Self::Broken(_) => {
                Kind::Unavailable
            }
            Self::Batch { reason, .. } => reason.kind(),
            Self::Write(failure) => failure.kind,
            Self::Store(error) => error.kind(),
            Self::Panicked => Kind::Internal,
        }
    }

    /// What the client can tell apart, beside the code.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::OutOfSequence { .. } => Some(reason::OUT_OF_SEQUENCE),
            Self::Refused(refusal) => Some(refusal.reason()),
            Self::Open(_) => Some(reason::INVALID_OPEN),
            Self::Dismissed { reason, .. } => *reason,
            Self::Unexpected { .. } => Some(reason::INVALID_MESSAGE),
            Self::TooManyBatches { .. } => Some(reason::TOO_MANY_BATCHES),
            Self::Batch { reason, .. } => Some(reason.reason()),
            Self::Unreadable { is_limit: true, .. } => Some(reason::LIMIT),
            // The first message opens, whatever it was meant to say.
            Self::Unreadable { position: 1, .. } => Some(reason::INVALID_OPEN),
            Self::Number(_) | Self::Unreadable { .. } => Some(reason::INVALID_BATCH),
            _ => None,
        }
    }

    /// Why the body of a stream ended without its end.
    pub fn broken(status: &Status) -> Self {
        let words = status.message().to_owned();
        if status.code() != Code::Unauthenticated {
            return Self::Broken(words);
        }
        let of_keys = [reason::KEY_REVOKED, reason::KEY_EXPIRED];
        let told = trailer(status, REASON_TRAILER);
        let reason = of_keys.into_iter().find(|reason| told == Some(reason));
        Self::Dismissed { words, reason }
    }

    /// Why a stream ended without its end.
    pub(super) fn unreadable(position: u64, status: &Status) -> Self {
        let reason = status.message().to_owned();
        match status.code() {
            // tonic's codes for a message that is too large or malformed.
            Code::OutOfRange => Self::Unreadable { position, reason, is_limit: true },
            Code::Internal if reason.contains("decode") => {
                Self::Unreadable { position, reason, is_limit: false }
            }
            _ => Self::broken(status),
        }
    }

    /// Whether rows may have been stored all the same.
    pub(super) fn is_indeterminate(&self) -> bool {
        match self {
            Self::Write(failure) => failure.stored.is_none(),
            Self::Panicked => true,
            _ => false,
        }
    }
}
