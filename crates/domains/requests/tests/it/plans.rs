//! The plans of queries that must not scan a table.

use tally_producers::append::postgres::Statements;
use tally_testkit::TestDatabase;
use tokio_postgres::Client;

use crate::backend::{Backend, migrated};

const ENDPOINTS: i32 = 20_000;

/// Postgres with enough rows to make a scan the wrong plan.
async fn filled(hint: &str) -> Option<(TestDatabase, Client)> {
    let database = TestDatabase::create_or_skip(hint)?;
    migrated(&database.url()).await;
    let client = database.connect().await;
    let sql = format!(
        "INSERT INTO tally_request_series (id, namespace_id, service, method, path, status, customer) \
             SELECT n, 0, '', 'GET', '/' || n, 0, '' FROM generate_series(1, {ENDPOINTS}) AS n; \
         INSERT INTO tally_request_days (day, series_id, total, quarters) \
             SELECT DATE '2020-01-01' + d, e, 1, '[0,1]' \
             FROM generate_series(0, 399) AS d, generate_series(1, 100) AS e; \
         INSERT INTO tally_request_months (month, series_id, total, days) \
             SELECT DATE '2000-01-01' + m * INTERVAL '1 month', e, 1, '[0,1]' \
             FROM generate_series(0, 399) AS m, generate_series(1, 100) AS e; \
         INSERT INTO tally_request_calendar (day, rolled_up_at) \
             SELECT DATE '2000-01-01' + d, CASE WHEN d < 9990 THEN now() END \
             FROM generate_series(0, 9999) AS d; \
         INSERT INTO tally_requests_0 (series_id, requested_at) \
             SELECT n % 100, TIMESTAMPTZ '2015-05-17 12:00:00+00' \
             FROM generate_series(1, 50000) AS n; \
         INSERT INTO tally_request_changes (seq, token, namespace_id, kind, selected, author, changed_at, \
                                            series, requests, settled_at) \
             SELECT n, n, 0, 'merge', 'path', '', now(), 1, 1, CASE WHEN n < 1999 THEN now() END \
             FROM generate_series(1, 2000) AS n; \
         INSERT INTO tally_request_moves (from_id, to_id, change_seq) \
             SELECT n, n + 100000, n % 2000 + 1 FROM generate_series(1000, 20000) AS n; \
         INSERT INTO tally_request_corrections (id, namespace_id, day, series_id, requests, reason, author, corrected_at) \
             SELECT gen_random_uuid(), 0, DATE '2000-01-01' + n % 9000, n % 100, 1, '', '', now() \
             FROM generate_series(1, 20000) AS n; \
         ANALYZE tally_request_changes, tally_request_moves, tally_request_corrections, \
             tally_request_series, tally_request_days, tally_request_months, \
             tally_request_calendar, tally_requests_0"
    );
    client.batch_execute(&sql).await.expect("rows");
    Some((database, client))
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
async fn totals_are_read_by_their_keys() {
    let Some((_database, client)) = filled("plan_totals").await else { return };
    macro_rules! sql {
        ($name:literal) => {
            include_str!(concat!("../../src/store/postgres/", $name, ".sql"))
        };
    }
    let (days, date) = ("DATE, DATE", "'2020-02-10', '2020-02-16'");
    let [months, of_days, calendar] =
        ["months_pkey", "days_pkey", "calendar_pkey"].map(|key| format!("tally_request_{key}"));
    for (sql, types, arguments, key) in [
        (
            sql!("month_totals"),
            "INT4[], DATE[], DATE[], INT8[]",
            "'{0}', '{2020-02-01}', '{2020-03-01}', NULL",
            &*months,
        ),
        (
            sql!("month_days"),
            "DATE[], DATE[], INT8[]",
            "'{2020-02-01}', '{2020-03-01}', NULL",
            &months,
        ),
        (sql!("day_totals"), "DATE[], INT8[]", "'{2020-02-10,2020-02-16}', NULL", &of_days),
        (sql!("day_quarters"), "DATE[], INT8[]", "'{2020-02-10,2020-02-16}', NULL", &of_days),
        (sql!("span"), days, date, &calendar),
        (sql!("rolled_up_days"), days, date, &calendar),
        (sql!("open_totals"), days, date, "tally_request_calendar_open"),
        (sql!("open_days"), "INT4, INT4, INT8", "18000, 18006, 10", "tally_request_calendar_open"),
        (sql!("prunable_days"), "INT4, FLOAT8, INT8", "11000, 86400, 10", &of_days),
        (sql!("find_days"), "INT4[], INT8[]", "'{18300,18301}', '{1,2}'", &of_days),
        (sql!("find_months"), "INT4[], INT8[]", "'{18293,18322}', '{1,2}'", &months),
        (sql!("stages"), "INT4[]", "'{18300,18301}'", &calendar),
        (sql!("last_change"), "INT8", "0", "tally_request_changes_pkey"),
        (sql!("moved"), "INT8[]", "'{1,2}'", "tally_request_moves_pkey"),
        (sql!("moves_since"), "INT8", "1999", "tally_request_moves_change"),
        (sql!("corrections_of_day"), "INT4, INT8", "18300, 7", "tally_request_corrections_day"),
    ] {
        let plan = plan(&client, sql, types, arguments).await;
        assert!(plan.contains(key), "{plan}");
        assert!(!plan.contains("Seq Scan"), "{plan}");
    }
}

/// SQLite: no statement of the books scans a table, and those that list days go by the calendar.
#[tokio::test]
async fn sqlite_reads_the_books_by_their_keys() {
    let Some(backend) = Backend::sqlite("plans").await else { return };
    macro_rules! sql {
        ($name:literal) => {
            ($name, include_str!(concat!("../../src/store/sqlite/", $name, ".sql")))
        };
    }
    let file = rusqlite::Connection::open(backend.file()).expect("the file");
    for ((name, sql), found) in [
        (sql!("find_day"), "SEARCH tally_request_days USING PRIMARY KEY (day=? AND series_id=?)"),
        (
            sql!("find_month"),
            "SEARCH tally_request_months USING PRIMARY KEY (month=? AND series_id=?)",
        ),
        (sql!("stage"), "SEARCH tally_request_calendar USING PRIMARY KEY (day=?)"),
        (sql!("prunable_days"), "SEARCH c USING PRIMARY KEY (day<?)"),
        (sql!("prunable_days"), "SEARCH d USING PRIMARY KEY (day=?)"),
        (sql!("open_days"), "SEARCH c USING INDEX tally_request_calendar_open (day>? AND day<?)"),
        (sql!("open_days"), "SEARCH d USING PRIMARY KEY (day=?)"),
        (sql!("day_totals"), "SEARCH tally_request_days USING PRIMARY KEY (day=?)"),
        (sql!("day_quarters"), "SEARCH tally_request_days USING PRIMARY KEY (day=?)"),
        (sql!("month_days"), "SEARCH tally_request_months USING PRIMARY KEY (month>? AND month<?)"),
        (sql!("moved"), "SEARCH tally_request_moves USING PRIMARY KEY (from_id=?)"),
        (
            sql!("moves_since"),
            "SEARCH tally_request_moves USING INDEX tally_request_moves_change (change_seq>?)",
        ),
        (
            sql!("corrections"),
            "SEARCH c USING INDEX tally_request_corrections_day (day>? AND day<?)",
        ),
    ] {
        let mut plan = file.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(name);
        let lines = vec![rusqlite::types::Value::Null; plan.parameter_count()];
        let lines =
            plan.query_map(rusqlite::params_from_iter(lines), |row| row.get::<_, String>(3));
        let plan: Vec<_> = lines.expect(name).map(|line| line.expect(name)).collect();
        assert!(plan.iter().any(|line| line == found), "{name}: {plan:?}");
        assert!(!plan.iter().any(|line| line.starts_with("SCAN")), "{name}: {plan:?}");
    }
}

#[tokio::test]
async fn series_are_found_by_their_index() {
    let Some((_database, client)) = filled("plan_series").await else { return };
    let sql = include_str!("../../src/store/postgres/stored_series.sql");
    let types = "INT8[], TEXT[], TEXT[], TEXT[], INT8[], TEXT[]";
    let arguments = "'{0}', '{shop}', '{GET}', '{/1}', '{200}', '{}'";
    let stored = plan(&client, sql, types, arguments).await;
    assert!(stored.contains("Index Scan using tally_request_series_namespace_id"), "{stored}");
    assert!(!stored.contains("Seq Scan"), "{stored}");
}

#[tokio::test]
async fn a_large_tray_is_folded_by_ranges_of_blocks() {
    let Some((_database, client)) = filled("plan_blocks").await else { return };
    let part = include_str!("../../src/store/postgres/count_part.sql");
    let blocks = include_str!("../../src/store/postgres/count_blocks.sql");
    for (sql, types, values) in [
        (part, "TEXT, TEXT", "'(0,0)', '(20,0)'"),
        (blocks, "TEXT, TEXT, BOOL", "'(0,0)', '(20,0)', TRUE"),
        (blocks, "TEXT, TEXT, BOOL", "'(0,0)', '(20,0)', FALSE"),
    ] {
        let sql = sql.replace(":tray", "tally_requests_0");
        let plan = plan(&client, &sql, types, values).await;
        assert!(plan.contains("Tid Range Scan on tally_requests_0"), "{plan}");
        assert!(!plan.contains("Seq Scan"), "{plan}");
    }
}

/// Live totals of a day that is not folded scan all its rows: by as many processes as there are.
#[tokio::test]
async fn rows_are_counted_in_parallel() {
    let Some((_database, client)) = filled("plan_rows").await else { return };
    client.batch_execute("SET parallel_setup_cost = 0").await.expect("a setting");
    let rows = include_str!("../../src/store/postgres/rows_of_tray.sql");
    let arms = ["tally_requests_0", "tally_requests_1"].map(|tray| rows.replace(":tray", tray));
    let sql = include_str!("../../src/store/postgres/count_rows.sql")
        .replace(":rows", &format!("({})", arms.join("UNION ALL ")));
    let range = "'2015-05-17', '2015-05-18', 96";
    let plan = plan(&client, &sql, "TIMESTAMPTZ, TIMESTAMPTZ, INT4", range).await;
    assert!(plan.contains("Parallel Seq Scan on tally_requests_0"), "{plan}");
}

/// Nothing of a folded tray is read, however many rows wait in it to be removed.
#[tokio::test]
async fn a_folded_tray_is_not_read() {
    let Some((_database, client)) = filled("plan_folded").await else { return };
    let explain = async || {
        let sql =
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT sum(total) FROM tally_totals_by_day";
        let rows = client.query(sql, &[]).await.expect("a plan");
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let scan = "Seq Scan on tally_requests_0 ";
        plan.into_iter().find(|line| line.contains(scan)).expect("a scan")
    };
    assert!(explain().await.contains("rows="));
    let mark = "UPDATE tally_request_trays SET state = 'folded' WHERE tray = 'tally_requests_0'";
    client.batch_execute(mark).await.expect("a mark");
    assert!(explain().await.contains("never executed"));
}

/// Even with the maximum number of producers, a batch reads only its own.
#[tokio::test]
async fn producers_are_moved_by_their_keys() {
    let Some((_database, client)) = filled("plan_move").await else { return };
    let sql = "INSERT INTO tally_producers (id, domain, sequence) \
                   SELECT gen_random_uuid(), 'requests', 1 FROM generate_series(1, 100000); \
               ANALYZE tally_producers";
    client.batch_execute(sql).await.expect("rows");
    let types = "UUID[], INT8[], INT8[], INT8[], INT8[], INT8[], INT8[], UUID, INT8[], INT4[], \
                 INT8[], INT8[]";
    let arguments = "ARRAY[gen_random_uuid()], '{0}', '{0}', '{1}', '{2}', '{0}', '{0}', \
                     gen_random_uuid(), '{}', '{}', '{}', '{}'";
    let statements = Statements::new(
        &include_str!("../../src/store/postgres/append.sql").replace(":tray", "tally_requests_0"),
        &include_str!("../../src/store/postgres/append_open.sql")
            .replace(":tray", "tally_requests_0"),
    );
    for (sql, types, arguments) in [
        (
            &*statements.one,
            "UUID, INT8, INT8, INT8, INT8, INT8, INT8, UUID, INT8[], INT4[], INT8[], INT8[], BYTEA, \
             INT8[], TIMESTAMPTZ[], INT8[]"
                .to_owned(),
            "gen_random_uuid(), 0, 0, 1, 2, 0, 0, gen_random_uuid(), '{}', '{}', '{}', '{}', NULL, \
             '{}', '{}', '{}'"
                .to_owned(),
        ),
        (
            &statements.many,
            format!("{types}, BYTEA[], INT8[], TIMESTAMPTZ[], INT8[]"),
            format!("{arguments}, '{{NULL}}', '{{}}', '{{}}', '{{}}'"),
        ),
    ] {
        let plan = plan(&client, sql, &types, &arguments).await;
        assert!(plan.contains("tally_producers_pkey"), "{plan}");
        let plan = plan.replace("Seq Scan on tally_request_trays", "one page");
        assert!(!plan.contains("Seq Scan"), "{plan}");
    }
}
