//! The plans of what runs for each message, each sweep and many pages: by the index that is meant for it, however
//! many events a timeline has.

use tally_store::{Database, DatabaseUrl};
use tally_testkit::TestDatabase;
use tally_timelines::DOMAIN;
use tokio_postgres::Client;

/// Postgres with timelines of many events.
async fn filled(hint: &str) -> Option<(TestDatabase, Client)> {
    let place = TestDatabase::create_or_skip(hint)?;
    let url: DatabaseUrl = place.url().parse().expect("a database URL");
    let database = Database::open(&url, Default::default()).await.expect("the database opens");
    DOMAIN.migrations.run(&database).await.expect("migrations");
    let client = place.connect().await;
    let rows = "INSERT INTO tally_timeline_contexts \
             SELECT gen_random_uuid(), 0, 'c' || n, now(), 2, NULL, NULL FROM generate_series(1, 5000) AS n; \
         INSERT INTO tally_timelines SELECT gen_random_uuid(), c.id, n, 'l' || n, now(), now(), \
             now() + n * INTERVAL '1 day', 0, 1, 10, 1, 0, 0 \
             FROM tally_timeline_contexts AS c, generate_series(1, 2) AS n; \
         INSERT INTO tally_timeline_events SELECT t.id, n, t.context_id, 'e' || n, 'h', '', 0, 1, n, now(), '', \
             CASE WHEN n < 5 THEN n END, now(), '', 0, '', CASE WHEN n = 5 THEN now() END, NULL \
             FROM tally_timelines AS t, generate_series(1, 5) AS n; \
         INSERT INTO tally_timeline_messages \
             SELECT context_id, gen_random_uuid(), 0, id, now() FROM tally_timelines; \
         INSERT INTO tally_timeline_durations SELECT t.context_id, t.number, 'e' || n, 'h', '', now(), n, 0, 0 \
             FROM tally_timelines AS t, generate_series(1, 5) AS n; \
         ANALYZE tally_timeline_contexts, tally_timelines, tally_timeline_events, tally_timeline_messages, \
             tally_timeline_durations";
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
async fn messages_and_sweeps_read_by_the_indexes_that_are_meant() {
    let Some((_place, client)) = filled("timeline_plans").await else { return };
    macro_rules! sql {
        ($name:literal) => {
            include_str!(concat!("../../src/store/postgres/", $name, ".sql"))
        };
    }
    let id = "'00000000-0000-0000-0000-000000000000'";
    let of_id = |rest: &str| format!("{id}, {rest}");
    for (sql, types, arguments, indexes) in [
        (
            sql!("lock"),
            "BIGINT[], TEXT[]",
            "'{}', '{}'".to_owned(),
            &["contexts_namespace_id_name_key"][..],
        ),
        (
            sql!("timelines_to_judge"),
            "UUID[], BIGINT[], UUID[], TEXT[]",
            "'{}', '{}', '{}', '{}'".to_owned(),
            &["timelines_context_id_number_key", "timelines_context_id_label_key"],
        ),
        (
            sql!("tracks"),
            "UUID[], TEXT[], TEXT[], TEXT[], UUID[], BOOL[], BIGINT",
            "'{}', '{}', '{}', '{}', '{}', '{}', 8".to_owned(),
            &["Backward using tally_timeline_events_half", "tally_timeline_events_key"],
        ),
        (sql!("known"), "UUID[], UUID[]", "'{}', '{}'".to_owned(), &["messages_pkey"]),
        (sql!("events"), "UUID, BIGINT, BIGINT", of_id("0, 10"), &["events_pkey"]),
        (sql!("typical"), "UUID, BIGINT, BIGINT", of_id("9, 10"), &["durations_pkey"]),
        (
            sql!("trends"),
            "UUID[], BIGINT",
            "'{}', 20".to_owned(),
            &["timelines_context_id_number_key"],
        ),
        (
            sql!("durations"),
            "UUID, BIGINT[], TEXT",
            of_id("'{1,2,3}', 'e1'"),
            &["durations_pkey", "ANY"],
        ),
        (sql!("overdue"), "TIMESTAMPTZ, BIGINT", "now(), 10".to_owned(), &["events_overdue"]),
        (sql!("expired"), "TIMESTAMPTZ, BIGINT", "now(), 10".to_owned(), &["timelines_expires"]),
        (
            sql!("prune_messages"),
            "TIMESTAMPTZ, BIGINT",
            "now(), 10".to_owned(),
            &["messages_received"],
        ),
        (
            sql!("prune_durations"),
            "TIMESTAMPTZ, BIGINT",
            "now(), 10".to_owned(),
            &["durations_begun"],
        ),
    ] {
        let plan = plan(&client, sql, types, &arguments).await;
        assert!(!plan.contains("Seq Scan"), "{sql}: {plan}");
        for index in indexes {
            assert!(plan.contains(index), "{index}: {plan}");
        }
    }
}
