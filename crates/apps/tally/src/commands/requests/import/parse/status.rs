//! The status of a request, where a line says it.
//!
//! A line without one counts all the same, under the status 0, and so does one whose status is none
//! of HTTP's: servers write `0`, `000` or `-` if there was no answer.

/// The status that this text is; 0 if it is none of HTTP's (RFC 9110, 15).
#[inline]
pub(crate) fn status(text: &[u8]) -> u16 {
    match text {
        [a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            digit(a) * 100 + digit(b) * 10 + digit(c)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_three_digits_and_a_class() {
        for (text, expected) in [("100", 100), ("404", 404), ("499", 499), ("599", 599)] {
            assert_eq!(status(text.as_bytes()), expected);
        }
        for none in ["", "-", "0", "000", "099", "600", "20", "2000", "2e2", "-20", " 200"] {
            assert_eq!(status(none.as_bytes()), 0, "{none}");
        }
    }
}
