//! A range, the one before it, its periods, and what they are called.

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, ToSpan as _};
use tally_serve::pages::Tick;

use crate::dates::{End, PeriodArg};
use crate::model::Quarter;
use crate::parameters::GRANULARITIES;
use crate::periods::{Error, Granularity, Label, Periods, QuarterRange, Zone};

/// How many bars a chart may have, and how many it has unless a finer one is asked for.
const BARS_MAX: i32 = 400;
const BARS_DEFAULT_MAX: i32 = 170;
/// How many texts there are below a chart.
const TICKS_MAX: usize = 10;
/// How many years own dates may span.
const YEARS_MAX: i32 = 100;

/// A range as people choose it. All end today but own dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    Today,
    Week,
    Month,
    Year,
    Dates(Date, Date),
}

/// A range, in quarters of UTC, and what it is compared with.
#[derive(Debug, Clone)]
pub(super) struct Times {
    pub(super) first: Date,
    pub(super) last: Date,
    pub(super) range: QuarterRange,
    /// As many days before it; until the same time of day if the range is not over.
    pub(super) before: QuarterRange,
    /// Whether there is a range before: its quarter-hours may be gone.
    pub(super) is_compared: bool,
    pub(super) before_first: Date,
    pub(super) before_last: Date,
    /// Whether it may still grow.
    pub(super) is_open: bool,
    /// The present quarter.
    pub(super) now: Quarter,
    pub(super) by: Granularity,
    /// By what else it can be summed.
    pub(super) choices: Vec<Granularity>,
    pub(super) zone: Zone,
}

// === impl Span ===

impl Span {
    pub(super) const PRESETS: [(Self, &str); 4] = [
        (Self::Today, "Today"),
        (Self::Week, "7 days"),
        (Self::Month, "30 days"),
        (Self::Year, "12 months"),
    ];

    /// Reads a range; own dates win. Without an end it ends today.
    pub(super) fn read(
        name: Option<&str>,
        (from, to): (Option<End>, Option<End>),
        zone: &Zone,
        now: Timestamp,
    ) -> Result<Self, (&'static str, String)> {
        let today = zone.date_at(now);
        let (first, last) = match (of_days("from", from)?, of_days("to", to)?) {
            (None, None) => {
                let mut known = Self::PRESETS.into_iter().map(|(span, _)| span);
                return Ok(known.find(|span| Some(span.name()) == name).unwrap_or(Self::Month));
            }
            (Some(from), to) => {
                let first = from.first_on(today).first_day();
                (first, to.map_or(today.max(first), |to| to.last_on(today).last_day()))
            }
            (None, Some(_)) => {
                return Err(("from", "is missing: a page needs a first day".to_owned()));
            }
        };
        if last < first {
            return Err(("to", format!("{last} is before {first}")));
        }
        if i32::from(last.year()) - i32::from(first.year()) > YEARS_MAX {
            return Err(("from", format!("{first} is more than {YEARS_MAX} years before {last}")));
        }
        // The form sends dates, even if somebody chose something else in it.
        let mut presets = Self::PRESETS.into_iter().map(|(span, _)| span);
        let preset = presets.find(|preset| preset.dates(today)[..2] == [first, last]);
        Ok(preset.unwrap_or(Self::Dates(first, last)))
    }

    /// Its name in an address.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Today => "today",
            Self::Week => "7d",
            Self::Month => "30d",
            Self::Year => "12mo",
            Self::Dates(..) => "",
        }
    }

    /// Its dates, and those of the range before.
    fn dates(self, today: Date) -> [Date; 4] {
        let days = |date: Date, days: i32| date.saturating_add(days.days());
        let of_days = |first: Date, last: Date| {
            let count = first.until(last).map_or(0, |span| span.get_days()) + 1;
            [first, last, days(first, -count), days(last, -count)]
        };
        match self {
            Self::Today => of_days(today, today),
            Self::Week => of_days(days(today, -6), today),
            Self::Month => of_days(days(today, -29), today),
            Self::Year => {
                let first = today.first_of_month().saturating_sub(11.months());
                [first, today, first.saturating_sub(1.year()), today.saturating_sub(1.year())]
            }
            Self::Dates(first, last) => of_days(first, last),
        }
    }
}

// === impl Times ===

impl Times {
    /// Of a range in a zone, at this moment.
    pub(super) fn new(
        span: Span,
        zone: &Zone,
        by: Option<Granularity>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let today = zone.date_at(now);
        let [first, last, before_first, before_last] = span.dates(today);
        let range = QuarterRange::of_dates(Some(first), Some(last), zone)?;
        // Long ago some days do not begin on a quarter: then there is nothing to compare with.
        let before = QuarterRange::of_dates(Some(before_first), Some(before_last), zone).ok();
        let is_compared = before.is_some();
        let mut before = before.unwrap_or(QuarterRange { end: range.start, ..range });
        let now = Quarter::of_micros(now.as_microsecond());
        let is_open = range.start <= now && now < range.end;
        if is_open && is_compared && span != Span::Year {
            // Today until now is compared with as much of the day then.
            let day = QuarterRange::of_dates(Some(today), Some(today), zone)?;
            let then = QuarterRange::of_dates(Some(before_last), Some(before_last), zone)?;
            before.end = Quarter(then.start.0 + now.0 - day.start.0 + 1).min(before.end);
        }
        let quarters = range.end.0 - range.start.0;
        let bars = |by: &Granularity| quarters / quarters_of(*by).max(1);
        let possible = GRANULARITIES.into_iter().map(|(_, by)| by);
        let possible = possible.filter(|by| *by != Granularity::Whole);
        let choices: Vec<_> = possible.filter(|by| (2..=BARS_MAX).contains(&bars(by))).collect();
        let finest = choices.iter().copied().find(|by| bars(by) <= BARS_DEFAULT_MAX);
        let usual = finest.or(choices.last().copied()).unwrap_or(Granularity::Quarter);
        let by = by.filter(|by| choices.contains(by)).unwrap_or(usual);
        Ok(Self {
            first,
            last,
            range,
            before,
            is_compared,
            before_first,
            before_last,
            is_open,
            now,
            by,
            choices,
            zone: zone.clone(),
        })
    }

    /// Asks for less, because quarter-hours that it needs are gone: first without the range before, then by
    /// day. Returns whether it could.
    pub(super) fn coarsen(&mut self) -> bool {
        if self.is_compared {
            self.is_compared = false;
            self.before = QuarterRange { end: self.before.start, ..self.before };
            return true;
        }
        let is_fine = !self.has_dates();
        self.by = if is_fine { Granularity::Day } else { self.by };
        self.choices.retain(|by| !matches!(by, Granularity::Quarter | Granularity::Hour));
        is_fine
    }

    /// Its periods.
    pub(super) fn periods(&self) -> Result<Periods, Error> {
        Periods::of(self.range, self.by, &self.zone)
    }

    /// What a period is called.
    pub(super) fn period(&self, label: &Label) -> String {
        let date = label.date;
        match self.by {
            Granularity::Quarter | Granularity::Hour => {
                format!("{}, {}", date.strftime("%a %-d %b %Y"), local(label).strftime("%H:%M"))
            }
            Granularity::Day => date.strftime("%a %-d %b %Y").to_string(),
            Granularity::Week => format!("Week of {}", date.strftime("%-d %b %Y")),
            Granularity::Month => date.strftime("%B %Y").to_string(),
            Granularity::Year | Granularity::Whole => date.strftime("%Y").to_string(),
        }
    }

    /// The dates of a period that is worth a look by itself.
    pub(super) fn dates_of(&self, label: &Label) -> Option<Span> {
        let date = label.date;
        let (first, last) = match self.by {
            Granularity::Quarter | Granularity::Hour | Granularity::Day => (date, date),
            Granularity::Week => (date, date.saturating_add(6.days())),
            Granularity::Month => (date, date.last_of_month()),
            Granularity::Year | Granularity::Whole => (date, date.last_of_year()),
        };
        (self.first != self.last).then_some(Span::Dates(first, last))
    }

    /// Whether each period has a date of its own.
    pub(super) fn has_dates(&self) -> bool {
        !matches!(self.by, Granularity::Quarter | Granularity::Hour)
    }

    /// What is written below the bars.
    pub(super) fn ticks(&self, labels: &[Label]) -> Vec<Tick> {
        let is_one_day = self.first == self.last;
        let named = labels.iter().enumerate().filter_map(|(at, label)| {
            let (date, time) = (label.date, local(label).time());
            let text = match self.by {
                Granularity::Quarter | Granularity::Hour if is_one_day => {
                    let is_third = time.minute() == 0 && time.hour() % 3 == 0;
                    is_third.then(|| time.strftime("%H:%M").to_string())?
                }
                Granularity::Quarter | Granularity::Hour => {
                    let is_midnight = time.minute() == 0 && time.hour() == 0;
                    is_midnight.then(|| date.strftime("%-d %b").to_string())?
                }
                Granularity::Day | Granularity::Week => date.strftime("%-d %b").to_string(),
                Granularity::Month => date.strftime("%b %Y").to_string(),
                Granularity::Year | Granularity::Whole => date.strftime("%Y").to_string(),
            };
            Some((at, text))
        });
        let named: Vec<_> = named.collect();
        let every = named.len().div_ceil(TICKS_MAX).max(1);
        let tick =
            |(nth, (at, text)): (usize, (usize, String))| Tick { at, text, is_minor: nth % 2 == 1 };
        named.into_iter().step_by(every).enumerate().map(tick).collect()
    }
}

/// The days of an end.
fn of_days(
    field: &'static str,
    end: Option<End>,
) -> Result<Option<PeriodArg>, (&'static str, String)> {
    match end {
        Some(End::Moment(_)) => Err((field, "a page has whole days: write a day".to_owned())),
        Some(End::Period(period)) => Ok(Some(period)),
        None => Ok(None),
    }
}

/// What a zone's clock shows when a period begins.
fn local(label: &Label) -> DateTime {
    let at = label.start.start_micros() / 1_000_000 + i64::from(label.utc_offset_seconds);
    let offset = jiff::tz::Offset::UTC;
    Timestamp::from_second(at).map_or(DateTime::MAX, |at| offset.to_datetime(at))
}

/// How long a period is about, in quarters.
fn quarters_of(by: Granularity) -> i32 {
    match by {
        Granularity::Quarter => 1,
        Granularity::Hour => 4,
        Granularity::Day => Quarter::PER_DAY,
        Granularity::Week => 7 * Quarter::PER_DAY,
        Granularity::Month => 30 * Quarter::PER_DAY,
        Granularity::Year | Granularity::Whole => 365 * Quarter::PER_DAY,
    }
}

/// A date, such as `27 Nov 2026`.
pub(super) fn date(date: Date) -> String {
    date.strftime("%-d %b %Y").to_string()
}

/// Dates from the first to the last, without what they have in common.
pub(super) fn dates(first: Date, last: Date) -> String {
    if first == last {
        return date(first);
    }
    let start = match (first.year() == last.year(), first.month() == last.month()) {
        (true, true) => first.strftime("%-d").to_string(),
        (true, false) => first.strftime("%-d %b").to_string(),
        _ => date(first),
    };
    format!("{start} \u{2013} {}", date(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(span: Span, zone: &str, now: &str) -> Times {
        let zone = Zone::named(zone).expect("a zone");
        Times::new(span, &zone, None, now.parse().expect("a time")).expect("quarters")
    }

    fn quarters(range: QuarterRange) -> [String; 2] {
        let time = |quarter: Quarter| {
            let time = Timestamp::from_microsecond(quarter.start_micros()).expect("a time");
            time.strftime("%Y-%m-%d %H:%M").to_string()
        };
        [time(range.start), time(range.end)]
    }

    #[test]
    fn a_range_is_compared_with_as_much_time_before_it() {
        let now = "2026-11-27T20:20:00Z";
        for (span, zone, range, before) in [
            (
                Span::Today,
                "UTC",
                ["2026-11-27 00:00", "2026-11-28 00:00"],
                ["2026-11-26 00:00", "2026-11-26 20:30"],
            ),
            (
                Span::Week,
                "Asia/Kolkata",
                ["2026-11-21 18:30", "2026-11-28 18:30"],
                ["2026-11-14 18:30", "2026-11-20 20:30"],
            ),
            (
                Span::Year,
                "UTC",
                ["2025-12-01 00:00", "2026-11-28 00:00"],
                ["2024-12-01 00:00", "2025-11-28 00:00"],
            ),
            (
                Span::Dates(jiff::civil::date(2026, 5, 1), jiff::civil::date(2026, 5, 31)),
                "UTC",
                ["2026-05-01 00:00", "2026-06-01 00:00"],
                ["2026-03-31 00:00", "2026-05-01 00:00"],
            ),
        ] {
            let times = times(span, zone, now);
            assert_eq!(quarters(times.range), range, "{span:?}");
            assert_eq!(quarters(times.before), before, "{span:?}");
            assert_eq!(times.is_open, !matches!(span, Span::Dates(..)), "{span:?}");
        }
    }

    /// On the day when the clock goes back, a day has 25 hours, and the one before it 24.
    #[test]
    fn a_change_of_clocks_compares_no_more_than_the_day_before() {
        let late = times(Span::Today, "Europe/Berlin", "2026-10-25T22:50:00Z");
        assert_eq!(quarters(late.range), ["2026-10-24 22:00", "2026-10-25 23:00"]);
        assert_eq!(quarters(late.before), ["2026-10-23 22:00", "2026-10-24 22:00"]);
        assert_eq!(late.periods().expect("quarters").len(), 100);
    }

    #[test]
    fn a_chart_has_neither_too_many_bars_nor_too_few() {
        let now = "2026-11-27T20:20:00Z";
        for (span, by, choices) in [
            (Span::Today, Granularity::Quarter, 2),
            (Span::Week, Granularity::Hour, 2),
            (Span::Month, Granularity::Day, 2),
            (Span::Year, Granularity::Week, 3),
        ] {
            let times = times(span, "UTC", now);
            assert_eq!((times.by, times.choices.len()), (by, choices), "{span:?}");
        }
        let century = Span::Dates(jiff::civil::date(1926, 1, 1), jiff::civil::date(2026, 1, 1));
        assert_eq!(times(century, "UTC", now).by, Granularity::Year);
        for span in [Span::Today, Span::Week, Span::Month, Span::Year, century] {
            let times = times(span, "America/Havana", now);
            let periods = times.periods().expect("quarters");
            let labels: Vec<_> = (0..periods.len()).map(|at| periods.label(at)).collect();
            let ticks = times.ticks(&labels);
            assert!((2..=TICKS_MAX).contains(&ticks.len()), "{span:?}: {ticks:?}");
        }
    }

    #[test]
    fn what_is_not_kept_is_asked_for_no_more() {
        let mut today = times(Span::Today, "UTC", "2026-11-27T20:20:00Z");
        assert!(today.coarsen() && !today.is_compared && today.before.is_empty());
        assert_eq!(today.by, Granularity::Quarter);
        assert!(today.coarsen());
        assert_eq!((today.by, today.choices.as_slice()), (Granularity::Day, &[][..]));
        assert!(!today.coarsen());
    }

    #[test]
    fn dates_say_once_what_they_share() {
        let of = |first: &str, last: &str| {
            dates(first.parse().expect("a date"), last.parse().expect("a date"))
        };
        assert_eq!(of("2026-11-27", "2026-11-27"), "27 Nov 2026");
        assert_eq!(of("2026-11-21", "2026-11-27"), "21 \u{2013} 27 Nov 2026");
        assert_eq!(of("2026-10-29", "2026-11-27"), "29 Oct \u{2013} 27 Nov 2026");
        assert_eq!(of("2025-12-01", "2026-11-27"), "1 Dec 2025 \u{2013} 27 Nov 2026");
    }
}
