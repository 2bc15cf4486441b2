//! HTTP methods, and the numbers and texts that they are counted under.

use std::borrow::Cow;

use crate::count::v1::Method;

/// Methods that `count.v1` has no names for, with the numbers that Tally counts them under. They
/// are those of the IANA's registry of HTTP methods and some that proxies and devices have of
/// their own. Numbers are never changed or used again; new methods come at the end.
pub const FURTHER: [(&str, i32); 48] = [
    ("PROPFIND", 101),
    ("PROPPATCH", 102),
    ("MKCOL", 103),
    ("COPY", 104),
    ("MOVE", 105),
    ("LOCK", 106),
    ("UNLOCK", 107),
    ("SEARCH", 108),
    ("REPORT", 109),
    ("QUERY", 110),
    ("ACL", 111),
    ("BASELINE-CONTROL", 112),
    ("BIND", 113),
    ("CHECKIN", 114),
    ("CHECKOUT", 115),
    ("LABEL", 116),
    ("LINK", 117),
    ("MERGE", 118),
    ("MKACTIVITY", 119),
    ("MKCALENDAR", 120),
    ("MKREDIRECTREF", 121),
    ("MKWORKSPACE", 122),
    ("ORDERPATCH", 123),
    ("PRI", 124),
    ("REBIND", 125),
    ("UNBIND", 126),
    ("UNCHECKOUT", 127),
    ("UNLINK", 128),
    ("UPDATE", 129),
    ("UPDATEREDIRECTREF", 130),
    ("VERSION-CONTROL", 131),
    ("PURGE", 132),
    ("BAN", 133),
    ("REFRESH", 134),
    ("NOTIFY", 135),
    ("SUBSCRIBE", 136),
    ("UNSUBSCRIBE", 137),
    ("M-SEARCH", 138),
    ("SOURCE", 139),
    ("POLL", 140),
    ("BCOPY", 141),
    ("BDELETE", 142),
    ("BMOVE", 143),
    ("BPROPFIND", 144),
    ("BPROPPATCH", 145),
    ("RPC_IN_DATA", 146),
    ("RPC_OUT_DATA", 147),
    ("DEBUG", 148),
];

/// The number of a method token as it stands in an HTTP request, in upper or lower case: that of
/// `count.v1`, or one of [`FURTHER`]. One that has none is `METHOD_UNSPECIFIED`, because clients may
/// send anything.
#[must_use]
pub fn number_of_token(token: &[u8]) -> i32 {
    let method = match token {
        b"GET" => Method::Get,
        b"POST" => Method::Post,
        b"HEAD" => Method::Head,
        b"PUT" => Method::Put,
        b"DELETE" => Method::Delete,
        b"OPTIONS" => Method::Options,
        b"PATCH" => Method::Patch,
        b"CONNECT" => Method::Connect,
        b"TRACE" => Method::Trace,
        b"GRPC" => Method::Grpc,
        _ => return further(token).unwrap_or(Method::Unspecified as i32),
    };
    method as i32
}

/// The name of a method: that of `count.v1`, or of [`FURTHER`]; `None` for a number without one.
#[must_use]
pub fn name(number: i32) -> Option<&'static str> {
    match Method::try_from(number) {
        Ok(method) => Some(method.as_str_name()),
        Err(_) => FURTHER.iter().find(|(_, further)| *further == number).map(|&(name, _)| name),
    }
}

/// The text of a method in a `Series`: its [`name`], the digits of a number without one, or nothing
/// for `METHOD_UNSPECIFIED`.
#[must_use]
pub fn text(number: i32) -> Cow<'static, str> {
    match name(number) {
        _ if number == Method::Unspecified as i32 => Cow::Borrowed(""),
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(number.to_string()),
    }
}

/// The number of a [`text`]. One that has none is `METHOD_UNSPECIFIED`.
#[must_use]
pub fn number_of_text(text: &str) -> i32 {
    text.parse().unwrap_or_else(|_| number_of_token(text.as_bytes()))
}

/// What is not in upper case as `count.v1` has it.
#[cold]
fn further(token: &[u8]) -> Option<i32> {
    if token.iter().any(u8::is_ascii_lowercase) {
        return Some(number_of_token(&token.to_ascii_uppercase()));
    }
    FURTHER.iter().find(|(name, _)| name.as_bytes() == token).map(|&(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_number_in_any_case() {
        let listed = (0..=100).filter_map(|number| Some((name(number)?, number)));
        let listed = listed.filter(|(_, number)| *number != Method::Unspecified as i32);
        for (name, number) in listed.chain(FURTHER) {
            assert_eq!(number_of_token(name.as_bytes()), number, "{name}");
            assert_eq!(number_of_token(name.to_lowercase().as_bytes()), number, "{name}");
            assert_eq!(super::name(number), Some(name));
        }
        for unknown in [&b""[..], b"FETCH", b"PATCHp", b"GE", b"METHOD_UNSPECIFIED", b"\xff"] {
            assert_eq!(number_of_token(unknown), 0, "{unknown:?}");
        }
        assert_eq!((name(42), name(-1), name(149)), (None, None, None));
    }

    #[test]
    fn every_number_has_a_text() {
        for (number, expected) in [
            (0, ""),
            (3, "GET"),
            (100, "GRPC"),
            (101, "PROPFIND"),
            (42, "42"),
            (i32::MIN, "-2147483648"),
        ] {
            assert_eq!(text(number), expected);
            assert_eq!(number_of_text(expected), number);
        }
        for unknown in ["FETCH", "2147483648", "-", "METHOD_UNSPECIFIED"] {
            assert_eq!(number_of_text(unknown), 0, "{unknown}");
        }
    }

    #[test]
    fn further_numbers_only_grow() {
        for (at, (name, number)) in FURTHER.into_iter().enumerate() {
            assert_eq!(number, 101 + i32::try_from(at).expect("few"), "{name}");
            assert!(Method::try_from(number).is_err(), "{name} has a name in count.v1");
            assert!(Method::from_str_name(name).is_none(), "{name}");
        }
    }
}
