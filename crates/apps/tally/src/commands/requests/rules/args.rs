//! Limits and times as arguments.

use tally_proto::tally::requests::v1::rule::Limit;
use tally_runtime::config::words;

/// One percent, in millionths.
const PERCENT: u32 = 10_000;
/// How many digits of a percentage there are behind the point.
const PLACES: usize = 4;

/// How many requests, or which share of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Requests(u64),
    /// In millionths.
    Share(u32),
}

/// Reads `100` or `2.5%`.
pub(super) fn parse_bound(text: &str) -> Result<Bound, String> {
    let Some(percent) = text.strip_suffix('%') else {
        return text.parse().map(Bound::Requests).map_err(|error| words(&error));
    };
    let wrong =
        || format!("write a share as 5% or 0.5%, with at most {PLACES} digits behind the point");
    let (whole, part) = percent.split_once('.').unwrap_or((percent, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > PLACES {
        return Err(wrong());
    }
    let part: u32 = format!("{part:0<PLACES$}").parse().map_err(|_| wrong())?;
    let whole = whole.parse::<u32>().ok().and_then(|whole| whole.checked_mul(PERCENT));
    whole.and_then(|whole| whole.checked_add(part)).map(Bound::Share).ok_or_else(wrong)
}

/// The limit of a rule; clap has made sure that there is one.
pub(super) fn limit(below: Option<Bound>, above: Option<Bound>) -> Option<Limit> {
    let below = below.map(|bound| match bound {
        Bound::Requests(requests) => Limit::Below(requests),
        Bound::Share(share) => Limit::ShareBelowMillionths(share),
    });
    let above = above.map(|bound| match bound {
        Bound::Requests(requests) => Limit::Above(requests),
        Bound::Share(share) => Limit::ShareAboveMillionths(share),
    });
    below.or(above)
}

/// Reads `15m`, `2h` or `1d` as minutes. The server says which of them it takes.
pub(super) fn parse_minutes(text: &str) -> Result<u32, String> {
    let wrong = || "write minutes, hours or days, as in 15m, 2h or 1d".to_owned();
    let units = [("m", 1), ("h", 60), ("d", 24 * 60)];
    let unit = units.iter().find_map(|(unit, minutes)| Some((text.strip_suffix(unit)?, *minutes)));
    let (number, minutes) = unit.ok_or_else(wrong)?;
    let number: u32 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(minutes).filter(|minutes| *minutes > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_number_or_a_share() {
        for (text, bound) in [
            ("0", Bound::Requests(0)),
            ("100", Bound::Requests(100)),
            ("5%", Bound::Share(50_000)),
            ("0.5%", Bound::Share(5_000)),
            ("0.0001%", Bound::Share(1)),
            ("99.99%", Bound::Share(999_900)),
            ("100%", Bound::Share(1_000_000)),
        ] {
            assert_eq!(parse_bound(text), Ok(bound), "{text}");
        }
        for text in ["", "%", "-1", "1.5", ".5%", "5.%", "0.00001%", "5 %", "99999999999%", "+5%"] {
            assert!(parse_bound(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_in_minutes_hours_or_days() {
        for (text, minutes) in [("15m", 15), ("90m", 90), ("2h", 120), ("7d", 10_080)] {
            assert_eq!(parse_minutes(text), Ok(minutes), "{text}");
        }
        for text in ["", "15", "m", "0m", "1.5h", "-1h", "15s", "99999999d", "15 m"] {
            assert!(parse_minutes(text).is_err(), "{text}");
        }
    }
}
