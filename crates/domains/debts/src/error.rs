//! What can go wrong, and what it means to the caller.

use std::fmt::Write as _;

use tally_ingest::Failure;
use tally_proto::wire::reason;
use tally_runtime::Kind;

use crate::definition::Wrong;

/// A call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no debt {}", if .0.is_empty() { "without a name" } else { .0 })]
    Unknown(String),
    /// Each field, and what is wrong with it.
    #[error("{}", told(.0))]
    Wrong(Wrong),
    #[error(
        "something else was paid under this idempotency key, and nothing of this: whatever is new needs \
         a new one"
    )]
    OtherContent,
    /// The server does not do it, for the reason that the text gives.
    #[error("{1}")]
    Refused(Kind, String),
    #[error(transparent)]
    Write(Failure),
    #[error("the server is shutting down; go on with another one, or when it is back")]
    Draining,
    #[error("the server's queue is full because the database is not keeping up; try again later")]
    QueueFull,
    #[error("it ended before its end, because of a fault of the server")]
    Panicked,
    #[error(transparent)]
    Store(tally_store::Error),
}

// === impl Error ===

impl Error {
    /// One thing that is wrong.
    pub(crate) fn wrong(field: &str, why: impl Into<String>) -> Self {
        Self::Wrong(vec![(field.to_owned(), why.into())])
    }

    /// Names what the store was asked for.
    pub(crate) fn store(step: &'static str) -> impl FnOnce(tally_store::Error) -> Self {
        move |source| Self::Store(source.within(step))
    }

    /// What it means to the caller.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Unknown(_) => Kind::NotFound,
            Self::Wrong(_) => Kind::InvalidArgument,
            Self::OtherContent => Kind::Contradiction,
            Self::Refused(kind, _) => *kind,
            Self::Write(failure) => failure.kind,
            Self::Draining | Self::QueueFull => Kind::Unavailable,
            Self::Panicked => Kind::Internal,
            Self::Store(error) => error.kind(),
        }
    }

    /// What a caller can tell apart, beside the code.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        match self {
            Self::OtherContent => Some(reason::KEY_CONTENT),
            Self::Refused(Kind::ResourceExhausted, _) => Some(reason::LIMIT),
            _ => None,
        }
    }
}

fn told(wrong: &Wrong) -> String {
    let mut told = String::new();
    for (field, why) in wrong {
        let between = if told.is_empty() { "" } else { "; " };
        let _ = write!(told, "{between}{field}: {why}");
    }
    told
}
