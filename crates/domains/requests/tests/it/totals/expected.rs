//! What a query should answer: a sum over all requests, without the code that is tested.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tally_requests::model::{Namespace, Quarter};
use tally_requests::periods::{Granularity, Label, QuarterRange};
use tally_requests::{Day, Filter, Group, GroupBy, Query, Totals};

use super::books::{Books, Series};

/// What a total is of.
pub(super) type Key = (Quarter, Vec<String>);

impl Books {
    /// The answer, or that a day which a period cuts is pruned and has some of what is asked for.
    pub(super) fn answer(&self, query: &Query) -> Option<BTreeMap<Key, i64>> {
        let calendar = Calendar::of(query);
        let is_cut = |day: &Day| {
            let first = Quarter::first_of(*day).0;
            let periods: BTreeSet<_> =
                (0..96).map(|n| calendar.period(Quarter(first + n))).collect();
            periods.len() > 1
        };
        let cut: Vec<&Day> = self.pruned.iter().filter(|day| is_cut(day)).collect();
        let is_asked_for = |day: &Day| {
            let of_day = self.requests.iter().filter(|one| one.quarter.day() == *day);
            of_day.into_iter().any(|one| {
                (query.live || one.is_rolled_up)
                    && grouped(&self.series[one.series], query).is_some()
            })
        };
        if cut.into_iter().any(is_asked_for) {
            return None;
        }
        let mut totals: BTreeMap<Key, i64> = BTreeMap::new();
        for one in &self.requests {
            let Some(period) = calendar.period(one.quarter) else { continue };
            let series = &self.series[one.series];
            if (query.live || one.is_rolled_up)
                && let Some(group) = grouped(series, query)
            {
                *totals.entry((period, group)).or_default() += one.count;
            }
        }
        Some(totals)
    }
}

/// Periods as the clock on the wall has them, quarter by quarter.
struct Calendar<'a> {
    query: &'a Query,
    zone: TimeZone,
}

impl<'a> Calendar<'a> {
    fn of(query: &'a Query) -> Self {
        Self { query, zone: TimeZone::get(query.zone.name()).unwrap() }
    }

    /// What names the quarter's period: for quarters and hours the quarter that it begins with, otherwise its first
    /// day.
    fn period(&self, quarter: Quarter) -> Option<Quarter> {
        let QuarterRange { start, end } = self.query.range;
        if quarter < start || end <= quarter {
            return None;
        }
        let shown = |quarter: Quarter| {
            let time = Timestamp::from_microsecond(quarter.start_micros()).unwrap();
            let offset = self.zone.to_offset(time);
            (offset.to_datetime(time), offset)
        };
        let (time, offset) = shown(quarter);
        let mut date = time.date();
        match self.query.granularity {
            Granularity::Quarter => return Some(quarter),
            Granularity::Hour => {
                let is_same = |one: Quarter| {
                    let (before, other) = shown(one);
                    other == offset && before.date() == date && before.hour() == time.hour()
                };
                let mut first = quarter;
                while is_same(Quarter(first.0 - 1)) {
                    first = Quarter(first.0 - 1);
                }
                return Some(first);
            }
            Granularity::Day => {}
            Granularity::Week => {
                while date.weekday() != jiff::civil::Weekday::Monday {
                    date = date.yesterday().unwrap();
                }
            }
            Granularity::Month => date = date.first_of_month(),
            Granularity::Year => date = date.first_of_year(),
            Granularity::Whole => return Some(Quarter(0)),
        }
        Some(Quarter::first_of(date.into()))
    }

    fn name(&self, label: Label) -> Quarter {
        match self.query.granularity {
            Granularity::Quarter | Granularity::Hour => label.start,
            Granularity::Whole => Quarter(0),
            _ => Quarter::first_of(label.date.into()),
        }
    }
}

fn class(group: &Group) -> u8 {
    let http = match (&*group.method, group.status) {
        ("GRPC", 5) => 404,
        ("GRPC", 13) => 500,
        (_, status) => status,
    };
    if (100..600).contains(&http) { u8::try_from(http / 100).unwrap() } else { 0 }
}

/// The texts of what the query groups by, unless the filter keeps the series out.
fn grouped(series: &Series, query: &Query) -> Option<Vec<String>> {
    let filter = &query.filter;
    let unknown = Group { path: "_unknown".into(), ..Group::default() };
    let group = series.group.as_ref().unwrap_or(&unknown);
    let lets = |of: &hashbrown::HashSet<String>, text: &str| of.is_empty() || of.contains(text);
    let (no_statuses, no_classes) = (filter.statuses.is_empty(), filter.status_classes.is_empty());
    let is_in = series.namespace == filter.namespace.0
        && (series.group.is_some()
            || (filter.is_empty() && filter.namespace == Namespace::DEFAULT))
        && lets(&filter.services, &group.service)
        && lets(&filter.methods, &group.method)
        && lets(&filter.paths, &group.path)
        && lets(&filter.customers, &group.customer)
        && group.path.starts_with(&filter.path_prefix)
        && ((no_statuses && no_classes)
            || filter.statuses.contains(&group.status)
            || filter.status_classes.contains(&class(group)));
    if !is_in || query.sum {
        return is_in.then(Vec::new);
    }
    let text = |by: &GroupBy| match by {
        GroupBy::Service => group.service.to_string(),
        GroupBy::Method => group.method.to_string(),
        GroupBy::Path => group.path.to_string(),
        GroupBy::Status => group.status.to_string(),
        GroupBy::StatusClass => class(group).to_string(),
        GroupBy::Customer => group.customer.to_string(),
    };
    Some(query.group_by.iter().map(text).collect())
}

/// An answer in the form of the expected one; it checks the order.
pub(super) fn listed(totals: &Totals, query: &Query) -> BTreeMap<Key, i64> {
    let starts: Vec<_> = totals.periods.iter().map(|period| period.label.start).collect();
    assert!(starts.is_sorted() && totals.groups.is_sorted(), "{query:?}");
    let calendar = Calendar::of(query);
    let mut listed = BTreeMap::new();
    for period in &totals.periods {
        assert!(period.counts.iter().is_sorted_by(|a, b| a.0 < b.0), "{query:?}");
        for (group, count) in &period.counts {
            let group = totals.groups.get(*group as usize);
            assert_eq!(group.is_none(), query.sum);
            let texts = group.map(|one| Series { id: 0, namespace: 0, group: Some(one.clone()) });
            let name = |one: &Series| {
                let group = one.group.as_ref().unwrap();
                let text = |by: &GroupBy| match by {
                    GroupBy::StatusClass => group.status_class.to_string(),
                    by => {
                        let by = Query {
                            group_by: vec![*by],
                            filter: Filter::default(),
                            ..query.clone()
                        };
                        grouped(one, &by).unwrap().remove(0)
                    }
                };
                query.group_by.iter().map(text).collect()
            };
            let key = (calendar.name(period.label), texts.as_ref().map(name).unwrap_or_default());
            assert_eq!(listed.insert(key, *count), None, "{query:?}");
        }
    }
    listed
}
