//! Reading access logs and sending what they say, at the speed of the server.
//!
//! A thread of its own reads and parses (`feed`), in chunks, through a bounded channel to
//! the task that sends them (`send`).
//!
//! | file | what it owns |
//! |---|---|
//! | `clf.rs` | Common and Combined Log Format |
//! | `feed.rs` | the thread that turns files into chunks of requests |
//! | `input.rs` | opening files: what is compressed, binary or missing |
//! | `json.rs` | JSON lines, and where their fields are |
//! | `lines.rs` | lines out of bytes, never holding a line over the limit |
//! | `send.rs` | one acknowledged stream after the other |
//! | `target.rs` | request lines and URLs → method and path |
//! | `time.rs` | times, exact to the microsecond |

pub(crate) mod clf;
pub(crate) mod feed;
pub(crate) mod input;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod send;
pub(crate) mod target;
pub(crate) mod time;

use std::borrow::Cow;

use clap::ValueEnum;

use self::json::JsonFields;
use self::lines::LINE_BYTES_MAX;
use self::time::BadTime;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// JSON where a line begins with `{`, and Common Log Format elsewhere
    Auto,
    /// Common or Combined Log Format
    Clf,
    /// JSON lines
    Json,
}

/// How to read a line.
#[derive(Debug, Clone)]
pub(crate) struct Parser {
    pub(crate) format: LogFormat,
    pub(crate) fields: JsonFields,
    pub(crate) keep_query: bool,
}

/// What one line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// The method's number in `count.v1`.
    pub(crate) method: i32,
    pub(crate) path: Cow<'a, str>,
    /// Microseconds since 1970, UTC.
    pub(crate) micros: i64,
}

/// Why a line does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("no time in brackets, as in [17/May/2015:10:05:03 +0000]")]
    NoTime,
    #[error("{0}")]
    Time(BadTime),
    #[error("the time is more than 24 hours ahead")]
    Future,
    #[error("no request in quotes after the time")]
    NoRequest,
    #[error("the quotes of the request are not closed")]
    RequestNotClosed,
    #[error("no status after the request")]
    NoStatus,
    #[error("the request does not begin with a method")]
    Method,
    #[error("the request has no target")]
    NoTarget,
    #[error("the request's target is neither a path nor a URL")]
    Target,
    #[error("the line has more than {LINE_BYTES_MAX} bytes")]
    LineTooLong,
    #[error("not a JSON object: {0}")]
    Json(String),
    #[error("no {what} in it; looked for {names}")]
    Missing { what: &'static str, names: String },
}

// === impl Parser ===

impl Parser {
    /// Reads one line that is not blank. A time after `latest` (microseconds since 1970) is
    /// refused.
    pub(crate) fn parse<'a>(&self, line: &'a [u8], latest: i64) -> Result<Record<'a>, Malformed> {
        let is_json = match self.format {
            LogFormat::Auto => line.trim_ascii_start().starts_with(b"{"),
            LogFormat::Clf => false,
            LogFormat::Json => true,
        };
        let record = if is_json {
            json::parse(line, &self.fields, self.keep_query)?
        } else {
            clf::parse(line, self.keep_query)?
        };
        if record.micros > latest { Err(Malformed::Future) } else { Ok(record) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_decided_line_by_line() {
        let parser =
            Parser { format: LogFormat::Auto, fields: JsonFields::default(), keep_query: false };
        let clf = br#"h - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 1"#;
        let json = br#"  {"method":"GET","path":"/a","time":"2015-05-17T10:05:03Z"}"#;
        let micros = 1_431_857_103_000_000;
        let expected = Ok(Record { method: 3, path: Cow::Borrowed("/a"), micros });
        assert_eq!(parser.parse(clf, micros), expected);
        assert_eq!(parser.parse(json, micros), expected);
        assert_eq!(parser.parse(clf, micros - 1), Err(Malformed::Future));
        let only_clf = Parser { format: LogFormat::Clf, ..parser };
        assert_eq!(only_clf.parse(json, micros), Err(Malformed::NoTime));
    }
}
