//! Texts from strangers, numbers, sizes and ages as people read them, on pages and in terminals.

use jiff::SignedDuration;

/// Whether a character steers a terminal, or reorders or hides text: control characters, and those
/// without a shape of their own (Unicode's `Default_Ignorable_Code_Point`, and a blank of Braille), except
/// variation selectors, which emoji have.
#[must_use]
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}')
}

/// A number with thousands separators: `1,234,567`.
#[must_use]
pub fn thousands(number: impl Into<i128>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    if number < 0 {
        text.push('-');
    }
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in the largest unit of which there is one: `512 B`, `1.5 KiB`, `256.0 MiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let Some(at) = (bytes.max(1).ilog2() / 10).checked_sub(1) else { return format!("{bytes} B") };
    // In tenths, rounded down, so that no size shows as more than there is.
    let tenths = (u128::from(bytes) * 10) >> (10 * (at + 1));
    format!("{}.{} {}", tenths / 10, tenths % 10, units[at as usize])
}

/// How long ago, in the largest unit of which there are two.
#[must_use]
pub fn age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A length of time for people, in its two largest units: `250 ms`, `4.1 s`, `1 min 5 s`, `2 h 3 min`.
#[must_use]
pub fn lasted(duration: SignedDuration) -> String {
    let millis = duration.as_millis();
    let (sign, millis) = (if millis < 0 { "-" } else { "" }, millis.unsigned_abs());
    let of = |large: u128, small: u128| (millis / large, millis % large / small);
    let shown = match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        60_000..3_600_000 => {
            let (minutes, seconds) = of(60_000, 1_000);
            format!("{minutes} min {seconds} s")
        }
        3_600_000..86_400_000 => {
            let (hours, minutes) = of(3_600_000, 60_000);
            format!("{hours} h {minutes} min")
        }
        _ => {
            let (days, hours) = of(86_400_000, 3_600_000);
            format!("{days} d {hours} h")
        }
    };
    format!("{sign}{shown}")
}

/// How much of a text its error repeats.
const REPEATED_CHARS_MAX: usize = 40;

/// The beginning of a text, for its error.
#[must_use]
pub fn beginning(text: &str) -> String {
    text.chars().take(REPEATED_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_shape_is_hidden() {
        for hidden in [
            '\x1b',
            '\u{9b}',
            '\u{115f}',
            '\u{180e}',
            '\u{202e}',
            '\u{206a}',
            '\u{2800}',
            '\u{3164}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{e0041}',
        ] {
            assert!(is_hidden(hidden), "{hidden:?}");
        }
        assert!(!"/a ä \u{1f600} \u{2764}\u{fe0f} سوق 한".contains(is_hidden));
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
            (-123_456, "-123,456"),
            (i64::MIN, "-9,223,372,036,854,775,808"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn sizes_have_the_unit_that_suits_them() {
        for (size, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_535, "1.4 KiB"),
            (256 << 20, "256.0 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn ages_have_the_largest_unit_of_which_there_are_two() {
        let ages = [-1, 119, 120, 7_199, 7_200, 172_799, 172_800];
        assert_eq!(ages.map(age), ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 d"]);
    }

    #[test]
    fn lengths_have_their_two_largest_units() {
        let of = |millis| lasted(SignedDuration::from_millis(millis));
        let lengths = [0, 999, 4_160, 65_000, 7_380_000, 90_000_000, -1_500];
        let shown = ["0 ms", "999 ms", "4.1 s", "1 min 5 s", "2 h 3 min", "1 d 1 h", "-1.5 s"];
        assert_eq!(lengths.map(of), shown);
    }
}
