//! Comma-separated values (RFC 4180), with `\n` at the end of a line.

/// Appends a field; quoted if it must be.
pub(crate) fn push_field(line: &mut Vec<u8>, field: &str) {
    let special = field.bytes().any(|byte| matches!(byte, b'"' | b',' | b'\n' | b'\r'));
    if !special && field.trim() == field {
        line.extend_from_slice(field.as_bytes());
        return;
    }
    line.push(b'"');
    for byte in field.bytes() {
        if byte == b'"' {
            line.push(b'"');
        }
        line.push(byte);
    }
    line.push(b'"');
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

    fn quoted(field: &str) -> String {
        let mut line = Vec::new();
        push_field(&mut line, field);
        String::from_utf8(line).expect("text")
    }

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
            let mut line = Vec::new();
            for (at, field) in fields.iter().enumerate() {
                if at > 0 {
                    line.push(b',');
                }
                push_field(&mut line, field);
            }
            prop_assert_eq!(read(&String::from_utf8(line).expect("text")), fields);
        }
    }
}
