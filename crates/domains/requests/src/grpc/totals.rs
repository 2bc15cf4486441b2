//! `QueryTotals`: a query from its message, and an answer in messages.

use tally_producers::Setback;
use tally_proto::google::r#type::Date;
use tally_proto::tally::requests::v1 as requests;

use super::date;
use crate::dates;
use crate::error::Error;
use crate::totals::{Filter, Granularity, LimitOrder, Omitted, PeriodTotals, Query, Totals};

/// At most this many totals in a message: some 64 KiB.
const MESSAGE_ITEMS_MAX: usize = 4_096;
/// At most this many endpoints: 512 KiB with the longest paths, and clients take 4 MiB by default.
const MESSAGE_ENDPOINTS_MAX: usize = 200;

/// Reads a query.
pub(super) fn query(
    request: &requests::QueryTotalsRequest,
    totals_max: usize,
) -> Result<Query, Error> {
    let paths = request.paths.iter().map(|path| ("paths", path));
    let mut all = std::iter::once(("path_prefix", &request.path_prefix)).chain(paths);
    if let Some((field, _)) = all.find(|(_, path)| path.contains('\0')) {
        return Err(Error::invalid(format!("{field} contains a NUL byte, and no path does")));
    }
    let from = dates::optional_period("from", request.from.as_ref())?;
    let to = dates::optional_period("to", request.to.as_ref())?;
    let granularity = match request.granularity() {
        requests::Granularity::Unspecified | requests::Granularity::Day => Granularity::Day,
        requests::Granularity::Month => Granularity::Month,
        requests::Granularity::Year => Granularity::Year,
        requests::Granularity::Whole => Granularity::Whole,
        _ => return Err(Error::invalid("not yet")),
    };
    let order = match request.limit_order() {
        requests::LimitOrder::Unspecified | requests::LimitOrder::Path => LimitOrder::Path,
        requests::LimitOrder::Count => LimitOrder::Count,
    };
    let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0);
    Ok(Query {
        days: dates::range(("from", from), ("to", to))?,
        granularity,
        filter: Filter {
            method: request.method,
            path_prefix: request.path_prefix.clone(),
            paths: request.paths.iter().cloned().collect(),
        },
        live: request.live,
        sum: request.sum,
        totals_max,
        limit: limit.map(|limit| (limit, order)),
    })
}

/// Cuts an answer into messages of bounded size, made as the client takes them. All endpoints come
/// first, sorted, and are numbered in that order. The first message says what is missing.
pub(super) fn messages(
    totals: Totals,
    setbacks: Vec<Setback>,
    granularity: Granularity,
    is_sum: bool,
) -> impl Iterator<Item = requests::QueryTotalsResponse> + Send {
    let omitted = |one: Omitted| requests::Omitted { totals: one.totals, requests: one.requests };
    let missing = requests::QueryTotalsResponse {
        dropped: totals.dropped,
        setbacks: setbacks.into_iter().map(Into::into).collect(),
        omitted: totals.omitted.map(omitted),
        ..Default::default()
    };
    let mut missing = (missing != Default::default()).then_some(missing);
    let mut endpoints = totals.endpoints.into_iter().peekable();
    let names = std::iter::from_fn(move || {
        if endpoints.peek().is_none() && missing.is_none() {
            return None;
        }
        let endpoints = endpoints
            .by_ref()
            .take(MESSAGE_ENDPOINTS_MAX)
            .map(|one| requests::Endpoint { method: one.method, path: one.path.into() })
            .collect();
        let missing = missing.take().unwrap_or_default();
        Some(requests::QueryTotalsResponse { endpoints, ..missing })
    });
    let mut parts = totals
        .periods
        .into_iter()
        .flat_map(move |period| parts(&period, date(period.first, granularity), is_sum))
        .peekable();
    let counts = std::iter::from_fn(move || {
        let mut items = parts.peek()?.count.len();
        let mut periods: Vec<_> = parts.next().into_iter().collect();
        while let Some(next) = parts.next_if(|next| items + next.count.len() <= MESSAGE_ITEMS_MAX) {
            items += next.count.len();
            periods.push(next);
        }
        Some(requests::QueryTotalsResponse { periods, ..Default::default() })
    });
    names.chain(counts)
}

/// A period, cut where it exceeds a message.
fn parts(period: &PeriodTotals, date: Option<Date>, is_sum: bool) -> Vec<requests::PeriodTotals> {
    let part = |counts: &[(u32, i64)]| {
        let (endpoint, count) = counts.iter().copied().unzip();
        let endpoint = if is_sum { Vec::new() } else { endpoint };
        requests::PeriodTotals { period: date, endpoint, count, ..Default::default() }
    };
    period.counts.chunks(MESSAGE_ITEMS_MAX).map(part).collect()
}
