//! Moments as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use tally_runtime::text::age;
use tally_runtime::zones;

/// When the numbers of a page are from.
#[must_use]
pub fn as_of(now: Timestamp) -> Markup {
    html! {
        "As of "
        time datetime=(now.strftime("%Y-%m-%dT%H:%M:%SZ")) data-zone="UTC" { (now.strftime("%H:%M:%S")) }
        " UTC"
    }
}

/// How long ago or ahead a moment is; which one, for those who point at it.
#[must_use]
pub fn relative(at: Timestamp, now: Timestamp) -> Markup {
    let seconds = now.as_second() - at.as_second();
    let words = if seconds >= 0 {
        format!("{} ago", age(seconds))
    } else {
        format!("in {}", age(-seconds))
    };
    html! { time datetime=(at.to_string()) title=(moment_text(at, None)) { (words) } }
}

/// A moment in a zone, or in UTC.
#[must_use]
pub fn moment(at: Timestamp, zone: Option<&str>) -> Markup {
    html! { time datetime=(at.to_string()) { (moment_text(at, zone)) } }
}

/// The same where no markup can be.
#[must_use]
pub fn moment_text(at: Timestamp, zone: Option<&str>) -> String {
    let (zone, time_zone) =
        zone.and_then(|zone| zones::find(zone).ok()).unwrap_or(("UTC", TimeZone::UTC));
    format!("{} {zone}", at.to_zoned(time_zone).strftime("%-d %b %Y %H:%M:%S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_in_its_zone() {
        let at: Timestamp = "2030-06-15T22:30:00Z".parse().expect("a moment");
        assert_eq!(moment_text(at, None), "15 Jun 2030 22:30:00 UTC");
        assert_eq!(moment_text(at, Some("Europe/Berlin")), "16 Jun 2030 00:30:00 Europe/Berlin");
    }
}
