//! Statuses as people write them.

use std::fmt;
use std::str::FromStr;

use tally_proto::wire::STATUS_MAX;

use super::{Filter, Group};

/// What a status must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusIs {
    /// Just this; 0 if it is not known.
    One(u16),
    /// In this class, of 1 to 5.
    Class(u8),
}

/// What is no status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a status as 404, of 0 to {STATUS_MAX}, or a class as 5xx")]
pub struct InvalidStatus;

// === impl StatusIs ===

impl FromStr for StatusIs {
    type Err = InvalidStatus;

    fn from_str(text: &str) -> Result<Self, InvalidStatus> {
        match (text.as_bytes(), text.parse()) {
            ([class @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'], _) => Ok(Self::Class(class - b'0')),
            (_, Ok(status @ 0..=STATUS_MAX)) => Ok(Self::One(status)),
            _ => Err(InvalidStatus),
        }
    }
}

impl StatusIs {
    /// Whether a group has it. Only of a query that is grouped by it.
    pub(crate) fn is_of(self, group: &Group) -> bool {
        match self {
            Self::One(status) => group.status == status,
            Self::Class(class) => group.status_class == class,
        }
    }
}

impl fmt::Display for StatusIs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

// === impl Filter ===

impl Filter {
    /// Lets this status through, or this class.
    pub(crate) fn with_status(&mut self, status: StatusIs) {
        match status {
            StatusIs::One(status) => drop(self.statuses.insert(status)),
            StatusIs::Class(class) => drop(self.status_classes.insert(class)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_number_or_a_class() {
        for (text, status) in [
            ("404", StatusIs::One(404)),
            ("0", StatusIs::One(0)),
            ("999", StatusIs::One(999)),
            ("5xx", StatusIs::Class(5)),
            ("1XX", StatusIs::Class(1)),
        ] {
            assert_eq!(text.parse(), Ok(status));
        }
        for text in ["", "1000", "-1", "6xx", "0xx", "xx", "5x", "5xxx", "\u{20ac}", "ok"] {
            let error = text.parse::<StatusIs>().expect_err(text).to_string();
            assert!(error.contains("404") && error.contains("5xx"), "{error}");
        }
    }
}
