//! The plans of what runs for each payment and each sweep: by the index that is meant for it, however many
//! payments and runs a debt has.

use tally_debts::DOMAIN;
use tally_store::{Database, DatabaseUrl};
use tally_testkit::TestDatabase;
use tokio_postgres::Client;

/// Postgres with many debts of a payment and a run each. As far as it knows, any index that begins with the debt
/// is as good as another.
async fn filled(hint: &str) -> Option<(TestDatabase, Client)> {
    let place = TestDatabase::create_or_skip(hint)?;
    let url: DatabaseUrl = place.url().parse().expect("a database URL");
    let database = Database::open(&url, Default::default()).await.expect("the database opens");
    DOMAIN.migrations.run(&database).await.expect("migrations");
    let client = place.connect().await;
    let rows = "INSERT INTO tally_debts SELECT gen_random_uuid(), 0, n, 'd-' || n, gen_random_uuid(), '{}', \
             now(), 1, now(), now(), now(), now(), 0, 0, now(), NULL, 0, 1, 1, 0, 0 \
             FROM generate_series(1, 20000) AS n; \
         INSERT INTO tally_debt_deadlines SELECT overdue_at, id, namespace_id, due_at FROM tally_debts; \
         INSERT INTO tally_debt_payments SELECT id, 1, gen_random_uuid(), gen_random_uuid(), 1, 3, 'r', '', \
             NULL, now(), NULL, NULL, NULL, 0, '', '', '', 0 FROM tally_debts; \
         INSERT INTO tally_debt_runs SELECT id, 1, 'r', now(), now(), '[]', NULL, 1, now() FROM tally_debts; \
         ANALYZE tally_debts, tally_debt_deadlines, tally_debt_payments, tally_debt_runs";
    client.batch_execute(rows).await.expect("rows");
    Some((place, client))
}

/// The plan of a statement with unknown parameters, which a prepared statement may get.
async fn plan(client: &Client, sql: &str, types: &str, arguments: &str) -> String {
    let prepare = format!(
        "DEALLOCATE ALL; SET plan_cache_mode = force_generic_plan; PREPARE it ({types}) AS {sql}"
    );
    client.batch_execute(&prepare).await.expect(sql);
    let explain = format!("EXPLAIN EXECUTE it ({arguments})");
    let rows = client.query(&explain, &[]).await.expect(sql);
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn payments_and_sweeps_read_by_the_indexes_that_are_meant() {
    let Some((_place, client)) = filled("debt_plans").await else { return };
    macro_rules! sql {
        ($name:literal) => {
            include_str!(concat!("../../src/store/postgres/", $name, ".sql"))
        };
    }
    let (none, ids) = ("'{}', '{}'", "UUID[], UUID[]");
    let times = "now(), '1970-01-01', '00000000-0000-0000-0000-000000000000', 500";
    for (sql, types, arguments, indexes) in [
        (
            sql!("known"),
            ids,
            none,
            &["payments_debt_id_once_key", "tally_debt_payments_run_once"][..],
        ),
        (
            sql!("runs_to_judge"),
            "UUID[], UUID[], TEXT[]",
            "'{}', '{}', '{}'",
            &["debt_runs_open", "Backward using tally_debt_runs_run"],
        ),
        (sql!("lock"), "UUID[]", "'{}'", &["debts_pkey"]),
        (
            sql!("overdue"),
            "TIMESTAMPTZ, TIMESTAMPTZ, UUID, BIGINT",
            times,
            &["using tally_debt_deadlines_pkey"],
        ),
        (
            sql!("list"),
            "BIGINT, BIGINT[], TEXT, TEXT[], TIMESTAMPTZ, BIGINT, TEXT, BIGINT, BOOLEAN[], BOOLEAN, BOOLEAN",
            "0, '{0,1,2,3}', '', '{}', now(), 0, '', 101, '{t,t,t,t}', true, false",
            &["using tally_debts_status", "tally_debt_deadlines_late", "tally_debts_pkey"],
        ),
        (sql!("numbered"), "BIGINT, BIGINT, BIGINT", "0, 7, 100", &["namespace_id_number_key"]),
        (
            sql!("counts"),
            "BIGINT, TIMESTAMPTZ",
            "0, now()",
            &["using tally_debts_status", "on tally_debt_deadlines_late"],
        ),
        (sql!("delete_deadlines"), "TIMESTAMPTZ[], UUID[]", none, &["tally_debt_deadlines_pkey"]),
        (sql!("prune_payments"), "TIMESTAMPTZ, BIGINT", "now(), 10", &["payments_received"]),
        (sql!("prune_runs"), "TIMESTAMPTZ, BIGINT", "now(), 10", &["runs_heard"]),
    ] {
        let plan = plan(&client, sql, types, arguments).await;
        // There are few namespaces.
        let is_scan = |line: &str| line.contains("Seq Scan") && !line.contains("debt_namespaces");
        assert!(!plan.lines().any(is_scan), "{plan}");
        for index in indexes {
            assert!(plan.contains(index), "{index}: {plan}");
        }
        let is_sorted = sql.contains("overdue_at, debt_id") && plan.contains("Sort");
        assert!(!is_sorted, "many debts are due at the same moment: {plan}");
        let by_debt_alone =
            plan.lines().any(|line| line.trim() == "Index Cond: (debt_id = w.debt_id)");
        assert!(!by_debt_alone, "all payments or runs of a debt are read: {plan}");
    }
}
