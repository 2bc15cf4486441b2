//! Importing the Go server's tables; see the program's tests for the rest.

use tally_requests::{ImportCount, import_count};
use tally_runtime::Namespace;
use tally_testkit::{TestDatabase, as_cockroach};

use crate::backend::open;

#[tokio::test]
async fn cockroach_refuses_and_says_what_to_do() {
    let Some(database) = TestDatabase::create_or_skip("import_count") else { return };
    // What a store reads when it opens.
    for table in [
        include_str!("../../../../../migrations/cockroach/requests/V1__request_series.sql"),
        include_str!("../../../../../migrations/cockroach/requests/V8__request_changes.sql"),
        include_str!("../../../../../migrations/cockroach/requests/V9__request_moves.sql"),
    ] {
        database.connect().await.batch_execute(table).await.expect("the table");
    }
    let (postgres, cockroach) =
        (open(&database.url()).await, open(&as_cockroach(&database.url())).await);
    let how = || ImportCount {
        namespace: Namespace::DEFAULT,
        source: None,
        series_max: 10,
        path_bytes_max: 100,
        dry_run: false,
    };
    let refused =
        import_count(&cockroach, &postgres, how()).await.expect_err("refused").to_string();
    assert!(refused.contains("CockroachDB") && refused.contains("SQLite"), "{refused}");
    let refused = import_count(&postgres, &cockroach, how()).await.expect_err("refused");
    assert!(tally_runtime::chain(&refused).contains("from Postgres only"), "{refused}");
}
