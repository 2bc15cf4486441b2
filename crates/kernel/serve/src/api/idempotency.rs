//! The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07).

use http::{HeaderMap, HeaderName};
use tally_producers::KEY_BYTES_MAX;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The key of a request, if it has one: a string as RFC 9651 has it, in quotation marks, or the same
/// without them.
///
/// # Errors
/// What is wrong with it, to be said of the header.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, String> {
    let mut all = headers.get_all(KEY).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err("it is given twice".to_owned());
    }
    let odd = || "it may have the visible characters of ASCII only".to_owned();
    let text = value.to_str().map_err(|_| odd())?;
    let key = match text.strip_prefix('"') {
        Some(rest) => unquoted(rest).ok_or("its quotation marks do not match")?,
        None if text.bytes().all(|byte| byte.is_ascii_graphic()) => text.to_owned(),
        None => return Err(odd()),
    };
    if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
        let len = key.len();
        return Err(format!("it has {len} characters, and 1 to {KEY_BYTES_MAX} are allowed"));
    }
    Ok(Some(key))
}

/// What is between quotation marks, the first of which is gone.
fn unquoted(rest: &str) -> Option<String> {
    let mut key = String::new();
    let mut all = rest.chars();
    loop {
        match all.next()? {
            '"' => return all.next().is_none().then_some(key),
            '\\' => key.push(all.next().filter(|next| ['"', '\\'].contains(next))?),
            // Header values have no other control character.
            '\t' => return None,
            one => key.push(one),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(KEY, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        idempotency_key(&headers)
    }

    #[test]
    fn a_key_is_the_same_with_and_without_quotation_marks() {
        assert_eq!(read(&[]), Ok(None));
        let longest = "x".repeat(255);
        for (value, key) in [
            ("abc", "abc"),
            ("\"abc\"", "abc"),
            ("\"a \\\"b\\\\\"", "a \"b\\"),
            ("a\"b", "a\"b"),
            (&longest, &longest),
        ] {
            assert_eq!(read(&[value]), Ok(Some(key.to_owned())), "{value}");
        }
        let long = "x".repeat(256);
        for value in
            ["", "\"\"", "a b", "é", "\"é\"", "\"a", "\"a\"b", "\"a\\b\"", "\"a\tb\"", &long]
        {
            assert!(read(&[value]).is_err(), "{value}");
        }
        assert!(read(&["a", "a"]).is_err());
    }
}
