//! What a field of a series must be, as it is asked for and as it is stored.

use std::hash::Hasher as _;

use regex_lite::{Regex, RegexBuilder};
use siphasher::sip128::{Hasher128 as _, SipHasher24};
use tally_proto::wire::is_reserved;
use tally_runtime::Kind;

/// How large a compiled regex may be. A match takes this long at most, times the length of the path: some
/// 60 µs for 100 bytes.
const COMPILED_BYTES_MAX: usize = 4 << 10;

/// What a field of a series must be.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    Exactly(Box<str>),
    BeginsWith(Box<str>),
    Matches(Regex),
    /// A text of so many bytes with this hash, or what begins with one.
    Hashed {
        bytes: usize,
        hash: u128,
        is_prefix: bool,
    },
}

/// What names are hashed with.
pub(super) type HashKey = (u64, u64);

/// A regex that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use this regex")]
pub(crate) struct BadRegex(#[source] regex_lite::Error);

/// A renaming that no server has written.
#[derive(Debug, thiserror::Error)]
#[error("tally_request_changes has {0:?}, which says nothing about a name")]
struct BadColumn(String);

// === impl Pattern ===

impl Pattern {
    pub(super) fn regex(text: &str) -> Result<Self, BadRegex> {
        let regex = RegexBuilder::new(text).size_limit(COMPILED_BYTES_MAX).build();
        Ok(Self::Matches(regex.map_err(BadRegex)?))
    }

    pub(super) fn matches(&self, name: &str, key: HashKey) -> bool {
        match self {
            _ if is_reserved(name) => false,
            Self::Exactly(text) => **text == *name,
            Self::BeginsWith(prefix) => name.as_bytes().starts_with(prefix.as_bytes()),
            Self::Matches(regex) => regex.is_match(name),
            Self::Hashed { bytes, hash, is_prefix } => {
                (name.len() == *bytes || (*is_prefix && name.len() > *bytes))
                    && self::hash(&name.as_bytes()[..*bytes], key) == *hash
            }
        }
    }

    /// The name or the prefix that it spells.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Exactly(text) | Self::BeginsWith(text) => Some(text),
            Self::Matches(_) | Self::Hashed { .. } => None,
        }
    }

    /// The name, if it is a whole one.
    pub(super) fn whole(&self) -> Option<&str> {
        match self {
            Self::Exactly(text) => Some(text),
            _ => None,
        }
    }

    /// The same without the name; none for a regex, which has no hash.
    pub(super) fn hashed(&self, key: HashKey) -> Option<Self> {
        let of = |text: &str, is_prefix| {
            let hash = hash(text.as_bytes(), key);
            Self::Hashed { bytes: text.len(), hash, is_prefix }
        };
        match self {
            Self::Exactly(text) => Some(of(text, false)),
            Self::BeginsWith(prefix) => Some(of(prefix, true)),
            Self::Matches(_) => None,
            Self::Hashed { .. } => Some(self.clone()),
        }
    }

    /// Whether the other one, hashed by this one's key if this one is hashed, is the same.
    pub(super) fn is(&self, other: &Self, key: HashKey) -> bool {
        match (self, other) {
            (Self::Exactly(a), Self::Exactly(b)) | (Self::BeginsWith(a), Self::BeginsWith(b)) => {
                a == b
            }
            (Self::Matches(a), Self::Matches(b)) => a.as_str() == b.as_str(),
            (Self::Hashed { bytes, hash, is_prefix }, other) => match other.hashed(key) {
                Some(Self::Hashed { bytes: b, hash: h, is_prefix: p }) => {
                    (*bytes, *hash, *is_prefix) == (b, h, p)
                }
                _ => false,
            },
            _ => false,
        }
    }

    pub(super) fn column(&self) -> String {
        match self {
            Self::Exactly(text) => format!("is:{text}"),
            Self::BeginsWith(prefix) => format!("prefix:{prefix}"),
            Self::Matches(regex) => format!("regex:{}", regex.as_str()),
            Self::Hashed { bytes, hash, is_prefix: false } => format!("hash:{bytes}:{hash:032x}"),
            Self::Hashed { bytes, hash, is_prefix: true } => {
                format!("hash-prefix:{bytes}:{hash:032x}")
            }
        }
    }

    pub(super) fn of_column(column: &str) -> Result<Self, tally_store::Error> {
        let bad = || {
            let step = "read a renaming";
            let source = BadColumn(column.chars().take(100).collect());
            tally_store::Error::permanent(step, Kind::Internal).because(source)
        };
        let (how, text) = column.split_once(':').ok_or_else(bad)?;
        let hashed = |is_prefix| {
            let (bytes, hash) = text.split_once(':').ok_or_else(bad)?;
            let bytes = bytes.parse().map_err(|_| bad())?;
            let hash = u128::from_str_radix(hash, 16).map_err(|_| bad())?;
            Ok(Self::Hashed { bytes, hash, is_prefix })
        };
        match how {
            "is" => Ok(Self::Exactly(text.into())),
            "prefix" => Ok(Self::BeginsWith(text.into())),
            "regex" => Self::regex(text).map_err(|_| bad()),
            "hash" => hashed(false),
            "hash-prefix" => hashed(true),
            _ => Err(bad()),
        }
    }
}

/// SipHash-2-4 of 128 bits.
fn hash(bytes: &[u8], key: HashKey) -> u128 {
    let mut hasher = SipHasher24::new_with_keys(key.0, key.1);
    hasher.write(bytes);
    hasher.finish128().as_u128()
}
