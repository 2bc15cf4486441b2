//! What answers tell apart: series and periods that counts are summed by.

use jiff::civil::Date as CivilDate;
use tally_client::Method;
use tally_proto::google::r#type::Date;
use tally_proto::methods::number_of_text;
use tally_proto::tally::requests::v1::{
    Granularity, Group, GroupBy, PeriodTotals, QueryTotalsRequest,
};

use crate::changes::renamed;
use crate::journal::{Key, QUARTERS_PER_DAY, Series};
use crate::stored::Totals;

/// Asia/Kolkata is five and a half hours ahead of UTC all year, so its hours begin at half past.
const KOLKATA: &str = "Asia/Kolkata";
const KOLKATA_QUARTERS: i32 = 22;
const QUARTERS_PER_HOUR: i32 = 4;
const QUARTER_SECONDS: i64 = 900;

/// A way to sum counts. The journals' are by quarter and series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum View {
    /// By quarter and series.
    Quarters,
    /// By day and series.
    Days,
    /// By day, method and path: what `count.v1` knows.
    Endpoints,
    /// By day and service.
    Services,
    /// By day and class of status.
    Classes,
    /// By hour in Kolkata, service and status.
    Hours,
    /// By day in Kolkata, service and status: servers keep the pieces of such days in memory.
    LocalDays,
}

/// What a server is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) view: View,
    /// The number of the namespace that it is about.
    pub(crate) namespace: i64,
    /// The first day in the view's time zone; None for all.
    pub(crate) from: Option<i32>,
    pub(crate) live: bool,
}

// === impl View ===

impl View {
    /// What a server can be asked for, by grouping.
    pub(crate) const ASKED: [View; 6] =
        [View::Days, View::Endpoints, View::Services, View::Classes, View::Hours, View::LocalDays];

    /// What a count of this key counts under, after all changes.
    pub(crate) fn key(self, key: &Key) -> Key {
        let renamed = renamed(&key.series);
        let Series { namespace, path, method, service, status, customer } = &renamed;
        let of = Series { namespace: *namespace, ..Series::default() };
        let series = match self {
            View::Quarters | View::Days => renamed,
            View::Endpoints => Series { path: path.clone(), method: *method, ..of },
            View::Services => Series { service: service.clone(), ..of },
            View::Classes => Series { status: class(*method, *status), ..of },
            View::Hours | View::LocalDays => {
                let (service, status) = (service.clone(), *status);
                Series { service, status, customer: customer.clone(), ..of }
            }
        };
        Key { quarter: self.first_quarter(key.quarter), series }
    }

    /// The first quarter of the period that this one is in.
    fn first_quarter(self, quarter: i32) -> i32 {
        let ahead = self.quarters_ahead();
        let quarters = match self {
            View::Quarters => 1,
            View::Hours => QUARTERS_PER_HOUR,
            _ => QUARTERS_PER_DAY,
        };
        (quarter + ahead).div_euclid(quarters) * quarters - ahead
    }

    /// How far its time zone is ahead of UTC.
    fn quarters_ahead(self) -> i32 {
        if matches!(self, View::Hours | View::LocalDays) { KOLKATA_QUARTERS } else { 0 }
    }

    pub(crate) fn totals(self, totals: &Totals) -> Totals {
        let mut of_view = Totals::new();
        for (key, count) in totals {
            *of_view.entry(self.key(key)).or_default() += count;
        }
        of_view
    }

    /// Whether requests without a name can be told apart from others.
    pub(crate) fn has_paths(self) -> bool {
        matches!(self, View::Quarters | View::Days | View::Endpoints)
    }

    fn group_by(self) -> &'static [GroupBy] {
        match self {
            View::Quarters | View::Days => &[
                GroupBy::Service,
                GroupBy::Method,
                GroupBy::Path,
                GroupBy::Status,
                GroupBy::Customer,
            ],
            View::Endpoints => &[],
            View::Services => &[GroupBy::Service],
            View::Classes => &[GroupBy::StatusClass],
            View::Hours | View::LocalDays => {
                &[GroupBy::Service, GroupBy::Status, GroupBy::Customer]
            }
        }
    }
}

/// The first digit of the HTTP status, or of the one that stands for a code of gRPC.
fn class(method: i32, status: u16) -> u16 {
    match (Method(method), status) {
        (Method::GRPC, 5) => 4,
        (Method::GRPC, 2 | 14) => 5,
        // No journal has another code.
        _ => status / 100,
    }
}

/// The sums of all series of a namespace.
pub(crate) fn sums_by_period(totals: &Totals) -> Totals {
    let mut sums = Totals::new();
    for (key, count) in totals {
        let series = Series { namespace: key.series.namespace, ..Series::default() };
        let key = Key { quarter: key.quarter, series };
        *sums.entry(key).or_default() += count;
    }
    sums
}

// === impl Question ===

impl Question {
    /// A question about live totals that quarters can answer: `today` and the day before it have them,
    /// whatever is pruned.
    pub(crate) fn live(view: View, namespace: i64, today: i32) -> Question {
        let from = (view.quarters_ahead() > 0).then_some(today - 1);
        Question { view, namespace, from, live: true }
    }

    pub(crate) fn request(self) -> QueryTotalsRequest {
        let is_local = self.view.quarters_ahead() > 0;
        let granularity = match self.view {
            View::Hours => Granularity::Hour,
            _ => Granularity::Day,
        };
        QueryTotalsRequest {
            from: self.from.map(|day| date_of(day, 3)),
            granularity: granularity.into(),
            live: self.live,
            time_zone: if is_local { KOLKATA.to_owned() } else { String::new() },
            group_by: self.view.group_by().iter().map(|by| (*by).into()).collect(),
            ..QueryTotalsRequest::default()
        }
    }

    /// Whether the answer has this key of its view.
    pub(crate) fn covers(self, key: &Key) -> bool {
        let ahead = self.view.quarters_ahead();
        key.series.namespace == self.namespace
            && self.from.is_none_or(|day| key.quarter >= day * QUARTERS_PER_DAY - ahead)
    }

    /// The first quarter of a period in an answer.
    pub(crate) fn quarter(self, period: &PeriodTotals) -> anyhow::Result<i32> {
        if self.view == View::Hours {
            let seconds = period.start.as_ref().map_or(0, |start| start.seconds);
            anyhow::ensure!(seconds % QUARTER_SECONDS == 0, "an hour begins at {seconds}");
            return Ok(i32::try_from(seconds.div_euclid(QUARTER_SECONDS))?);
        }
        let date = period.period.as_ref();
        let date = date.ok_or_else(|| anyhow::anyhow!("a total without a day"))?;
        Ok(day_of(date)? * QUARTERS_PER_DAY - self.view.quarters_ahead())
    }

    /// The series that a group of an answer stands for.
    pub(crate) fn series(self, group: &Group) -> anyhow::Result<Series> {
        let is_class = self.view == View::Classes;
        let status = if is_class { group.status_class } else { group.status };
        Ok(Series {
            namespace: self.namespace,
            path: group.path.clone(),
            method: number_of_text(&group.method),
            service: group.service.clone(),
            status: status.try_into()?,
            customer: group.customer.clone(),
        })
    }
}

/// The days from 1970-01-01 to a full date.
pub(crate) fn day_of(date: &Date) -> anyhow::Result<i32> {
    let date = CivilDate::new(date.year.try_into()?, date.month.try_into()?, date.day.try_into()?)?;
    Ok((date - CivilDate::constant(1970, 1, 1)).get_days())
}

/// The date of a day, or its month with `parts` 2, or its year with 1.
pub(crate) fn date_of(day: i32, parts: u64) -> Date {
    let date = CivilDate::constant(1970, 1, 1) + jiff::Span::new().days(day);
    Date {
        year: date.year().into(),
        month: if parts > 1 { date.month().into() } else { 0 },
        day: if parts > 2 { date.day().into() } else { 0 },
    }
}

/// Whether a day lies in a date of [`date_of`].
pub(crate) fn is_in(day: i32, date: Date) -> bool {
    let parts = 1 + u64::from(date.month > 0) + u64::from(date.day > 0);
    date_of(day, parts) == date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_convert_into_each_other() {
        for day in [-1, 0, 16_572, 20_000] {
            assert_eq!(day_of(&date_of(day, 3)).unwrap(), day);
            for parts in 1..=3 {
                assert!(is_in(day, date_of(day, parts)));
            }
        }
        assert_eq!(date_of(16_572, 2), Date { year: 2015, month: 5, day: 0 });
        assert!(!is_in(16_571, date_of(16_572, 3)));
        assert!(!is_in(0, date_of(16_572, 1)));
    }

    #[test]
    fn an_hour_of_kolkata_begins_at_half_past() {
        let zone = jiff::tz::db().get(KOLKATA).unwrap();
        for quarter in [-3, 0, 1, 2, 3, 4, 1_919_999, 1_920_001] {
            let at = jiff::Timestamp::from_second(i64::from(quarter) * QUARTER_SECONDS).unwrap();
            let local = at.to_zoned(zone.clone());
            let into = i64::from(local.minute()) * 60 + i64::from(local.second());
            let first = i64::from(View::Hours.first_quarter(quarter)) * QUARTER_SECONDS;
            assert_eq!(first, at.as_second() - into, "quarter {quarter}");
        }
    }

    #[test]
    fn a_view_sums_what_it_does_not_tell_apart() {
        let series = |path: &str, status| Series {
            path: path.to_owned(),
            service: "shop".to_owned(),
            status,
            ..Series::default()
        };
        let totals = [
            (Key { quarter: 96, series: series("/a", 200) }, 1),
            (Key { quarter: 97, series: series("/b", 204) }, 2),
            (Key { quarter: 191, series: series("/b", 503) }, 4),
        ];
        let totals: Totals = totals.into();
        let counts = |view: View| view.totals(&totals).into_values().collect::<Vec<_>>();
        assert_eq!(counts(View::Quarters), [1, 2, 4]);
        assert_eq!(counts(View::Endpoints), [1, 6]);
        assert_eq!(counts(View::Classes), [3, 4]);
        assert_eq!(counts(View::Services), [7]);
        assert_eq!(counts(View::Hours), [1, 2, 4]);
        assert_eq!(counts(View::LocalDays), [1, 2, 4]);
        assert_eq!(View::LocalDays.first_quarter(96 + 73), 96 - 22);
        assert_eq!(View::LocalDays.first_quarter(96 + 74), 96 + 74);
        assert_eq!(sums_by_period(&totals).into_values().collect::<Vec<_>>(), [1, 2, 4]);
    }
}
