//! The kinds of failure, and the one table from kind to gRPC and HTTP status.

/// What a failure means to the caller. Handlers never pick status codes: an error has a kind, and
/// the kind has its codes here.
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
    /// It does not fit to what was asked for before under the same id.
    Contradiction,
    /// The answer or the request is over a limit.
    ResourceExhausted,
    /// Nobody knows who asks.
    Unauthenticated,
    /// Who asks may not do it.
    PermissionDenied,
    /// Something that is needed is away; the same request may succeed later.
    Unavailable,
    /// Tally itself is at fault, or the database is not as Tally made it.
    Internal,
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
            Self::PermissionDenied => 7,
            Self::ResourceExhausted => 8,
            Self::FailedPrecondition | Self::Contradiction => 9,
            Self::Internal => 13,
            Self::Unavailable => 14,
            Self::Unauthenticated => 16,
        }
    }

    /// The HTTP status code (RFC 9110).
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidArgument => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::FailedPrecondition => 409,
            Self::Contradiction => 422,
            Self::ResourceExhausted => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}
