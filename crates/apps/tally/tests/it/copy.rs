//! `tally copy`: there and back with every kind of row, killed, refused, and while a server counts.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;
use tally_testkit::{Output, Process, Stream, TestDatabase, eventually_blocking};

use crate::support::{Home, LIMIT, LOG_LINE, Server, assert_fails, assert_no_secret, totals};

/// Rows of kinds that a short run of a server does not make, with values at the limits.
const ROWS: &str = r#"
INSERT INTO tally_producers VALUES
    (x'0102030405060708090a0b0c0d0e0f10', 'requests', 0, 'Zoë''s "laptop"	\', -9223372036854775808,
     9223372036854775807, 41, 5, 6, 1893456000123456, 1, x'00ff', -1),
    (x'0102030405060708090a0b0c0d0e0f10', 'requests', 7, '', 0, 0, 1, 0, 0, 0, 0, x'', NULL);
INSERT INTO tally_producer_batches VALUES
    ('requests', 0, 16572, 3, 1), ('requests', 0, 16572, 4, 0), ('requests', 0, -719162, 5, 2);
INSERT INTO tally_producer_setbacks VALUES ('requests', 0, zeroblob(16), 'a', 1, 2, 3, 4);
INSERT INTO tally_outbox VALUES
    (randomblob(16), 'requests', randomblob(16), 1, 'https://a/', 'https://a/b', '{"id":"\u00e9"}', 1, 2, 3,
     NULL, 0, 'HTTP 500'),
    (randomblob(16), 'requests', randomblob(16), 2, 'https://a/', 'https://a/b', '{}', 1, NULL, 1, 5, 1, '');
INSERT INTO tally_outbox_counts VALUES (0, randomblob(16), 0, 'cron', 'POST', '/paid', 504, 1893456000123456);
INSERT INTO tally_outbox_counter VALUES (0, randomblob(16), 3);
INSERT INTO tally_sessions VALUES (randomblob(32), randomblob(32), 4102444800000000);
INSERT INTO tally_request_imports VALUES (0, 'postgres://db/count', 'Europe/Vienna', 16572, 3, 12);
INSERT INTO tally_request_changes VALUES
    (1, 99, 0, 'merge', 'path /x', 'me', 5, 1, 2, NULL, 'is:/x', NULL, NULL, '/y', NULL, NULL, 6),
    (2, -99, 0, 'forget', '', 'me', 5, 1, 2, NULL, NULL, 'hash:1:00000000000000000000000000000001',
     NULL, NULL, '_forgotten', '00000000000000010000000000000001', NULL);
INSERT INTO tally_request_moves VALUES (-5, -6, 1);
INSERT INTO tally_request_corrections VALUES (randomblob(16), 0, 16572, -6, -3, 'twice', 'me', 5);
INSERT INTO tally_request_rules VALUES
    (randomblob(16), 0, 'few', '{}', 'https://a/b', 1, 2, 3, 4), (randomblob(16), 0, 'none', '{}', '', 1, NULL, NULL, 0);
INSERT INTO tally_watches VALUES ('another', 5, 6);
INSERT INTO tally_debt_gaps VALUES (5, 6);
INSERT INTO tally_requests_1 VALUES (-6, -1, NULL), (-6, 253402300799999999, 9);
UPDATE tally_request_calendar SET pruned_at = 7 WHERE day = 16571;
"#;

/// What is said in another way in each kind of database: their rows are compared by queries.
const APART: [&str; 4] =
    ["tally_producer_batches", "tally_producer_days", "tally_requests_0", "tally_requests_1"];

/// The rows of each table, in one order.
fn dump(file: &Path) -> Vec<(String, Vec<Vec<Value>>)> {
    let file = Connection::open(file).expect("a database");
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
               AND name NOT LIKE 'tally_migrations_%' ORDER BY name";
    let names = file.prepare(sql).and_then(|mut statement| {
        statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
    });
    let plain = names.expect("tables").into_iter().filter(|name| !APART.contains(&&**name));
    let plain = plain.map(|name| (name.clone(), format!("SELECT * FROM {name}")));
    let days = "SELECT worker_id, day, domain, namespace_id, sum(accepted), sum(dropped) FROM \
                (SELECT * FROM tally_producer_days UNION ALL SELECT zeroblob(16), day, domain, \
                 namespace_id, accepted, dropped FROM tally_producer_batches) GROUP BY 1, 2, 3, 4";
    let others = [("days", days), ("rows", "SELECT * FROM tally_requests")];
    let others = others.map(|(name, sql)| (name.to_owned(), sql.to_owned()));
    let rows = |(name, sql): (String, String)| {
        let mut statement = file.prepare(&sql).expect(&sql);
        let columns = statement.column_count();
        let line = |row: &rusqlite::Row<'_>| (0..columns).map(|at| row.get(at)).collect();
        let rows = statement.query_map([], line).expect(&sql);
        let mut rows: Vec<Vec<Value>> = rows.collect::<rusqlite::Result<_>>().expect(&sql);
        rows.sort_by_key(|row| format!("{row:?}"));
        (name, rows)
    };
    plain.chain(others).map(rows).collect()
}

fn copy(home: &Home, from: &str, to: &str) -> Output {
    home.run(&["copy", "--from", from, "--to", to])
}

#[track_caller]
fn copied(home: &Home, from: &str, to: &str) -> Output {
    let output = copy(home, from, to);
    assert!(output.status.success(), "{output:?}");
    assert_no_secret(&output);
    output
}

fn sqlite(home: &Home, name: &str) -> String {
    format!("sqlite:{}", home.path(name).display())
}

/// Sends three requests under an idempotency key, with a key of the server.
fn post(server: &Server, key: &str) -> String {
    let address = server.url.trim_start_matches("http://");
    let body = r#"[{"method":"GET","path":"/posted","requests":3}]"#;
    let request = format!(
        "POST /api/v1/requests HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         authorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         idempotency-key: \"7b\"\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = TcpStream::connect(address).expect("a connection");
    connection.set_read_timeout(Some(LIMIT)).expect("a limit");
    connection.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer
}

/// Counts, has debts paid, and tells events.
fn fill(home: &Home, server: &Server, log: &str, key: &str) {
    server.ok(&["import", log, "--key", key]);
    server.ok(&["roll-up", "2015-05-17", "--key", key]);
    server.ok(&["import", "--key", key, &home.file("b.log", LOG_LINE.replace("17/May", "16/May"))]);
    server.ok(&["roll-up", "2015-05-16", "--key", key]);
    post(server, key);
    server.ok(&[
        "add",
        "GET",
        "/é\u{301}\"\\",
        "--service",
        "shop",
        "--customer",
        "o'b",
        "--key",
        key,
    ]);
    for more in [
        &["add", "backup", "--every", "1h", "--tag", "nightly"][..],
        &["pay", "backup", "--kind", "start", "--run-id", "r1", "--message", "é\u{301}"],
        &["pay", "backup", "--kind", "fail", "--run-id", "r2", "--exit-status", "3"],
        &["add", "beat", "--every", "1h"],
    ] {
        server.ok(&[&["debts"], more, &["--key", key]].concat());
    }
    for more in [
        &["start", "deploy", "db.é\u{301}", "--waiting", "--attribute", "why=\"a\""][..],
        &["end", "deploy", "db.é\u{301}", "--status", "failed"],
        &["event", "deploy", "tag"],
    ] {
        server.ok(&[&["timelines"], more, &["--key", key]].concat());
    }
}

#[test]
fn there_and_back_everything_is_the_same_and_goes_on() {
    let home = Home::postgres("copy");
    let (first, second, last) =
        (sqlite(&home, "first.db"), home.database_url(), sqlite(&home, "last.db"));
    let create = ["key", "create", "all", "--scope", "admin", "--database-url", &first];
    let key = home.run(&create).stdout.trim().to_owned();
    let staging = ["key", "create", "s", "--scope", "read", "--namespace", "staging"];
    assert!(home.run(&[&staging[..], &["--database-url", &first]].concat()).status.success());
    let serve = |url: &str| home.serve_at(url, &["--auth", "keys"]);
    let live = |server: &Server| {
        let arguments = ["totals", "--live", "--by", "whole", "--format", "csv", "--key", &key];
        server.ok(&arguments).stdout
    };
    let log = home.file("access.log", LOG_LINE.repeat(20));
    let server = serve(&first);
    fill(&home, &server, &log, &key);
    server.stop();
    let file = Connection::open(home.path("first.db")).expect("a database");
    file.execute_batch(ROWS).expect("more rows");
    drop(file);
    let before = dump(&home.path("first.db"));
    let empty: Vec<_> = before.iter().filter(|(_, rows)| rows.is_empty()).collect();
    assert!(empty.is_empty(), "every table has rows, so that this test is about it: {empty:?}");

    let output = copied(&home, &first, &second);
    assert!(output.stdout.starts_with("table,rows\n"), "{output:?}");
    assert!(output.stdout.contains("tally_request_changes,2\n"), "{output:?}");
    assert!(output.stderr.contains("compared"), "{output:?}");
    let back = copied(&home, &second, &last);
    assert_eq!(back.stdout, output.stdout);
    assert_eq!(dump(&home.path("last.db")), before);
    assert_eq!(dump(&home.path("first.db")), before, "the source is not changed");

    // What was counted is not counted again; what is new is.
    fs::write(&log, LOG_LINE.repeat(25)).expect("more lines");
    let mut seen = Vec::new();
    for url in [&first, &second, &last] {
        let server = serve(url);
        post(&server, &key);
        server.ok(&["import", &log, "--key", &key]);
        server.ok(&["add", "GET", "/new", "--key", &key]);
        let totals = live(&server);
        for line in [",GET,/a,26\n", ",GET,/posted,3\n", ",GET,/new,1\n"] {
            assert!(totals.contains(line), "{url}: {line} is not in {totals}");
        }
        seen.push(totals);
        server.stop();
    }
    assert!(seen.iter().all(|totals| *totals == seen[0]), "{seen:?}");
}

/// Each acknowledged line is in the copy, with the position of its producer, or in neither.
#[test]
fn a_copy_of_a_server_that_counts_goes_on_where_it_was_made() {
    let home = Home::postgres("copy_live");
    let server = home.serve(&[]);
    let line = |n: usize| LOG_LINE.replace("GET /a", &format!("GET /{}", n % 7));
    let log = home.file("access.log", (0..40_000).map(line).collect::<String>());
    let import = Process::spawn(&server.command(&["import", &log]));
    let counted = |server: &Server| server.live().values().sum::<i64>();
    eventually_blocking(LIMIT, || counted(&server) > 0).expect("it is being counted");
    copied(&home, &home.database_url(), &sqlite(&home, "copy.db"));
    assert!(import.wait(LIMIT).status.success(), "the import noticed nothing");
    let whole = server.live();
    server.stop();

    let copy = home.serve_at(&sqlite(&home, "copy.db"), &[]);
    let before = counted(&copy);
    assert!(0 < before && before <= 40_000, "{before}");
    copy.ok(&["import", &log]);
    assert_eq!(copy.live(), whole, "of {before}");
    copy.stop();

    // SQLite's server goes on as well.
    let server = home.serve_at(&sqlite(&home, "copy.db"), &[]);
    copied(&home, &sqlite(&home, "copy.db"), &sqlite(&home, "again.db"));
    assert!(server.is_serving());
}

#[test]
fn a_killed_copy_leaves_nothing() {
    let home = Home::postgres("copy_killed");
    let source = sqlite(&home, "tally.db");
    let server = home.serve_at(&source, &[]);
    server.ok(&["add", "GET", "/a", "-n", "3"]);
    server.stop();
    for (target, point) in
        [(home.database_url(), "copy.written"), (sqlite(&home, "copy.db"), "copy.compared")]
    {
        let mut command = home.command(&["copy", "--from", &source, "--to", &target]);
        let killed = Process::spawn(command.env("TALLY_FAULT", point));
        killed.wait_for_line(Stream::Stderr, &format!("stopped at {point}"), LIMIT);
        if target.starts_with("sqlite:") {
            assert_fails(
                &copy(&home, &source, &target),
                1,
                &["a Tally server uses it, or another copy"],
            );
        }
        killed.signal("KILL");
        killed.wait(LIMIT);
        let served = home.serve_at(&target, &[]);
        assert_eq!(served.live(), totals([]), "it is all there or nothing");
        served.stop();
        copied(&home, &source, &target);
        let served = home.serve_at(&target, &[]);
        assert_eq!(served.live(), totals([("GET /a", 3)]));
        served.stop();
    }
}

#[test]
fn what_cannot_be_copied_says_why_and_changes_nothing() {
    let home = Home::postgres("copy_refused");
    let (source, postgres) = (sqlite(&home, "tally.db"), home.database_url());
    let fails = |from: &str, to: &str, code: i32, words: &[&str]| {
        assert_fails(&copy(&home, from, to), code, words);
    };
    let new = sqlite(&home, "new.db");
    fails(&source, &new, 1, &["tally.db: there is no such file"]);
    fails("mysql://me:s3cret@db/x", &new, 2, &["--from"]);
    let missing = postgres.replace(home.database().name(), "missing");
    fails(&missing, &new, 1, &["database \"missing\" does not exist"]);
    fails(&postgres, &new, 1, &["it has no tables of Tally"]);
    assert!(!home.path("new.db").exists(), "nothing is made for a source that is wrong");

    let server = home.serve_at(&source, &[]);
    server.ok(&["add", "GET", "/a", "-n", "3"]);
    let here = format!("sqlite:{}", home.path(".").join("tally.db").display());
    fails(&source, &here, 2, &["--to", "is the database that --from names"]);
    fails(&source, &missing, 1, &["database \"missing\" does not exist"]);
    fails(&source, &sqlite(&home, "nowhere/new.db"), 1, &["nowhere/new.db"]);
    fails(&source, &format!("{new}?size_bytes_max=200000"), 1, &["size_bytes_max"]);
    fs::remove_file(home.path("new.db")).expect("it has tables");

    // A target that a server has, even if nothing is counted there.
    let other = home.serve_at(&new, &[]);
    fails(&source, &new, 1, &["new.db", "a Tally server uses it"]);
    other.stop();
    let other = home.serve(&[]);
    let words = "a Tally server uses it, or was killed within the last 20 s";
    eventually_blocking(LIMIT, || copy(&home, &source, &postgres).stderr.contains(words))
        .expect("it has its lease by then");
    fails(&source, &postgres, 1, &["is not copied to postgres://", words]);
    other.ok(&["add", "GET", "/b"]);
    other.stop();
    fails(&source, &postgres, 1, &["it is not empty: tally_"]);
    server.stop();

    let newer =
        "INSERT INTO tally_migrations_requests VALUES (99, 'x', '2030-01-01T00:00:00Z', '0')";
    let file = Connection::open(home.path("tally.db")).expect("a database");
    file.execute_batch(newer).expect("a newer one");
    drop(file);
    fails(&source, &new, 1, &["a newer Tally made it"]);
    let older = TestDatabase::create("copy_older");
    assert!(home.run(&["migrate", "--database-url", &older.url()]).status.success());
    crate::support::wait_for(async {
        older.connect().await.batch_execute("DROP TABLE tally_migrations_access").await
    })
    .expect("older");
    fails(&older.url(), &new, 1, &["of an older version", "run tally migrate there first"]);
}
