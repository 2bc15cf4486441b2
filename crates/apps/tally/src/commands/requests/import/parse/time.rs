//! Reads times in logs exactly: microseconds since 1970, UTC.

#[cfg(test)]
mod tests;
mod zone;

use tally_proto::wire::{DAY_MICROS, MICROS};

pub(crate) use self::zone::Zone;

pub(crate) const SECOND_US: i64 = 1_000_000;

/// 2001-09-09T01:46:40Z: a billion seconds.
const PLAUSIBLE_MIN: i64 = 1_000_000_000 * SECOND_US;

/// How many digits of a number are kept; a time needs 20 before the point and 6 after it.
const DIGITS_MAX: usize = 30;

const EXPONENT_MAX: i64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTime {
    #[error("it is in no known form; known are RFC 3339, the Common Log Format's, and numbers")]
    Form,
    #[error("a number counts from 2001-09-09 on, in s, ms, \u{b5}s or ns since 1970")]
    Implausible,
    #[error("it has no offset from UTC; say its zone, as in --tz UTC or --tz Europe/Berlin")]
    NoOffset,
    #[error("its month is none of Jan, Feb, Mar, Apr, May, Jun, Jul, Aug, Sep, Oct, Nov, Dec")]
    Month,
    #[error("there is no such date")]
    Date,
    #[error("there is no such time of day")]
    TimeOfDay,
    #[error("there is no such offset from UTC")]
    Offset,
    #[error("it is outside the years 1 to 9999")]
    Range,
    #[error("clocks were set there, so that the zone does not have it, or has it on two days")]
    Clocks,
}

/// Reads the time of the Common Log Format, `17/May/2015:10:05:03 +0000`.
pub(crate) fn parse_clf(text: &[u8]) -> Result<i64, BadTime> {
    let text: &[u8; 26] = text.try_into().map_err(|_| BadTime::Form)?;
    let separators = [(2, b'/'), (6, b'/'), (11, b':'), (14, b':'), (17, b':'), (20, b' ')];
    if separators.iter().any(|&(at, byte)| text[at] != byte) {
        return Err(BadTime::Form);
    }
    let month = month([text[3], text[4], text[5]])?;
    let day = two(&text[0..2])?;
    let year = two(&text[7..9])? * 100 + two(&text[9..11])?;
    let clock = time_of_day(two(&text[12..14])?, two(&text[15..17])?, two(&text[18..20])?, 0)?;
    let offset = offset(text[21], two(&text[22..24])?, two(&text[24..26])?)?;
    in_range(days(year, month, day)? * DAY_MICROS + clock - offset)
}

/// Reads RFC 3339 (with a `T` or a space, `Z` or an offset with or without a colon, dashes or
/// slashes in the date), the Common Log Format's time, or a number.
pub(crate) fn parse_text(text: &str) -> Result<i64, BadTime> {
    let text = text.trim();
    match parse_date_and_time(text.as_bytes(), None) {
        Err(BadTime::Form) => parse_number(text),
        result => result,
    }
}

/// Reads a field of a log, perhaps in brackets, like [`parse_text`], but only plausible numbers.
pub(crate) fn parse_logged(text: &str, zone: Option<&Zone>) -> Result<i64, BadTime> {
    let text = text.trim();
    let text = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match parse_date_and_time(text.as_bytes(), zone) {
        // A number before 2001-09-09, such as 0.003, is a duration or a count.
        Err(BadTime::Form) => match parse_number(text)? {
            micros if micros < PLAUSIBLE_MIN => Err(BadTime::Implausible),
            micros => Ok(micros),
        },
        result => result,
    }
}

/// Reads RFC 3339, or the Common Log Format's time and its variants; all else is [`BadTime::Form`].
pub(crate) fn parse_date_and_time(text: &[u8], zone: Option<&Zone>) -> Result<i64, BadTime> {
    match text {
        [_, b'/', ..] | [_, _, b'/', ..] => parse_clf_like(text, zone),
        [_, _, _, _, b'-' | b'/', ..] if text[0] != b'-' => parse_rfc3339(text, zone),
        _ => Err(BadTime::Form),
    }
}

/// Variants of the Common Log Format's time: a day without its zero, a space before the hour, a
/// fraction of a second, a colon in the offset, no offset.
fn parse_clf_like(text: &[u8], zone: Option<&Zone>) -> Result<i64, BadTime> {
    let mut date = text.splitn(3, |&byte| byte == b'/');
    let (Some(day), Some(name), Some(rest)) = (date.next(), date.next(), date.next()) else {
        return Err(BadTime::Form);
    };
    let day = match day {
        &[ones] => two(&[b'0', ones])?,
        _ => two(day)?,
    };
    let [y1, y2, y3, y4, b':' | b' ', h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = rest else {
        return Err(BadTime::Form);
    };
    let year = two(&[*y1, *y2])? * 100 + two(&[*y3, *y4])?;
    let (hour, minute, second) = (two(&[*h1, *h2])?, two(&[*m1, *m2])?, two(&[*s1, *s2])?);
    let (micros, offset) = fraction_and_offset(rest)?;
    let month = match *name {
        [one, two, three] => month([one, two, three])?,
        _ => return Err(BadTime::Month),
    };
    let clock = time_of_day(hour, minute, second, micros)?;
    to_utc(days(year, month, day)? * DAY_MICROS + clock, offset, zone)
}

fn parse_rfc3339(text: &[u8], zone: Option<&Zone>) -> Result<i64, BadTime> {
    let (head, rest) = text.split_at_checked(19).ok_or(BadTime::Form)?;
    let separators = [(13, b':'), (16, b':')];
    if separators.iter().any(|&(at, byte)| head[at] != byte)
        || head[4] != head[7]
        || !matches!(head[10], b'T' | b't' | b' ')
    {
        return Err(BadTime::Form);
    }
    let (micros, offset) = fraction_and_offset(rest)?;
    let year = two(&head[0..2])? * 100 + two(&head[2..4])?;
    let day = days(year, two(&head[5..7])?, two(&head[8..10])?)?;
    let clock = time_of_day(two(&head[11..13])?, two(&head[14..16])?, two(&head[17..19])?, micros)?;
    to_utc(day * DAY_MICROS + clock, offset, zone)
}

/// Reads what may follow the seconds: a fraction, and an offset from UTC.
fn fraction_and_offset(rest: &[u8]) -> Result<(i64, Option<i64>), BadTime> {
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
    let offset = match zone.trim_ascii_start() {
        [] => None,
        [b'Z' | b'z'] | b"UTC" | b"GMT" => Some(0),
        &[sign, h1, h2, b':', m1, m2] | &[sign, h1, h2, m1, m2] => {
            Some(offset(sign, two(&[h1, h2])?, two(&[m1, m2])?)?)
        }
        &[sign, h1, h2] => Some(offset(sign, two(&[h1, h2])?, 0)?),
        _ => return Err(BadTime::Offset),
    };
    Ok((micros, offset))
}

/// A time without an offset is in the given zone.
fn to_utc(local: i64, offset: Option<i64>, zone: Option<&Zone>) -> Result<i64, BadTime> {
    match (offset, zone) {
        (Some(offset), _) => in_range(local - offset),
        (None, Some(zone)) => zone.to_utc(local),
        (None, None) => Err(BadTime::NoOffset),
    }
}

/// Reads a decimal number, without rounding it through a float. The digits before the point give
/// the unit: up to 11 are seconds (to the year 5138), 12 to 14 milliseconds (from March 1973), 15 to
/// 17 microseconds, 18 to 20 nanoseconds. Cuts off finer digits, towards the past.
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

/// A decimal number: `digits` × 10^`exponent`, cut off after [`DIGITS_MAX`] digits.
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
        let is_decimal = !whole.is_empty() && is_digits(whole) && is_digits(fraction);
        if !is_decimal || exponent.abs() > EXPONENT_MAX {
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

    /// How many digits are before the point, without leading zeros.
    fn integer_digits(&self) -> i64 {
        if self.length == 0 { 0 } else { (self.length + self.exponent).max(0) }
    }

    /// The number × 10^`shift` as an integer, and whether that is exact.
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

fn month(name: [u8; 3]) -> Result<i64, BadTime> {
    Ok(match name.map(|byte| byte.to_ascii_lowercase()) {
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
        _ => return Err(BadTime::Month),
    })
}

fn two(digits: &[u8]) -> Result<i64, BadTime> {
    match digits {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            Ok(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        _ => Err(BadTime::Form),
    }
}

/// Microseconds since midnight; a leap second, `:60`, is the last microsecond before it.
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
    if MICROS.contains(&micros) { Ok(micros) } else { Err(BadTime::Range) }
}
