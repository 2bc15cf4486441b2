//! Methods as people write and read them.

use std::borrow::Cow;

use tally_proto::count::v1::Method;
use tally_proto::methods;
pub use tally_proto::methods::number_of_token;

/// Whether these bytes can be a method: an HTTP token (RFC 9110, 5.6.2) with a letter in it,
/// because log formats write `-` for an unknown method.
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    let is_char = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    bytes.iter().all(is_char) && bytes.iter().any(u8::is_ascii_alphabetic)
}

/// Reads a name in any case, or a number.
///
/// # Errors
/// In words for people, with the names that are known.
pub fn parse(text: &str) -> Result<i32, String> {
    if let Ok(number) = text.parse::<i32>() {
        return Ok(number);
    }
    let upper = text.to_ascii_uppercase();
    if matches!(upper.as_str(), "UNSPECIFIED" | "METHOD_UNSPECIFIED") {
        return Ok(Method::Unspecified as i32);
    }
    match methods::number_of_token(upper.as_bytes()) {
        number if number != Method::Unspecified as i32 => Ok(number),
        _ => Err(format!(
            "not a method; known are {}, others such as PROPFIND and PURGE, and numbers",
            known().collect::<Vec<_>>().join(", ")
        )),
    }
}

/// The name of a method; `UNSPECIFIED` for 0, and the number if it has no name.
#[must_use]
pub fn name(number: i32) -> Cow<'static, str> {
    match methods::name(number) {
        _ if number == Method::Unspecified as i32 => Cow::Borrowed("UNSPECIFIED"),
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(number.to_string()),
    }
}

/// Reads a method as series have it: known names in any case, others as they are, numbers without a name
/// as digits; empty for `UNSPECIFIED`.
///
/// # Errors
/// As of [`parse`].
pub fn of_series(text: &str) -> Result<String, String> {
    match parse(text) {
        Ok(number) if number == Method::Unspecified as i32 => Ok(String::new()),
        Ok(number) => Ok(name(number).into_owned()),
        Err(_) if is_token(text.as_bytes()) => Ok(text.to_owned()),
        Err(error) => Err(error),
    }
}

/// The names of `count.v1`, for messages.
fn known() -> impl Iterator<Item = &'static str> {
    (1..methods::FURTHER[0].1).filter_map(methods::name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_understood_and_printed() {
        for known in known() {
            let number = parse(known).expect(known);
            assert_eq!(parse(&known.to_lowercase()), Ok(number));
            assert_eq!((number_of_token(known.as_bytes()), &*name(number)), (number, known));
        }
        assert_eq!(parse("42"), Ok(42));
        assert_eq!(parse("unspecified"), Ok(0));
        assert_eq!(name(0), "UNSPECIFIED");
        assert_eq!(name(42), "42");
        assert_eq!(name(-1), "-1");
    }

    #[test]
    fn further_methods_are_understood_and_printed() {
        for (name, number) in methods::FURTHER {
            assert!(is_token(name.as_bytes()), "{name}");
            assert_eq!(parse(&name.to_lowercase()), Ok(number));
            assert_eq!(super::name(number), name);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = parse("FETCH").expect_err("unknown");
        assert!(message.contains("DELETE") && message.contains("PATCH"), "{message}");
    }

    #[test]
    fn a_method_is_written_as_series_have_it() {
        for (text, method) in [
            ("get", "GET"),
            ("PROPFIND", "PROPFIND"),
            ("UNSPECIFIED", ""),
            ("0", ""),
            ("3", "GET"),
            ("4200", "4200"),
            ("-1", "-1"),
            ("Frobnicate", "Frobnicate"),
        ] {
            assert_eq!(of_series(text).as_deref(), Ok(method));
        }
        assert!(of_series("a b").expect_err("no token").contains("PATCH"));
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
