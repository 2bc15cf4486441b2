//! Durations as people write them: `90s`, `15m`, `6h`, `1h30m`, `7d`, `2w`.

use std::time::Duration;

/// 3,660 days: ten years. The longest interval and limit.
pub const MAX: Duration = Duration::from_secs(3_660 * 86_400);

const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{near:?} is not a duration of at most ten years: write whole numbers with s, m, h, d or w, the \
     largest first, as in 90s, 6h or 1h30m"
)]
pub struct Invalid {
    /// The beginning of the text.
    near: String,
}

/// Reads a duration.
///
/// # Errors
/// If a number has no unit, a unit comes twice or after a smaller one, or it is longer than [`MAX`].
pub fn parse(text: &str) -> Result<Duration, Invalid> {
    seconds(text)
        .map(Duration::from_secs)
        .filter(|duration| *duration <= MAX)
        .ok_or_else(|| Invalid { near: crate::text::beginning(text) })
}

fn seconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut seconds: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].chars().next()?;
        let (_, in_seconds) = units.find(|(letter, _)| *letter == unit)?;
        seconds = seconds.checked_add(number.checked_mul(*in_seconds)?)?;
        rest = &rest[digits + 1..];
    }
    (!text.is_empty()).then_some(seconds)
}

/// A duration in the largest unit that divides its whole seconds, but not in weeks: `90s`, `2h`, `14d`.
#[must_use]
pub fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let divides = |(_, unit): &&(char, u64)| seconds > 0 && seconds.is_multiple_of(*unit);
    let (letter, unit) = UNITS[1..].iter().find(divides).unwrap_or(&('s', 1));
    format!("{}{letter}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again() {
        for (text, seconds, again) in [
            ("0s", 0, "0s"),
            ("90s", 90, "90s"),
            ("60s", 60, "1m"),
            ("1h30m", 5_400, "90m"),
            ("1d", 86_400, "1d"),
            ("24h", 86_400, "1d"),
            ("2w", 1_209_600, "14d"),
            ("1w1d1h1m1s", 694_861, "694861s"),
            ("3660d", MAX.as_secs(), "3660d"),
        ] {
            let duration = parse(text).expect(text);
            assert_eq!(duration, Duration::from_secs(seconds), "{text}");
            assert_eq!(shown(duration), again, "{text}");
            assert_eq!(parse(again), Ok(duration), "{again}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        let long = "9".repeat(1 << 16) + "s";
        for text in [
            "",
            " ",
            "5",
            "h",
            "-1h",
            "+1h",
            "1.5h",
            "1 h",
            "1H",
            "1y",
            "1m1h",
            "1h1h",
            "3661d",
            "1µs",
            "99999999999999999999s",
            "18446744073709551615w",
            &long,
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains("as in 90s, 6h or 1h30m") && error.len() < 250, "{error}");
        }
    }
}
