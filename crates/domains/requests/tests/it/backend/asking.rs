//! Queries and their answers, as lists.

use tally_proto::methods::number_of_text;
use tally_requests::periods::{Granularity, Label, QuarterRange, Zone};
use tally_requests::store::Store;
use tally_requests::{Filter, Group, GroupBy, Query, TooMany, Totals};

/// One total: the period's first day, method, path, count.
pub(crate) type Total = (String, i32, String, i64);

/// Every day, every endpoint.
pub(crate) fn query(granularity: Granularity, live: bool) -> Query {
    Query {
        range: QuarterRange::ALL,
        granularity,
        zone: Zone::utc(),
        filter: Filter::default(),
        group_by: vec![GroupBy::Method, GroupBy::Path],
        live,
        with_corrections: false,
        sum: false,
        totals_max: 1_000_000,
        limit: None,
    }
}

pub(crate) async fn ask(store: &Store, query: &Query) -> Result<Totals, TooMany> {
    match store.totals(query).await {
        Ok(answer) => Ok(answer),
        Err(error) if error.find::<TooMany>().is_some() => Err(TooMany),
        Err(error) => panic!("{}", tally_runtime::chain(&error)),
    }
}

/// An answer as a list in its own order.
pub(crate) fn listed(totals: &Totals) -> Vec<Total> {
    let one = |label: Label, (group, count): &(u32, i64)| {
        let Group { method, path, .. } = &totals.groups[*group as usize];
        (label.date.to_string(), number_of_text(method), path.to_string(), *count)
    };
    totals
        .periods
        .iter()
        .flat_map(|period| period.counts.iter().map(move |count| one(period.label, count)))
        .collect()
}

/// An expected total.
pub(crate) fn total(day: &str, method: i32, path: &str, count: i64) -> Total {
    (day.to_owned(), method, path.to_owned(), count)
}

pub(crate) fn sum(totals: &[Total]) -> i64 {
    totals.iter().map(|total| total.3).sum()
}
