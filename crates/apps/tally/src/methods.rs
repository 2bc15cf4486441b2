//! Method names and their numbers in `count.v1`.

use std::borrow::Cow;

use tally_proto::count::v1::Method;

/// Every method that has a name and a meaning, for messages.
const KNOWN: [Method; 10] = [
    Method::Connect,
    Method::Delete,
    Method::Get,
    Method::Head,
    Method::Options,
    Method::Patch,
    Method::Post,
    Method::Put,
    Method::Trace,
    Method::Grpc,
];

/// Methods that `count.v1` has no names for, with the numbers that Tally counts them under. They
/// are those of the IANA's registry of HTTP methods and some that proxies and devices have of
/// their own. Numbers are never changed or used again; new methods come at the end.
const FURTHER: [(&str, i32); 48] = [
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

/// The number of a method token as it stands in an HTTP request, in upper or lower case. One that
/// has none is `METHOD_UNSPECIFIED`: clients may send anything.
pub(crate) fn number_of_token(token: &[u8]) -> i32 {
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
        _ if token.iter().any(u8::is_ascii_lowercase) => {
            return number_of_token(&token.to_ascii_uppercase());
        }
        _ => return further(token).unwrap_or(Method::Unspecified as i32),
    };
    method as i32
}

fn further(token: &[u8]) -> Option<i32> {
    FURTHER.iter().find(|(name, _)| name.as_bytes() == token).map(|&(_, number)| number)
}

/// Whether these bytes can be a method: an HTTP token (RFC 9110, 5.6.2) with a letter in it,
/// since log formats write `-` for a method that is not known.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    let mut letter = false;
    for &byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' => letter = true,
            b'0'..=b'9'
            | b'!'
            | b'#'..=b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'..=b'`'
            | b'|'
            | b'~' => {}
            _ => return false,
        }
    }
    letter
}

/// Reads a method argument: a name in any case, or a number.
pub(crate) fn parse(text: &str) -> Result<i32, String> {
    if let Ok(number) = text.parse::<i32>() {
        return Ok(number);
    }
    let upper = text.to_ascii_uppercase();
    if matches!(upper.as_str(), "UNSPECIFIED" | "METHOD_UNSPECIFIED") {
        return Ok(Method::Unspecified as i32);
    }
    match Method::from_str_name(&upper).map(|method| method as i32).or(further(upper.as_bytes())) {
        Some(number) => Ok(number),
        None => Err(format!(
            "not a method; known are {}, others such as PROPFIND and PURGE, and numbers",
            known()
        )),
    }
}

/// The name of a method: `UNSPECIFIED` for 0, and the number itself where it has no name.
pub(crate) fn name(number: i32) -> Cow<'static, str> {
    match Method::try_from(number) {
        Ok(Method::Unspecified) => Cow::Borrowed("UNSPECIFIED"),
        Ok(method) => Cow::Borrowed(method.as_str_name()),
        Err(_) => match FURTHER.iter().find(|(_, further)| *further == number) {
            Some((name, _)) => Cow::Borrowed(name),
            None => Cow::Owned(number.to_string()),
        },
    }
}

fn known() -> String {
    KNOWN.map(|method| method.as_str_name()).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_understood_and_printed() {
        for method in KNOWN {
            let name = method.as_str_name();
            assert_eq!(parse(name), Ok(method as i32));
            assert_eq!(parse(&name.to_lowercase()), Ok(method as i32));
            assert_eq!(number_of_token(name.as_bytes()), method as i32);
            assert_eq!(super::name(method as i32), name);
        }
        assert_eq!(parse("42"), Ok(42));
        assert_eq!(parse("unspecified"), Ok(0));
        assert_eq!(name(0), "UNSPECIFIED");
        assert_eq!(name(42), "42");
        assert_eq!(name(-1), "-1");
    }

    #[test]
    fn further_methods_are_kept_apart() {
        for (at, (name, number)) in FURTHER.into_iter().enumerate() {
            assert_eq!(number, 101 + i32::try_from(at).expect("few"), "{name}: numbers only grow");
            assert!(Method::try_from(number).is_err(), "{name} has a name in count.v1");
            assert!(is_token(name.as_bytes()) && Method::from_str_name(name).is_none(), "{name}");
            assert_eq!(number_of_token(name.as_bytes()), number);
            assert_eq!(number_of_token(name.to_lowercase().as_bytes()), number);
            assert_eq!(parse(&name.to_lowercase()), Ok(number));
            assert_eq!(super::name(number), name);
        }
        assert_eq!(number_of_token(b"get"), Method::Get as i32);
        assert_eq!(number_of_token(b"PATCHp"), Method::Unspecified as i32);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = parse("FETCH").expect_err("unknown");
        assert!(message.contains("DELETE") && message.contains("PATCH"), "{message}");
    }

    #[test]
    fn tokens_are_told_from_junk() {
        assert!(is_token(b"PROPFIND"));
        assert!(is_token(b"VERSION-CONTROL"));
        for junk in [&b""[..], b"-", b"\x16\x03\x01", b"G\xffT", b"GET\"", b"123"] {
            assert!(!is_token(junk), "{junk:?}");
        }
    }
}
