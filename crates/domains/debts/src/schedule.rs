//! When something is due.
//!
//! | file | what it owns |
//! |---|---|
//! | `cron.rs`, `cron/` | cron expressions: their fields, and their times in a zone |

mod cron;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tally_runtime::durations;
use tally_runtime::zones::TZDB_VERSION;

pub use self::cron::{Cron, Field, Times};

/// The text for no schedule.
const NONE: &str = "none";

/// When something is due.
///
/// It is written as a duration (`1h`), a cron expression (`30 3 * * *`), a moment (RFC 3339,
/// `2026-12-31T18:00:00Z`) or `none`.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// So long after the last payment; after the debt was made, if there is none. At least 1 s.
    Interval(Duration),
    /// At the times of a cron expression in a time zone.
    Cron(Cron),
    /// Once, up to this moment.
    Deadline(Timestamp),
    /// Never. Only runs and failures count.
    None,
}

/// The time that a payment is booked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// A time of the schedule.
    pub time: Timestamp,
    /// The payment came before it.
    pub early: bool,
}

/// The text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It is of no kind.
    #[error(
        "{near:?} is not a schedule: write an interval such as 1h, a cron expression such as \
         30 3 * * *, a moment such as 2026-12-31T18:00:00Z, or none"
    )]
    Kind {
        /// Its beginning.
        near: String,
    },
    /// It looks like systemd's calendar events.
    #[error(
        "{near:?} looks like an OnCalendar expression of systemd, which is not supported: write a \
         cron expression such as 30 3 * * *"
    )]
    OnCalendar {
        /// Its beginning.
        near: String,
    },
    /// The duration is wrong, or zero.
    #[error("the interval is wrong: {0}")]
    Interval(#[source] durations::Invalid),
    /// An interval of nothing.
    #[error("an interval is at least 1s")]
    Zero,
    /// The number of fields is wrong.
    #[error(
        "a cron expression has five fields (minute, hour, day of the month, month, day of the week), \
         or six with seconds before them, and this one has {fields}: write for example 30 3 * * *"
    )]
    Fields {
        /// How many it has.
        fields: usize,
    },
    /// The expression is too long.
    #[error(
        "a cron expression has at most {} bytes, and this one has {bytes}",
        cron::TEXT_BYTES_MAX
    )]
    Long {
        /// How many it has.
        bytes: usize,
    },
    /// A field is wrong.
    #[error("the {field} of the cron expression is wrong: {near:?} {why}; write for example {}", .field.example())]
    Field {
        /// Which one.
        field: Field,
        /// The beginning of the part that is wrong.
        near: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No date has what is asked for.
    #[error(
        "no day of any year matches the cron expression {text:?}: change its day of the month, its \
         month or its day of the week; the last day of February, for example, is 0 0 L 2 *"
    )]
    NoDay {
        /// The expression.
        text: String,
    },
    /// No time within 50 years has what is asked for.
    #[error(
        "in the zone {zone}, the cron expression {text:?} has no time within 50 years: its times are \
         among those that the clock skips, so change its hour or its day"
    )]
    NoTime {
        /// The expression.
        text: String,
        /// The zone.
        zone: &'static str,
    },
    /// There is no such zone.
    #[error(
        "no time zone of the tz database {TZDB_VERSION} is called {given:?}; names are such as \
         Europe/Berlin{}", .near.map(|near| format!(": did you mean {near}?")).unwrap_or_default()
    )]
    Zone {
        /// The beginning of the name.
        given: String,
        /// The nearest name.
        near: Option<&'static str>,
    },
    /// There is a zone where none is needed.
    #[error("only a cron expression has a time zone: leave the zone {given:?} out")]
    NoZone {
        /// The beginning of the name.
        given: String,
    },
    /// The deadline has passed.
    #[error("the deadline {deadline} is not after now, {now}: write a moment to come")]
    Past {
        /// The deadline.
        deadline: Timestamp,
        /// What the server's clock shows.
        now: Timestamp,
    },
}

// === impl Schedule ===

impl Schedule {
    /// Reads a schedule. A cron expression without a zone is in UTC.
    ///
    /// # Errors
    /// If it is not one, or a zone is given to anything but a cron expression.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Self, Invalid> {
        let text = text.trim();
        if text.starts_with('@') || text.split_whitespace().nth(1).is_some() {
            return Cron::parse(text, zone.unwrap_or("UTC")).map(Self::Cron);
        }
        let schedule = if text == NONE {
            Self::None
        } else if let Ok(moment) = text.parse::<Timestamp>() {
            Self::Deadline(whole_micros(moment))
        } else if text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(['-', ':', '*'])
        {
            match durations::parse(text).map_err(Invalid::Interval)? {
                Duration::ZERO => return Err(Invalid::Zero),
                interval => Self::Interval(interval),
            }
        } else if cron::looks_like_on_calendar(text) {
            return Err(Invalid::OnCalendar { near: tally_runtime::text::beginning(text) });
        } else {
            return Err(Invalid::Kind { near: tally_runtime::text::beginning(text) });
        };
        match zone {
            Some(given) => Err(Invalid::NoZone { given: tally_runtime::text::beginning(given) }),
            None => Ok(schedule),
        }
    }

    /// Checks what only the time can tell, when a debt is made or its schedule changed.
    ///
    /// # Errors
    /// If nothing will ever be due, though something should be.
    pub fn check(&self, now: Timestamp) -> Result<(), Invalid> {
        match self {
            Self::Cron(cron) if cron.next(now).is_none() => {
                Err(Invalid::NoTime { text: cron.text().to_owned(), zone: cron.zone() })
            }
            Self::Deadline(deadline) if *deadline <= now => {
                Err(Invalid::Past { deadline: *deadline, now })
            }
            _ => Ok(()),
        }
    }

    /// The zone of a cron expression.
    #[must_use]
    pub fn zone(&self) -> Option<&'static str> {
        match self {
            Self::Cron(cron) => Some(cron.zone()),
            _ => None,
        }
    }

    /// What is due next if everything up to `settled` is settled.
    #[must_use]
    pub fn due_after(&self, settled: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Interval(interval) => later(settled, *interval),
            Self::Cron(cron) => cron.next(settled),
            Self::Deadline(deadline) => (settled < *deadline).then_some(*deadline),
            Self::None => None,
        }
    }

    /// The next times after this moment, if every payment comes when it is due.
    pub fn times_after(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.due_after(after), |time| self.due_after(*time))
    }

    /// The time that a payment, or the start of its run, is booked on. It depends on nothing but this
    /// time and the schedule, so it is the same if payments are processed late or out of order. Within
    /// the early window of the coming time, it is that one; otherwise it is the last one. An interval
    /// has no slots: each payment is its own.
    #[must_use]
    pub fn slot(&self, time: Timestamp, early_window: Duration) -> Option<Slot> {
        match self {
            Self::Interval(_) | Self::None => None,
            Self::Deadline(deadline) => Some(Slot { time: *deadline, early: time < *deadline }),
            Self::Cron(cron) => {
                let early = self.within_early_window(time, early_window);
                let slot = early.map(|time| Slot { time, early: true });
                slot.or_else(|| Some(Slot { time: cron.previous_or_at(time)?, early: false }))
            }
        }
    }

    /// What a payment at this time settles: all that was due up to then, and what is within its early window.
    #[must_use]
    pub fn settles(&self, time: Timestamp, early_window: Duration) -> Timestamp {
        match self {
            Self::Interval(_) | Self::None => time,
            Self::Deadline(deadline) => time.max(*deadline),
            Self::Cron(_) => self.within_early_window(time, early_window).unwrap_or(time),
        }
    }

    fn within_early_window(&self, time: Timestamp, early_window: Duration) -> Option<Timestamp> {
        // Most debts have none: they need not look for the next time.
        let until = later(time, early_window).filter(|until| *until > time)?;
        self.due_after(time).filter(|next| *next <= until)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interval(interval) => f.write_str(&durations::shown(*interval)),
            Self::Cron(cron) => f.write_str(cron.text()),
            Self::Deadline(deadline) => deadline.fmt(f),
            Self::None => f.write_str(NONE),
        }
    }
}

/// A moment so much later, unless the calendar ends before.
pub(crate) fn later(time: Timestamp, by: Duration) -> Option<Timestamp> {
    time.checked_add(SignedDuration::try_from(by).ok()?).ok()
}

/// A moment of a client, if every database can keep it: in whole microseconds, and neither before the year 1 nor
/// within the last second of the calendar.
pub(crate) fn storable(time: Timestamp) -> Option<Timestamp> {
    const FIRST: Timestamp = Timestamp::constant(-62_135_596_800, 0);
    let time = Timestamp::from_microsecond(time.as_microsecond()).ok()?;
    let is_kept = time >= FIRST && later(time, Duration::from_secs(1)).is_some();
    is_kept.then_some(time)
}

/// Databases keep microseconds.
pub(crate) fn whole_micros(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).expect("not beyond the moment itself")
}
