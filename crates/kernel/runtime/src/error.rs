//! The kinds of failure, and the one table from kind to gRPC and HTTP status.

use std::error::Error;
use std::fmt::Write as _;

/// What a failure means to the one who asked. Handlers never pick status codes: an error
/// has a kind, and the kind has its codes here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request itself is wrong; the same request will never succeed.
    InvalidArgument,
    /// What was asked for does not exist.
    NotFound,
    /// Something else has that name already.
    AlreadyExists,
    /// The state of the system does not allow it; something else must happen first.
    FailedPrecondition,
    /// The answer or the request is over a limit.
    ResourceExhausted,
    /// Something that is needed is away; the same request may succeed later.
    Unavailable,
    /// Tally itself is at fault, or the database is not as Tally made it.
    Internal,
}

/// An error and everything behind it, in one line: `outer: inner: innermost`.
///
/// A cause that the level above it already prints is not repeated.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    chain_by(error, |_| None)
}

/// The same, with other words for some errors: those stand for everything behind the error, too.
#[must_use]
pub fn chain_by(
    error: &(dyn Error + 'static),
    instead: impl Fn(&(dyn Error + 'static)) -> Option<String>,
) -> String {
    let mut line = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let last = instead(error);
        next = if last.is_some() { None } else { error.source() };
        let text = last.unwrap_or_else(|| error.to_string());
        if line.is_empty() {
            line = text;
        } else if !line.ends_with(&text) {
            let _ = write!(line, ": {text}");
        }
    }
    line
}

// === impl Kind ===

impl Kind {
    /// The gRPC status code, as numbered by the gRPC specification (`statuscodes.md`).
    #[must_use]
    pub const fn grpc_code(self) -> i32 {
        match self {
            Self::InvalidArgument => 3,
            Self::NotFound => 5,
            Self::AlreadyExists => 6,
            Self::ResourceExhausted => 8,
            Self::FailedPrecondition => 9,
            Self::Internal => 13,
            Self::Unavailable => 14,
        }
    }

    /// The HTTP status code (RFC 9110).
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidArgument => 400,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::FailedPrecondition => 409,
            Self::ResourceExhausted => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("open the door")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_chain_is_one_line() {
        let error = Outer(std::io::Error::other("the key is lost"));
        assert_eq!(chain(&error), "open the door: the key is lost");
    }

    #[test]
    fn other_words_stand_for_all_that_is_behind() {
        let error = Outer(std::io::Error::other(Outer(std::io::Error::other("the key is lost"))));
        let instead = |error: &(dyn Error + 'static)| {
            error.downcast_ref::<std::io::Error>().map(|_| "it is shut".to_owned())
        };
        assert_eq!(chain_by(&error, instead), "open the door: it is shut");
    }
}
