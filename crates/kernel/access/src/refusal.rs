//! Why a call is refused before it is read.

use tally_proto::wire::reason;
use tally_runtime::Kind;

use crate::Scope;

/// Why a call is refused before it is read. No message repeats what was presented.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has no key.
    #[error("this needs a key: send it as \"authorization: Bearer KEY\"")]
    NoKey,
    /// The header is neither `Bearer` nor `Basic`, or there are several.
    #[error(
        "the header authorization is not understood: send one, \"Bearer KEY\", or Basic with the key as password"
    )]
    Header,
    /// What was sent cannot be a key.
    #[error("that is not a key of Tally: some of it is missing or misspelled")]
    Malformed,
    /// There is no such key.
    #[error("there is no such key in this database")]
    Unknown,
    /// No key is called what the client certificate is.
    #[error(
        "no key has a name of the client certificate: make one that is called so, or send a key as \
         \"authorization: Bearer KEY\""
    )]
    UnknownNames,
    /// Keys that the client certificate could mean allow different things.
    #[error(
        "keys of several namespaces or scopes are called {0}, so the client certificate does not say \
         which is meant: revoke all but one, or send a key as \"authorization: Bearer KEY\""
    )]
    Ambiguous(String),
    /// There is none any more.
    #[error("the key {0} is revoked")]
    Revoked(String),
    /// Its time is over.
    #[error("the key {0} has expired")]
    Expired(String),
    /// The browser is not logged in any more.
    #[error("this browser is not logged in: its session is over")]
    Session,
    /// Too many wrong keys came from there.
    #[error("too many wrong keys came from this address: try again in a minute")]
    TooMany,
    /// The database has not answered for too long.
    #[error("the key cannot be checked, because the database does not answer")]
    Unchecked,
    /// The key allows something else.
    #[error("this needs a key with the scope {needed}, and the key {key} has {has}")]
    Scope {
        /// The key's name.
        key: String,
        /// What it allows.
        has: Scope,
        /// What the call needs.
        needed: Scope,
    },
    /// It concerns all namespaces.
    #[error(
        "this concerns the whole database: it needs a key of the namespace default, and the key {0} is of another one"
    )]
    Operator(String),
    /// A cookie is enough to look, and not to change anything.
    #[error("a browser's session is for looking only: send a key as \"authorization: Bearer KEY\"")]
    LookingOnly,
    /// No key is asked for, because nobody but this machine can come; but somebody else does.
    #[error(
        "this server asks for no key, because it serves this machine only, and a proxy sent this \
         (header {0}): start it with --auth keys, or with --insecure-allow-anyone"
    )]
    Proxied(&'static str),
}

// === impl Refusal ===

impl Refusal {
    /// What it means to the client.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Scope { .. } | Self::Operator(_) | Self::LookingOnly | Self::Proxied(_) => {
                Kind::PermissionDenied
            }
            Self::TooMany => Kind::ResourceExhausted,
            Self::Unchecked => Kind::Unavailable,
            _ => Kind::Unauthenticated,
        }
    }

    /// What a client can tell apart, beside the code.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoKey => reason::KEY_MISSING,
            Self::Header
            | Self::Malformed
            | Self::Unknown
            | Self::UnknownNames
            | Self::Ambiguous(_) => reason::KEY_UNKNOWN,
            Self::Revoked(_) => reason::KEY_REVOKED,
            Self::Expired(_) => reason::KEY_EXPIRED,
            Self::Session => reason::SESSION_OVER,
            Self::TooMany => reason::TOO_MANY_ATTEMPTS,
            Self::Unchecked => reason::KEY_UNCHECKED,
            Self::Scope { .. } | Self::LookingOnly => reason::SCOPE,
            Self::Operator(_) => reason::NAMESPACE,
            Self::Proxied(_) => reason::PROXIED,
        }
    }

    /// Every reason.
    pub(crate) const REASONS: [&'static str; 10] = [
        reason::KEY_MISSING,
        reason::KEY_UNKNOWN,
        reason::KEY_REVOKED,
        reason::KEY_EXPIRED,
        reason::SESSION_OVER,
        reason::TOO_MANY_ATTEMPTS,
        reason::KEY_UNCHECKED,
        reason::SCOPE,
        reason::NAMESPACE,
        reason::PROXIED,
    ];

    /// Whether it was somebody's guess.
    pub(crate) fn is_guess(&self) -> bool {
        matches!(self, Self::Malformed | Self::Unknown | Self::Session)
    }
}
