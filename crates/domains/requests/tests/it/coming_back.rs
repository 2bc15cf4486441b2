//! Names that come back after a forget, and where they must not be.

use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::selection::PathIs;

use crate::add::on_sqlite;
use crate::backend::{Backend, NOW};
use crate::changing::{
    customer, expected, forgotten, is_gone, merge, merged, of, path, record, selection, start, sums,
};
use crate::conformance::on_every_backend;
use crate::log::Log;
use crate::server::settings;

on_every_backend!(crate::coming_back:
    a_name_that_comes_back_is_gone_again,
    later_series_follow_a_limited_number_of_changes,
);

fn regex(text: &str) -> PathIs {
    PathIs::PathRegex(text.into())
}

/// A program that knows nothing of a forget may store a name after it, and a server that was killed leaves
/// totals where they were. The duties look at once, and once more when the forget is an hour old.
async fn a_name_that_comes_back_is_gone_again(backend: Backend) {
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/u/bob", ""), 3), (of("/v", ""), 2)]).await;
    forgotten(&counting, selection(regex("^/u/b.b$")).unwrap()).await.unwrap();
    backend.store.fold().await.unwrap();
    counting.service.keeper().tick().await.unwrap();
    let bob = backend.id(3, "/u/bob").await;
    let target = "(SELECT to_id FROM tally_request_moves)";
    let left =
        format!("UPDATE tally_request_days SET series_id = {bob} WHERE series_id = {target}");
    backend.execute(&left).await;
    let ago = if backend.is_sqlite() { "7200000000" } else { "INTERVAL '2 hours'" };
    let older = format!("UPDATE tally_request_changes SET changed_at = changed_at - {ago}");
    backend.execute(&older).await;
    counting.service.keeper().tick().await.unwrap();
    is_gone(&backend, "bob").await;
    let left = format!("tally_request_days WHERE series_id = {bob}");
    assert_eq!(backend.count(&left).await, 0, "all of it is settled");
    assert_eq!(backend.count("tally_request_changes WHERE settled_at IS NULL").await, 0);
    assert_eq!(sums(&counting).await, expected(&[("_forgotten", "", 3), ("/v", "", 2)]));
    assert_eq!(backend.audit().await, 5);
}

/// Beyond the limits only the series that there are move, and the answer says so.
async fn later_series_follow_a_limited_number_of_changes(backend: Backend) {
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/u/1", ""), 1), (of("/v/1", ""), 2)]).await;
    let at = if backend.is_sqlite() { "0" } else { "now()" };
    let fill = async |kind: &str, seqs: std::ops::RangeInclusive<i64>| {
        let row = |seq| {
            format!("({seq}, {seq}, 0, 'merge', 'path', '', {at}, 0, 0, '{kind}/x{seq}', '/x')")
        };
        let rows = seqs.map(row).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "INSERT INTO tally_request_changes (seq, token, namespace_id, kind, selected, author, \
                 changed_at, series, requests, path, into_path) VALUES {rows}"
        );
        backend.execute(&sql).await;
    };
    let moved = async |selection, into: &str| {
        let answer: proto::ChangeResponse =
            merged(&counting, merge(selection, into)).await.unwrap();
        (answer.series, answer.is_kept)
    };
    fill("regex:^", 1..=15).await;
    assert_eq!(moved(regex("^/u/[0-9]+$"), "/u/{id}").await, (1, true));
    assert_eq!(moved(regex("^/v/[0-9]+$"), "/v/{id}").await, (1, false));
    record(&counting, NOW, &[(of("/u/2", ""), 1), (of("/v/2", ""), 2)]).await;
    let all = [("/u/{id}", "", 2), ("/v/{id}", "", 2), ("/v/2", "", 2)];
    assert_eq!(sums(&counting).await, expected(&all));
    fill("is:", 101..=1_084).await;
    assert_eq!(moved(path("/v/2"), "/v/{id}").await, (1, false));
    assert_eq!(sums(&counting).await, expected(&[("/u/{id}", "", 2), ("/v/{id}", "", 4)]));
}

/// At the level at which servers log.
#[tokio::test]
async fn no_line_of_the_log_has_a_name() {
    let (log, _guard) = Log::begin();
    let (_folder, counting) = on_sqlite(settings()).await;
    record(&counting, NOW, &[(of("/u/ann", "ann@example.com"), 3), (of("/v", ""), 1)]).await;
    forgotten(&counting, customer("ann@example.com")).await.unwrap();
    merged(&counting, merge(path("/u/ann"), "/u/{id}")).await.unwrap();
    counting.service.keeper().tick().await.unwrap();
    assert_eq!(log.count("series moved"), 2);
    assert_eq!(log.count("ann"), 0);
}

/// Without the duties, which would remove what a forget has left.
#[tokio::test]
async fn a_name_is_gone_as_soon_as_it_is_forgotten() {
    let Some(backend) = Backend::postgres("at_once").await else { return };
    let lease = "INSERT INTO tally_leases VALUES \
                     ('requests', gen_random_uuid(), now() + INTERVAL '30 seconds')";
    backend.execute(lease).await;
    let counting = start(&backend).await;
    record(&counting, NOW, &[(of("/a", "ann"), 1)]).await;
    forgotten(&counting, customer("ann")).await.unwrap();
    is_gone(&backend, "ann").await;
}
