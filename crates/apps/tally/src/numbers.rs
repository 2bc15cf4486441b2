//! Numbers as arguments.

use std::fmt::Display;
use std::num::IntErrorKind;
use std::num::ParseIntError;
use std::str::FromStr;

/// Reads a whole number within limits, both included; says what is wrong in words of its own.
pub(crate) fn within<T>(
    low: T,
    high: T,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr<Err = ParseIntError> + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    move |text| match text.parse::<T>() {
        Ok(number) if low <= number && number <= high => Ok(number),
        Err(error) if matches!(error.kind(), IntErrorKind::InvalidDigit | IntErrorKind::Empty) => {
            Err("it is not a whole number".to_owned())
        }
        Ok(_) | Err(_) => Err(format!("it is not between {low} and {high}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let read = within(1_u32, u32::MAX);
        assert_eq!(read("10"), Ok(10));
        for (text, words) in [
            ("ten", "not a whole number"),
            ("", "not a whole number"),
            ("1.5", "not a whole number"),
            ("0", "not between 1 and 4294967295"),
            ("4294967296", "not between 1 and"),
        ] {
            assert!(read(text).is_err_and(|why| why.contains(words)), "{text}");
        }
    }
}
