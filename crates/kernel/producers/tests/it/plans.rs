//! The plan of the statement that must not scan a table.

use tally_producers::MIGRATIONS;
use tally_testkit::TestDatabase;

use crate::place::open;

#[tokio::test]
async fn what_was_dropped_is_found_by_its_index() {
    let Some(database) = TestDatabase::create_or_skip("plan_dropped") else { return };
    MIGRATIONS.run(&open(&database.url()).await).await.expect("migrations");
    let client = database.connect().await;
    let fill = "INSERT INTO tally_producer_days (worker_id, day, domain, namespace_id, accepted, dropped) \
                    SELECT gen_random_uuid(), DATE '2020-01-01' + n % 400, 'one', 0, 1, \
                           (n % 100 = 0)::INT \
                    FROM generate_series(1, 50000) AS n; \
                ANALYZE tally_producer_days";
    client.batch_execute(fill).await.expect("rows");
    // As it may be made for parameters that are not known yet.
    let sql = include_str!("../../src/postgres/dropped.sql");
    let prepare = format!(
        "SET plan_cache_mode = force_generic_plan; PREPARE it (TEXT, INT8, INT4, INT4) AS {sql}"
    );
    client.batch_execute(&prepare).await.expect(sql);
    let explain = "EXPLAIN EXECUTE it ('one', 0, 18300, 18306)";
    let rows = client.query(explain, &[]).await.expect(sql);
    let plan = rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n");
    assert!(plan.contains("tally_producer_days_dropped"), "{plan}");
    assert!(!plan.contains("Seq Scan on tally_producer_days"), "{plan}");
}
