//! Ranges of dates in a time zone, and their periods, as quarters of UTC.
//!
//! | file | what it owns |
//! |---|---|
//! | `zone.rs` | time zones: by the names of the bundled tz database, or by an offset from UTC |

mod zone;

use std::ops::Range;

use jiff::civil::{Date, Weekday};
pub use tally_runtime::zones::TZDB_VERSION;

pub use self::zone::{Zone, offset};
use self::zone::{quarter, seconds};
use crate::model::{Day, DayRange, Quarter};

/// 10,000 years by day, or 450 by hour; 16 MB.
const PERIODS_MAX: i32 = 4_000_000;

const HOUR_SECONDS: i64 = 3_600;

/// The periods by which a range is summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// Each quarter-hour of UTC, which is one of every zone.
    Quarter,
    /// Each hour of the zone's clock: one begins when the clock shows :00, and when its offset changes.
    /// A change off the quarters begins none: the hour goes on until the clock shows :00 again.
    Hour,
    /// Each day by itself.
    Day,
    /// Each week, from Monday on.
    Week,
    /// Each month.
    Month,
    /// Each year.
    Year,
    /// The whole range.
    Whole,
}

/// Quarters from the first up to the last, which is not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuarterRange {
    /// The first.
    pub start: Quarter,
    /// The first that is not included.
    pub end: Quarter,
}

/// A range cut into periods, in order; each is an interval of quarters.
#[derive(Debug, Clone)]
pub struct Periods {
    granularity: Granularity,
    zone: Zone,
    /// Strictly ascending.
    starts: Vec<Quarter>,
    end: Quarter,
}

/// What a period is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label {
    /// Its first date in the calendar, such as the first of the month, or the Monday. Of an hour or a quarter:
    /// the date that the clock shows.
    pub date: Date,
    /// When it begins, even if the range begins within it.
    pub start: Quarter,
    /// How far the zone's clock is ahead of UTC then.
    pub utc_offset_seconds: i32,
}

/// A range has no periods.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such zone.
    #[error(
        "no time zone of the tz database {TZDB_VERSION} is called so; names are such as \
         Europe/Berlin, offsets such as +05:30{}",
        .near.map(|near| format!(": did you mean {near}?")).unwrap_or_default()
    )]
    UnknownZone {
        /// The nearest name.
        near: Option<&'static str>,
    },
    /// Counts are kept by quarter-hour, and a boundary is within one.
    #[error(
        "{zone}: {date} does not begin on a quarter-hour of UTC, so it cannot be counted apart; all \
         days from {exact_from} on can, or all days in UTC"
    )]
    OffQuarter {
        /// Its name.
        zone: String,
        /// The first date that cannot be answered.
        date: Date,
        /// The first date from which on all days can be answered.
        exact_from: Date,
    },
    /// Counts are kept by quarter-hour, and no day of this offset begins on one.
    #[error(
        "counts are kept by quarter-hour, so an offset is a multiple of 15 minutes, such as +05:30"
    )]
    OffsetOffQuarter,
    /// More than an answer can have.
    #[error("the range has more than {PERIODS_MAX} {what}: shorten it")]
    TooMany {
        /// Of what.
        what: &'static str,
    },
}

// === impl Granularity ===

impl Granularity {
    /// The first date of a date's period.
    fn first(self, date: Date) -> Date {
        match self {
            Self::Quarter | Self::Hour | Self::Day | Self::Whole => date,
            Self::Week => {
                let days = date.weekday().since(Weekday::Monday);
                date.checked_sub(jiff::Span::new().days(days)).expect("0001-01-01 is a Monday")
            }
            Self::Month => date.first_of_month(),
            Self::Year => date.first_of_year(),
        }
    }

    /// The first day of the period after the one that begins with `day`, unless the calendar ends
    /// before.
    fn next(self, day: Day) -> Option<Day> {
        let days = |days| Some(day.plus(days)).filter(|next| *next <= Day::MAX);
        let dates = |span| day.date().checked_add(span).ok().map(Day::from);
        match self {
            Self::Quarter | Self::Hour | Self::Whole => None,
            Self::Day => days(1),
            Self::Week => days(7),
            Self::Month => dates(jiff::Span::new().months(1)),
            Self::Year => dates(jiff::Span::new().years(1)),
        }
    }
}

// === impl QuarterRange ===

impl QuarterRange {
    /// Every quarter that a request can have.
    pub const ALL: Self = Self {
        start: Quarter(Day::MIN.0 * Quarter::PER_DAY),
        end: Quarter((Day::MAX.0 + 1) * Quarter::PER_DAY),
    };

    /// The days of UTC that it touches.
    pub(crate) fn days(self) -> DayRange {
        DayRange { first: self.start.day(), last: Quarter(self.end.0 - 1).day() }
    }

    /// From the beginning of one date to the end of the other; without a bound if there is none. It
    /// is empty if the zone has skipped all these dates.
    ///
    /// # Errors
    /// If it does not begin and end with a quarter, as in some zones up to 1979.
    pub fn of_dates(first: Option<Date>, last: Option<Date>, zone: &Zone) -> Result<Self, Error> {
        let after = last.map(Date::tomorrow).and_then(Result::ok);
        let start = first.map_or(Ok(Self::ALL.start), |date| zone.first_quarter(date))?;
        let end = after.map_or(Ok(Self::ALL.end), |date| zone.first_quarter(date))?;
        Ok(Self { start, end }.clip(Self::ALL))
    }

    /// Days of UTC.
    #[must_use]
    pub fn of_days(days: DayRange) -> Self {
        Self { start: Quarter::first_of(days.first), end: Quarter::first_of(days.last.plus(1)) }
    }

    /// What is in the other one as well.
    #[must_use]
    pub fn clip(self, other: Self) -> Self {
        let start = self.start.max(other.start);
        Self { start, end: self.end.min(other.end).max(start) }
    }

    /// Whether no quarter is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }

    fn seconds(self) -> Range<i64> {
        seconds(self.start)..seconds(self.end)
    }
}

// === impl Periods ===

impl Periods {
    /// Cuts a range. Clip it to the days that have data first: time and memory go with the periods.
    ///
    /// # Errors
    /// If a boundary is within a quarter, which it is in no zone from 1979-10-02 on; or if there are
    /// millions of hours.
    pub fn of(range: QuarterRange, granularity: Granularity, zone: &Zone) -> Result<Self, Error> {
        let starts = match granularity {
            _ if range.is_empty() => Vec::new(),
            Granularity::Quarter => quarters(range)?,
            Granularity::Hour => hours(range, zone)?,
            _ => dates(range, granularity, zone)?,
        };
        Ok(Self { granularity, zone: zone.clone(), starts, end: range.end })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Where they start. Each ends where the next one starts, and the last at [`Self::end`].
    #[must_use]
    pub fn starts(&self) -> &[Quarter] {
        &self.starts
    }

    /// The end of the last one.
    #[must_use]
    pub fn end(&self) -> Quarter {
        self.end
    }

    /// Which one a quarter is in.
    #[must_use]
    pub fn at(&self, quarter: Quarter) -> Option<usize> {
        if quarter >= self.end {
            return None;
        }
        self.starts.partition_point(|start| *start <= quarter).checked_sub(1)
    }

    /// What a period is called. Labels differ.
    ///
    /// # Panics
    /// If there is no such period.
    #[must_use]
    pub fn label(&self, i: usize) -> Label {
        let at = seconds(self.starts[i]);
        let (date, start) = match self.granularity {
            Granularity::Quarter => (self.zone.shown_date(at), at),
            Granularity::Hour => {
                let start = if i == 0 { hour_start(at, &self.zone) } else { at };
                (self.zone.shown_date(start), start)
            }
            granularity => {
                let date = granularity.first(self.zone.date_of(at));
                (date, if i == 0 { self.zone.day_start(date).min(at) } else { at })
            }
        };
        Label {
            date,
            start: Quarter::of_micros(start * 1_000_000),
            utc_offset_seconds: i32::try_from(self.zone.offset_at(start)).expect("at most a day"),
        }
    }
}

// === impl Label ===

impl Label {
    /// When it begins, as the zone's clock shows it, with its offset.
    #[must_use]
    pub fn time(&self) -> String {
        zone::shown(self.start, self.utc_offset_seconds)
    }

    /// What a table calls it: the date, month or year, or the time of a quarter or an hour; nothing if it is a whole
    /// range.
    #[must_use]
    pub fn written(&self, granularity: Granularity) -> String {
        match granularity {
            Granularity::Quarter | Granularity::Hour => {
                let time = self.time();
                time.strip_suffix('Z').map_or(time.clone(), |shown| format!("{shown}+00:00"))
            }
            Granularity::Day | Granularity::Week => self.date.to_string(),
            Granularity::Month => format!("{:04}-{:02}", self.date.year(), self.date.month()),
            Granularity::Year => format!("{:04}", self.date.year()),
            Granularity::Whole => String::new(),
        }
    }
}

// === impl Error ===

impl From<Error> for crate::error::Error {
    fn from(error: Error) -> Self {
        Self::invalid(error.to_string())
    }
}

/// Where the days or more of a range start.
fn dates(
    range: QuarterRange,
    granularity: Granularity,
    zone: &Zone,
) -> Result<Vec<Quarter>, Error> {
    let mut starts = vec![range.start];
    let mut last = range.start;
    let mut day = Day::from(granularity.first(zone.date_of(seconds(range.start))));
    // Until the next change of clocks days begin at the same time of UTC: millions are fast.
    let mut steady = zone.steady_after(seconds(range.start));
    while let Some(next) = granularity.next(day) {
        day = next;
        let start = steady.day_start(day).unwrap_or_else(|| {
            let start = zone.day_start(day.date());
            if start >= steady.during.end {
                steady = zone.steady_after(start);
            }
            start
        });
        if start >= seconds(range.end) {
            break;
        }
        let start = quarter(start).ok_or_else(|| zone.off_quarter(day.date()))?;
        // A date that the zone skipped starts where the next one does.
        if start > last {
            starts.push(start);
            last = start;
        }
    }
    Ok(starts)
}

/// The quarters of a range.
fn quarters(range: QuarterRange) -> Result<Vec<Quarter>, Error> {
    let count = range.end.0 - range.start.0;
    if count > PERIODS_MAX {
        return Err(Error::TooMany { what: "quarter-hours" });
    }
    Ok((range.start.0..range.end.0).map(Quarter).collect())
}

/// Where the hours of a range start.
fn hours(range: QuarterRange, zone: &Zone) -> Result<Vec<Quarter>, Error> {
    let count = (range.end.0 - range.start.0) / 4;
    if count > PERIODS_MAX {
        return Err(Error::TooMany { what: "hours" });
    }
    let Range { start: mut at, end } = range.seconds();
    let mut starts = vec![range.start];
    let mut offset = zone.offset_at(at);
    let mut changes = zone.changes_after(at).take_while(|&(change, _)| change < end);
    loop {
        let change = changes.next();
        let until = change.map_or(end, |(change, _)| change);
        let mut hour = at + HOUR_SECONDS - (at + offset).rem_euclid(HOUR_SECONDS);
        while hour < until {
            starts.push(quarter(hour).ok_or_else(|| zone.off_quarter(zone.shown_date(hour)))?);
            hour += HOUR_SECONDS;
        }
        let Some(change) = change else { return Ok(starts) };
        (at, offset) = change;
        starts.extend(quarter(at));
    }
}

/// When the hour of a moment starts.
fn hour_start(at: i64, zone: &Zone) -> i64 {
    let shown = at - (at + zone.offset_at(at)).rem_euclid(HOUR_SECONDS);
    match zone.change_within(shown, at) {
        None => shown,
        Some(change) if quarter(change).is_some() => change,
        Some(change) => hour_start(change - 1, zone),
    }
}

#[cfg(test)]
mod tests;
