//! The method and path of a request line or a logged URL.

use std::borrow::Cow;
use std::fmt::Write as _;

use tally_proto::count::v1::Method;

use super::Malformed;
use super::malformed::quote;
use crate::commands::requests::methods;

const UNSPECIFIED: i32 = Method::Unspecified as i32;
const CONNECT: i32 = Method::Connect as i32;

/// Reads `GET /path?query HTTP/1.1`, or without the version as in HTTP/0.9. The target is a path, a
/// URL, `*`, or the `host:port` of CONNECT.
pub(crate) fn request_line(
    line: &[u8],
    keep_query: bool,
) -> Result<(i32, Cow<'_, str>), Malformed> {
    let (method, rest) = match memchr::memchr(b' ', line) {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &[][..]),
    };
    // Known methods are tokens.
    let number = methods::number_of_token(method);
    if number == UNSPECIFIED && !methods::is_token(method) {
        return Err(Malformed::Method(quote(line)));
    }
    let target = match memchr::memrchr(b' ', rest) {
        Some(at) if rest[at + 1..].starts_with(b"HTTP/") => &rest[..at],
        _ => rest,
    };
    let target = target.trim_ascii();
    let connect = number == CONNECT;
    let known = match target {
        [] => return Err(Malformed::NoTarget(quote(line))),
        [b'/' | b'?', ..] | b"*" => true,
        _ => connect || after_scheme(target).is_some(),
    };
    if !known {
        return Err(Malformed::Target(quote(line)));
    }
    Ok((number, path(target, connect, keep_query)))
}

/// Whether this is a request line with its version, which nothing else resembles.
pub(crate) fn is_whole_request_line(line: &[u8]) -> bool {
    let version = memchr::memrchr(b' ', line).map(|at| &line[at + 1..]);
    version.is_some_and(|version| {
        version.strip_prefix(b"HTTP/").is_some_and(|number| {
            matches!(number, [b'0'..=b'9'] | [b'0'..=b'9', b'.', b'0'..=b'9'])
        })
    }) && request_line(line, false).is_ok()
}

/// Reads a field that holds only a method.
pub(crate) fn method(text: &[u8]) -> Result<i32, Malformed> {
    if !methods::is_token(text) {
        return Err(Malformed::Method(quote(text)));
    }
    Ok(methods::number_of_token(text))
}

/// CONNECT asks for a host and a port, not a URL.
pub(crate) fn is_connect(method: &[u8]) -> bool {
    method.eq_ignore_ascii_case(b"CONNECT")
}

/// The path of a target, without scheme and host and, unless kept, the query; `/` if nothing is
/// left.
pub(crate) fn path(target: &[u8], connect: bool, keep_query: bool) -> Cow<'_, str> {
    let end = memchr::memchr(b'?', target).unwrap_or(target.len());
    let (mut path, query) = target.split_at(end);
    if !connect && let Some(rest) = after_scheme(path) {
        let slash = memchr::memchr(b'/', rest).unwrap_or(rest.len());
        path = &rest[slash..];
    }
    let path = if path.is_empty() { b"/" } else { path };
    let path = utf8(path);
    if keep_query && !query.is_empty() { path + utf8(query) } else { path }
}

/// Text with `%XX` for each byte that is not UTF-8, so that such paths stay different.
pub(crate) fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    Cow::Owned(text)
}

/// What follows `scheme://`, if the target begins with one (RFC 3986, 3.1).
fn after_scheme(target: &[u8]) -> Option<&[u8]> {
    if !target.first()?.is_ascii_alphabetic() {
        return None;
    }
    let colon = target
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')))?;
    target[colon..].strip_prefix(b"://")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tally_proto::count::v1::Method;

    use super::*;

    fn read(line: &[u8]) -> Result<(i32, String), Malformed> {
        request_line(line, false).map(|(method, path)| (method, path.into_owned()))
    }

    #[test]
    fn targets_in_every_form() {
        for (line, method, path) in [
            (&b"GET /a/b?c=d HTTP/1.1"[..], Method::Get, "/a/b"),
            (b"POST / HTTP/2.0", Method::Post, "/"),
            (b"GET /old", Method::Get, "/old"),
            (b"GET /with space HTTP/1.1", Method::Get, "/with space"),
            (b"GET http://host:80/a?b HTTP/1.1", Method::Get, "/a"),
            (b"GET https://host HTTP/1.1", Method::Get, "/"),
            (b"GET http://host?a=/b HTTP/1.1", Method::Get, "/"),
            (b"GET /http://host/a HTTP/1.1", Method::Get, "/http://host/a"),
            (b"GET ?a=b HTTP/1.1", Method::Get, "/"),
            (b"OPTIONS * HTTP/1.1", Method::Options, "*"),
            (b"CONNECT host:443 HTTP/1.1", Method::Connect, "host:443"),
            (b"PATCHp /dav HTTP/1.1", Method::Unspecified, "/dav"),
            (b"get / HTTP/1.1", Method::Get, "/"),
            (b"PATCH /a HTTP/1.1", Method::Patch, "/a"),
            (b"GET /\xff\xc3\xa4 HTTP/1.1", Method::Get, "/%FF\u{e4}"),
        ] {
            let shown = line.escape_ascii();
            assert_eq!(read(line), Ok((method as i32, path.to_owned())), "{shown}");
        }
    }

    #[test]
    fn junk_is_refused() {
        let quoted = |line: &[u8]| quote(line);
        for line in [&b"-"[..], b"", b"\x16\x03\x01\x02 /"] {
            assert_eq!(read(line), Err(Malformed::Method(quoted(line))));
        }
        for line in [&b"HELP"[..], b"GET  HTTP/1.1"] {
            assert_eq!(read(line), Err(Malformed::NoTarget(quoted(line))));
        }
        let line = b"SSH-2.0-Client here";
        assert_eq!(read(line), Err(Malformed::Target(quoted(line))));
    }

    #[test]
    fn a_whole_request_line_has_its_version() {
        for line in [&b"GET / HTTP/1.1"[..], b"get http://h/a b HTTP/3", b"OPTIONS * HTTP/2.0"] {
            assert!(is_whole_request_line(line), "{}", line.escape_ascii());
        }
        for line in [
            &b"GET /"[..],
            b"curl HTTP/1.1",
            b"GET / HTTP/",
            b"GET / HTTP/1.1x",
            b"Mozilla/5.0 (X11)",
        ] {
            assert!(!is_whole_request_line(line), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn the_query_is_kept_on_request() {
        let kept = |line| request_line(line, true).map(|(_, path)| path.into_owned());
        assert_eq!(kept(b"GET /a?b=c HTTP/1.1"), Ok("/a?b=c".to_owned()));
        assert_eq!(kept(b"GET http://host?b HTTP/1.1"), Ok("/?b".to_owned()));
        assert_eq!(kept(b"GET /a HTTP/1.1"), Ok("/a".to_owned()));
    }

    proptest! {
        #[test]
        fn distinct_bytes_stay_distinct(
            one in proptest::collection::vec(0x80..=0xff_u8, 0..6),
            two in proptest::collection::vec(0x80..=0xff_u8, 0..6),
        ) {
            prop_assert_eq!(utf8(&one) == utf8(&two), one == two);
        }

        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok((_, path)) = request_line(&line, true) {
                prop_assert!(!path.is_empty());
            }
        }
    }
}
