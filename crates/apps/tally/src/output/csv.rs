//! Comma-separated values (RFC 4180), with `\n` at the end of a line.

use std::borrow::Cow;

/// A field, in quotes if it needs them.
pub(crate) fn quoted(field: &str) -> Cow<'_, str> {
    if field.trim() == field && !field.contains(['"', ',', '\n', '\r']) {
        return Cow::Borrowed(field);
    }
    Cow::Owned(format!("\"{}\"", field.replace('"', "\"\"")))
}

/// Appends a number. An answer has hundreds of thousands, and `write!` takes several times longer.
pub(crate) fn push_number(line: &mut Vec<u8>, number: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).expect("one digit");
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        line.push(b'-');
    }
    line.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_must_be_is_quoted() {
        assert_eq!(quoted("/a b"), "/a b");
        assert_eq!(quoted(""), "");
        assert_eq!(quoted("/a,b"), "\"/a,b\"");
        assert_eq!(quoted("/\"a\""), "\"/\"\"a\"\"\"");
        assert_eq!(quoted("/a\nb"), "\"/a\nb\"");
        assert_eq!(quoted(" a"), "\" a\"");
    }

    /// Reads fields as RFC 4180 says.
    fn read(line: &str) -> Vec<String> {
        let mut fields = vec![String::new()];
        let mut characters = line.chars().peekable();
        let mut inside = false;
        while let Some(character) = characters.next() {
            let field = fields.last_mut().expect("one field at least");
            match character {
                '"' if inside && characters.next_if_eq(&'"').is_some() => field.push('"'),
                '"' => inside = !inside,
                ',' if !inside => fields.push(String::new()),
                _ => field.push(character),
            }
        }
        assert!(!inside, "{line}");
        fields
    }

    #[test]
    fn the_ends_of_the_numbers_are_printed() {
        for number in [0, 9, 10, i64::MAX, i64::MIN] {
            let mut line = Vec::new();
            push_number(&mut line, number);
            assert_eq!(line, number.to_string().as_bytes());
        }
    }

    proptest! {
        #[test]
        fn numbers_are_printed_as_always(number: i64, digits in 0_u32..64) {
            let number = number >> digits;
            let mut line = Vec::new();
            push_number(&mut line, number);
            prop_assert_eq!(String::from_utf8(line).expect("text"), number.to_string());
        }

        #[test]
        fn what_is_written_is_read(fields in proptest::collection::vec("[a\",\\r\\n \u{e4}]{0,8}", 1..5)) {
            let line = fields.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(",");
            prop_assert_eq!(read(&line), fields);
        }
    }
}
