//! Schedules: the times of cron expressions when clocks change, texts, slots.

mod walk;

use super::*;

fn cron(text: &str, zone: &str) -> Cron {
    Cron::parse(text, zone).expect(text)
}

fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

/// With the offset that the zone has then.
fn shown(time: Timestamp, zone: &str) -> String {
    let (_, rules) = tally_runtime::zones::find(zone).expect(zone);
    time.to_zoned(rules).strftime("%F %H:%M:%S%:::z").to_string()
}

fn next(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(text, Some(zone)).expect(text);
    schedule.times_after(at(after)).take(count).map(|time| shown(time, zone)).collect()
}

/// healthchecks/healthchecks#815, healthchecks/healthchecks#912, healthchecks/healthchecks#196,
/// NagiosEnterprises/nagioscore#1003: false alarms when clocks change.
#[test]
fn clocks_that_change_raise_no_false_alarm() {
    for (text, after, times) in [
        (
            "15 3 * * *",
            "2021-03-28T00:00:00+02",
            &["2021-03-28 04:00:00+03", "2021-03-29 03:15:00+03"][..],
        ),
        (
            "15 3 * * *",
            "2021-10-31T00:00:00+03",
            &["2021-10-31 03:15:00+03", "2021-11-01 03:15:00+02"],
        ),
        (
            "30 1,2,3,4,5 * * *",
            "2021-03-28T01:30:00+02",
            &[
                "2021-03-28 02:30:00+02",
                "2021-03-28 04:00:00+03",
                "2021-03-28 04:30:00+03",
                "2021-03-28 05:30:00+03",
            ],
        ),
        (
            "0 * * * *",
            "2021-10-31T01:30:00+03",
            &[
                "2021-10-31 02:00:00+03",
                "2021-10-31 03:00:00+03",
                "2021-10-31 03:00:00+02",
                "2021-10-31 04:00:00+02",
            ],
        ),
        (
            "0 */2 * * *",
            "2021-10-31T01:30:00+03",
            &["2021-10-31 02:00:00+03", "2021-10-31 04:00:00+02", "2021-10-31 06:00:00+02"],
        ),
        (
            "* 1-6 * * *",
            "2021-03-28T02:58:00+02",
            &["2021-03-28 02:59:00+02", "2021-03-28 04:00:00+03"],
        ),
        // Times of one skipped hour are one time, together with the first one after it.
        (
            "0,30 3,4 * * *",
            "2021-03-28T02:00:00+02",
            &["2021-03-28 04:00:00+03", "2021-03-28 04:30:00+03"],
        ),
        // In the second pass, the times of a doubled hour are over.
        ("30 3 * * *", "2021-10-31T03:10:00+02", &["2021-11-01 03:30:00+02"]),
        // With seconds, real elapsed time decides.
        ("0 15 3 * * *", "2021-03-28T00:00:00+02", &["2021-03-29 03:15:00+03"]),
        (
            "0 15 3 * * *",
            "2021-10-31T00:00:00+03",
            &["2021-10-31 03:15:00+03", "2021-10-31 03:15:00+02", "2021-11-01 03:15:00+02"],
        ),
    ] {
        assert_eq!(next(text, "Europe/Riga", after, times.len()), times, "{text} after {after}");
    }
}

#[test]
fn changes_of_other_lengths_and_at_midnight() {
    // A whole day is skipped, half an hour is skipped, and so is midnight.
    for (text, zone, after, time) in [
        ("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", "2011-12-31 00:00:00+14"),
        ("15 2 * * *", "Australia/Lord_Howe", "2021-10-02T00:00:00Z", "2021-10-03 02:30:00+11"),
        ("30 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-04 01:00:00-02"),
        ("*/30 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-05 00:00:00-02"),
        ("* 1-5 * * *", "America/Sao_Paulo", "2018-11-03T23:00:00Z", "2018-11-04 01:00:00-02"),
    ] {
        assert_eq!(next(text, zone, after, 1), [time], "{text} in {zone}");
    }
}

#[test]
fn the_next_five_times() {
    for (text, times) in [
        (
            "*/15 9-10 * * MON-FRI",
            ["02-27 10:45", "03-02 09:00", "03-02 09:15", "03-02 09:30", "03-02 09:45"],
        ),
        ("0 0 L * *", ["02-28 00:00", "03-31 00:00", "04-30 00:00", "05-31 00:00", "06-30 00:00"]),
        ("0 0 LW * *", ["03-31 00:00", "04-30 00:00", "05-29 00:00", "06-30 00:00", "07-31 00:00"]),
        ("0 6 * * 5L", ["03-27 06:00", "04-24 06:00", "05-29 06:00", "06-26 06:00", "07-31 06:00"]),
        (
            "0 6 * * MON#2",
            ["03-09 06:00", "04-13 06:00", "05-11 06:00", "06-08 06:00", "07-13 06:00"],
        ),
        // Neither begins with a star: one of them is enough.
        ("0 0 1 * 7", ["03-01 00:00", "03-08 00:00", "03-15 00:00", "03-22 00:00", "03-29 00:00"]),
        // One begins with a star: both must match.
        (
            "0 0 */2 * SUN",
            ["03-01 00:00", "03-15 00:00", "03-29 00:00", "04-05 00:00", "04-19 00:00"],
        ),
        (
            "50/5 23 * * *",
            ["02-27 23:50", "02-27 23:55", "02-28 23:50", "02-28 23:55", "03-01 23:50"],
        ),
        ("@monthly", ["03-01 00:00", "04-01 00:00", "05-01 00:00", "06-01 00:00", "07-01 00:00"]),
    ] {
        let all = next(text, "UTC", "2026-02-27T10:40:07.5Z", 5);
        let expected = times.map(|time| format!("2026-{time}:00+00"));
        assert_eq!(all, expected, "{text}");
    }
    let seconds = next("58/1 59 23 31 DEC *", "UTC", "2026-12-31T23:59:58.999999Z", 2);
    assert_eq!(seconds, ["2026-12-31 23:59:59+00", "2027-12-31 23:59:58+00"]);
    let leap = next("0 0 29 2 */7", "UTC", "2072-03-01T00:00:00Z", 2);
    assert_eq!(leap, ["2088-02-29 00:00:00+00", "2128-02-29 00:00:00+00"]);
}

#[test]
fn the_calendar_ends() {
    for text in ["0 0 * * *", "* * * * *", "0 0 29 2 *"] {
        for zone in ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"] {
            let cron = cron(text, zone);
            assert_eq!(cron.next(Timestamp::MAX), None);
            assert!(cron.previous_or_at(Timestamp::MAX).is_some());
            assert!(cron.next(Timestamp::MIN).is_some());
            assert_eq!(cron.previous_or_at(Timestamp::MIN), None);
        }
    }
}

#[test]
fn what_is_wrong_with_an_expression_is_said_in_one_sentence() {
    for (text, error) in [
        (
            "0 0 30 2 *",
            "no day of any year matches the cron expression \"0 0 30 2 *\": change its day of the month",
        ),
        ("0 0 31 4,6,9,11 *", "no day of any year matches"),
        ("0 0 */29 2 MON#5", "no day of any year matches"),
        (
            "60 * * * *",
            "the minute of the cron expression is wrong: \"60\" is not from 0 to 59; write for example 0, 5-10, */15 or *",
        ),
        ("0 24 * * *", "the hour of the cron expression is wrong: \"24\" is not from 0 to 23"),
        (
            "0 0 0 * *",
            "the day of the month of the cron expression is wrong: \"0\" is not from 1 to 31",
        ),
        ("0 0 * 13 *", "the month of the cron expression is wrong: \"13\" is not from 1 to 12"),
        ("0 0 * FEBRUARY *", "\"FEBRUARY\" is neither a number nor a name"),
        (
            "0 0 * * 8",
            "the day of the week of the cron expression is wrong: \"8\" is not from 0 to 7",
        ),
        ("0 0 * * FRIL", "\"FRIL\" has no number before the L"),
        ("0 0 * * MON#6", "\"MON#6\" is not the 1st to 5th of a month"),
        ("0 0 * * FRI-SUN", "\"FRI-SUN\" ends before it begins"),
        ("5-1 * * * *", "\"5-1\" ends before it begins"),
        ("*/0 * * * *", "\"0\" is a step of nothing"),
        ("1, * * * *", "\"\" is not a number"),
        ("** * * * *", "\"**\" is not a number"),
        ("-1 * * * *", "\"\" is not a number"),
        ("1/2/3 * * * *", "\"2/3\" is not a number"),
        ("99999999999999999999 * * * *", "is not from 0 to 59"),
        ("? * * * *", "\"?\" is not a number"),
        ("* * * *", "and this one has 4: write for example 30 3 * * *"),
        ("0 0 0 * * * 2026", "and this one has 7"),
        ("@reboot", "and this one has 1"),
        ("0 0 * * MON..FRI", "\"MON..FRI\" is neither"),
    ] {
        let said = Schedule::parse(text, None).expect_err(text).to_string();
        assert!(said.contains(error), "{text}: {said}");
    }
    let long = Schedule::parse(&"* ".repeat(1 << 16), None).expect_err("long").to_string();
    assert_eq!(long, "a cron expression has at most 500 bytes, and this one has 131071");
    let near = Schedule::parse("0 0 * * *", Some("Europe/Rigga")).expect_err("no zone").to_string();
    assert!(near.ends_with(
        "is called \"Europe/Rigga\"; names are such as Europe/Berlin: did you mean Europe/Riga?"
    ));
    let zone = Schedule::parse("1h", Some("Europe/Riga")).expect_err("an interval").to_string();
    assert_eq!(zone, "only a cron expression has a time zone: leave the zone \"Europe/Riga\" out");
}

#[test]
fn a_time_that_clocks_always_skip_is_refused_when_a_debt_is_made() {
    // From 03:00 to 04:00 on each last Sunday of March.
    let skipped = Schedule::parse("*/5 3 * 3 7L", Some("Europe/Riga")).expect("a day has it");
    let said = skipped.check(at("2026-01-01T00:00:00Z")).expect_err("no time").to_string();
    assert!(said.starts_with("in the zone Europe/Riga, the cron expression \"*/5 3 * 3 7L\" has no time within 50 years"), "{said}");
    let fixed = Schedule::parse("5 3 * 3 7L", Some("Europe/Riga")).expect("a day has it");
    assert_eq!(fixed.check(at("2026-01-01T00:00:00Z")), Ok(()));
    let deadline = Schedule::parse("2026-01-01T00:00:00Z", None).expect("a moment");
    let said = deadline.check(at("2026-01-01T00:00:00Z")).expect_err("past").to_string();
    assert!(said.contains("is not after now"), "{said}");
    assert_eq!(deadline.check(at("2025-12-31T23:59:59Z")), Ok(()));
}

#[test]
fn texts_are_read_and_written_alike() {
    for (text, written) in [
        ("1h", "1h"),
        (" 90s ", "90s"),
        ("1h30m", "90m"),
        ("30  3 * *\tMon", "30 3 * * Mon"),
        ("@daily", "@daily"),
        ("2026-12-31T18:00:00.1234567+02:00", "2026-12-31T16:00:00.123456Z"),
        ("none", "none"),
    ] {
        let schedule = Schedule::parse(text, None).expect(text);
        assert_eq!(schedule.to_string(), written);
        assert_eq!(Schedule::parse(written, None), Ok(schedule));
    }
    // healthchecks/healthchecks#912: a schedule without a zone is UTC, and says so.
    assert_eq!(Schedule::parse("0 3 * * *", None).map(|schedule| schedule.zone()), Ok(Some("UTC")));
    let riga = Schedule::parse("0 3 * * *", Some("europe/riga"));
    assert_eq!(riga.map(|schedule| schedule.zone()), Ok(Some("Europe/Riga")));
    for (text, error) in [
        ("", "\"\" is not a schedule: write an interval such as 1h, a cron expression"),
        ("soon", "\"soon\" is not a schedule"),
        ("2026-12-31T18:00:00", "is not a schedule"),
        ("-1h", "\"-1h\" is not a schedule"),
        ("0s", "an interval is at least 1s"),
        ("3600", "the interval is wrong: \"3600\" is not a duration"),
        ("11y", "the interval is wrong"),
        ("9999d", "of at most ten years"),
        ("*:0/15", "looks like an OnCalendar expression of systemd, which is not supported"),
        ("hourly", "looks like an OnCalendar expression"),
        ("10:00", "looks like an OnCalendar expression"),
        ("Mon *-*-* 03:00", "and this one has 3"),
    ] {
        let said = Schedule::parse(text, None).expect_err(text).to_string();
        assert!(said.contains(error), "{text}: {said}");
    }
}

/// getsentry/sentry#84358, getsentry/sentry#80898, getsentry/sentry#80888: a punctual payment was
/// booked on the next slot. healthchecks/healthchecks#236, healthchecks/healthchecks#1160: one that came 2 min
/// early counted for nothing.
#[test]
fn a_slot_follows_from_the_time_and_the_schedule_alone() {
    let daily = Schedule::parse("0 6 * * *", None).expect("daily");
    let early = Duration::from_secs(300);
    for (time, slot, is_early) in [
        ("2026-05-01T06:00:00Z", "2026-05-01T06:00:00Z", false),
        ("2026-05-01T06:00:00.000001Z", "2026-05-01T06:00:00Z", false),
        ("2026-05-01T05:59:59.999999Z", "2026-05-01T06:00:00Z", true),
        ("2026-05-01T05:55:00Z", "2026-05-01T06:00:00Z", true),
        ("2026-05-01T05:54:59.999999Z", "2026-04-30T06:00:00Z", false),
        ("2026-05-01T23:00:00Z", "2026-05-01T06:00:00Z", false),
    ] {
        let slot = Some(Slot { time: at(slot), early: is_early });
        assert_eq!(daily.slot(at(time), early), slot, "{time}");
    }
    let before = at("2026-05-01T05:58:00Z");
    assert_eq!(daily.settles(before, early), at("2026-05-01T06:00:00Z"));
    assert_eq!(daily.settles(before, Duration::ZERO), before);
    // Without a window, the very time is no early payment of the next one.
    let often = Schedule::parse("* * * * *", None).expect("each minute");
    let minute = at("2026-05-01T06:00:00Z");
    assert_eq!(often.slot(minute, Duration::ZERO), Some(Slot { time: minute, early: false }));
    let deadline = Schedule::Deadline(at("2026-05-01T06:00:00Z"));
    assert_eq!(
        deadline.settles(at("2026-04-01T06:00:00Z"), Duration::ZERO),
        at("2026-05-01T06:00:00Z")
    );
    assert_eq!(Schedule::None.slot(before, early), None);
    assert_eq!(Schedule::Interval(early).slot(before, early), None);
}
