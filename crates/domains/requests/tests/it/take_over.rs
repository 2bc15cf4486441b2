//! Taking the Go server's books over; the tests of the program have the rest.

use tally_requests::{TakeOver, take_over};

use crate::backend::Backend;

#[tokio::test]
async fn cockroach_refuses_and_says_what_to_do() {
    let Some(cockroach) = Backend::cockroach_on_postgres("take_over").await else { return };
    let Some(source) = Backend::postgres("take_over").await else { return };
    let how = || TakeOver { source: None, endpoints_max: 10, path_bytes_max: 100, dry_run: false };
    let (into, from) = (cockroach.opened().await, source.opened().await);
    let refused = take_over(&into, &from, how()).await.expect_err("refused").to_string();
    assert!(refused.contains("CockroachDB") && refused.contains("SQLite"), "{refused}");
    let refused = take_over(&from, &into, how()).await.expect_err("refused");
    assert!(tally_runtime::chain(&refused).contains("from Postgres only"), "{refused}");
}
