//! Comma-separated values (RFC 4180), with `\n` line ends.

use std::borrow::Cow;

/// A field, in quotes if it needs them.
pub(crate) fn quoted(field: &str) -> Cow<'_, str> {
    if field.trim() == field && !field.contains(['"', ',', '\n', '\r']) {
        return Cow::Borrowed(field);
    }
    Cow::Owned(format!("\"{}\"", field.replace('"', "\"\"")))
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

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in proptest::collection::vec("[a\",\\r\\n \u{e4}]{0,8}", 1..5)) {
            let line = fields.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(",");
            prop_assert_eq!(read(&line), fields);
        }
    }
}
