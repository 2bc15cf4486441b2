//! What is known of a key.

use jiff::Timestamp;
use tally_runtime::Namespace;

use crate::{Digest, Scope};

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// By which it is found.
    pub digest: Digest,
    /// What people call it. While it is being replaced, two keys have the same name.
    pub name: String,
    /// Where its holder counts, and what its holder sees.
    pub namespace: Namespace,
    /// What that is called.
    pub namespace_name: String,
    /// What it allows.
    pub scope: Scope,
    /// Since when there is such a key.
    pub created: Timestamp,
    /// From when on it is refused, if it is not revoked before.
    pub expires: Option<Timestamp>,
    /// Since when it is refused.
    pub revoked: Option<Timestamp>,
    /// When it was used last, give or take half a minute.
    pub last_used: Option<Timestamp>,
}

/// A browser that is logged in with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// Of its secret.
    pub(crate) digest: Digest,
    /// Of the key that it was begun with.
    pub(crate) key: Digest,
    /// From when on it is refused.
    pub(crate) expires: Timestamp,
}

// === impl Key ===

impl Key {
    /// Whether it is accepted.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && !self.is_expired(now)
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// Whether a namespace can be called so: 1 to 63 lower-case letters, digits and hyphens.
#[must_use]
pub fn is_namespace(name: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len()) && name.chars().all(is_of_name)
}

/// Whether a key can be called so: 1 to 63 letters, digits, hyphens, dots and underscores.
#[must_use]
pub fn is_key_name(name: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    (1..=63).contains(&name.len()) && name.chars().all(is_of_name)
}
