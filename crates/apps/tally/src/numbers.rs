//! Numbers as arguments.

use std::fmt::Display;
use std::num::ParseIntError;
use std::str::FromStr;

use tally_runtime::config::words;

/// Reads a whole number within limits, both inclusive.
pub(crate) fn within<T>(
    low: T,
    high: T,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr<Err = ParseIntError> + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    move |text| match text.parse::<T>() {
        Ok(number) if low <= number && number <= high => Ok(number),
        Ok(_) => Err(format!("must be between {low} and {high}")),
        Err(error) => Err(words(&error)),
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
            ("ten", "it is not a whole number"),
            ("", "it is empty, and a whole number is needed"),
            ("1.5", "it is not a whole number"),
            ("0", "must be between 1 and 4294967295"),
            ("4294967296", "it is too large"),
        ] {
            assert_eq!(read(text), Err(words.to_owned()), "{text}");
        }
    }
}
