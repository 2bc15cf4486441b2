//! `sqlite:` URLs.

use std::fmt;
use std::path::{Path, PathBuf};

use super::InvalidUrl;
use super::text::percent_decoded;

/// A SQLite file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteUrl {
    pub(crate) path: PathBuf,
    pub(crate) size_bytes_max: Option<u64>,
}

// === impl SqliteUrl ===

impl SqliteUrl {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn parse(rest: &str) -> Result<Self, InvalidUrl> {
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut size_bytes_max = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if name != "size_bytes_max" {
                return Err(InvalidUrl::Parameter(name.to_owned()));
            }
            size_bytes_max = Some(value.parse().map_err(|_| InvalidUrl::Value {
                name: name.to_owned(),
                value: value.to_owned(),
                reason: "is not a number of bytes",
            })?);
        }
        match path {
            "" => Err(InvalidUrl::NoPath),
            ":memory:" => Err(InvalidUrl::Memory),
            path => Ok(Self { path: percent_decoded(path).into(), size_bytes_max }),
        }
    }
}

impl fmt::Display for SqliteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sqlite:{}", self.path.display())?;
        match self.size_bytes_max {
            Some(bytes) => write!(f, "?size_bytes_max={bytes}"),
            None => Ok(()),
        }
    }
}
