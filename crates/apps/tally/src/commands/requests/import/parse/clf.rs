//! Common and Combined Log Format: `host ident user [time] "request" status bytes …`.
//!
//! The format is that of Apache's `mod_log_config` (`%h %l %u %t "%r" %>s %b`), which nginx writes
//! too. What precedes the time or follows the status is ignored. Almost every line is one of these,
//! so reading them is quick; `text` reads the others.

use std::borrow::Cow;

use super::status::status;
use super::target::request_line;
use super::time::parse_clf;
use super::{Entry, Malformed, Reading};

/// Length of `17/May/2015:10:05:03 +0000`.
const TIME_BYTES: usize = 26;

/// Reads one line; `None` if it is another, or malformed as `text` says.
#[inline]
pub(crate) fn parse<'a>(line: &'a [u8], reading: &Reading) -> Option<Entry<'a>> {
    for open in memchr::memchr_iter(b'[', line) {
        // Tries each bracket, because hosts and users may have some. No client can forge the quote
        // after it, which servers escape.
        let inner = &line[open + 1..];
        let Some(rest) = inner.get(TIME_BYTES..).and_then(|rest| rest.strip_prefix(b"] \"")) else {
            continue;
        };
        let Ok(micros) = parse_clf(&inner[..TIME_BYTES]) else { continue };
        let end = closing_quote(rest)?;
        let status = following_status(&rest[end + 1..])?;
        return entry(&rest[..end], status, micros, reading).ok();
    }
    None
}

/// The entry of a request line with escapes.
#[inline]
pub(crate) fn entry<'a>(
    request: &'a [u8],
    status: u16,
    micros: i64,
    reading: &Reading,
) -> Result<Entry<'a>, Malformed> {
    let (method, path) = if memchr::memchr(b'\\', request).is_none() {
        request_line(request, reading.keep_query)?
    } else {
        let request = unescape(request);
        let (method, path) = request_line(&request, reading.keep_query)?;
        (method, Cow::Owned(path.into_owned()))
    };
    Ok(Entry { method, path, status, micros, times: 1 })
}

/// The position of the first quote without a backslash before it.
pub(crate) fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', text.get(from..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        from = at + 2;
    }
}

/// The status that follows, if three digits or `-` do.
#[inline]
pub(crate) fn following_status(text: &[u8]) -> Option<u16> {
    let (code, rest) = match text {
        [b' ', a, b, c, rest @ ..] if [a, b, c].iter().all(|byte| byte.is_ascii_digit()) => {
            (status(&[*a, *b, *c]), rest)
        }
        [b' ', b'-', rest @ ..] => (0, rest),
        _ => return None,
    };
    matches!(rest, [] | [b' ', ..]).then_some(code)
}

/// Undoes the escapes of Apache and nginx. Any other backslash stays, because other servers escape
/// nothing.
pub(crate) fn unescape(text: &[u8]) -> Vec<u8> {
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

pub(crate) fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tally_proto::count::v1::Method;

    use super::*;

    const MICROS: i64 = 1_431_857_103_000_000;

    fn read(line: &str) -> Option<(i32, String, i64)> {
        let entry = parse(line.as_bytes(), &Reading::default())?;
        Some((entry.method, entry.path.into_owned(), entry.micros))
    }

    fn path_of(request: &str) -> Option<String> {
        let line = format!("192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"{request}\" 200 1");
        read(&line).map(|(_, path, _)| path)
    }

    #[test]
    fn common_and_combined() {
        let get = Some((Method::Get as i32, "/a".to_owned(), MICROS));
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
    fn the_status_is_what_follows_the_request() {
        for (rest, status) in
            [("200 17", 200), ("304 -", 304), ("499", 499), ("- 0", 0), ("000 0", 0), ("999 5", 0)]
        {
            let line = format!("h - - [17/May/2015:10:05:03 +0000] \"GET /a HTTP/1.1\" {rest}");
            let entry = parse(line.as_bytes(), &Reading::default()).expect("a line");
            assert_eq!(entry.status, status, "{line}");
        }
    }

    #[test]
    fn escapes_are_undone() {
        for (request, path) in [
            (r#"GET /a\"b HTTP/1.1"#, "/a\"b"),
            (r"GET /a\\ HTTP/1.1", "/a\\"),
            (r"GET /a\x22\xc3\xa4\xFF HTTP/1.1", "/a\"\u{e4}%FF"),
            (r"GET /a\tb\q\x4 HTTP/1.1", "/a\tb\\q\\x4"),
            (r"GET /a\x00 HTTP/1.1", "/a\0"),
        ] {
            assert_eq!(path_of(request).as_deref(), Some(path), "{request}");
        }
        assert_eq!(path_of(r"\x16\x03\x01"), None);
    }

    #[test]
    fn a_time_that_a_client_sent_as_its_name_is_not_taken() {
        let forged = "[17/May/2014:10:05:03 +0000]";
        let line = format!("h - {forged} [17/May/2015:10:05:03 +0000] \"GET /a HTTP/1.1\" 200 1");
        assert_eq!(read(&line).map(|(.., micros)| micros), Some(MICROS));
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
            prop_assert_eq!(path_of(&request), Some(format!("/{expected}")));
        }

        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(&line, &Reading::default());
        }

        #[test]
        fn no_damage_panics(at in 0..90_usize, byte in any::<u8>(), cut in 0..90_usize) {
            let mut line = b"192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"GET /a\\x20b HTTP/1.1\" 200 17 \"-\" \"agent\"".to_vec();
            if let Some(place) = line.get_mut(at) {
                *place = byte;
            }
            let _ = parse(&line, &Reading::default());
            let _ = parse(&line[..cut.min(line.len())], &Reading::default());
        }
    }
}
