//! Times of answers, for people and programs.

use jiff::Timestamp;

/// In UTC, to the second. Nothing if there is none.
pub(crate) fn time(time: Option<prost_types::Timestamp>) -> String {
    let time = time.and_then(|time| Timestamp::from_second(time.seconds).ok());
    time.map(|time| time.to_string()).unwrap_or_default()
}

/// In UTC, to the minute, where there is little room.
pub(crate) fn minute(time: Option<prost_types::Timestamp>) -> String {
    let time = time.and_then(|time| Timestamp::from_second(time.seconds).ok());
    time.map(|time| time.strftime("%Y-%m-%dT%H:%MZ").to_string()).unwrap_or_default()
}
