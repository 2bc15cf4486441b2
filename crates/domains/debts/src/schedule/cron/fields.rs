//! The fields of a cron expression, and the dates and times of day that match them.

use std::fmt;
use std::ops::RangeInclusive;

use jiff::ToSpan;
use jiff::civil::{Date, DateTime, Time, Weekday};

use super::super::Invalid;

/// The Gregorian calendar has every year that there is, a leap year or not and with each first day, within these.
const ALL_YEARS: (Date, Date) = (Date::constant(2001, 1, 1), Date::constant(2028, 12, 31));

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// One of the six fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// 0 to 59.
    Second,
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31, `L`, `LW`.
    DayOfMonth,
    /// 1 to 12, or a name.
    Month,
    /// 0 to 7, or a name; `5L`, `MON#2`.
    DayOfWeek,
}

/// What matches. Bit n of a set is the number n.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields {
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// The last day of the month.
    last_day: bool,
    /// The last day of the month from Monday to Friday.
    last_weekday: bool,
    /// Sets of days of the week: the first of the month, the second, up to the fifth.
    nth: [u64; 5],
    /// The last of the month.
    last: u64,
    /// The day of the month and the day of the week must match both.
    both: bool,
}

// === impl Field ===

impl Field {
    const ALL: [Self; 6] =
        [Self::Second, Self::Minute, Self::Hour, Self::DayOfMonth, Self::Month, Self::DayOfWeek];

    /// What is right.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Self::Second | Self::Minute => "0, 5-10, */15 or *",
            Self::Hour => "3, 9-17, */2 or *",
            Self::DayOfMonth => "1, 1-7, L, LW or *",
            Self::Month => "1, JAN-MAR, */3 or *",
            Self::DayOfWeek => "1, MON-FRI, 5L, MON#2 or *",
        }
    }

    fn range(self) -> RangeInclusive<u32> {
        match self {
            Self::Second | Self::Minute => 0..=59,
            Self::Hour => 0..=23,
            Self::DayOfMonth => 1..=31,
            Self::Month => 1..=12,
            Self::DayOfWeek => 0..=7,
        }
    }

    fn bad(self, near: &str, why: &'static str) -> Invalid {
        Invalid::Field { field: self, near: tally_runtime::text::beginning(near), why }
    }

    /// A number or a name.
    fn value(self, text: &str) -> Result<u32, Invalid> {
        let named = match self {
            Self::Month => (1..).zip(MONTHS).find(|(_, name)| *name == text),
            Self::DayOfWeek => (0..).zip(DAYS).find(|(_, name)| *name == text),
            _ => None,
        };
        if let Some((number, _)) = named {
            return Ok(number);
        }
        let number = self.number(text)?;
        if self.range().contains(&number) {
            return Ok(number);
        }
        Err(self.bad(
            text,
            match self {
                Self::Second | Self::Minute => "is not from 0 to 59",
                Self::Hour => "is not from 0 to 23",
                Self::DayOfMonth => "is not from 1 to 31",
                Self::Month => "is not from 1 to 12",
                Self::DayOfWeek => "is not from 0 to 7",
            },
        ))
    }

    fn number(self, text: &str) -> Result<u32, Invalid> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match self {
            _ if is_number => Ok(text.parse().unwrap_or(u32::MAX)),
            Self::Month | Self::DayOfWeek => Err(self.bad(text, "is neither a number nor a name")),
            _ => Err(self.bad(text, "is not a number")),
        }
    }

    /// The numbers of `*`, a number or a range.
    fn set(self, text: &str) -> Result<u64, Invalid> {
        let (first, last) = match text.split_once('-') {
            _ if text == "*" => self.range().into_inner(),
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            None => (self.value(text)?, self.value(text)?),
        };
        if last < first {
            return Err(self.bad(text, "ends before it begins"));
        }
        Ok(from_to(first, last))
    }

    /// The numbers of a term that may have a step.
    fn stepped(self, text: &str) -> Result<u64, Invalid> {
        let Some((of, step)) = text.split_once('/') else { return self.set(text) };
        let step = self.step(step)?;
        let of = self.set(of)?;
        // One number, also as a range, is where the steps begin.
        let of = if of.count_ones() == 1 {
            from_to(of.trailing_zeros(), *self.range().end())
        } else {
            of
        };
        let numbers = (0..64).filter(|number| of & (1 << number) != 0);
        Ok(numbers.step_by(step).fold(0, |set, number| set | 1 << number))
    }

    fn step(self, text: &str) -> Result<usize, Invalid> {
        match self.number(text)? {
            0 => Err(self.bad(text, "is a step of nothing")),
            step => Ok(usize::try_from(step).unwrap_or(usize::MAX)),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of the month",
            Self::Month => "month",
            Self::DayOfWeek => "day of the week",
        })
    }
}

// === impl Fields ===

impl Fields {
    /// Five or six fields in capitals.
    pub(super) fn parse(parts: &[&str]) -> Result<Self, Invalid> {
        let which = match parts.len() {
            5 => &Field::ALL[1..],
            6 => &Field::ALL[..],
            fields => return Err(Invalid::Fields { fields }),
        };
        let begins_with_star = |part: &&str| part.starts_with('*');
        let days = [parts[parts.len() - 3], parts[parts.len() - 1]];
        let mut fields = Self { both: days.iter().any(begins_with_star), ..Self::default() };
        if parts.len() == 5 {
            fields.seconds = 1;
        }
        for (field, part) in which.iter().zip(parts) {
            for term in part.split(',') {
                fields.add(*field, term)?;
            }
        }
        // 7 is Sunday as well.
        fields.weekdays = on_week(fields.weekdays);
        fields.last = on_week(fields.last);
        fields.nth = fields.nth.map(on_week);
        Ok(fields)
    }

    fn add(&mut self, field: Field, term: &str) -> Result<(), Invalid> {
        let set = match field {
            Field::Second => &mut self.seconds,
            Field::Minute => &mut self.minutes,
            Field::Hour => &mut self.hours,
            Field::Month => &mut self.months,
            Field::DayOfMonth => {
                // A step of one day is that day.
                let (of, step) = term.split_once('/').unwrap_or((term, "1"));
                let last = match of {
                    "L" => &mut self.last_day,
                    "LW" => &mut self.last_weekday,
                    _ => {
                        self.days |= field.stepped(term)?;
                        return Ok(());
                    }
                };
                *last = true;
                field.step(step)?;
                return Ok(());
            }
            Field::DayOfWeek => {
                if let Some(of) = term.strip_suffix('L') {
                    self.last |= 1 << field.value(digits(field, term, of)?)?;
                    return Ok(());
                }
                if let Some((of, nth)) = term.split_once('#') {
                    let why = "is not the 1st to 5th of a month";
                    let nth = usize::try_from(field.number(nth)?).ok();
                    let index = nth.and_then(|nth| nth.checked_sub(1)).filter(|index| *index < 5);
                    let index = index.ok_or_else(|| field.bad(term, why))?;
                    self.nth[index] |= 1 << field.value(of)?;
                    return Ok(());
                }
                &mut self.weekdays
            }
        };
        *set |= field.stepped(term)?;
        Ok(())
    }

    /// Whether there is any date that matches.
    pub(super) fn has_days(&self) -> bool {
        self.next(ALL_YEARS.0.to_datetime(Time::midnight()), ALL_YEARS.1).is_some()
    }

    /// The first time that a clock can show that matches, at this one or later, up to a date.
    pub(super) fn next(&self, from: DateTime, last: Date) -> Option<DateTime> {
        let (mut date, mut time) = (from.date(), Some(from.time()));
        while date <= last {
            if !has(self.months, date.month()) {
                date = date.first_of_month().checked_add(1.month()).ok()?;
                time = None;
                continue;
            }
            if self.matches(date)
                && let Some(time) = self.next_time(time.unwrap_or(Time::midnight()))
            {
                return Some(date.to_datetime(time));
            }
            date = date.tomorrow().ok()?;
            time = None;
        }
        None
    }

    /// The last time that a clock can show that matches, at this one or earlier, down to a date.
    pub(super) fn previous(&self, from: DateTime, first: Date) -> Option<DateTime> {
        let (mut date, mut time) = (from.date(), Some(from.time()));
        while date >= first {
            if !has(self.months, date.month()) {
                date = date.first_of_month().yesterday().ok()?;
                time = None;
                continue;
            }
            if self.matches(date)
                && let Some(time) = self.previous_time(time.unwrap_or(Time::MAX))
            {
                return Some(date.to_datetime(time));
            }
            date = date.yesterday().ok()?;
            time = None;
        }
        None
    }

    fn matches(&self, date: Date) -> bool {
        let (of_month, of_week) = (self.matches_month(date), self.matches_week(date));
        if self.both { of_month && of_week } else { of_month || of_week }
    }

    fn matches_month(&self, date: Date) -> bool {
        has(self.days, date.day())
            || (self.last_day && date.day() == date.days_in_month())
            || (self.last_weekday && date.day() == last_weekday(date))
    }

    fn matches_week(&self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_zero_offset();
        let nth = usize::try_from((date.day() - 1) / 7).expect("from 0 to 4");
        has(self.weekdays, weekday)
            || has(self.nth[nth], weekday)
            || (has(self.last, weekday) && date.day() + 7 > date.days_in_month())
    }

    fn next_time(&self, from: Time) -> Option<Time> {
        let (hour, minute, second) = (from.hour(), from.minute(), from.second());
        let (first_minute, first_second) =
            (at_or_after(self.minutes, 0)?, at_or_after(self.seconds, 0)?);
        let in_hour = || {
            let in_minute = || at_or_after(self.seconds, second);
            if has(self.minutes, minute)
                && let Some(second) = in_minute()
            {
                return Some((minute, second));
            }
            Some((at_or_after(self.minutes, minute + 1)?, first_second))
        };
        if has(self.hours, hour)
            && let Some((minute, second)) = in_hour()
        {
            return Some(time(hour, minute, second));
        }
        Some(time(at_or_after(self.hours, hour + 1)?, first_minute, first_second))
    }

    fn previous_time(&self, from: Time) -> Option<Time> {
        let (hour, minute, second) = (from.hour(), from.minute(), from.second());
        let (last_minute, last_second) =
            (at_or_before(self.minutes, 59)?, at_or_before(self.seconds, 59)?);
        let in_hour = || {
            if has(self.minutes, minute)
                && let Some(second) = at_or_before(self.seconds, second)
            {
                return Some((minute, second));
            }
            Some((at_or_before(self.minutes, minute - 1)?, last_second))
        };
        if has(self.hours, hour)
            && let Some((minute, second)) = in_hour()
        {
            return Some(time(hour, minute, second));
        }
        Some(time(at_or_before(self.hours, hour - 1)?, last_minute, last_second))
    }
}

/// The day before `5L`'s L: a number.
fn digits<'a>(field: Field, term: &str, of: &'a str) -> Result<&'a str, Invalid> {
    if of.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(of);
    }
    Err(field.bad(term, "has no number before the L"))
}

fn time(hour: i8, minute: i8, second: i8) -> Time {
    Time::constant(hour, minute, second, 0)
}

fn from_to(first: u32, last: u32) -> u64 {
    (first..=last).fold(0, |set, number| set | 1 << number)
}

fn on_week(set: u64) -> u64 {
    (set | set >> 7) & 0b111_1111
}

fn has(set: u64, number: i8) -> bool {
    set & (1 << number) != 0
}

/// The first number of the set that is not less.
fn at_or_after(set: u64, number: i8) -> Option<i8> {
    let rest = set >> number;
    (rest != 0).then(|| number + i8::try_from(rest.trailing_zeros()).expect("less than 64"))
}

/// The last number of the set that is not more.
fn at_or_before(set: u64, number: i8) -> Option<i8> {
    let rest = if number < 0 { 0 } else { set & (u64::MAX >> (63 - number)) };
    (rest != 0).then(|| 63 - i8::try_from(rest.leading_zeros()).expect("less than 64"))
}

/// The last day of a date's month that is neither Saturday nor Sunday.
fn last_weekday(date: Date) -> i8 {
    let last = date.last_of_month();
    match last.weekday() {
        Weekday::Saturday => last.day() - 1,
        Weekday::Sunday => last.day() - 2,
        _ => last.day(),
    }
}
