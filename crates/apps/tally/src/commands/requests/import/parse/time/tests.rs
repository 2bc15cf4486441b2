//! Times in every form, against a calendar that others wrote.

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
    assert_eq!(parse_clf(b"17/Mai/2015:10:05:03 +0000"), Err(BadTime::Month));
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
        micros in MICROS.start() + DAY_MICROS..MICROS.end() - DAY_MICROS,
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

#[test]
fn a_number_is_a_time_only_where_it_can_be_one() {
    let logged = |text| parse_logged(text, None);
    for text in ["1431857103", "1431857103.0", "1431857103000", "1431857103000000000"] {
        assert_eq!(logged(text), Ok(NOON), "{text}");
    }
    for text in ["0.003", "12", "0", "-1", "151234567"] {
        assert_eq!(logged(text), Err(BadTime::Implausible), "{text}");
    }
    assert_eq!(logged("[17/May/2015:10:05:03 +0000]"), Ok(NOON));
    assert_eq!(logged("2015/05/17 10:05:03Z"), Ok(NOON));
}

#[test]
fn common_log_times_as_servers_vary_them() {
    let read = |text: &str| parse_date_and_time(text.as_bytes(), None);
    for text in [
        "17/May/2015:10:05:03 +0000",
        "17/may/2015:10:05:03 Z",
        "17/May/2015:12:35:03 +02:30",
        "17/May/2015 10:05:03 +0000",
        "17/May/2015:10:05:03.000 +0000",
    ] {
        assert_eq!(read(text), Ok(NOON), "{text}");
    }
    assert_eq!(read("7/May/2015:10:05:03.294 +0000"), Ok(NOON + 294_000 - 10 * 86_400 * SECOND_US));
    assert_eq!(read("17/May/2015:10:05:03"), Err(BadTime::NoOffset));
    assert_eq!(read("17/M\u{e4}rz/2015:10:05:03 +0000"), Err(BadTime::Month));
    assert_eq!(read("17/05/2015:10:05:03 +0000"), Err(BadTime::Month));
    assert_eq!(read("17/May/15:10:05:03 +0000"), Err(BadTime::Form));
    assert_eq!(read("17/May/2015:24:00:00 +0000"), Err(BadTime::TimeOfDay));
    assert_eq!(read("/a/b"), Err(BadTime::Form));
}
