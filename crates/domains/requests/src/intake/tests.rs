//! Requests are checked against the clock, and texts against what can be stored.

use super::*;

const RULES: Rules = Rules { namespace: Namespace::DEFAULT, path_bytes_max: 10, now_micros: 0 };

fn check(seconds: i64, nanos: i32) -> Result<i64, InvalidTime> {
    RULES.time(Some(Timestamp { seconds, nanos }))
}

#[test]
fn times_are_held_against_the_clock() {
    assert_eq!(check(1, 999_999_999), Ok(1_999_999));
    for (seconds, nanos) in
        [(-62_135_596_801, 0), (253_402_300_800, 0), (1, -1), (1, 1_000_000_000)]
    {
        assert_eq!(check(seconds, nanos), Err(InvalidTime::OutOfRange { seconds, nanos }));
    }
    assert!(check(86_400, 0).is_ok());
    assert_eq!(check(86_401, 0), Err(InvalidTime::Ahead { ahead_seconds: 86_401 }));
    assert_eq!(Rules { now_micros: 7, ..RULES }.time(None), Ok(7));
}

#[test]
fn a_text_that_cannot_be_stored_is_other() {
    let rules = Rules { namespace: Namespace::DEFAULT, path_bytes_max: 10, now_micros: 0 };
    let sent = |text: &str| proto::Series {
        service: text.to_owned(),
        method: text.to_owned(),
        path: text.to_owned(),
        status: 999,
        customer: text.to_owned(),
    };
    let read = |text: &str| rules.series(&sent(text)).expect("a status");
    let texts = |text: &str| {
        let Series { service, method, path, customer, .. } = read(text);
        [service, method, path, customer].map(String::from)
    };
    assert_eq!(texts("shop"), ["shop"; 4]);
    assert_eq!(texts(""), ["", "", "_other", ""]);
    assert_eq!(texts("a\0"), ["_other"; 4]);
    assert_eq!(texts(&"x".repeat(128))[0].len(), 128);
    assert_eq!(texts(&"x".repeat(129))[0], "_other");
    assert_eq!(texts(&"x".repeat(33))[1..3], ["_other", "_other"]);
    assert_eq!(texts(&"x".repeat(256))[3].len(), 256);
    assert_eq!(texts(&"x".repeat(257)), ["_other"; 4]);
    assert_eq!(rules.series(&proto::Series { status: 1_000, ..sent("") }), None);
}
