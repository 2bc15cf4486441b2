//! Why a line is malformed: what is wrong, where, and what to do.

use std::mem::{Discriminant, discriminant};

use super::repeated::TIMES_MAX;
use super::time::BadTime;
use crate::commands::requests::import::lines::LINE_BYTES_MAX;

const QUOTED_CHARS_MAX: usize = 60;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error(
        "no time in brackets, as in [17/May/2015:10:05:03 +0000], in {0:?}; --format takes the \
         server's own log format"
    )]
    NoTime(String),
    #[error("binary data, or text in UTF-16: `iconv -f UTF-16LE -t UTF-8 FILE | tally import -`")]
    Nuls,
    #[error("the time {text:?}: {why}")]
    Time { text: String, why: BadTime },
    #[error("two different times, {0}: --format says which is the request's")]
    TwoTimes(Box<Two>),
    #[error("the time {0} is more than 24 hours ahead of this machine's clock")]
    Future(String),
    #[error("no request in quotes, as in \"GET / HTTP/1.1\", after the time, but {0:?}")]
    NoRequest(String),
    #[error("two pieces may be the request, {0}: --format says which it is")]
    TwoRequests(Box<Two>),
    #[error("the quotes of the request are not closed: the line is cut off after {0:?}")]
    RequestNotClosed(String),
    #[error("no status of three digits after the request {0:?}")]
    NoStatus(String),
    #[error("{0:?} is not a request: it does not begin with a method")]
    Method(String),
    #[error("{0:?} is not a request: it has no target")]
    NoTarget(String),
    #[error("{0:?} is not a request: its target is neither a path nor a URL")]
    Target(String),
    #[error("the line has more than {} KiB", LINE_BYTES_MAX / 1_024)]
    LineTooLong,
    #[error("the last line has no end, and may be cut off: {0:?}")]
    Torn(String),
    #[error("it stands for earlier lines that it does not repeat: {0:?}")]
    RepeatsUnsaid(String),
    #[error("it stands for more than {TIMES_MAX} lines: {0:?}")]
    RepeatsTooMany(String),
    #[error("not a JSON object: {0}")]
    Json(String),
    #[error(
        "a piece of JSON over several lines; write one object per line: `jq -c '.[]' FILE | \
         tally import -` for an array, `jq -c .` for objects"
    )]
    JsonPiece,
    #[error("a JSON array; write one object per line: `jq -c '.[]' FILE | tally import -`")]
    JsonArray,
    #[error("the field {0} occurs twice")]
    Twice(String),
    #[error("{0}")]
    Missing(Box<Missing>),
    #[error("{found} columns, but #Fields: names {named}")]
    Columns { found: usize, named: usize },
    #[error("#Fields: does not name {0}, so this log does not say which requests there were")]
    FieldsMissing(String),
    #[error("the W3C format, but without a #Fields: line before it: {0:?}")]
    NoFields(String),
    #[error("a line of text has no fields, so --where leaves it out: {0:?}")]
    Fieldless(String),
    #[error("differs from --format from here on: {0:?}")]
    NotAsFormat(String),
    #[error("--format can be read in two ways here: {0}")]
    TwoReadings(Box<Two>),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} and {1:?}")]
pub(crate) struct Two(pub(crate) String, pub(crate) String);

/// What an entry lacks, and the names under which it was looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) method: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) time: Option<String>,
}

/// What lines have in common that are malformed for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reason<'a> {
    kind: Discriminant<Malformed>,
    time: Option<BadTime>,
    missing: [bool; 3],
    /// What the JSON parser said, without the position.
    json: &'a str,
}

/// The beginning of a piece of a line, for a message.
pub(crate) fn quote(piece: &[u8]) -> String {
    // Four bytes a character at most.
    let piece = &piece[..piece.len().min(4 * (QUOTED_CHARS_MAX + 1))];
    let text = String::from_utf8_lossy(piece);
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{}\u{2026}", &text[..end]),
        None => text.into_owned(),
    }
}

// === impl Malformed ===

impl Malformed {
    /// Two pieces that cannot be told apart.
    pub(crate) fn two(one: &[u8], two: &[u8]) -> Box<Two> {
        Box::new(Two(quote(one), quote(two)))
    }

    pub(crate) fn time(text: &[u8], why: BadTime) -> Self {
        Self::Time { text: quote(text), why }
    }

    pub(crate) fn reason(&self) -> Reason<'_> {
        let time = match self {
            Self::Time { why, .. } => Some(*why),
            _ => None,
        };
        let json = match self {
            Self::Json(why) => why.split(" at line").next().unwrap_or_default(),
            _ => "",
        };
        let missing = match self {
            Self::Missing(missing) => {
                [&missing.method, &missing.path, &missing.time].map(Option::is_some)
            }
            _ => [false; 3],
        };
        Reason { kind: discriminant(self), time, missing, json }
    }
}

// === impl Missing ===

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = [("method", &self.method), ("path", &self.path), ("time", &self.time)];
        let mut before = "";
        for (what, names) in all {
            if let Some(names) = names {
                write!(f, "{before}no {what} (looked for {names})")?;
                before = ", ";
            }
        }
        f.write_str("; --method-field, --path-field and --time-field name other fields")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_short() {
        assert_eq!(quote("M\u{e4}r".as_bytes()), "M\u{e4}r");
        assert_eq!(quote(b"\xffx"), "\u{fffd}x");
        let long = "\u{1f600}".repeat(1_000);
        assert_eq!(quote(long.as_bytes()).chars().count(), QUOTED_CHARS_MAX + 1);
    }

    #[test]
    fn a_reason_is_the_same_whatever_the_line_says() {
        let month = Malformed::time(b"a", BadTime::Month);
        assert_eq!(month.reason(), Malformed::time(b"b", BadTime::Month).reason());
        assert_ne!(month.reason(), Malformed::time(b"a", BadTime::Date).reason());
        let name = || Some("x".to_owned());
        let one = Malformed::Missing(Box::new(Missing { method: name(), ..Missing::default() }));
        let two = Missing { method: name(), path: name(), time: None };
        let two = Malformed::Missing(Box::new(two));
        assert!(two.to_string().contains("no method (looked for x), no path"), "{two}");
        assert_ne!(one.reason(), two.reason());
        let json = |why: &str| Malformed::Json(why.to_owned());
        assert_eq!(json("a at line 1 column 2").reason(), json("a at line 1 column 3").reason());
        assert_ne!(json("a at line 1 column 2").reason(), json("b at line 1 column 2").reason());
    }
}
