//! Mends JSON that nginx wrote without `escape=json`, or Apache by a JSON-like `LogFormat`.
//!
//! | written | meant |
//! |---|---|
//! | `\xHH` in a string | the byte, as nginx and Apache escape it |
//! | a control character in a string | itself |
//! | `:,` `:-,` `:}` | null: a variable that is not set |
//! | `,}` | `}` |

use std::fmt::Write as _;

use super::clf::hex;
use super::target::utf8;

/// The JSON that was meant; `None` if nothing can be mended.
pub(crate) fn mend(text: &str) -> Option<String> {
    let mut mended = String::with_capacity(text.len() + 16);
    let mut changed = false;
    let mut rest = text;
    while let Some(quote) = rest.find('"') {
        push_between(&mut mended, &rest[..quote], &mut changed);
        let content = &rest[quote + 1..];
        let end = end_of_string(content)?;
        mended.push('"');
        push_string(&mut mended, &content[..end], &mut changed);
        mended.push('"');
        rest = &content[end + 1..];
    }
    push_between(&mut mended, rest, &mut changed);
    changed.then_some(mended)
}

fn end_of_string(content: &str) -> Option<usize> {
    let mut escaped = false;
    content.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// Pushes what stands between strings: punctuation, numbers and words.
fn push_between(mended: &mut String, text: &str, changed: &mut bool) {
    let mut rest = text;
    while let Some(at) = rest.find([',', ':']) {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        mended.push_str(before);
        let value = after.trim_start();
        let next = value.strip_prefix('-').unwrap_or(value).trim_start();
        rest = match rest.as_bytes()[at] {
            b',' if value.starts_with('}') => {
                *changed = true;
                after
            }
            b':' if next.starts_with([',', '}']) => {
                *changed = true;
                mended.push_str(":null");
                next
            }
            separator => {
                mended.push(char::from(separator));
                after
            }
        };
    }
    mended.push_str(rest);
}

/// Pushes the content of a string, escaped as JSON.
fn push_string(mended: &mut String, content: &str, changed: &mut bool) {
    if !content.contains("\\x") && !content.bytes().any(|byte| byte < 0x20) {
        mended.push_str(content);
        return;
    }
    *changed = true;
    let bytes = content.as_bytes();
    // The bytes between other escapes: several may be one character.
    let mut plain = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match bytes[at..] {
            [b'\\', b'x', high, low, ..] if let (Some(high), Some(low)) = (hex(high), hex(low)) => {
                plain.push(high << 4 | low);
                at += 4;
            }
            [b'\\', next, ..] if next.is_ascii() && next != b'x' => {
                flush(mended, &mut plain);
                mended.push('\\');
                mended.push(char::from(next));
                at += 2;
            }
            _ => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    flush(mended, &mut plain);
}

fn flush(mended: &mut String, plain: &mut Vec<u8>) {
    for character in utf8(plain).chars() {
        match character {
            '"' | '\\' => mended.extend(['\\', character]),
            character if (character as u32) < 0x20 => {
                let _ = write!(mended, "\\u{:04x}", character as u32);
            }
            character => mended.push(character),
        }
    }
    plain.clear();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_nginx_meant() {
        for (text, meant) in [
            (r#"{"a":"Tab\x22 \x5Cx"}"#, r#"{"a":"Tab\" \\x"}"#),
            (r#"{"a":"\xC3\xA4 \xE4\x00"}"#, "{\"a\":\"\u{e4} %E4\\u0000\"}"),
            (r#"{"a":"\x22\n\"\u00e4"}"#, r#"{"a":"\"\n\"\u00e4"}"#),
            ("{\"a\":\"\t\0\"}", "{\"a\":\"\\u0009\\u0000\"}"),
            (r#"{"a":,"b": -,"c":-}"#, r#"{"a":null,"b":null,"c":null}"#),
            (r#"{"a":-1,"b":2, }"#, r#"{"a":-1,"b":2 }"#),
        ] {
            assert_eq!(mend(text).as_deref(), Some(meant), "{text}");
        }
        for text in [
            r#"{"a":"b"}"#,
            r#"{"a":"b"#,
            "{",
            r#"{"a":"\ud83d"}"#,
            r#"{} {}"#,
            r#"{"a":1} {"b":2}"#,
        ] {
            assert_eq!(mend(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn good_json_stays(text in "\\PC{0,20}", number: i32) {
            let json = serde_json::json!({ "a": text, "b": [number, null], "c": { "d": text } }).to_string();
            if !json.contains("\\x") {
                prop_assert_eq!(mend(&json), None, "{}", json);
            }
        }

        #[test]
        fn what_nginx_escapes_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..30)) {
            let escaped: String = bytes.iter().map(|&byte| match byte {
                b'"' | b'\\' | 0..=0x1f | 0x7f.. => format!("\\x{byte:02X}"),
                _ => char::from(byte).to_string(),
            }).collect();
            let json = format!("{{\"a\":\"{escaped}\",\"b\":}}");
            let mended = mend(&json).expect("a value is missing");
            let value: serde_json::Value = serde_json::from_str(&mended).expect("JSON");
            prop_assert_eq!(value["a"].as_str(), Some(&*utf8(&bytes)));
        }

        #[test]
        fn no_text_panics(text in "[{}\",:\\\\x0-9a\u{e4}\t-]{0,40}") {
            let _ = mend(&text);
        }
    }
}
