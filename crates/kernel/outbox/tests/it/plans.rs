//! The plan of the statement that every server runs each second.

use tally_testkit::TestDatabase;

use crate::place::Place;

/// However many events are done, those that are not are found by their index.
#[tokio::test]
async fn what_is_due_is_found_by_its_index() {
    let Some(database) = TestDatabase::create_or_skip("plan_due") else { return };
    let client = database.connect().await;
    let place = Place::postgres(database).await;
    let fill = "INSERT INTO tally_outbox (id, domain, subject, number, receiver, url, body, created_at, \
                                          due_at, done_at) \
                    SELECT gen_random_uuid(), 'tests', gen_random_uuid(), n, 'r', 'u', '{}', now(), \
                           CASE WHEN n % 1000 = 0 THEN now() END, \
                           CASE WHEN n % 1000 > 0 THEN now() END \
                    FROM generate_series(1, 50000) AS n; \
                ANALYZE tally_outbox";
    client.batch_execute(fill).await.expect("rows");
    // As it may be made for parameters that are not known yet.
    let sql = include_str!("../../src/postgres/due.sql");
    let prepare = format!(
        "SET plan_cache_mode = force_generic_plan; PREPARE it (TIMESTAMPTZ, INT8, INT8) AS {sql}"
    );
    client.batch_execute(&prepare).await.expect(sql);
    let rows = client.query("EXPLAIN EXECUTE it (now(), 4, 32)", &[]).await.expect(sql);
    let plan = rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n");
    assert!(plan.contains("tally_outbox_due"), "{plan}");
    assert!(!plan.contains("Seq Scan on tally_outbox"), "{plan}");
    drop(place);
}
