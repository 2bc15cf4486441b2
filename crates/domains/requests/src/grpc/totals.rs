//! `QueryTotals`: a query from its message, and an answer in messages.

use hashbrown::{HashMap, HashSet};
use tally_producers::Setback;
use tally_proto::tally::requests::v1 as requests;
use tally_proto::wire;
use tally_serve::api::tag_of;
use tonic::{Response, Status};

use super::date;
use super::messages::{Messages, keep, stream};
use crate::dates;
use crate::error::Error;
use crate::model::{Namespace, Quarter};
use crate::periods::{Granularity, Label, QuarterRange, TZDB_VERSION, Zone};
use crate::totals::{
    Compact, Filter, GroupBy, GroupRef, LimitOrder, Omitted, Place, Query, Totals,
};

/// At most this many totals in a message: some 64 KiB.
const MESSAGE_ITEMS_MAX: usize = 4_096;
/// At most this many groups: 512 KiB with the longest paths, and clients take 4 MiB by default.
const MESSAGE_GROUPS_MAX: usize = 200;

/// Reads a query of a namespace.
pub(super) fn query(
    namespace: Namespace,
    request: &requests::QueryTotalsRequest,
    totals_max: usize,
) -> Result<Query, Error> {
    let zone = match &*request.time_zone {
        "" => Zone::utc(),
        name => Zone::named(name).map_err(|error| Error::invalid(format!("time_zone: {error}")))?,
    };
    let from = dates::optional_period("from", request.from.as_ref())?;
    let to = dates::optional_period("to", request.to.as_ref())?;
    dates::range(("from", from), ("to", to))?;
    let from = from.map(|period| period.days().first.date());
    let to = to.map(|period| period.days().last.date());
    let order = match known("limit_order", request.limit_order)? {
        requests::LimitOrder::Unspecified | requests::LimitOrder::Path => LimitOrder::Path,
        requests::LimitOrder::Count => LimitOrder::Count,
    };
    let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0);
    Ok(Query {
        range: QuarterRange::of_dates(from, to, &zone)?,
        granularity: granularity(known("granularity", request.granularity)?),
        zone,
        filter: filter(namespace, request)?,
        group_by: group_by(request)?,
        live: request.live,
        with_corrections: request.with_corrections,
        sum: request.sum,
        totals_max,
        limit: limit.map(|limit| (limit, order)),
    })
}

/// A value of an enum that this server knows.
fn known<T: TryFrom<i32>>(field: &str, number: i32) -> Result<T, Error> {
    let newer = || Error::invalid(format!("{field}: {number} is newer than this server"));
    T::try_from(number).map_err(|_| newer())
}

fn granularity(of: requests::Granularity) -> Granularity {
    match of {
        requests::Granularity::Quarter => Granularity::Quarter,
        requests::Granularity::Hour => Granularity::Hour,
        requests::Granularity::Unspecified | requests::Granularity::Day => Granularity::Day,
        requests::Granularity::Week => Granularity::Week,
        requests::Granularity::Month => Granularity::Month,
        requests::Granularity::Year => Granularity::Year,
        requests::Granularity::Whole => Granularity::Whole,
    }
}

fn group_by(request: &requests::QueryTotalsRequest) -> Result<Vec<GroupBy>, Error> {
    if request.group_by.is_empty() {
        return Ok(vec![GroupBy::Method, GroupBy::Path]);
    }
    let one = |of| match of {
        requests::GroupBy::Service => Ok(GroupBy::Service),
        requests::GroupBy::Method => Ok(GroupBy::Method),
        requests::GroupBy::Path => Ok(GroupBy::Path),
        requests::GroupBy::Status => Ok(GroupBy::Status),
        requests::GroupBy::StatusClass => Ok(GroupBy::StatusClass),
        requests::GroupBy::Customer => Ok(GroupBy::Customer),
        requests::GroupBy::Unspecified => Err(Error::invalid("group_by: is unspecified")),
    };
    request.group_by.iter().map(|of| one(known("group_by", *of)?)).collect()
}

fn filter(namespace: Namespace, request: &requests::QueryTotalsRequest) -> Result<Filter, Error> {
    let texts = |field: &str, texts: &[String]| -> Result<HashSet<String>, Error> {
        match texts.iter().any(|text| text.contains('\0')) {
            true => Err(Error::invalid(format!("{field} contains a NUL byte, and no name does"))),
            false => Ok(texts.iter().cloned().collect()),
        }
    };
    let prefix = texts("path_prefix", std::slice::from_ref(&request.path_prefix))?;
    let status = |status: &u32| match u16::try_from(*status) {
        Ok(status @ 0..=999) => Ok(status),
        _ => Err(Error::invalid(format!("statuses: {status} is not between 0 and 999"))),
    };
    let class = |class: &u32| match u8::try_from(*class) {
        Ok(class @ 1..=5) => Ok(class),
        _ => Err(Error::invalid(format!("status_classes: {class} is not between 1 and 5"))),
    };
    Ok(Filter {
        namespace,
        services: texts("services", &request.services)?,
        methods: texts("methods", &request.methods)?,
        path_prefix: prefix.into_iter().next().unwrap_or_default(),
        paths: texts("paths", &request.paths)?,
        statuses: request.statuses.iter().map(status).collect::<Result<_, _>>()?,
        status_classes: request.status_classes.iter().map(class).collect::<Result<_, _>>()?,
        customers: texts("customers", &request.customers)?,
    })
}

/// What the range and the zone were understood as.
fn resolved(query: &Query) -> requests::Resolved {
    let time = |quarter: Quarter| wire::timestamp(quarter.start_micros());
    let QuarterRange { start, end } = query.range;
    requests::Resolved {
        time_zone: query.zone.name().to_owned(),
        tzdb_version: TZDB_VERSION.to_owned(),
        start: (start != QuarterRange::ALL.start).then(|| time(start)),
        end: (end != QuarterRange::ALL.end).then(|| time(end)),
    }
}

/// An answer while a client reads it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Answer {
    totals: Compact,
    /// Of each period that has any, by the number of its place; in order of groups.
    corrections: Vec<(usize, Vec<(u32, i64)>)>,
}

/// Where the next message begins.
#[derive(Debug, Default)]
struct Next {
    /// How many groups were sent.
    groups: usize,
    place: Place,
}

/// Cuts an answer into messages of bounded size, made as the client takes them. All groups come
/// first, sorted, and are numbered in that order. The first message says how the query was
/// understood, and what is missing.
pub(super) fn messages(
    totals: Totals,
    setbacks: Vec<Setback>,
    query: &Query,
) -> Result<Response<Messages<requests::QueryTotalsResponse>>, Status> {
    let omitted = |one: Omitted| requests::Omitted { totals: one.totals, requests: one.requests };
    let mut first = Some(requests::QueryTotalsResponse {
        resolved: Some(resolved(query)),
        dropped: totals.dropped,
        setbacks: setbacks.into_iter().map(Into::into).collect(),
        omitted: totals.omitted.map(omitted),
        ..Default::default()
    });
    let (answer, bytes) = Answer::new(totals);
    let kept = keep(tag_of(&answer), answer, bytes)?;
    let (granularity, is_sum, mut next) = (query.granularity, query.sum, Next::default());
    Ok(stream(move || {
        kept.read(|answer| {
            let groups = answer.groups(&mut next);
            if !groups.is_empty() || first.is_some() {
                let first = first.take().unwrap_or_default();
                return Some(requests::QueryTotalsResponse { groups, ..first });
            }
            let periods = answer.periods(&mut next, granularity, is_sum);
            let response = requests::QueryTotalsResponse { periods, ..Default::default() };
            (!response.periods.is_empty()).then_some(response)
        })
    }))
}

// === impl Answer ===

impl Answer {
    /// With how much memory it takes.
    fn new(mut totals: Totals) -> (Self, usize) {
        let periods = totals.periods.iter_mut().enumerate();
        let corrections = periods.map(|(at, one)| (at, std::mem::take(&mut one.corrections)));
        let corrections: Vec<_> = corrections.filter(|(_, of)| !of.is_empty()).collect();
        let of_corrections: usize = corrections.iter().map(|(_, of)| size_of_val(&**of)).sum();
        let totals = Compact::new(totals);
        let bytes = totals.bytes() + of_corrections;
        (Self { totals, corrections }, bytes)
    }

    fn groups(&self, next: &mut Next) -> Vec<requests::Group> {
        let from = next.groups;
        let groups = (from..).map_while(|number| self.totals.group(number));
        let groups: Vec<_> = groups.take(MESSAGE_GROUPS_MAX).map(group).collect();
        next.groups += groups.len();
        groups
    }

    /// Periods for a message. One is cut only if it exceeds a message.
    fn periods(
        &self,
        next: &mut Next,
        granularity: Granularity,
        is_sum: bool,
    ) -> Vec<requests::PeriodTotals> {
        let (mut periods, mut items) = (Vec::new(), 0);
        while let Some((at, label, left)) = self.totals.next_period(&next.place) {
            let len = left.min(MESSAGE_ITEMS_MAX);
            if items + len > MESSAGE_ITEMS_MAX {
                break;
            }
            items += len;
            let mut part = part(label, granularity);
            let corrections = self.corrections.binary_search_by_key(&at, |(of, _)| *of);
            let corrections: Option<HashMap<u32, i64>> =
                corrections.ok().map(|found| self.corrections[found].1.iter().copied().collect());
            for _ in 0..len {
                let Some((group, count)) = self.totals.next_numbered(&mut next.place) else {
                    break;
                };
                part.count.push(count);
                if !is_sum {
                    part.number.push(group);
                }
                if let Some(corrections) = &corrections {
                    part.correction.push(corrections.get(&group).copied().unwrap_or_default());
                }
            }
            periods.push(part);
        }
        periods
    }
}

fn group(one: GroupRef<'_>) -> requests::Group {
    requests::Group {
        service: one.service.into(),
        method: one.method.into(),
        path: one.path.into(),
        status: one.status.into(),
        status_class: one.status_class.into(),
        customer: one.customer.into(),
    }
}

/// A period, or a part of one, without totals.
fn part(label: &Label, granularity: Granularity) -> requests::PeriodTotals {
    let has_time = matches!(granularity, Granularity::Quarter | Granularity::Hour);
    requests::PeriodTotals {
        period: date(label.date, granularity),
        start: has_time.then(|| wire::timestamp(label.start.start_micros())),
        utc_offset_seconds: if has_time { label.utc_offset_seconds } else { 0 },
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use tally_runtime::Kind;

    use super::*;

    /// A client that is newer than the server hears so, and gets no answer to another question.
    #[test]
    fn values_that_are_newer_than_the_server_are_refused() {
        let asked = requests::QueryTotalsRequest::default;
        for (request, field) in [
            (requests::QueryTotalsRequest { granularity: 8, ..asked() }, "granularity: 8"),
            (requests::QueryTotalsRequest { group_by: vec![3, 7], ..asked() }, "group_by: 7"),
            (requests::QueryTotalsRequest { limit_order: 3, ..asked() }, "limit_order: 3"),
            (requests::QueryTotalsRequest { granularity: -1, ..asked() }, "granularity: -1"),
        ] {
            let error = query(Namespace::DEFAULT, &request, 10).expect_err(field);
            assert_eq!(error.kind(), Kind::InvalidArgument, "{field}");
            let text = error.to_string();
            assert!(text.contains(&format!("{field} is newer than this server")), "{text}");
        }
        let known = requests::QueryTotalsRequest {
            granularity: 6,
            group_by: vec![1, 2, 3, 4, 5, 6],
            limit_order: 2,
            ..asked()
        };
        assert!(query(Namespace::DEFAULT, &known, 10).is_ok());
    }
}
