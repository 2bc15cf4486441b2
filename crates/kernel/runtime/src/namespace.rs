//! A namespace.

/// Books kept apart in one database, by their number there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(pub i64);

// === impl Namespace ===

impl Namespace {
    /// The namespace `default`, the only one until there are keys.
    pub const DEFAULT: Self = Self(0);
}
