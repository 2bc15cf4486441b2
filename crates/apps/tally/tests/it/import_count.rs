//! `tally import-count`: the Go server's tables are imported once, whatever happens meanwhile.

use tally_testkit::{Output, Process, Stream, TestDatabase};

use crate::support::{Home, LIMIT, Server, Totals, assert_fails, totals, wait_for};

pub(crate) const SCHEMA: &str = include_str!("import_count/migrations/count.sql");

/// Tables with a rolled-up day and one that is not.
pub(crate) const TABLES: &str = "
    INSERT INTO count.methods (id, method, path) VALUES (1, 'GET', '/a'), (2, 'POST', '/b');
    INSERT INTO count.daily_method_totals VALUES
        ('2023-05-01', 1, 1000), ('2023-05-01', 2, 20), ('2023-05-02', 1, 7);
    INSERT INTO count.requests
    SELECT 1, TIMESTAMPTZ '2023-05-03 10:00:00+00' + n * INTERVAL '1 minute'
    FROM generate_series(1, 300) AS n;
    INSERT INTO count.requests VALUES (2, '2023-05-03 23:59:59.999999+00');";

/// How the Go server rolls up a day.
const ROLL_UP: &str = "
    WITH gone AS (
        DELETE FROM count.requests WHERE request_timestamp::DATE = '2023-05-03'
        RETURNING method_id
    )
    INSERT INTO count.daily_method_totals
    SELECT '2023-05-03', method_id, count(*) FROM gone GROUP BY method_id;";

fn in_tables() -> Totals {
    totals([
        ("2023-05-01 GET /a", 1000),
        ("2023-05-01 POST /b", 20),
        ("2023-05-02 GET /a", 7),
        ("2023-05-03 GET /a", 300),
        ("2023-05-03 POST /b", 1),
    ])
}

/// Runs the program on a home's database.
#[track_caller]
fn import(home: &Home, arguments: &[&str]) -> Output {
    let url = home.database_url();
    home.run(&[&["import-count", "--database-url", &url], arguments].concat())
}

/// The same, asserting success; returns its message.
#[track_caller]
fn imported(home: &Home, arguments: &[&str]) -> String {
    let output = import(home, arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    output.stderr
}

#[track_caller]
fn assert_says(said: &str, words: &str) {
    assert!(said.contains(words), "{words:?} is not in {said}");
}

fn by_day(server: &Server) -> Totals {
    server.totals(&["--live", "--by", "day"])
}

/// The totals of a server on the home's database.
#[track_caller]
fn counted(home: &Home) -> Totals {
    let server = home.serve(&[]);
    let counted = by_day(&server);
    server.stop();
    counted
}

/// A Go server's database.
fn elsewhere(sql: &str) -> TestDatabase {
    let database = TestDatabase::create("count");
    execute(&database, SCHEMA);
    execute(&database, sql);
    database
}

pub(crate) fn execute(database: &TestDatabase, sql: &str) {
    wait_for(async { database.connect().await.batch_execute(sql).await })
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

#[test]
fn a_namespace_gets_them_if_there_is_one() {
    let home = Home::postgres("count_namespace");
    home.sql(SCHEMA);
    home.sql(TABLES);
    let shop = ["--namespace", "shop"];
    let missing = import(&home, &shop);
    assert_fails(&missing, 1, &["there is no namespace shop", "tally key create"]);
    let url = home.database_url();
    let key = ["key", "create", "shop", "--scope", "read", "--database-url", &url];
    assert!(home.run(&[&key[..], &shop].concat()).status.success());
    assert_says(&imported(&home, &shop), "imported 1,328 requests");
    assert_says(&imported(&home, &shop), "nothing is new");
    let sql = "SELECT namespace, sum(total)::INT8 FROM tally_totals_by_day GROUP BY namespace";
    let rows = wait_for(async { home.database().connect().await.query(sql, &[]).await });
    let rows = rows.expect("the view is there");
    let rows: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [("shop".to_owned(), 1_328)]);
    assert_says(&imported(&home, &[]), "imported 1,328 requests");
}

/// With a running server that already knows some of the endpoints and days.
#[test]
fn the_same_postgres_is_imported_once() {
    let home = Home::postgres("import_count");
    home.sql(SCHEMA);
    home.sql(TABLES);
    let server = home.serve(&[]);
    server.ok(&["add", "GET", "/a", "-n", "2", "--at", "2023-05-01"]);
    server.ok(&["roll-up", "2023-05-01"]);
    let mut expected = in_tables();
    *expected.get_mut("2023-05-01 GET /a").expect("it is there") += 2;

    let said = imported(&home, &["--dry-run"]);
    assert_says(&said, "would import 1,328 requests to 2 endpoints");
    assert_eq!(by_day(&server), totals([("2023-05-01 GET /a", 2)]));
    let said = imported(&home, &[]);
    assert_says(&said, "imported 1,328 requests to 2 endpoints");
    assert_says(&said, "1,027 in daily totals, 301 not rolled up yet");
    assert_eq!(by_day(&server), expected);
    assert_eq!(home.rows(), 301);

    let said = imported(&home, &[]);
    assert_says(&said, "nothing is new");
    assert_says(&said, "1,328 were imported before");
    assert_eq!(by_day(&server), expected);

    // The Go server continues, and both roll up.
    server.ok(&["roll-up", "2023-05"]);
    home.sql("INSERT INTO count.requests VALUES (1, '2023-05-03 12:00:00+00');");
    home.sql(ROLL_UP);
    home.sql(
        "INSERT INTO count.methods VALUES (3, 'GET', '/new');
         INSERT INTO count.requests VALUES
             (3, '2023-05-04 12:00:00+00'), (1, '2023-05-03 13:00:00+00');",
    );
    let said = imported(&home, &[]);
    assert_says(&said, "imported 3 requests to 3 endpoints");
    assert_says(&said, "1 in daily totals, 2 not rolled up yet");
    expected.insert("2023-05-04 GET /new".to_owned(), 1);
    *expected.get_mut("2023-05-03 GET /a").expect("it is there") += 2;
    assert_eq!(by_day(&server), expected);

    // For each day, accepted = counted.
    home.sql(
        "DO $$ BEGIN
            ASSERT (SELECT sum(accepted) FROM tally_producer_days) = 1333;
            ASSERT NOT EXISTS (
                SELECT day, sum(accepted) FROM tally_producer_days GROUP BY day
                EXCEPT
                SELECT day, sum(n) FROM (
                    SELECT day, total AS n FROM tally_totals_by_day
                ) AS counted GROUP BY day
            );
        END $$",
    );
}

/// Starts an import that stops at a point.
fn held_at(home: &Home, point: &str, arguments: &[&str]) -> Process {
    let url = home.database_url();
    let arguments = [&["import-count", "--database-url", &url], arguments].concat();
    let process = Process::spawn(home.command(&arguments).env("TALLY_FAULT", point));
    process.wait_for_line(Stream::Stderr, &format!("stopped at {point}"), LIMIT);
    process
}

/// However long the import takes: it is held once before it writes rows that servers also write,
/// and once before its COMMIT.
#[test]
fn a_server_on_the_same_postgres_continues_meanwhile() {
    let home = Home::postgres("import_count");
    home.sql(SCHEMA);
    home.sql(TABLES);
    let server = home.serve(&[]);
    let import = held_at(&home, "import_count.copied", &[]);
    server.ok(&["add", "GET", "/a", "-n", "2", "--at", "2023-05-01"]);
    server.ok(&["roll-up", "2023-05-01"]);
    import.signal("KILL");
    import.wait(LIMIT);
    home.sql("INSERT INTO count.methods VALUES (3, 'GET', '/new');");
    let import = held_at(&home, "import_count.before_commit", &[]);
    server.ok(&["add", "GET", "/new", "--at", "2023-05-01"]);
    import.signal("KILL");
    import.wait(LIMIT);
    imported(&home, &[]);
    let mut expected = in_tables();
    *expected.get_mut("2023-05-01 GET /a").expect("it is there") += 2;
    expected.insert("2023-05-01 GET /new".to_owned(), 1);
    assert_eq!(by_day(&server), expected);
}

mod killed {
    use super::*;

    fn killed_at(home: &Home, point: &str) {
        let source = elsewhere(TABLES);
        let from = source.url();
        let process = held_at(home, point, &["--from", &from]);
        process.signal("KILL");
        process.wait(LIMIT);
        let before = counted(home);
        let is_done = point == "import_count.committed";
        assert_eq!(before, if is_done { in_tables() } else { totals([]) }, "{point}");
        let said = imported(home, &["--from", &from]);
        assert_says(&said, if is_done { "nothing is new" } else { "imported 1,328 requests" });
        assert_eq!(counted(home), in_tables());
    }

    #[test]
    fn on_postgres() {
        for point in ["import_count.before_commit", "import_count.committed"] {
            killed_at(&Home::postgres("import_count"), point);
        }
    }

    #[test]
    fn on_sqlite() {
        for point in ["import_count.before_commit", "import_count.committed"] {
            killed_at(&Home::sqlite(), point);
        }
    }
}

#[test]
fn tables_of_another_database_are_distinguished() {
    let home = Home::sqlite();
    let (source, copy) = (elsewhere(TABLES), elsewhere(TABLES));
    let (from, copied) = (source.url(), copy.url());
    imported(&home, &["--from", &from]);
    let refused = import(&home, &["--from", &copied]);
    assert_fails(&refused, 1, &["were imported before", "--source"]);
    // The same tables in another place.
    let name =
        refused.stderr.split('\u{201c}').nth(1).and_then(|rest| rest.split('\u{201d}').next());
    let said = imported(&home, &["--from", &copied, "--source", name.expect("a name")]);
    assert_says(&said, "nothing is new");
    assert_eq!(counted(&home), in_tables());
    // Another Go server's tables.
    imported(&home, &["--from", &copied, "--source", "other"]);
    let doubled: Totals = in_tables().into_iter().map(|(name, count)| (name, 2 * count)).collect();
    assert_eq!(counted(&home), doubled);
}

#[test]
fn odd_tables_lose_nothing() {
    let source = elsewhere(
        "INSERT INTO count.methods (id, method, path) VALUES
            (1, 'METHOD_UNSPECIFIED', '/u'), (2, '42', '/n'), (3, 'GET', ''),
            (4, 'GET', repeat('x', 2049)), (5, 'nonsense', '/z'), (6, 'GRPC', '/s/M');
         INSERT INTO count.daily_method_totals VALUES
            ('2023-05-01', 1, NULL), ('2023-05-01', 2, 2), ('2023-05-01', 3, 3),
            ('2023-05-01', 4, 4), ('0001-12-31 BC', 6, 5), ('0044-03-15 BC', 6, 6),
            ('12023-05-01', 6, 7), ('infinity', 6, 8);
         INSERT INTO count.requests VALUES
            (5, '2023-05-02 00:00:00+00'), (5, '0044-03-15 00:00:00+00 BC'),
            (5, 'infinity'), (1, '-infinity');",
    );
    for home in [Home::sqlite(), Home::postgres("import_count")] {
        let said = imported(&home, &["--from", &source.url()]);
        assert_says(&said, "imported 29 requests to 6 endpoints");
        assert_says(&said, "2 endpoints are counted under the path _other");
        assert_says(&said, "19 are outside the years 1 to 9999");
        assert_says(&said, "10 are at an infinite time, and not counted");
        let expected = totals([
            ("0001-01-01 GRPC /s/M", 11),
            ("0001-01-01 UNSPECIFIED /z", 1),
            ("2023-05-01 42 /n", 2),
            ("2023-05-01 GET _other", 7),
            ("2023-05-02 UNSPECIFIED /z", 1),
            ("9999-12-31 GRPC /s/M", 7),
        ]);
        assert_eq!(counted(&home), expected);
        assert_says(&imported(&home, &["--from", &source.url()]), "nothing is new");
    }
    let home = Home::sqlite();
    imported(&home, &["--from", &source.url(), "--requests-series-max", "1"]);
    assert_eq!(counted(&home).values().sum::<i64>(), 29);
}

/// A request is imported before the Go server rolls it up, in its own time zone.
#[test]
fn a_day_of_another_time_zone_is_counted_once() {
    let source = elsewhere("INSERT INTO count.methods VALUES (1, 'GET', '/a');");
    let zone = format!("ALTER DATABASE {} SET timezone = 'Asia/Tokyo';", source.name());
    execute(&source, &zone);
    execute(&source, "INSERT INTO count.requests VALUES (1, '2023-05-02 16:00:00+00');");
    let home = Home::sqlite();
    let said = imported(&home, &["--from", &source.url()]);
    assert_says(&said, "days in Asia/Tokyo");
    execute(&source, ROLL_UP);
    let said = imported(&home, &["--from", &source.url()]);
    assert_says(&said, "nothing is new");
    assert_eq!(counted(&home), totals([("2023-05-02 GET /a", 1)]));
}

/// The same requests fall on other days there.
#[test]
fn the_same_tables_in_another_time_zone_are_refused() {
    let source = elsewhere(TABLES);
    let (from, separator) = (source.url(), if source.url().contains('?') { '&' } else { '?' });
    let tokyo = format!("{from}{separator}timezone=Asia/Tokyo");
    for named in [&[][..], &["--source", "mine"]] {
        for home in [Home::sqlite(), Home::postgres("import_count")] {
            imported(&home, &[&["--from", &tokyo], named].concat());
            let before = counted(&home);
            let refused = import(&home, &[&["--from", &from], named].concat());
            assert_fails(&refused, 1, &["time zone", "?timezone=Asia/Tokyo"]);
            assert!(!refused.stderr.contains("--source"), "{refused:?}");
            let said = imported(&home, &[&["--from", &tokyo], named].concat());
            assert_says(&said, "nothing is new");
            assert_eq!(counted(&home), before);
        }
    }
}

#[test]
fn a_day_beyond_the_largest_count_is_refused() {
    for tables in [
        "('2023-05-01', 1, 9223372036854775807), ('2023-05-01', 2, 9223372036854775807)",
        "('2023-05-02', 1, 9223372036854775807), ('2023-05-01', 2, 9223372036854775807)",
    ] {
        let source = elsewhere(&format!(
            "INSERT INTO count.methods (id, method, path) VALUES (1, 'GET', '/a'), (2, 'POST', '/b');
             INSERT INTO count.daily_method_totals VALUES {tables};
             INSERT INTO count.requests VALUES (2, '2023-05-01 12:00:00+00');"
        ));
        for home in [Home::sqlite(), Home::postgres("import_count")] {
            let refused = import(&home, &["--from", &source.url()]);
            assert_fails(&refused, 1, &["method 2", "2023-05-01", "9223372036854775807"]);
            assert_eq!(counted(&home), totals([]));
        }
    }
}

#[test]
fn days_whose_sum_exceeds_a_count_are_reported() {
    let source = elsewhere(
        "INSERT INTO count.methods (id, method, path) VALUES (1, 'GET', '/a');
         INSERT INTO count.daily_method_totals VALUES
            ('2023-05-01', 1, 9223372036854775807), ('2023-05-02', 1, 9223372036854775807),
            ('2023-05-03', 1, 9223372036854775807);",
    );
    for home in [Home::sqlite(), Home::postgres("import_count")] {
        imported(&home, &["--from", &source.url()]);
        let server = home.serve(&[]);
        let month = totals([("2023-05 GET /a", i64::MAX)]);
        assert_eq!(server.totals(&["2023", "--by", "month"]), month);
        server.stop();
    }
}

#[test]
fn the_name_of_a_source_must_be_printable() {
    let home = Home::sqlite();
    let source = elsewhere(TABLES);
    let from = source.url();
    assert_fails(&import(&home, &["--from", &from, "--source", ""]), 2, &["--source", "empty"]);
    imported(&home, &["--from", &from, "--source", "a\u{1b}[2Jb"]);
    let refused = import(&home, &["--from", &from]);
    assert_fails(&refused, 1, &["a\\u{1b}[2Jb"]);
    assert!(!refused.stderr.contains('\u{1b}'), "{refused:?}");
}

#[test]
fn missing_tables_are_named() {
    let home = Home::sqlite();
    assert_fails(&import(&home, &[]), 2, &["--from", "Postgres"]);
    let empty = TestDatabase::create("count");
    assert_fails(&import(&home, &["--from", &empty.url()]), 1, &["no schema count", "--from"]);
    let home = Home::sqlite();
    let dry = import(&home, &["--from", &empty.url(), "--dry-run"]);
    assert_fails(&dry, 1, &["tally migrate"]);
}
