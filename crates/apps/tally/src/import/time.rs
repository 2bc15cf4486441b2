//! Times as logs write them, read exactly: microseconds since 1970, UTC.

/// Microseconds in a second.
pub(crate) const SECOND_US: i64 = 1_000_000;

/// 0001-01-01T00:00:00Z, the earliest time that a protobuf timestamp can say.
const MICROS_MIN: i64 = -62_135_596_800 * SECOND_US;

/// 9999-12-31T23:59:59.999999Z, the latest.
const MICROS_MAX: i64 = 253_402_300_800 * SECOND_US - 1;

/// Digits of a number that are kept. More than any time needs: 20 before the point, and 6.
const DIGITS_MAX: usize = 30;

/// An exponent beyond this cannot be a time.
const EXPONENT_MAX: i64 = 1_000;

/// Why a text is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTime {
    #[error("the time is not in a known form")]
    Form,
    #[error("the time has no offset from UTC")]
    NoOffset,
    #[error("there is no such date")]
    Date,
    #[error("there is no such time of day")]
    TimeOfDay,
    #[error("there is no such offset from UTC")]
    Offset,
    #[error("the time is outside the years 1 to 9999")]
    Range,
}

/// Reads the time of the Common Log Format, `17/May/2015:10:05:03 +0000`.
pub(crate) fn parse_clf(text: &[u8]) -> Result<i64, BadTime> {
    let text: &[u8; 26] = text.try_into().map_err(|_| BadTime::Form)?;
    let separators = [(2, b'/'), (6, b'/'), (11, b':'), (14, b':'), (17, b':'), (20, b' ')];
    if separators.iter().any(|&(at, byte)| text[at] != byte) {
        return Err(BadTime::Form);
    }
    let month = match [text[3], text[4], text[5]].map(|byte| byte.to_ascii_lowercase()) {
        [b'j', b'a', b'n'] => 1,
        [b'f', b'e', b'b'] => 2,
        [b'm', b'a', b'r'] => 3,
        [b'a', b'p', b'r'] => 4,
        [b'm', b'a', b'y'] => 5,
        [b'j', b'u', b'n'] => 6,
        [b'j', b'u', b'l'] => 7,
        [b'a', b'u', b'g'] => 8,
        [b's', b'e', b'p'] => 9,
        [b'o', b'c', b't'] => 10,
        [b'n', b'o', b'v'] => 11,
        [b'd', b'e', b'c'] => 12,
        _ => return Err(BadTime::Date),
    };
    let day = two(&text[0..2])?;
    let year = two(&text[7..9])? * 100 + two(&text[9..11])?;
    let clock = time_of_day(two(&text[12..14])?, two(&text[15..17])?, two(&text[18..20])?, 0)?;
    let offset = offset(text[21], two(&text[22..24])?, two(&text[24..26])?)?;
    in_range(days(year, month, day)? * 86_400 * SECOND_US + clock - offset)
}

/// Reads a time that was written as text: RFC 3339 (with a `T` or a space, `Z` or an offset
/// with or without its colon), the Common Log Format's, or a number in quotes.
pub(crate) fn parse_text(text: &str) -> Result<i64, BadTime> {
    let text = text.trim();
    let bytes = text.as_bytes();
    match bytes {
        [_, _, b'/', ..] => parse_clf(bytes),
        [_, _, _, _, b'-', ..] if bytes[0] != b'-' => parse_rfc3339(bytes),
        _ => parse_number(text),
    }
}

fn parse_rfc3339(text: &[u8]) -> Result<i64, BadTime> {
    let (head, rest) = text.split_at_checked(19).ok_or(BadTime::Form)?;
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, byte)| head[at] != byte)
        || !matches!(head[10], b'T' | b't' | b' ')
    {
        return Err(BadTime::Form);
    }
    let (fraction, zone) = match rest {
        [b'.' | b',', digits @ ..] => {
            let end = digits.iter().position(|byte| !byte.is_ascii_digit());
            digits.split_at(end.unwrap_or(digits.len()))
        }
        _ => (&[][..], rest),
    };
    if fraction.is_empty() && rest.starts_with(b".") {
        return Err(BadTime::Form);
    }
    let micros = (0..6).fold(0, |micros, at| {
        micros * 10 + fraction.get(at).map_or(0, |digit| i64::from(digit - b'0'))
    });
    let offset = match zone {
        [] => return Err(BadTime::NoOffset),
        [b'Z' | b'z'] => 0,
        &[sign, h1, h2, b':', m1, m2] | &[sign, h1, h2, m1, m2] => {
            offset(sign, two(&[h1, h2])?, two(&[m1, m2])?)?
        }
        &[sign, h1, h2] => offset(sign, two(&[h1, h2])?, 0)?,
        _ => return Err(BadTime::Offset),
    };
    let year = two(&head[0..2])? * 100 + two(&head[2..4])?;
    let day = days(year, two(&head[5..7])?, two(&head[8..10])?)?;
    let clock = time_of_day(two(&head[11..13])?, two(&head[14..16])?, two(&head[17..19])?, micros)?;
    in_range(day * 86_400 * SECOND_US + clock - offset)
}

/// Reads a time that was written as a decimal number, without rounding it through a float.
///
/// The unit follows from the digits before the point: up to 11 are seconds (to the year
/// 5138), 12 to 14 milliseconds (from March 1973), 15 to 17 microseconds, 18 to 20
/// nanoseconds. What is finer than a microsecond is cut off, towards the past.
pub(crate) fn parse_number(text: &str) -> Result<i64, BadTime> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let decimal = Decimal::parse(unsigned).ok_or(BadTime::Form)?;
    let shift = match decimal.integer_digits() {
        ..=11 => 6,
        12..=14 => 3,
        15..=17 => 0,
        18..=20 => -3,
        _ => return Err(BadTime::Range),
    };
    let (micros, exact) = decimal.scaled(shift).ok_or(BadTime::Range)?;
    in_range(if negative { -micros - i64::from(!exact) } else { micros })
}

/// A decimal number: `digits` × 10^`exponent`, with digits cut off beyond the 30th.
struct Decimal {
    digits: i128,
    length: i64,
    exponent: i64,
    exact: bool,
}

// === impl Decimal ===

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        if exponent.abs() > EXPONENT_MAX {
            return None;
        }
        let exponent = exponent - i64::try_from(fraction.len()).ok()?;
        let mut number = Self { digits: 0, length: 0, exponent, exact: true };
        for byte in whole.bytes().chain(fraction.bytes()) {
            number.push(byte - b'0');
        }
        Some(number)
    }

    fn push(&mut self, digit: u8) {
        if self.length >= DIGITS_MAX as i64 {
            self.exponent += 1;
            self.exact &= digit == 0;
        } else if self.length > 0 || digit > 0 {
            self.digits = self.digits * 10 + i128::from(digit);
            self.length += 1;
        }
    }

    /// How many digits are before the point, leading zeros aside; 0 for less than one.
    fn integer_digits(&self) -> i64 {
        if self.length == 0 { 0 } else { (self.length + self.exponent).max(0) }
    }

    /// The number × 10^`shift`, cut off to an integer, and whether nothing was cut off.
    fn scaled(&self, shift: i64) -> Option<(i64, bool)> {
        let exponent = self.exponent + shift;
        if self.length == 0 {
            return Some((0, self.exact));
        }
        if exponent >= 0 {
            let factor = 10_i128.checked_pow(u32::try_from(exponent).ok()?)?;
            return Some((i64::try_from(self.digits.checked_mul(factor)?).ok()?, self.exact));
        }
        if -exponent > self.length {
            return Some((0, false));
        }
        let divisor = 10_i128.checked_pow(u32::try_from(-exponent).ok()?)?;
        let quotient = i64::try_from(self.digits / divisor).ok()?;
        Some((quotient, self.exact && self.digits % divisor == 0))
    }
}

fn two(digits: &[u8]) -> Result<i64, BadTime> {
    match digits {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            Ok(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        _ => Err(BadTime::Form),
    }
}

/// Microseconds since midnight. A leap second, `:60`, is the last microsecond before it.
fn time_of_day(hour: i64, minute: i64, second: i64, micros: i64) -> Result<i64, BadTime> {
    if hour > 23 || minute > 59 || second > 60 {
        return Err(BadTime::TimeOfDay);
    }
    let (second, micros) = if second == 60 { (59, SECOND_US - 1) } else { (second, micros) };
    Ok(((hour * 60 + minute) * 60 + second) * SECOND_US + micros)
}

/// Microseconds east of UTC.
fn offset(sign: u8, hours: i64, minutes: i64) -> Result<i64, BadTime> {
    if hours > 23 || minutes > 59 {
        return Err(BadTime::Offset);
    }
    let micros = (hours * 60 + minutes) * 60 * SECOND_US;
    match sign {
        b'+' => Ok(micros),
        b'-' => Ok(-micros),
        _ => Err(BadTime::Offset),
    }
}

/// Days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: i64, day: i64) -> Result<i64, BadTime> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return Err(BadTime::Date),
    };
    if day < 1 || day > length {
        return Err(BadTime::Date);
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Ok(era * 146_097 + day_of_era - 719_468)
}

fn in_range(micros: i64) -> Result<i64, BadTime> {
    if (MICROS_MIN..=MICROS_MAX).contains(&micros) { Ok(micros) } else { Err(BadTime::Range) }
}

#[cfg(test)]
mod tests {
    use jiff::civil::Date;
    use jiff::{Timestamp, ToSpan as _};
    use proptest::prelude::*;

    use super::*;

    const NOON: i64 = 1_431_857_103 * SECOND_US;

    #[test]
    fn common_log_times() {
        assert_eq!(parse_clf(b"17/May/2015:10:05:03 +0000"), Ok(NOON));
        assert_eq!(parse_clf(b"17/May/2015:12:35:03 +0230"), Ok(NOON));
        assert_eq!(parse_clf(b"16/May/2015:22:05:03 -1200"), Ok(NOON));
        assert_eq!(parse_clf(b"31/Feb/2015:10:05:03 +0000"), Err(BadTime::Date));
        assert_eq!(parse_clf(b"00/Jan/2015:10:05:03 +0000"), Err(BadTime::Date));
        assert_eq!(parse_clf(b"17/Mai/2015:10:05:03 +0000"), Err(BadTime::Date));
        assert_eq!(parse_clf(b"17/May/2015:25:05:03 +0000"), Err(BadTime::TimeOfDay));
        assert_eq!(parse_clf(b"17/May/2015:10:05:61 +0000"), Err(BadTime::TimeOfDay));
        assert_eq!(parse_clf(b"17/May/2015:10:05:03 +2400"), Err(BadTime::Offset));
        assert_eq!(parse_clf(b"17/May/2015:10:05:03 00000"), Err(BadTime::Offset));
        assert_eq!(parse_clf(b"17/May/2015 10:05:03 +0000"), Err(BadTime::Form));
        assert_eq!(parse_clf(b"17/May/2015:10:05:03"), Err(BadTime::Form));
        assert_eq!(parse_clf(b"01/Jan/0000:10:05:03 +0000"), Err(BadTime::Range));
    }

    #[test]
    fn a_leap_second_stays_in_its_day() {
        let midnight = parse_clf(b"01/Jul/2015:00:00:00 +0000").expect("a time");
        assert_eq!(parse_clf(b"30/Jun/2015:23:59:60 +0000"), Ok(midnight - 1));
        assert_eq!(parse_text("2015-06-30T23:59:60.25Z"), Ok(midnight - 1));
    }

    #[test]
    fn rfc_3339_times() {
        for text in [
            "2015-05-17T10:05:03Z",
            "2015-05-17t10:05:03z",
            "2015-05-17 12:05:03+02:00",
            "2015-05-17T12:05:03+0200",
            "2015-05-17T12:05:03+02",
            "2015-05-17T10:05:03.000000999Z",
        ] {
            assert_eq!(parse_text(text), Ok(NOON), "{text}");
        }
        assert_eq!(parse_text("2015-05-17T10:05:03.1234567Z"), Ok(NOON + 123_456));
        assert_eq!(parse_text("2015-05-17T10:05:03,5Z"), Ok(NOON + 500_000));
        assert_eq!(parse_text("2015-05-17T10:05:03"), Err(BadTime::NoOffset));
        assert_eq!(parse_text("2015-05-17T10:05:03.Z"), Err(BadTime::Form));
        assert_eq!(parse_text("2015-02-30T10:05:03Z"), Err(BadTime::Date));
        assert_eq!(parse_text("2015-05-17T10:05:03+2:00"), Err(BadTime::Form));
        assert_eq!(parse_text("2015-05-17T10:05:03+02:000"), Err(BadTime::Offset));
        assert_eq!(parse_text("2015-05-17"), Err(BadTime::Form));
        assert_eq!(parse_text("yesterday"), Err(BadTime::Form));
        assert_eq!(parse_text(""), Err(BadTime::Form));
    }

    #[test]
    fn numbers_say_their_unit_by_their_size() {
        assert_eq!(parse_number("1431857103"), Ok(NOON));
        assert_eq!(parse_number("1431857103000"), Ok(NOON));
        assert_eq!(parse_number("1431857103000000"), Ok(NOON));
        assert_eq!(parse_number("1431857103000000000"), Ok(NOON));
        assert_eq!(parse_number("1431857103.123456789"), Ok(NOON + 123_456));
        assert_eq!(parse_number("1431857103123.456789"), Ok(NOON + 123_456));
        assert_eq!(parse_number("1.431857103e9"), Ok(NOON));
        assert_eq!(parse_number("1431857103000000000e-9"), Ok(NOON));
        assert_eq!(parse_number("0"), Ok(0));
        assert_eq!(parse_number("0.000001"), Ok(1));
        assert_eq!(parse_number("-0.0000001"), Ok(-1));
        assert_eq!(parse_number("-1.5"), Ok(-1_500_000));
        assert_eq!(parse_number("1e-900"), Ok(0));
        assert_eq!(parse_number("999999999999999999999"), Err(BadTime::Range));
        assert_eq!(parse_number("1e900"), Err(BadTime::Range));
        for junk in ["", "-", "+1", ".5", "1_000", "0x10", "NaN", "1e", "--1", "1e99999999999"] {
            assert_eq!(parse_number(junk), Err(BadTime::Form), "{junk}");
        }
    }

    proptest! {
        #[test]
        fn every_civil_time_agrees_with_jiff(
            micros in MICROS_MIN + 86_400 * SECOND_US..MICROS_MAX - 86_400 * SECOND_US,
            minutes in -23 * 60 - 59_i64..=23 * 60 + 59,
        ) {
            let whole = micros.div_euclid(SECOND_US) * SECOND_US;
            let utc = Timestamp::from_microsecond(micros).expect("in range");
            let local = utc.checked_add(minutes.minutes()).expect("in range");
            let local = local.to_zoned(jiff::tz::TimeZone::UTC);
            let sign = if minutes < 0 { '-' } else { '+' };
            let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
            let iso = local.strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string();
            prop_assert_eq!(parse_text(&format!("{iso}{sign}{hours:02}:{rest:02}")), Ok(micros));
            let clf = local.strftime("%d/%b/%Y:%H:%M:%S").to_string();
            let clf = format!("{clf} {sign}{hours:02}{rest:02}");
            prop_assert_eq!(parse_clf(clf.as_bytes()), Ok(whole));
        }

        #[test]
        fn a_date_is_taken_exactly_when_it_exists(year in 1..=9999_i16, month in 0..=13_i8, day in 0..=32_i8) {
            let text = format!("{year:04}-{month:02}-{day:02}T00:00:00Z");
            prop_assert_eq!(parse_text(&text).is_ok(), Date::new(year, month, day).is_ok());
        }

        #[test]
        fn numbers_are_exact(micros in 100_000_000_000_000..100_000_000_000_000_000_i64, cut in 0..1000_u16) {
            let (seconds, rest) = (micros / SECOND_US, micros % SECOND_US);
            prop_assert_eq!(parse_number(&format!("{seconds}.{rest:06}")), Ok(micros));
            prop_assert_eq!(parse_number(&format!("{seconds}.{rest:06}{cut:03}")), Ok(micros));
            prop_assert_eq!(parse_number(&format!("{micros}")), Ok(micros));
            prop_assert_eq!(parse_number(&format!("{}e-9", i128::from(micros) * 1000)), Ok(micros));
            prop_assert_eq!(parse_number(&format!("{seconds}{rest:06}{cut:03}")), Ok(micros));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}", bytes in proptest::collection::vec(any::<u8>(), 26)) {
            let _ = parse_text(&text);
            let _ = parse_number(&text);
            let _ = parse_clf(&bytes);
        }
    }
}
