//! Requests are checked against the clock, and rows come back as they went in.

use proptest::prelude::*;

use super::*;

const DAY_MICROS: i64 = 86_400_000_000;

proptest! {
    #[test]
    fn rows_come_back_as_they_went_in(
        rows in prop::collection::vec((any::<i64>(), -62_135_596_800_000_000..253_402_300_800_000_000_i64), 0..50)
    ) {
        let packed: Rows = rows.iter().copied().collect();
        prop_assert_eq!(packed.rows(), rows.len());
        prop_assert_eq!(packed.iter().collect::<Vec<_>>(), rows);
    }

    #[test]
    fn days_are_counted_once(times in prop::collection::vec(-3 * DAY_MICROS..3 * DAY_MICROS, 0..50)) {
        let packed: Rows = times.iter().map(|time| (1, *time)).collect();
        for day in -4..4 {
            let counted: Vec<i64> =
                packed.days().iter().filter(|(of, _)| of.0 == day).map(|(_, rows)| *rows).collect();
            let there = times.iter().filter(|time| Day::of_micros(**time).0 == day).count();
            prop_assert_eq!(counted, Vec::from_iter((there > 0).then_some(there as i64)));
        }
    }

    #[test]
    fn what_is_cut_off_is_not_counted(
        times in prop::collection::vec(-3 * DAY_MICROS..3 * DAY_MICROS, 1..50),
        at: prop::sample::Index,
    ) {
        let sorted = |rows: &Rows| {
            let mut days = rows.days().to_vec();
            days.sort_unstable();
            days
        };
        let at = at.index(times.len());
        let (first, rest) = times.split_at(at);
        let of = |times: &[i64]| times.iter().map(|time| (1, *time)).collect::<Rows>();
        prop_assert_eq!(sorted(&of(&times).skip(at)), sorted(&of(rest)));
        let mut builder = RowsBuilder::new(0);
        times.iter().for_each(|time| builder.push(1, *time));
        builder.truncate(at);
        prop_assert_eq!(sorted(&builder.finish()), sorted(&of(first)));
    }
}

const RULES: Rules = Rules { path_bytes_max: 10, now_micros: 0 };

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
    let rules = Rules { path_bytes_max: 10, now_micros: 0 };
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
