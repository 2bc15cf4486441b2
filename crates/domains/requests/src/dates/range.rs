//! The ends of a range as people and programs write them: periods, or moments with an offset.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date as Day;

use super::written::{PeriodArg, parse_period};
use crate::model::Quarter;
use crate::periods::{self, QuarterRange, Zone};

/// An end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With the days of this period, all of them.
    Period(PeriodArg),
    /// At this moment. Counts are kept by quarter-hour, so that of a moment within one is in the range.
    Moment(Timestamp),
}

// === impl End ===

impl End {
    /// A range in a zone, where today is this day. It is empty if it ends before it begins.
    ///
    /// # Errors
    /// If a day does not begin on a quarter-hour.
    pub(crate) fn range(
        from: Option<Self>,
        to: Option<Self>,
        zone: &Zone,
        today: Day,
    ) -> Result<QuarterRange, periods::Error> {
        let first = from.and_then(Self::period).map(|period| period.first_on(today).first_day());
        let last = to.and_then(Self::period).map(|period| period.last_on(today).last_day());
        let days = QuarterRange::of_dates(first, last, zone)?;
        // What `of_dates` makes empty is empty, and not all.
        let (mut start, mut end) = (days.start, days.end);
        if let Some(Self::Moment(moment)) = from {
            start = Quarter::of_micros(moment.as_microsecond()).max(QuarterRange::ALL.start);
        }
        if let Some(Self::Moment(moment)) = to {
            let micros = moment.as_microsecond().saturating_add(Quarter::MICROS - 1);
            end = Quarter::of_micros(micros).min(QuarterRange::ALL.end);
        }
        Ok(QuarterRange { start, end: end.max(start) })
    }

    fn period(self) -> Option<PeriodArg> {
        match self {
            Self::Period(period) => Some(period),
            Self::Moment(_) => None,
        }
    }
}

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Words have a `t` as well.
        let is_number =
            text.starts_with(|first: char| first.is_ascii_digit() || "+- ".contains(first));
        if !is_number || !text.contains(['T', 't']) {
            let or_moment = |reason: String| match reason.starts_with("write a day") {
                true => reason + ", or a moment as 2015-05-17T10:00:00+02:00",
                false => reason,
            };
            return parse_period(text).map(Self::Period).map_err(or_moment);
        }
        // In a query a `+` that is not encoded is a space.
        let text = text.replace(' ', "+");
        let moment = text.parse::<Timestamp>().map(Self::Moment);
        moment
            .map_err(|_| "write a moment as 2015-05-17T10:00:00+02:00, with its offset".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::super::written::NAMED;
    use super::*;

    /// As two moments, in a zone that is ahead by 1 or 2 hours.
    fn range(from: &str, to: &str) -> String {
        let end = |text: &str| (!text.is_empty()).then(|| text.parse::<End>().expect(text));
        let zone = Zone::named("Europe/Berlin").expect("a zone");
        let range = End::range(end(from), end(to), &zone, date(2024, 3, 31)).expect("a range");
        let moment = |quarter: Quarter| match quarter {
            bound if bound == QuarterRange::ALL.start || bound == QuarterRange::ALL.end => {
                String::new()
            }
            quarter => {
                let micros = quarter.start_micros();
                Timestamp::from_microsecond(micros).expect("a moment").to_string()
            }
        };
        format!("{}..{}", moment(range.start), moment(range.end))
    }

    #[test]
    fn days_are_whole_and_moments_are_exact_to_the_quarter() {
        for (from, to, expected) in [
            ("", "", ".."),
            ("today", "today", "2024-03-30T23:00:00Z..2024-03-31T22:00:00Z"),
            ("2024-03", "", "2024-02-29T23:00:00Z.."),
            ("", "2024-02-29", "..2024-02-29T23:00:00Z"),
            ("2024-02-29", "2024-02-28", "2024-02-28T23:00:00Z..2024-02-28T23:00:00Z"),
            (
                "2024-03-01T00:00:00+01:00",
                "2024-03-02T00:00:00+01:00",
                "2024-02-29T23:00:00Z..2024-03-01T23:00:00Z",
            ),
            ("2024-03-01T00:00Z", "2024-03-01", "2024-03-01T00:00:00Z..2024-03-01T23:00:00Z"),
            (
                "2024-03-01T00:14:59.999Z",
                "2024-03-01T00:15:00.001 00:00",
                "2024-03-01T00:00:00Z..2024-03-01T00:30:00Z",
            ),
            (
                "2024-03-01T01:00Z",
                "2024-03-01T00:00Z",
                "2024-03-01T01:00:00Z..2024-03-01T01:00:00Z",
            ),
        ] {
            assert_eq!(range(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn a_moment_has_an_offset() {
        for text in ["2024-03-01T00:00:00", "2024-03-01T", "2024-13-01T00:00Z", "-2024-03-01T"] {
            let error = text.parse::<End>().expect_err(text);
            assert!(error.contains("with its offset"), "{text}: {error}");
        }
        for text in ["tomorrow", "next-month", "T", "Tuesday"] {
            let error = text.parse::<End>().expect_err("no word");
            assert!(
                error.contains("write a day as") && error.contains("or a moment as"),
                "{error}"
            );
        }
    }

    #[test]
    fn every_word_is_a_period() {
        for (word, period) in NAMED {
            assert_eq!(word.parse(), Ok(End::Period(period)), "{word}");
        }
        assert_eq!("7d".parse(), Ok(End::Period(PeriodArg::LastDays(7))));
    }
}
