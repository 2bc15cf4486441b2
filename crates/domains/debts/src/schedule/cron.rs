//! Cron expressions as Debian's cron understands them, with what `cronsim` adds to them.
//!
//! | file | what it owns |
//! |---|---|
//! | `fields.rs` | the fields of an expression, and the dates and times of day that match them |

mod fields;

use std::fmt;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use tally_runtime::zones;

pub use self::fields::Field;
use self::fields::Fields;
use super::Invalid;

/// Of an expression, as it was written.
pub(super) const TEXT_BYTES_MAX: usize = 500;

/// How far the next time may be away. Between two that match a date, there are at most 40: from a
/// 29 February of one day of the week to the next one, over a year such as 2100.
const YEARS_MAX: i16 = 50;

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// What crontab(5) has short names for. `@reboot` is at no time.
const SHORT: [(&str, &str); 7] = [
    ("@YEARLY", "0 0 1 1 *"),
    ("@ANNUALLY", "0 0 1 1 *"),
    ("@MONTHLY", "0 0 1 * *"),
    ("@WEEKLY", "0 0 * * 0"),
    ("@DAILY", "0 0 * * *"),
    ("@MIDNIGHT", "0 0 * * *"),
    ("@HOURLY", "0 * * * *"),
];

/// A cron expression with its time zone.
///
/// Five fields: minute, hour, day of the month, month, day of the week; or six with seconds before them.
/// Names of months and days; `L` and `LW` for the last day and the last weekday of the month, `5L` for
/// its last Friday, `MON#2` for its second Monday; 0 and 7 are Sunday; `a/n` goes from a to the end.
/// If the day of the month or the day of the week begins with `*`, both must match; otherwise one of
/// them is enough.
///
/// When clocks change: see [`Times`].
#[derive(Debug, Clone)]
pub struct Cron {
    /// With one space between its fields.
    text: String,
    fields: Fields,
    times: Times,
    zone: (&'static str, TimeZone),
}

/// What happens to times that a change of the clock skips or shows twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Neither the minute nor the hour begins with `*`: each time of a day comes once. Those in a
    /// skipped hour come at its end, those in a doubled one come the first time.
    Fixed,
    /// It is due whenever the clock shows a time that matches; also if there are seconds.
    Shown,
}

// === impl Cron ===

impl Cron {
    /// Reads an expression and the name of its zone.
    ///
    /// # Errors
    /// If a field is wrong, no date matches, or there is no such zone.
    pub fn parse(text: &str, zone: &str) -> Result<Self, Invalid> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Invalid::Long { bytes: text.len() });
        }
        let found = zones::find(zone);
        let zone = found.map_err(|unknown| Invalid::Zone {
            given: tally_runtime::text::beginning(zone),
            near: unknown.near,
        })?;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let upper = text.to_ascii_uppercase();
        let short = SHORT.iter().find(|(name, _)| *name == upper);
        let parts: Vec<_> = short.map_or(&*upper, |(_, long)| long).split(' ').collect();
        let fields = Fields::parse(&parts)?;
        if !fields.has_days() {
            return Err(Invalid::NoDay { text });
        }
        let is_fixed = matches!(parts[..], [minute, hour, _, _, _]
            if !minute.starts_with('*') && !hour.starts_with('*'));
        let times = if is_fixed { Times::Fixed } else { Times::Shown };
        Ok(Self { text, fields, times, zone })
    }

    /// The expression as it was written, with one space between its fields.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name of the zone, as the tz database writes it.
    #[must_use]
    pub fn zone(&self) -> &'static str {
        self.zone.0
    }

    /// What happens when clocks change.
    #[must_use]
    pub fn times(&self) -> Times {
        self.times
    }

    /// The first time that is strictly later than this moment. None if there is none within 50 years.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = whole_seconds(after)?;
        match self.times {
            Times::Fixed => self.next_fixed(after),
            Times::Shown => self.next_shown(after),
        }
    }

    /// The last time that is not later than this moment. None if there is none within 50 years.
    #[must_use]
    pub fn previous_or_at(&self, until: Timestamp) -> Option<Timestamp> {
        // Within its last second, the calendar has no offsets any more.
        let until = whole_seconds(until)?.min(Timestamp::MAX.checked_sub(SECOND).ok()?);
        match self.times {
            Times::Fixed => self.previous_fixed(until),
            Times::Shown => self.previous_shown(until),
        }
    }

    fn next_fixed(&self, after: Timestamp) -> Option<Timestamp> {
        let mut shown = self.shown_at(after);
        let last = last_date(shown);
        loop {
            shown = self.fields.next(shown.checked_add(SECOND).ok()?, last)?;
            // In the second pass of a doubled hour, its times are over; two times of a skipped hour
            // are one moment.
            let time = self.moment(shown)?;
            if time > after {
                return Some(time);
            }
        }
    }

    fn previous_fixed(&self, until: Timestamp) -> Option<Timestamp> {
        let shown = self.shown_at(until);
        let last = match self.zone.1.to_ambiguous_timestamp(shown).offset() {
            // In the second pass of a doubled hour, all of its times are over.
            AmbiguousOffset::Fold { before, after } if self.offset_at(until) == after => {
                let change = self.zone.1.preceding(until.checked_add(SECOND).ok()?).next()?;
                before.to_datetime(change.timestamp()).checked_sub(SECOND).ok()?
            }
            _ => shown,
        };
        self.moment(self.fields.previous(last, first_date(shown))?)
    }

    fn next_shown(&self, after: Timestamp) -> Option<Timestamp> {
        let mut from = after.checked_add(SECOND).ok()?;
        let last = last_date(self.shown_at(from));
        loop {
            // Until the next change, the clock goes evenly.
            let offset = self.offset_at(from);
            let change = self.zone.1.following(from).next().map(|change| change.timestamp());
            let last_shown = change.map(|change| offset.to_datetime(change).date().min(last));
            let shown = self.fields.next(offset.to_datetime(from), last_shown.unwrap_or(last));
            let time = shown.and_then(|shown| offset.to_timestamp(shown).ok());
            if let Some(time) = time
                && change.is_none_or(|change| time < change)
            {
                return Some(time);
            }
            from = change.filter(|change| self.shown_at(*change).date() <= last)?;
        }
    }

    fn previous_shown(&self, until: Timestamp) -> Option<Timestamp> {
        let mut to = until;
        let first = first_date(self.shown_at(to));
        loop {
            let offset = self.offset_at(to);
            let preceding = self.zone.1.preceding(to.checked_add(SECOND).ok()?).next();
            let change = preceding.map(|change| change.timestamp());
            let first_shown = change.map(|change| offset.to_datetime(change).date().max(first));
            let shown = self.fields.previous(offset.to_datetime(to), first_shown.unwrap_or(first));
            let time = shown.and_then(|shown| offset.to_timestamp(shown).ok());
            if let Some(time) = time
                && change.is_none_or(|change| time >= change)
            {
                return Some(time);
            }
            to = change?.checked_sub(SECOND).ok()?;
            if self.shown_at(to).date() < first {
                return None;
            }
        }
    }

    /// When the clock shows this the first time, or the end of the hour that it skips instead.
    fn moment(&self, shown: DateTime) -> Option<Timestamp> {
        match self.zone.1.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(shown).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(shown).ok(),
            AmbiguousOffset::Gap { before, after } => {
                let not_before = before.to_timestamp(shown).ok()?;
                let mut changes = self.zone.1.preceding(not_before.checked_add(SECOND).ok()?);
                let change = changes.find(|change| change.offset() == after)?;
                Some(change.timestamp())
            }
        }
    }

    fn shown_at(&self, time: Timestamp) -> DateTime {
        self.zone.1.to_datetime(time)
    }

    fn offset_at(&self, time: Timestamp) -> jiff::tz::Offset {
        self.zone.1.to_offset(time)
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.zone.0) == (&other.text, other.zone.0)
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a text without a space may be meant for systemd.
pub(super) fn looks_like_on_calendar(text: &str) -> bool {
    let words = ["minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly"];
    let is_word = words.iter().any(|word| text.eq_ignore_ascii_case(word));
    is_word || (text.contains([':', '*']) && !text.contains(['T', 't']))
}

/// The second that has begun at this moment.
fn whole_seconds(time: Timestamp) -> Option<Timestamp> {
    let nanos = time.as_nanosecond().div_euclid(1_000_000_000);
    Timestamp::from_second(i64::try_from(nanos).ok()?).ok()
}

fn last_date(shown: DateTime) -> Date {
    Date::new(shown.year().saturating_add(YEARS_MAX), 12, 31).unwrap_or(Date::MAX)
}

fn first_date(shown: DateTime) -> Date {
    Date::new(shown.year().saturating_sub(YEARS_MAX), 1, 1).unwrap_or(Date::MIN)
}
