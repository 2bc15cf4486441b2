//! The first minutes with Tally: start, count, query, import, roll up.

use std::collections::BTreeMap;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::{Home, LIMIT, Server, Totals, assert_no_secret, totals};

/// Lines of the log.
const LINES: i64 = 3_000;

#[test]
fn an_empty_folder_is_enough() {
    let home = Home::sqlite();
    let server = Server::start(&home.command(&["serve", "--listen", "127.0.0.1:0"]));
    let command = format!("count something: tally add GET /hello --server {}", server.url);
    server.process.wait_for_line(tally_testkit::Stream::Stderr, &command, LIMIT);
    server.process.wait_for_line(
        tally_testkit::Stream::Stderr,
        &format!("in a browser:    {}", server.url),
        LIMIT,
    );
    assert!(server.log().contains("database: sqlite:tally.db\n"), "{}", server.log());
    assert!(home.path("tally.db").exists());
    counts_and_rolls_up(&server);
}

#[test]
fn postgres_is_named_without_its_password() {
    let home = Home::postgres("first_run");
    let server = home.serve(&[]);
    counts_and_rolls_up(&server);
    server.stop();
    let output = server.process.wait(LIMIT);
    let line = output.stderr.lines().find(|line| line.starts_with("database: postgres://"));
    assert!(line.is_some_and(|line| line.ends_with(home.database().name())), "{output:?}");
    assert_no_secret(&output);
}

/// Follows the suggestions of the server's first lines.
#[track_caller]
fn counts_and_rolls_up(server: &Server) {
    assert!(server.is_serving() || server.run(&["health"]).stdout == "SERVING\n");
    let output = server.ok(&["add", "GET", "/hello", "-n", "3"]);
    assert_eq!(output.stderr, "counted 3 requests: GET /hello\n");
    let expected = totals([("GET /hello", 3)]);
    assert_eq!(server.live(), expected);
    let before = server.ok(&["totals"]);
    assert!(before.stderr.contains("add --live"), "{before:?}");
    // The two commands may be on different days.
    let output = server.ok(&["roll-up", "yesterday..today"]);
    assert!(output.stderr.contains("1 day rolled up, with 3 requests in all"), "{output:?}");
    assert_eq!(server.rolled_up(), expected);
    assert_eq!(server.live(), expected);
}

#[test]
fn an_import_on_sqlite_is_exact_before_and_after_roll_ups() {
    imports_exactly(&Home::sqlite());
}

#[test]
fn an_import_on_postgres_is_exact_before_and_after_roll_ups() {
    imports_exactly(&Home::postgres("import"));
}

fn imports_exactly(home: &Home) {
    let server = home.serve(&[]);
    let (lines, expected) = access_log();
    let (plain, compressed) = lines.split_at(lines.len() / 3);
    let plain = home.file("access.log", plain.concat());
    let compressed = home.file("access.log.1.gz", gzip(compressed.concat().as_bytes()));

    let import = |times: i64| {
        let output = server.ok(&["import", "--again", &compressed, &plain]);
        let summary = "2 files, 3,000 lines: counted 3,000 requests, 0 malformed, 0 blank";
        assert!(output.stderr.contains(summary), "{output:?}");
        assert_eq!(server.totals(&["--live"]), multiplied(&expected, times), "live, not rolled up");
    };
    let roll_up = |times: i64| {
        server.ok(&["roll-up", "2015-05"]);
        let expected = multiplied(&expected, times);
        assert_eq!(server.totals(&[]), expected, "rolled up");
        assert_eq!(server.totals(&["--live"]), expected, "live, rolled up");
        if home.is_postgres() {
            assert_eq!(home.rows(), 0, "every row is pruned");
        }
    };
    import(1);
    roll_up(1);
    roll_up(1);
    import(2);
    roll_up(2);
}

/// The lines of a log and its daily totals, computed independently of the program.
fn access_log() -> (Vec<String>, Totals) {
    let mut expected = BTreeMap::new();
    let mut lines = Vec::new();
    for number in 0..LINES {
        let (day, method, path) =
            (15 + number % 4, ["GET", "POST"][usize::from(number % 7 == 0)], number % 11);
        // Every fifth line is in another time zone, and so on the next UTC day.
        let (zone, utc_day) = if number % 5 == 0 { ("-0100", day + 1) } else { ("+0000", day) };
        let agent = if number % 2 == 0 { " \"-\" \"curl/8.5\"" } else { "" };
        lines.push(format!(
            "192.0.2.7 - - [{day}/May/2015:23:{:02}:59 {zone}] \
             \"{method} /page/{path}?q={number} HTTP/1.1\" 200 512{agent}\n",
            number % 60
        ));
        *expected.entry(format!("2015-05-{utc_day} {method} /page/{path}")).or_default() += 1;
    }
    (lines, expected)
}

fn multiplied(totals: &Totals, times: i64) -> Totals {
    totals.iter().map(|(name, count)| (name.clone(), count * times)).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

#[test]
fn days_are_utc_in_every_time_zone() {
    for home in [Home::sqlite(), Home::postgres("time_zone")] {
        if home.is_postgres() {
            let name = home.database().name();
            home.sql(&format!("ALTER DATABASE {name} SET timezone = 'Asia/Kolkata'"));
        }
        let server = Server::start(home.serve_command(&[]).env("TZ", "Asia/Kolkata"));
        server.ok(&["add", "GET", "/a", "--at", "2015-05-17T23:59:59.999999Z", "-n", "2"]);
        server.ok(&["add", "GET", "/a", "--at", "2015-05-18T00:00:00Z", "-n", "3"]);
        let expected = totals([("2015-05-17 GET /a", 2), ("2015-05-18 GET /a", 3)]);
        assert_eq!(server.totals(&["--live"]), expected);
        server.ok(&["roll-up", "2015-05-17"]);
        assert_eq!(server.totals(&[]), totals([("2015-05-17 GET /a", 2)]));
        assert_eq!(server.totals(&["--live"]), expected);
        server.ok(&["roll-up", "2015-05-18"]);
        assert_eq!(server.totals(&[]), expected);
    }
}
