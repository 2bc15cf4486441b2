//! Common and Combined Log Format: `host ident user [time] "request" status bytes …`.
//!
//! The format is the one of Apache's `mod_log_config` (`%h %l %u %t "%r" %>s %b`), which
//! nginx writes too. What stands before the time and after the status is not looked at.

use std::borrow::Cow;

use super::target::request_line;
use super::time::{BadTime, parse_clf};
use super::{Malformed, Record};

/// Length of `17/May/2015:10:05:03 +0000`.
const TIME_BYTES: usize = 26;

/// Reads one line, without its end.
pub(crate) fn parse(line: &[u8], keep_query: bool) -> Result<Record<'_>, Malformed> {
    let (micros, rest) = time(line)?;
    let rest = rest.strip_prefix(b"\"").ok_or(Malformed::NoRequest)?;
    let end = closing_quote(rest).ok_or(Malformed::RequestNotClosed)?;
    if !is_status(&rest[end + 1..]) {
        return Err(Malformed::NoStatus);
    }
    let request = &rest[..end];
    let (method, path) = if memchr::memchr(b'\\', request).is_none() {
        request_line(request, keep_query)?
    } else {
        let request = unescape(request);
        let (method, path) = request_line(&request, keep_query)?;
        (method, Cow::Owned(path.into_owned()))
    };
    Ok(Record { method, path, micros })
}

/// The time, and what follows `] `. A host may be in brackets too, and a user may be
/// anything, so each bracket is tried.
fn time(line: &[u8]) -> Result<(i64, &[u8]), Malformed> {
    let mut failure = Malformed::NoTime;
    for open in memchr::memchr_iter(b'[', line) {
        let inner = &line[open + 1..];
        if inner.get(TIME_BYTES..).is_some_and(|rest| rest.starts_with(b"] ")) {
            match parse_clf(&inner[..TIME_BYTES]) {
                Ok(micros) => return Ok((micros, &inner[TIME_BYTES + 2..])),
                Err(BadTime::Form) => {}
                Err(reason) => failure = Malformed::Time(reason),
            }
        }
    }
    Err(failure)
}

/// Where the quote is that ends the request: the first one without a backslash before it.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', text.get(from..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        from = at + 2;
    }
}

/// Whether a status of three digits follows, or `-`.
fn is_status(text: &[u8]) -> bool {
    match text {
        [b' ', a, b, c, rest @ ..] if [a, b, c].iter().all(|byte| byte.is_ascii_digit()) => {
            matches!(rest, [] | [b' ', ..])
        }
        [b' ', b'-', rest @ ..] => matches!(rest, [] | [b' ', ..]),
        _ => false,
    }
}

/// Undoes the escapes that Apache and nginx write. A backslash that begins none of them
/// stays, since other servers escape nothing.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        plain.extend_from_slice(&rest[..at]);
        let (byte, length) = match rest[at + 1..] {
            [b'x', high, low, ..] => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => (high << 4 | low, 4),
                _ => (b'\\', 1),
            },
            [byte @ (b'"' | b'\\'), ..] => (byte, 2),
            [b'n', ..] => (b'\n', 2),
            [b'r', ..] => (b'\r', 2),
            [b't', ..] => (b'\t', 2),
            [b'v', ..] => (0x0b, 2),
            [b'b', ..] => (0x08, 2),
            _ => (b'\\', 1),
        };
        plain.push(byte);
        rest = &rest[at + length..];
    }
    plain.extend_from_slice(rest);
    plain
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tally_proto::count::v1::Method;

    use super::*;

    const MICROS: i64 = 1_431_857_103_000_000;

    fn read(line: &str) -> Result<(i32, String, i64), Malformed> {
        let record = parse(line.as_bytes(), false)?;
        Ok((record.method, record.path.into_owned(), record.micros))
    }

    fn path_of(request: &str) -> Result<String, Malformed> {
        let line = format!("192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"{request}\" 200 1");
        read(&line).map(|(_, path, _)| path)
    }

    #[test]
    fn common_and_combined() {
        let get = Ok((Method::Get as i32, "/a".to_owned(), MICROS));
        for line in [
            r#"192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 17"#,
            r#"192.0.2.1 - - [17/May/2015:12:05:03 +0200] "GET /a?b HTTP/1.1" 304 -"#,
            r#"2001:db8::1 - anna [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 17 "-" "agent""#,
            r#"[2001:db8::1] - a [b] [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 17"#,
            r#"host:80 192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /a" - 0"#,
            r#"h - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 1 "a\"b" "c [d] \" e""#,
        ] {
            assert_eq!(read(line), get, "{line}");
        }
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(path_of(r#"GET /a\"b HTTP/1.1"#), Ok("/a\"b".to_owned()));
        assert_eq!(path_of(r"GET /a\\ HTTP/1.1"), Ok("/a\\".to_owned()));
        assert_eq!(path_of(r"GET /a\x22\xc3\xa4\xFF HTTP/1.1"), Ok("/a\"\u{e4}%FF".to_owned()));
        assert_eq!(path_of(r"GET /a\tb\q\x4 HTTP/1.1"), Ok("/a\tb\\q\\x4".to_owned()));
        assert_eq!(path_of(r"GET /a\x00 HTTP/1.1"), Ok("/a\0".to_owned()));
        assert_eq!(path_of(r"\x16\x03\x01"), Err(Malformed::Method));
    }

    #[test]
    fn what_is_not_a_line_is_refused() {
        let time = "h - - [17/May/2015:10:05:03 +0000]";
        assert_eq!(read("free text"), Err(Malformed::NoTime));
        assert_eq!(read("h - - [yesterday] \"GET / HTTP/1.1\" 200 1"), Err(Malformed::NoTime));
        let february = "h - - [31/Feb/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1";
        assert_eq!(read(february), Err(Malformed::Time(BadTime::Date)));
        assert_eq!(read(&format!("{time} GET / 200 1")), Err(Malformed::NoRequest));
        assert_eq!(read(&format!("{time} \"GET /torn")), Err(Malformed::RequestNotClosed));
        assert_eq!(read(&format!("{time} \"GET /torn\\")), Err(Malformed::RequestNotClosed));
        assert_eq!(read(&format!("{time} \"GET /\"")), Err(Malformed::NoStatus));
        assert_eq!(read(&format!("{time} \"GET /\" 20")), Err(Malformed::NoStatus));
        assert_eq!(read(&format!("{time} \"-\" 400 0")), Err(Malformed::Method));
    }

    /// Writes a request as Apache does.
    fn escape(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, &byte| match byte {
            b'"' | b'\\' => text + "\\" + &char::from(byte).to_string(),
            b'\n' => text + "\\n",
            0x20..=0x7e => text + &char::from(byte).to_string(),
            _ => text + &format!("\\x{byte:02x}"),
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes in proptest::collection::vec(1..=255_u8, 0..40)) {
            prop_assume!(!bytes.contains(&b'?'));
            let expected = super::super::target::utf8(&bytes).trim_ascii_end().to_owned();
            let request = format!("GET /{} HTTP/1.1", escape(&bytes));
            prop_assert_eq!(path_of(&request), Ok(format!("/{expected}")));
        }

        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(&line, false);
        }

        #[test]
        fn no_damage_panics(at in 0..90_usize, byte in any::<u8>(), cut in 0..90_usize) {
            let mut line = b"192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"GET /a\\x20b HTTP/1.1\" 200 17 \"-\" \"agent\"".to_vec();
            if let Some(place) = line.get_mut(at) {
                *place = byte;
            }
            let _ = parse(&line, false);
            let _ = parse(&line[..cut.min(line.len())], true);
        }
    }
}
