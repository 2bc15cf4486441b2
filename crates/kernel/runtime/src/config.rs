//! Settings whose mistakes are collected and reported at once.
//!
//! A command line parser stops at the first value that it cannot read, but someone who sets a server
//! up for the first time wants to hear of all mistakes at once. So a setting is read as [`Given`],
//! which never fails, and [`Problems`] collects the mistakes before the server starts.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::num::{IntErrorKind, ParseIntError};
use std::ops::RangeInclusive;
use std::str::{FromStr, ParseBoolError};
use std::time::Duration;

/// A setting as it was written, and what it means if it means anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given<T> {
    text: String,
    value: Result<T, String>,
}

/// What is wrong with the settings: one line for each.
#[derive(Debug, Default)]
pub struct Problems(Vec<String>);

/// Settings were wrong; prints one line for each mistake.
#[derive(Debug, thiserror::Error)]
pub struct Invalid(Vec<String>);

// === impl Given ===

impl<T: FromStr> FromStr for Given<T>
where
    T::Err: fmt::Display + 'static,
{
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let value = text.trim().parse().map_err(|error: T::Err| words(&error));
        Ok(Self { text: text.to_owned(), value })
    }
}

impl<T> fmt::Display for Given<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How messages call a setting: `--rows-max (TALLY_ROWS_MAX)` for `rows-max`.
pub fn name(flag: &str) -> String {
    format!("--{flag} (TALLY_{})", flag.to_uppercase().replace('-', "_"))
}

/// What is wrong, in words for people: the standard library's are for programmers.
pub fn words(error: &(impl fmt::Display + 'static)) -> String {
    let any: &dyn Any = error;
    if let Some(error) = any.downcast_ref::<ParseIntError>() {
        return match error.kind() {
            IntErrorKind::PosOverflow => "it is too large",
            IntErrorKind::Empty => "it is empty, and a whole number is needed",
            _ => "it is not a whole number",
        }
        .to_owned();
    }
    if any.is::<ParseBoolError>() {
        return "it is neither true nor false".to_owned();
    }
    format!("{error:#}")
}

// === impl Problems ===

impl Problems {
    /// Nothing is wrong yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a mistake.
    pub fn add(&mut self, line: impl Into<String>) {
        self.0.push(line.into());
    }

    /// The value of a setting; a mistake is noted under the setting's name.
    pub fn take<T: Clone>(&mut self, name: &str, given: &Given<T>) -> Option<T> {
        self.take_secret(&format!("{name}: \u{201c}{}\u{201d}", given.text), given)
    }

    /// The same for a setting whose text may hold a secret and is not repeated.
    pub fn take_secret<T: Clone>(&mut self, name: &str, given: &Given<T>) -> Option<T> {
        let value = given.value.clone();
        value.map_err(|reason| self.add(format!("{name}: {reason}"))).ok()
    }

    /// The value of a setting that must lie within limits. A wrong one becomes the lower limit,
    /// which is harmless because [`Problems::check`] fails.
    pub fn within<T>(&mut self, name: &str, given: &Given<T>, limits: RangeInclusive<T>) -> T
    where
        T: Copy + PartialOrd + fmt::Display,
    {
        let (low, high) = (*limits.start(), *limits.end());
        match self.take(name, given) {
            Some(value) if limits.contains(&value) => value,
            Some(value) => {
                self.add(format!(
                    "{name}: \u{201c}{value}\u{201d}: must be between {low} and {high}"
                ));
                low
            }
            None => low,
        }
    }

    /// A duration of at most an hour.
    pub fn ms(&mut self, name: &str, given: &Given<u64>) -> Duration {
        const HOUR_MS: u64 = 60 * 60 * 1000;
        Duration::from_millis(self.within(name, given, 0..=HOUR_MS))
    }

    /// Fails if a mistake was noted.
    pub fn check(self) -> Result<(), Invalid> {
        if self.0.is_empty() { Ok(()) } else { Err(Invalid(self.0)) }
    }
}

// === impl Invalid ===

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "a setting is wrong: {one}"),
            many => {
                write!(f, "{} settings are wrong:", many.len())?;
                many.iter().try_for_each(|line| write!(f, "\n  {line}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let reason = |value: Result<u8, String>| value.expect_err("wrong");
        for (text, words) in [
            ("", "it is empty, and a whole number is needed"),
            ("-1", "it is not a whole number"),
            ("1e3", "it is not a whole number"),
            ("256", "it is too large"),
        ] {
            let given: Given<u8> = text.parse().expect("never fails");
            assert_eq!(reason(given.value), words, "{text}");
        }
        let given: Given<bool> = "yes".parse().expect("never fails");
        assert_eq!(given.value, Err("it is neither true nor false".to_owned()));
    }

    #[test]
    fn every_mistake_is_reported_by_name() {
        let mut problems = Problems::new();
        let rows: Given<u32> = "many".parse().expect("never fails");
        let workers: Given<u32> = "99".parse().expect("never fails");
        let fine: Given<u32> = " 7 ".parse().expect("never fails");
        problems.within("--queue-rows-max", &rows, 1..=10);
        problems.within("--workers", &workers, 1..=16);
        assert_eq!(problems.within("--fine", &fine, 1..=10), 7);
        let text = problems.check().expect_err("two mistakes").to_string();
        assert!(text.starts_with("2 settings are wrong:"), "{text}");
        assert!(text.contains("--queue-rows-max: \u{201c}many\u{201d}"), "{text}");
        assert!(text.contains("\u{201c}many\u{201d}: it is not a whole number"), "{text}");
        assert!(text.contains("--workers: \u{201c}99\u{201d}: must be between 1 and 16"), "{text}");
    }
}
