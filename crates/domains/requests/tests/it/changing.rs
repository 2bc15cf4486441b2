//! What tests of merges, forgets and corrections ask for, and how they look at what came of it.

use std::collections::BTreeMap;

use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::selection::PathIs;
use tonic::Status;

use crate::backend::{Backend, at};
use crate::recording::{Recording, series};
use crate::server::{Answered, Counting, settings};

/// By service, path and customer.
pub(crate) type Sums = BTreeMap<(String, String, String), i64>;

pub(crate) fn of(path: &str, customer: &str) -> proto::Series {
    proto::Series { customer: customer.into(), ..series(path) }
}

/// A batch of these series, each as often as it says, at one time.
pub(crate) fn batch(sequence: u64, time: &str, requests: &[(proto::Series, u32)]) -> proto::Batch {
    let mut batch = proto::Batch { sequence, ..Default::default() };
    for (number, (series, times)) in (0..).zip(requests) {
        batch.series.push(series.clone());
        batch.number.extend((0..*times).map(|_| number));
    }
    batch.count = u32::try_from(batch.number.len()).expect("few");
    batch.time_delta = vec![0; batch.number.len()];
    batch.time_delta[0] = at(time);
    batch
}

pub(crate) async fn record(counting: &Counting, time: &str, requests: &[(proto::Series, u32)]) {
    let mut stream = Recording::start(counting).await;
    stream.send(batch(1, time, requests));
    stream.acknowledged(1).await.expect("acknowledged");
    stream.finish().await.expect("an end");
}

/// Live totals of everything.
pub(crate) async fn sums(counting: &Counting) -> Sums {
    let group_by = [proto::GroupBy::Service, proto::GroupBy::Path, proto::GroupBy::Customer];
    let query = proto::QueryTotalsRequest {
        granularity: proto::Granularity::Whole.into(),
        live: true,
        group_by: group_by.map(Into::into).to_vec(),
        ..Default::default()
    };
    let mut sums = Sums::new();
    for Answered { group, count, .. } in counting.totals(query).await.expect("totals") {
        *sums.entry((group.service, group.path, group.customer)).or_default() += count;
    }
    sums
}

pub(crate) fn expected(all: &[(&str, &str, i64)]) -> Sums {
    let one = |(path, customer, count): &(&str, &str, i64)| {
        ((String::new(), (*path).to_owned(), (*customer).to_owned()), *count)
    };
    all.iter().map(one).collect()
}

pub(crate) fn selection(path: PathIs) -> Option<proto::Selection> {
    Some(proto::Selection { path_is: Some(path), ..Default::default() })
}

pub(crate) fn merge(path: PathIs, into: &str) -> proto::MergeRequest {
    proto::MergeRequest {
        selection: selection(path),
        into_path: Some(into.into()),
        author: "a test".into(),
        ..Default::default()
    }
}

pub(crate) async fn merged(
    counting: &Counting,
    request: proto::MergeRequest,
) -> Result<proto::ChangeResponse, Status> {
    Ok(counting.book_client().await.merge(request).await?.into_inner())
}

pub(crate) async fn forgotten(
    counting: &Counting,
    selection: proto::Selection,
) -> Result<proto::ChangeResponse, Status> {
    let request = proto::ForgetRequest { selection: Some(selection), ..Default::default() };
    Ok(counting.book_client().await.forget(request).await?.into_inner())
}

pub(crate) fn customer(name: &str) -> proto::Selection {
    proto::Selection { customer: Some(name.into()), ..Default::default() }
}

pub(crate) fn path(path: &str) -> PathIs {
    PathIs::Path(path.into())
}

pub(crate) fn prefix(prefix: &str) -> PathIs {
    PathIs::PathPrefix(prefix.into())
}

pub(crate) async fn start(backend: &Backend) -> Counting {
    Counting::on(backend.database.clone(), settings()).await
}

/// Another server on the same database. A SQLite file has one server.
pub(crate) async fn start_other(backend: &Backend) -> Option<Counting> {
    match backend.is_sqlite() {
        true => None,
        false => Some(Counting::on(backend.second_database.clone(), settings()).await),
    }
}

/// The ids that days and months have totals of.
pub(crate) async fn counted_ids(backend: &Backend) -> usize {
    let ids = "SELECT '', series_id, series_id, series_id, '' FROM tally_request_days UNION \
               SELECT '', series_id, series_id, series_id, '' FROM tally_request_months";
    backend.lines(ids).await.len()
}

/// That no table has a text with this in it.
pub(crate) async fn is_gone(backend: &Backend, text: &str) {
    let all = backend.everything().await;
    assert!(all.len() > 3, "{all:?}");
    let found: Vec<_> = all.iter().filter(|one| one.contains(text)).collect();
    assert!(found.is_empty(), "{found:?}");
}
